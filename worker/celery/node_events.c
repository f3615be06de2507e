/* Events: the worker's own beat, and what happens to tasks while somebody listens. */
#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define BEAT_MS     2000
#define FLUSH_MS    100
#define BATCH_BYTES (64 * 1024)

/* The event without its last brace: more may follow. */
static void
begin_event(struct celery_node *node, const char *type, struct evbuffer *out)
{
    int64_t now = clock_wall_ms();

    evbuffer_add_printf(out, "{\"type\": \"%s\", \"hostname\": ", type);
    celery_put_text(out, node->name);
    evbuffer_add_printf(out,
                        ", \"utcoffset\": 0, \"pid\": %d, \"clock\": %" PRId64
                        ", \"timestamp\": %" PRId64 ".%03d",
                        (int)getpid(), ++node->clock, now / 1000, (int)(now % 1000));
}

static void
tell_worker(struct celery_node *node, const char *type, const char *kind)
{
    struct evbuffer *event = xevbuffer();
    double load[3] = {0};

    if (getloadavg(load, 3) < 0)
        load[0] = 0;
    begin_event(node, type, event);
    evbuffer_add_printf(event,
                        ", \"freq\": 2.0, \"active\": %d, \"processed\": %" PRId64
                        ", \"loadavg\": [%.2f, %.2f, %.2f], \"sw_ident\": \"headgate\", "
                        "\"sw_ver\": \"%s\", \"sw_sys\": \"Linux\"}",
                        celery_count_active(node->options.celery), node->processed, load[0],
                        load[1], load[2], node->options.version);
    celery_node_publish(node, kind, event);
    evbuffer_free(event);
}

void
celery_node_beat(struct celery_node *node)
{
    tell_worker(node, "worker-heartbeat", "worker.heartbeat");
}

static void
on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    celery_node_beat(arg);
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct celery_node *node = arg;
    struct evbuffer *body;

    (void)fd;
    (void)what;
    event_del(node->flush);
    if (evbuffer_get_length(node->batch) == 0)
        return;
    body = xevbuffer();
    celery_put(body, "[");
    evbuffer_add_buffer(body, node->batch);
    celery_put(body, "]");
    celery_node_publish(node, "task.multi", body);
    evbuffer_free(body);
}

static void
put_slice(struct evbuffer *out, const char *name, struct json_slice value, const char *otherwise)
{
    evbuffer_add_printf(out, ", \"%s\": ", name);
    if (value.type == JSON_ABSENT)
        celery_put(out, otherwise);
    else
        json_put_slice(out, value);
}

static void
put_received(const struct celery_message *message, struct evbuffer *out)
{
    struct json_slice headers = message->headers.root;

    celery_put(out, ", \"name\": ");
    celery_put_text(out, message->task);
    put_slice(out, "args", celery_get(headers, "argsrepr"), "\"\"");
    put_slice(out, "kwargs", celery_get(headers, "kwargsrepr"), "\"\"");
    put_slice(out, "root_id", message->root_id, "null");
    put_slice(out, "parent_id", message->parent_id, "null");
    put_slice(out, "eta", celery_get(headers, "eta"), "null");
    put_slice(out, "expires", celery_get(headers, "expires"), "null");
    evbuffer_add_printf(out, ", \"retries\": %" PRId64, message->retries);
}

static void
put_named_text(struct evbuffer *out, const char *name, const char *text)
{
    evbuffer_add_printf(out, ", \"%s\": ", name);
    celery_put_text(out, text);
}

/* "task-succeeded" and so on, and what belongs to it. */
static const char *
put_happening(const struct celery_event *event, struct evbuffer *out)
{
    switch (event->happening) {
    case CELERY_RECEIVED: put_received(event->message, out); return "task-received";
    case CELERY_STARTED: return "task-started";
    case CELERY_SUCCEEDED:
        put_named_text(out, "result", event->text);
        evbuffer_add_printf(out, ", \"runtime\": %.3f", (double)event->runtime_ms / 1000.0);
        return "task-succeeded";
    case CELERY_FAILED:
    case CELERY_RETRIED:
        put_named_text(out, "exception", event->text);
        put_named_text(out, "traceback", event->traceback);
        return event->happening == CELERY_FAILED ? "task-failed" : "task-retried";
    case CELERY_REVOKED:
        evbuffer_add_printf(out, ", \"terminated\": %s, \"signum\": %s, \"expired\": %s",
                            event->is_terminated ? "true" : "false",
                            event->is_terminated ? "15" : "null",
                            event->is_expired ? "true" : "false");
        return "task-revoked";
    }
    return "";
}

static void
on_event(const struct celery_event *event, void *arg)
{
    static const struct timeval soon = {.tv_usec = FLUSH_MS * 1000};
    struct celery_node *node = arg;
    struct evbuffer *more;
    const char *type;

    if (event->happening == CELERY_SUCCEEDED || event->happening == CELERY_FAILED)
        node->processed++;
    if (!node->sends_task_events || node->has_left)
        return;
    more = xevbuffer();
    type = put_happening(event, more);
    if (evbuffer_get_length(node->batch) > 0)
        celery_put(node->batch, ",");
    begin_event(node, type, node->batch);
    put_named_text(node->batch, "uuid", event->message->id);
    evbuffer_add_buffer(node->batch, more);
    celery_put(node->batch, "}");
    evbuffer_free(more);
    if (evbuffer_get_length(node->batch) > BATCH_BYTES)
        on_flush(-1, 0, node);
    else if (!event_pending(node->flush, EV_TIMEOUT, NULL))
        event_add(node->flush, &soon);
}

/* ---- life ---- */

void
celery_node_begin_events(struct celery_node *node)
{
    static const struct timeval every = {.tv_sec = BEAT_MS / 1000};

    node->sends_task_events = node->options.config->celery_events;
    node->batch = xevbuffer();
    node->beat = event_new(node->options.base, -1, EV_PERSIST, on_beat, node);
    node->flush = evtimer_new(node->options.base, on_flush, node);
    event_add(node->beat, &every);
    celery_watch(node->options.celery, on_event, node);
}

void
celery_node_end_events(struct celery_node *node)
{
    celery_watch(node->options.celery, NULL, NULL);
    event_free(node->beat);
    event_free(node->flush);
    evbuffer_free(node->batch);
}

void
celery_node_arrive(struct celery_node *node)
{
    tell_worker(node, "worker-online", "worker.online");
}

void
celery_node_leave(struct celery_node *node)
{
    if (node->has_left)
        return;
    on_flush(-1, 0, node);
    node->has_left = true;
    event_del(node->beat);
    tell_worker(node, "worker-offline", "worker.offline");
}
