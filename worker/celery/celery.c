#include "worker/celery/celery.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/celery/canvas.h"
#include "worker/celery/meta.h"
#include "worker/celery/queue_names.h"
#include "worker/celery/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Of a result or exception in an event. */
#define SHOWN_BYTES 1000

struct celery {
    const struct config *config; /* borrowed */
    struct celery_tasks tasks;
    struct wire wire;
    struct celery_queue *queues; /* one per config->queues; owned */
    struct wire_message *held;   /* all that were read */
    celery_event_fn *on_event;   /* NULL: nobody watches */
    void *on_event_arg;
};

struct wire_message {
    struct celery_message message;
    char *queue;                    /* owned: it came from there; NULL: not read */
    struct canvas canvas;           /* what follows from the end that was printed last */
    enum celery_happening end;      /* that end */
    bool is_terminated, is_expired; /* of it */
    char *text, *traceback;         /* owned: of it, for events */
    int64_t started_ms;             /* Unix; 0: not yet */
    struct celery *celery;          /* borrowed */
    struct wire_message *prev, *next;
};

/* ---- the wire ---- */

static struct wire_message *
wire_keep(void *self, char *payload, size_t len)
{
    struct wire_message *kept = xcalloc(1, sizeof(*kept));

    kept->celery = self;
    DL_APPEND(kept->celery->held, kept);
    kept->message.payload = payload;
    kept->message.payload_len = len;
    return kept;
}

static void
tell_watcher(const struct wire_message *kept, enum celery_happening happening)
{
    const struct celery *celery = kept->celery;
    const struct celery_event event = {
        .happening = happening,
        .message = &kept->message,
        .text = kept->text == NULL ? "" : kept->text,
        .traceback = kept->traceback == NULL ? "" : kept->traceback,
        .runtime_ms = kept->started_ms == 0 ? 0 : clock_wall_ms() - kept->started_ms,
        .is_terminated = kept->is_terminated,
        .is_expired = kept->is_expired,
    };

    if (celery->on_event != NULL)
        celery->on_event(&event, celery->on_event_arg);
}

static int
wire_read(void *self, const char *queue, char *payload, size_t len, const struct job_limits *limits,
          struct job *job, struct wire_message **out, struct error *err)
{
    struct celery *celery = self;
    struct celery_message *message;
    int result;

    *job = (struct job){0};
    *out = wire_keep(self, NULL, 0);
    (*out)->queue = xstrdup(queue);
    message = &(*out)->message;
    result = celery_message_init(message, payload, len, limits->max_bytes, err);
    if (result == 0)
        result = celery_task_job(&celery->tasks, message, limits, job, err);
    memcpy(job->id, message->id, sizeof(job->id));
    job->has_own_id = job->id[0] != '\0';
    celery_text_release(&message->body);
    message->args = message->kwargs = (struct json_slice){0};
    if (message->id[0] != '\0' && message->task != NULL)
        tell_watcher(*out, CELERY_RECEIVED);
    return result;
}

/* The text of a buffer, ended with NUL; valid until the buffer changes. */
static const char *
text_of(struct evbuffer *buffer)
{
    evbuffer_add(buffer, "", 1);
    return (const char *)evbuffer_pullup(buffer, -1);
}

/* Before the document is printed, as that names the tasks that were sent with it. */
static void
plan_canvas(const struct celery *celery, struct wire_message *kept, const struct result *result)
{
    const char *prefix = celery->config->celery_keyprefix;
    const struct canvas_context context = {
        .keyprefix = prefix == NULL ? "" : prefix,
        .prefix = celery->config->prefix,
        .queue = kept->queue == NULL ? result->queue : kept->queue,
        .worker = result->worker,
        .now_ms = clock_wall_ms(),
    };
    struct evbuffer *value = xevbuffer(), *traceback = xevbuffer();

    celery_meta_put_value_of(&kept->message, result, value);
    canvas_release(&kept->canvas);
    if (result->state == STATE_SUCCEEDED) {
        size_t len = evbuffer_get_length(value);

        canvas_succeed(&kept->canvas, &context, &kept->message, text_of(value), len);
        evbuffer_remove_buffer(value, result->output, len);
    } else {
        celery_meta_put_traceback_json(&kept->message, result, traceback);
        canvas_fail(&kept->canvas, &context, &kept->message, result->state != STATE_FAILED,
                    text_of(value), text_of(traceback));
    }
    if (kept->canvas.is_cut)
        log_error("more follows from this task than 32 MiB: the rest is left out",
                  LOG_STR("task", kept->message.id), LOG_STR("queue", context.queue));
    evbuffer_free(value);
    evbuffer_free(traceback);
}

static enum celery_happening
happening_of(const struct result *result)
{
    switch (result->state) {
    case STATE_RUNNING: return result->error_kind == NULL ? CELERY_STARTED : CELERY_RETRIED;
    case STATE_SUCCEEDED: return CELERY_SUCCEEDED;
    case STATE_FAILED: return CELERY_FAILED;
    case STATE_EXPIRED:
    case STATE_CANCELLED: return CELERY_REVOKED;
    }
    return CELERY_FAILED;
}

