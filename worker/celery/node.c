#include "worker/celery/node.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/celery/body.h"
#include "worker/celery/meta.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/queue_names.h"
#include "worker/celery/task.h"
#include "worker/celery/text.h"
#include "worker/queue/keys.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEP            "\x06\x16"
#define BEAT_MS        2000
#define FLUSH_MS       100
#define BATCH_BYTES    (64 * 1024)
#define REQUEST_BYTES  (1024 * 1024)
#define REPEATS_MAX    8 /* of '+' in a pattern */
#define REPLY_EXCHANGE "reply.celery.pidbox"

static const char reply_source[] =
#include "worker/celery/lua/reply.lua.h"
    ;
static const char revoke_source[] =
#include "worker/celery/lua/revoke.lua.h"
    ;

static const char *
text_of(struct evbuffer *buffer, size_t *len)
{
    *len = evbuffer_get_length(buffer);
    return *len == 0 ? "" : (const char *)evbuffer_pullup(buffer, -1);
}

struct redis *
celery_node_redis(const struct celery_node *node)
{
    return redis_route_commands(node->options.route, node->options.config->queues[0].name);
}

static const char *
keyprefix(const struct celery_node *node)
{
    const char *prefix = node->options.config->celery_keyprefix;

    return prefix == NULL ? "" : prefix;
}

/* ---- envelopes ---- */

/* What kombu makes of a body: `headers` is an object's text. */
static void
put_envelope(struct evbuffer *body, struct evbuffer *headers, const char *exchange,
             const char *routing_key, struct evbuffer *out)
{
    unsigned char bytes[3072], text[sizeof(bytes) / 3 * 4 + 1];
    char tag[37];
    int len;

    job_new_id(tag);
    celery_put(out, "{\"body\": \"");
    while ((len = evbuffer_remove(body, bytes, sizeof(bytes))) > 0)
        evbuffer_add(out, text, (size_t)EVP_EncodeBlock(text, bytes, len));
    celery_put(out, "\", \"content-encoding\": \"utf-8\", \"content-type\": \"application/json\", "
                    "\"headers\": ");
    evbuffer_add_buffer(out, headers);
    evbuffer_add_printf(out,
                        ", \"properties\": {\"delivery_mode\": 1, \"delivery_info\": "
                        "{\"exchange\": \"%s\", \"routing_key\": ",
                        exchange);
    celery_put_text(out, routing_key);
    evbuffer_add_printf(out,
                        "}, \"priority\": 0, \"body_encoding\": \"base64\", "
                        "\"delivery_tag\": \"%s\"}}",
                        tag);
}

/* ---- events ---- */

static void
publish(struct celery_node *node, const char *kind, struct evbuffer *body)
{
    char *channel = xasprintf("%s%s", node->events, kind);
    struct evbuffer *headers = xevbuffer(), *envelope = xevbuffer();
    struct redis_args args = {0};
    const char *text;
    size_t len;

    celery_put(headers, "{\"hostname\": ");
    celery_put_text(headers, node->name);
    celery_put(headers, "}");
    put_envelope(body, headers, "celeryev", kind, envelope);
    text = text_of(envelope, &len);
    redis_arg(&args, "PUBLISH");
    redis_arg(&args, channel);
    redis_arg_bytes(&args, text, len);
    redis_send(celery_node_redis(node), &args, 0, NULL, NULL);
    evbuffer_free(headers);
    evbuffer_free(envelope);
    free(channel);
}

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
    publish(node, kind, event);
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
    publish(node, "task.multi", body);
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

    if (event->happening == CELERY_STARTED && event->task >= 0)
        node->totals[event->task]++;
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

/* ---- requests ---- */

/* Does the list of destinations name us? No list names everybody. */
static bool
is_destination(const struct celery_node *node, struct json_slice destination)
{
    struct json_slice key, name;

    if (json_equals(destination, node->name))
        return true;
    for (struct json_iter it = json_iter(destination); json_next(&it, &key, &name);)
        if (json_equals(name, node->name))
            return true;
    return false;
}

/* Some of what a pattern may say costs time and memory without bound: repeats within repeats are
 * written out as often, and what refers back is tried in every way. */
static bool
is_cheap(const char *pattern)
{
    int repeats = 0;

    for (const char *at = pattern; *at != '\0'; at++) {
        repeats += *at == '+';
        if (*at == '{' || (*at == '\\' && at[1] >= '0' && at[1] <= '9'))
            return false;
    }
    return repeats <= REPEATS_MAX;
}

static bool
matches(const char *name, const char *pattern, bool is_glob)
{
    char *anchored;
    regex_t regex;
    bool is_match;

    if (is_glob)
        return fnmatch(pattern, name, 0) == 0;
    if (!is_cheap(pattern))
        return false;
    anchored = xasprintf("^(%s)", pattern);
    is_match = regcomp(&regex, anchored, REG_EXTENDED | REG_NOSUB) == 0;
    free(anchored);
    if (!is_match)
        return false;
    is_match = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return is_match;
}