/* The first bytes of a buffer as a new string. */
static char *
head_of(struct evbuffer *buffer)
{
    size_t len = evbuffer_get_length(buffer);
    char *head;

    len = len < SHOWN_BYTES ? len : SHOWN_BYTES;
    head = xcalloc(1, len + 1);
    evbuffer_copyout(buffer, head, len);
    return head;
}

/* What an event will say once the end is written. */
static void
keep_summary(struct wire_message *kept, const struct result *result)
{
    struct evbuffer *text = xevbuffer(), *traceback = xevbuffer();

    kept->end = happening_of(result);
    kept->is_expired = result->state == STATE_EXPIRED;
    kept->is_terminated = result->state == STATE_CANCELLED && result->started_at_ms > 0;
    free(kept->text);
    free(kept->traceback);
    if (result->error_kind != NULL) {
        celery_meta_put_repr(&kept->message, result, text);
        celery_meta_put_traceback(&kept->message, result, traceback);
    }
    kept->text = head_of(result->output == NULL ? text : result->output);
    kept->traceback = head_of(traceback);
    evbuffer_free(text);
    evbuffer_free(traceback);
}

static void
wire_tell(void *self, struct wire_message *kept, enum wire_news news)
{
    (void)self;
    if (kept->message.id[0] == '\0' || kept->message.task == NULL)
        return;
    if (news == WIRE_STARTED) {
        kept->started_ms = clock_wall_ms();
        celery_tasks_count(&kept->celery->tasks, kept->message.task);
        tell_watcher(kept, CELERY_STARTED);
    } else {
        tell_watcher(kept, kept->end);
        kept->started_ms = 0;
    }
}

static void
wire_put_result(void *self, struct wire_message *kept, const struct result *result,
                struct evbuffer *document)
{
    const char *children = "";

    if (kept->message.id[0] == '\0')
        return;
    keep_summary(kept, result);
    if (result->state != STATE_RUNNING && celery_message_continues(&kept->message)) {
        plan_canvas(self, kept, result);
        children = (const char *)evbuffer_pullup(kept->canvas.children, -1);
    }
    if (!kept->message.ignore_result)
        celery_meta_print(&kept->message, result, children, document);
}

static void
wire_put_follow(void *self, struct wire_message *kept, struct evbuffer *follow)
{
    (void)self;
    if (kept->canvas.deeds != NULL)
        evbuffer_add_buffer(follow, kept->canvas.deeds);
}

static const char *
wire_payload(const struct wire_message *kept, size_t *len)
{
    *len = kept->message.payload_len;
    return kept->message.payload;
}

static void
wire_forget_payload(struct wire_message *kept)
{
    celery_message_forget(&kept->message);
}

static void
wire_release(struct wire_message *kept)
{
    if (kept == NULL)
        return;
    celery_message_release(&kept->message);
    canvas_release(&kept->canvas);
    DL_DELETE(kept->celery->held, kept);
    free(kept->text);
    free(kept->traceback);
    free(kept->queue);
    free(kept);
}

/* ---- life ---- */

struct celery *
celery_new(const struct config *config)
{
    struct celery *celery = xcalloc(1, sizeof(*celery));

    celery->config = config;
    celery->wire = (struct wire){
        .self = celery,
        .read = wire_read,
        .keep = wire_keep,
        .put_result = wire_put_result,
        .put_follow = wire_put_follow,
        .tell = wire_tell,
        .payload = wire_payload,
        .forget_payload = wire_forget_payload,
        .release = wire_release,
    };
    celery->queues = xcalloc((size_t)config->queue_count, sizeof(*celery->queues));
    for (int i = 0; i < config->queue_count; i++)
        celery_queue_init(&celery->queues[i], config, config->queues[i].name);
    return celery;
}

void
celery_free(struct celery *celery)
{
    if (celery == NULL)
        return;
    for (int i = 0; i < celery->config->queue_count; i++)
        celery_queue_release(&celery->queues[i]);
    free(celery->queues);
    celery_tasks_release(&celery->tasks);
    free(celery);
}

const struct wire *
celery_wire(const struct celery *celery)
{
    return &celery->wire;
}

const struct queue_flavour *
celery_flavour(const struct celery *celery, int index)
{
    return &celery->queues[index].flavour;
}

const struct celery_tasks *
celery_known_tasks(const struct celery *celery)
{
    return &celery->tasks;
}

void
celery_take_tasks(struct celery *celery, struct celery_tasks *tasks)
{
    celery_tasks_take(&celery->tasks, tasks);
}

void
celery_watch(struct celery *celery, celery_event_fn *fn, void *arg)
{
    celery->on_event = fn;
    celery->on_event_arg = arg;
}

void
celery_each_task(const struct celery *celery, celery_task_fn *fn, void *arg)
{
    const struct wire_message *kept;

    DL_FOREACH(celery->held, kept)
    if (kept->message.id[0] != '\0' && kept->message.task != NULL)
        fn(&(struct celery_task_view){.message = &kept->message,
                                      .queue = kept->queue == NULL ? "" : kept->queue,
                                      .started_ms = kept->started_ms},
           arg);
}

int
celery_count_active(const struct celery *celery)
{
    const struct wire_message *kept;
    int count = 0;

    DL_FOREACH(celery->held, kept)
    count += kept->started_ms > 0;
    return count;
}