static bool
is_for_us(const struct celery_node *node, struct json_slice request)
{
    struct json_slice destination = celery_get(request, "destination");
    char *pattern = celery_text_string(celery_get(request, "pattern"), 256);
    bool is_glob = json_equals(celery_get(request, "matcher"), "glob");
    bool is_ours = destination.type == JSON_ABSENT && pattern == NULL;

    if (destination.type != JSON_ABSENT)
        is_ours = is_destination(node, destination);
    if (pattern != NULL && !is_ours)
        is_ours = matches(node->name, pattern, is_glob);
    free(pattern);
    return is_ours;
}

/* Ends every list of keys, and of arguments: what the prelude of our scripts reads. */
void
celery_node_put_extra_keys(const struct celery_node *node, int queue, struct redis_args *args)
{
    const struct queue_flavour *flavour = celery_flavour(node->options.celery, queue);

    for (int i = 0; i < flavour->key_count; i++)
        redis_arg(args, flavour->keys[i]);
}

void
celery_node_put_extra_args(const struct celery_node *node, int queue, struct redis_args *args)
{
    const struct queue_flavour *flavour = celery_flavour(node->options.celery, queue);

    for (int i = 0; i < flavour->arg_count; i++)
        redis_arg(args, flavour->args[i]);
}

int
celery_node_extra_keys(const struct celery_node *node)
{
    return celery_flavour(node->options.celery, 0)->key_count;
}

static void
send_reply(struct celery_node *node, const char *oid, const char *envelope, size_t len)
{
    char *binding = xasprintf("%s_kombu.binding." REPLY_EXCHANGE, keyprefix(node));
    char *list = xasprintf("%s%s." REPLY_EXCHANGE, keyprefix(node), oid);
    char *member = xasprintf("%s" SEP SEP "%s." REPLY_EXCHANGE, oid, oid);
    struct redis_args args = {0};

    redis_arg_int(&args, 2 + celery_node_extra_keys(node));
    redis_arg(&args, binding);
    redis_arg(&args, list);
    celery_node_put_extra_keys(node, 0, &args);
    redis_arg(&args, member);
    redis_arg_bytes(&args, envelope, len);
    celery_node_put_extra_args(node, 0, &args);
    redis_eval(celery_node_redis(node), &node->reply_script, &args, 0, NULL, NULL);
    free(binding);
    free(list);
    free(member);
}

void
celery_node_reply(struct celery_node *node, const char *oid, struct json_slice ticket,
                  struct evbuffer *reply)
{
    struct evbuffer *body = xevbuffer(), *headers = xevbuffer(), *envelope = xevbuffer();
    const char *text;
    size_t len;

    celery_put(body, "{");
    celery_put_text(body, node->name);
    celery_put(body, ": ");
    evbuffer_add_buffer(body, reply);
    celery_put(body, "}");
    celery_put(headers, "{\"ticket\": ");
    if (ticket.type == JSON_STRING)
        json_put_slice(headers, ticket);
    else
        celery_put(headers, "null");
    evbuffer_add_printf(headers, ", \"clock\": %" PRId64 "}", ++node->clock);
    put_envelope(body, headers, REPLY_EXCHANGE, oid, envelope);
    text = text_of(envelope, &len);
    send_reply(node, oid, text, len);
    evbuffer_free(body);
    evbuffer_free(headers);
    evbuffer_free(envelope);
}

static void
carry_out(struct celery_node *node, struct json_slice request)
{
    char *method = celery_text_string(celery_get(request, "method"), 64);
    char *oid = celery_text_string(json_get(celery_get(request, "reply_to"), "routing_key"), 256);
    struct evbuffer *reply = xevbuffer();

    if (method != NULL && is_for_us(node, request)) {
        log_debug("control request", LOG_STR("method", method));
        if (strcmp(method, "scheduled") == 0 && oid != NULL)
            celery_node_answer_scheduled(node, oid, celery_get(request, "ticket"));
        else if (celery_command_answer(node, method, json_get(request, "arguments"), reply) &&
                 oid != NULL)
            celery_node_reply(node, oid, celery_get(request, "ticket"), reply);
    }
    evbuffer_free(reply);
    free(method);
    free(oid);
}

static void
follow_clock(struct celery_node *node, struct json_slice envelope)
{
    int64_t clock;

    if (json_int(json_get(json_get(envelope, "headers"), "clock"), 0, INT64_C(1) << 52, &clock) &&
        clock > node->clock)
        node->clock = clock;
    node->clock++;
}

void
celery_node_hear(struct celery_node *node, const char *message, size_t len)
{
    struct json_slice envelope, request;
    size_t text_len = 0, body_len = 0;
    char *text, *body;

    if (node->has_left || len > REQUEST_BYTES || json_check(message, len, &envelope, NULL) != 0 ||
        envelope.type != JSON_OBJECT)
        return;
    follow_clock(node, envelope);
    text = json_string(json_get(envelope, "body"), &text_len);
    body = text == NULL ? NULL : celery_base64(text, text_len, &body_len);
    if (body != NULL && json_check(body, body_len, &request, NULL) == 0)
        carry_out(node, request);
    free(text);
    free(body);
}

/* ---- revoke ---- */

static void
put_revoked(const char *id, bool is_terminated, struct evbuffer *out)
{
    struct celery_message message = {0};
    const struct job job = {0};
    const struct result result = {.state = STATE_CANCELLED,
                                  .job = &job,
                                  .worker = "",
                                  .error_kind = "cancelled",
                                  .started_at_ms = is_terminated,
                                  .finished_at_ms = clock_wall_ms()};

    snprintf(message.id, sizeof(message.id), "%s", id);
    celery_meta_print(&message, &result, "", out);
}

static void
revoke_in(struct celery_node *node, int queue, const char *id, bool is_terminated)
{
    static const char *const names[] = {"owners", "delayed", "delayed:jobs", "cancelled"};
    const struct config *config = node->options.config;
    char *keys[5];
    struct evbuffer *document = xevbuffer();
    struct redis_args args = {0};
    const char *text;
    size_t len;

    for (int i = 0; i < 4; i++)
        keys[i] = queue_key(config->prefix, config->queues[queue].name, names[i]);
    keys[4] = xasprintf("%s%s", celery_flavour(node->options.celery, queue)->result_prefix, id);
    put_revoked(id, is_terminated, document);
    text = text_of(document, &len);
    redis_arg_int(&args, 5 + celery_node_extra_keys(node));
    for (int i = 0; i < 5; i++)
        redis_arg(&args, keys[i]);
    celery_node_put_extra_keys(node, queue, &args);
    redis_arg(&args, id);
    redis_arg(&args, is_terminated ? "1" : "0");
    redis_arg_bytes(&args, text, len);
    redis_arg_int(&args, config->result_ttl_ms);
    celery_node_put_extra_args(node, queue, &args);
    redis_eval(celery_node_redis(node), &node->revoke_script, &args, 0, NULL, NULL);
    evbuffer_free(document);
    for (int i = 0; i < 5; i++)
        free(keys[i]);
}

void
celery_node_revoke(struct celery_node *node, const char *id, bool is_terminated)
{
    for (int i = 0; i < node->options.config->queue_count; i++) {
        revoke_in(node, i, id, is_terminated);
        if (is_terminated)
            node->options.terminate(i, id, node->options.arg);
    }
}

/* ---- life ---- */

static void
name_node(struct celery_node *node)
{
    char host[64] = "host";

    gethostname(host, sizeof(host) - 1);
    snprintf(node->name, sizeof(node->name), "headgate-%d@%s", (int)getpid(), host);
}

struct celery_node *
celery_node_new(const struct celery_node_options *options)
{
    static const struct timeval every = {.tv_sec = BEAT_MS / 1000};
    struct celery_node *node = xcalloc(1, sizeof(*node));
    int db = options->config->redis.db;

    node->options = *options;
    node->started_ms = clock_mono_ms();
    node->sends_task_events = options->config->celery_events;
    name_node(node);
    node->channel = xasprintf("%s/%d.celery.pidbox", keyprefix(node), db);
    node->events = xasprintf("%s/%d.celeryev/", keyprefix(node), db);
    node->batch = xevbuffer();
    for (int i = 0; i < options->config->queue_count; i++)
        node->consumes[i] = true;
    redis_script_init(&node->reply_script, "celery_reply", reply_source);
    celery_node_init_scheduled(node);
    redis_script_init(&node->revoke_script, "celery_revoke", revoke_source);
    node->beat = event_new(options->base, -1, EV_PERSIST, on_beat, node);
    node->flush = evtimer_new(options->base, on_flush, node);
    event_add(node->beat, &every);
    celery_watch(options->celery, on_event, node);
    return node;
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

void
celery_node_free(struct celery_node *node)
{
    if (node == NULL)
        return;
    celery_watch(node->options.celery, NULL, NULL);
    while (node->scheduled != NULL)
        celery_node_free_scheduled(node->scheduled);
    event_free(node->beat);
    event_free(node->flush);
    evbuffer_free(node->batch);
    free(node->channel);
    free(node->events);
    free(node);
}

const char *
celery_node_channel(const struct celery_node *node)
{
    return node->channel;
}
