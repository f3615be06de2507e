/* What a node answers to `celery inspect`, `celery control` and Flower. */
#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/task.h"
#include "worker/celery/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDS_MAX 1000 /* of one request */

struct command {
    const char *method;
    bool (*answer)(struct celery_node *node, struct json_slice arguments, struct evbuffer *out);
};

static bool
answer_ok(struct evbuffer *out, const char *text)
{
    celery_put(out, "{\"ok\": ");
    celery_put_text(out, text);
    celery_put(out, "}");
    return true;
}

static bool
answer_error(struct evbuffer *out, const char *text)
{
    celery_put(out, "{\"error\": ");
    celery_put_text(out, text);
    celery_put(out, "}");
    return true;
}

/* Each string of an array, or of an object's names, or the one string. */
static void
each_id(struct json_slice ids, void (*fn)(struct celery_node *, const char *, bool),
        struct celery_node *node, bool flag)
{
    struct json_slice key, value;
    int count = 0;
    char *id = celery_text_string(ids, JOB_ID_MAX);

    if (id != NULL && job_id_is_valid(id, strlen(id)))
        fn(node, id, flag);
    free(id);
    for (struct json_iter it = json_iter(ids); count < IDS_MAX && json_next(&it, &key, &value);
         count++) {
        id = celery_text_string(ids.type == JSON_OBJECT ? key : value, JOB_ID_MAX);
        if (id != NULL && job_id_is_valid(id, strlen(id)))
            fn(node, id, flag);
        free(id);
    }
}

/* ---- life and clock ---- */

/* Redis is asked first: see node_requests.c. */
static bool
answer_later(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)node;
    (void)arguments;
    (void)out;
    return false;
}

static bool
answer_ping(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)node;
    (void)arguments;
    return answer_ok(out, "pong");
}

static bool
answer_clock(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    evbuffer_add_printf(out, "{\"clock\": %" PRId64 "}", node->clock);
    return true;
}

static bool
answer_heartbeat(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    celery_node_beat(node);
    celery_put(out, "null");
    return true;
}

static bool
answer_shutdown(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    (void)out;
    node->options.shut_down(node->options.arg);
    return false;
}

static bool
answer_events(struct celery_node *node, bool is_on, struct evbuffer *out)
{
    bool was_on = node->sends_task_events;

    node->sends_task_events = is_on;
    if (is_on)
        return answer_ok(out, was_on ? "task events already enabled" : "task events enabled");
    return answer_ok(out, was_on ? "task events disabled" : "task events already disabled");
}

static bool
answer_enable_events(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    return answer_events(node, true, out);
}

static bool
answer_disable_events(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    return answer_events(node, false, out);
}

/* Sent by each of Celery's workers that starts: the ids that it knows to be revoked. Ours are the
 * answer. */
static bool
answer_hello(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    each_id(json_get(arguments, "revoked"), celery_node_revoke, node, false);
    return answer_later(node, arguments, out);
}

/* ---- revoke ---- */

/* As Python takes it: Flower sends 1. */
static bool
is_true(struct json_slice value)
{
    bool flag = false;
    double number = 0;

    return (json_bool(value, &flag) && flag) || (json_double(value, &number) && number != 0);
}

static bool
answer_revoke(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    struct json_slice ids = json_get(arguments, "task_id");
    struct evbuffer *text = xevbuffer();
    bool is_terminated = is_true(json_get(arguments, "terminate"));
    size_t len;

    each_id(ids, celery_node_revoke, node, is_terminated);
    celery_put(text, is_terminated ? "terminate: " : "tasks ");
    if (ids.type != JSON_ABSENT)
        json_put_slice(text, ids);
    celery_put(text, is_terminated ? "" : " flagged as revoked");
    len = evbuffer_get_length(text);
    celery_put(out, "{\"ok\": ");
    json_put_string(out, (const char *)evbuffer_pullup(text, -1), len);
    celery_put(out, "}");
    evbuffer_free(text);
    return true;
}

static bool
answer_terminate(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    each_id(json_get(arguments, "task_id"), celery_node_revoke, node, true);
    return answer_ok(out, "terminate");
}

/* ---- tasks ---- */

struct listing {
    struct celery_node *node;
    struct evbuffer *out;
    struct json_slice ids; /* query_task: these alone */
    int count;
    bool is_started; /* active; else reserved */
};

static void
put_request(struct listing *listing, const struct celery_task_view *view)
{
    struct json_slice headers = view->message->headers.root;
    struct evbuffer *out = listing->out;
    static const char *const reprs[][2] = {{"args", "argsrepr"}, {"kwargs", "kwargsrepr"}};

    celery_put(out, "{\"id\": ");
    celery_put_text(out, view->message->id);
    celery_put(out, ", \"name\": ");
    celery_put_text(out, view->message->task);
    for (int i = 0; i < 2; i++) {
        struct json_slice repr = celery_get(headers, reprs[i][1]);

        evbuffer_add_printf(out, ", \"%s\": ", reprs[i][0]);
        if (repr.type == JSON_STRING)
            json_put_slice(out, repr);
        else
            celery_put(out, "\"\"");
    }
    celery_put(out, ", \"type\": ");
    celery_put_text(out, view->message->task);
    celery_put(out, ", \"hostname\": ");
    celery_put_text(out, listing->node->name);
    if (view->started_ms > 0)
        evbuffer_add_printf(out, ", \"time_start\": %" PRId64 ".%03d", view->started_ms / 1000,
                            (int)(view->started_ms % 1000));
    else
        celery_put(out, ", \"time_start\": null");
    celery_put(out, ", \"acknowledged\": false, \"delivery_info\": {\"exchange\": \"\", "
                    "\"routing_key\": ");
    celery_put_text(out, view->queue);
    evbuffer_add_printf(out, ", \"priority\": %d, \"redelivered\": false}, \"worker_pid\": %d}",
                        view->message->priority, (int)getpid());
}

static void
list_one(const struct celery_task_view *view, void *arg)
{
    struct listing *listing = arg;

    if ((view->started_ms > 0) != listing->is_started)
        return;
    celery_put(listing->out, listing->count++ > 0 ? ", " : "");
    put_request(listing, view);
}

static bool
answer_list(struct celery_node *node, bool is_started, struct evbuffer *out)
{
    struct listing listing = {.node = node, .out = out, .is_started = is_started};

    celery_put(out, "[");
    celery_each_task(node->options.celery, list_one, &listing);
    celery_put(out, "]");
    return true;
}

static bool
answer_active(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    return answer_list(node, true, out);
}

static bool
answer_reserved(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    (void)arguments;
    return answer_list(node, false, out);
}

bool
celery_command_put_scheduled(struct celery_node *node, const char *queue, int64_t due_ms,
                             const char *payload, size_t len, struct evbuffer *out)
{
    struct celery_message message;
    struct celery_task_view view = {.message = &message, .queue = queue};
    struct listing listing = {.node = node, .out = out};
    size_t most = (size_t)node->options.config->max_job_bytes;
    char *copy = malloc(len + 1);
    bool is_one;

    if (copy == NULL)
        return false;
    memcpy(copy, payload, len);
    copy[len] = '\0';
    is_one = celery_message_init(&message, copy, len, most, &(struct error){0}) == 0;
    if (is_one) {
        celery_put(out, "{\"eta\": ");
        celery_put_date(due_ms, out);
        evbuffer_add_printf(out, ", \"priority\": %d, \"request\": ", message.priority);
        put_request(&listing, &view);
        celery_put(out, "}");
    }
    celery_message_release(&message);
    return is_one;
}

static void
query_one(const struct celery_task_view *view, void *arg)
{
    struct listing *listing = arg;
    struct json_slice key, id;
    bool is_asked = json_equals(listing->ids, view->message->id);
    int count = 0;

    for (struct json_iter it = json_iter(listing->ids);
         !is_asked && count < IDS_MAX && json_next(&it, &key, &id); count++)
        is_asked = json_equals(id, view->message->id);
    if (!is_asked)
        return;
    celery_put(listing->out, listing->count++ > 0 ? ", " : "");
    celery_put_text(listing->out, view->message->id);
    celery_put(listing->out, view->started_ms > 0 ? ": [\"active\", " : ": [\"reserved\", ");
    put_request(listing, view);
    celery_put(listing->out, "]");
}

static bool
answer_query(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    struct listing listing = {.node = node, .out = out, .ids = json_get(arguments, "ids")};

    celery_put(out, "{");
    celery_each_task(node->options.celery, query_one, &listing);
    celery_put(out, "}");
    return true;
}

static bool
answer_registered(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    const struct celery_tasks *tasks = celery_known_tasks(node->options.celery);

    (void)arguments;
    celery_put(out, "[");
    for (int i = 0; i < tasks->count; i++) {
        celery_put(out, i > 0 ? ", " : "");
        celery_put_text(out, tasks->tasks[i].name);
    }
    celery_put(out, "]");
    return true;
}

/* ---- figures and settings ---- */

static void
put_rusage(struct evbuffer *out)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    evbuffer_add_printf(
        out,
        "{\"utime\": %.6f, \"stime\": %.6f, \"maxrss\": %ld, \"minflt\": %ld, \"majflt\": %ld, "
        "\"inblock\": %ld, \"oublock\": %ld, \"nvcsw\": %ld, \"nivcsw\": %ld}",
        (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
        (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6, usage.ru_maxrss,
        usage.ru_minflt, usage.ru_majflt, usage.ru_inblock, usage.ru_oublock, usage.ru_nvcsw,
        usage.ru_nivcsw);
}

static void
put_broker(const struct celery_node *node, struct evbuffer *out)
{
    const struct redis_url *url = &node->options.config->redis;

    celery_put(out, "{\"hostname\": ");
    celery_put_text(out, url->host[0] != '\0' ? url->host : url->path);
    evbuffer_add_printf(out,
                        ", \"userid\": null, \"virtual_host\": \"%d\", \"port\": %d, \"ssl\": %s, "
                        "\"transport\": \"redis\", \"transport_options\": {}, \"alternates\": []}",
                        url->db, url->port, url->is_tls ? "true" : "false");
}

static bool
answer_stats(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    const struct celery_tasks *tasks = celery_known_tasks(node->options.celery);
    int count = 0;

    (void)arguments;
    celery_put(out, "{\"total\": {");
    for (int i = 0; i < tasks->count; i++) {
        if (tasks->tasks[i].started == 0)
            continue;
        celery_put(out, count++ > 0 ? ", " : "");
        celery_put_text(out, tasks->tasks[i].name);
        evbuffer_add_printf(out, ": %" PRId64, tasks->tasks[i].started);
    }
    evbuffer_add_printf(out,
                        "}, \"pid\": %d, \"clock\": \"%" PRId64 "\", \"uptime\": %" PRId64
                        ", \"pool\": {\"implementation\": \"headgate\", \"max-concurrency\": %d, "
                        "\"processes\": [%d], \"max-tasks-per-child\": \"N/A\", "
                        "\"put-guarded-by-semaphore\": false, \"timeouts\": [0, 0]}, \"broker\": ",
                        (int)getpid(), node->clock, (clock_mono_ms() - node->started_ms) / 1000,
                        node->options.slots, (int)getpid());
    put_broker(node, out);
    evbuffer_add_printf(out, ", \"prefetch_count\": %d, \"rusage\": ", node->options.slots);
    put_rusage(out);
    celery_put(out, "}");
    return true;
}

static void
put_queue(const char *name, struct evbuffer *out)
{
    celery_put(out, "{\"name\": ");
    celery_put_text(out, name);
    celery_put(out, ", \"exchange\": {\"name\": ");
    celery_put_text(out, name);
    celery_put(
        out, ", \"type\": \"direct\", \"arguments\": null, \"durable\": true, \"passive\": false, "
             "\"auto_delete\": false, \"delivery_mode\": null, \"no_declare\": false}, "
             "\"routing_key\": ");
    celery_put_text(out, name);
    celery_put(out,
               ", \"queue_arguments\": null, \"binding_arguments\": null, \"consumer_arguments\": "
               "null, \"durable\": true, \"exclusive\": false, \"auto_delete\": false, \"no_ack\": "
               "false, \"alias\": null, \"bindings\": [], \"no_declare\": null, \"expires\": null, "
               "\"message_ttl\": null, \"max_length\": null, \"max_length_bytes\": null, "
               "\"max_priority\": null}");
}

static bool
answer_queues(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    const struct config *config = node->options.config;
    int count = 0;

    (void)arguments;
    celery_put(out, "[");
    for (int i = 0; i < config->queue_count; i++) {
        if (!node->consumes[i])
            continue;
        celery_put(out, count++ > 0 ? ", " : "");
        put_queue(config->queues[i].name, out);
    }
    celery_put(out, "]");
    return true;
}

static bool
answer_conf(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    const struct config *config = node->options.config;
    char url[512];

    (void)arguments;
    redis_url_show(&config->redis, url, sizeof(url));
    celery_put(out, "{\"broker_url\": ");
    celery_put_text(out, url);
    evbuffer_add_printf(out,
                        ", \"accept_content\": [\"json\"], \"result_serializer\": \"json\", "
                        "\"timezone\": \"UTC\", \"enable_utc\": true, \"task_acks_late\": true, "
                        "\"result_expires\": %" PRId64 ", \"worker_concurrency\": %d}",
                        config->result_ttl_ms / 1000, node->options.slots);
    return true;
}

static bool
answer_report(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    char *text = xasprintf("software -> headgate:%s\nworker -> %s\n", node->options.version,
                           node->options.worker);

    (void)arguments;
    answer_ok(out, text);
    free(text);
    return true;
}

/* ---- queues ---- */

static bool
answer_consumer(struct celery_node *node, struct json_slice arguments, bool is_wanted,
                struct evbuffer *out)
{
    const struct config *config = node->options.config;
    char *name = celery_text_string(json_get(arguments, "queue"), 256), *text;
    int found = -1;

    for (int i = 0; name != NULL && i < config->queue_count; i++)
        if (strcmp(config->queues[i].name, name) == 0)
            found = i;
    if (found >= 0) {
        node->consumes[found] = is_wanted;
        node->options.consume(found, is_wanted, node->options.arg);
    }
    text = found < 0   ? xasprintf("this worker was not started with queue %s "
                                     "(HEADGATE_CELERY_QUEUES)",
                                 name == NULL ? "" : name)
           : is_wanted ? xasprintf("add consumer %s", name)
                       : xasprintf("no longer consuming from %s", name);
    if (found < 0)
        answer_error(out, text);
    else
        answer_ok(out, text);
    free(text);
    free(name);
    return true;
}

static bool
answer_add_consumer(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    return answer_consumer(node, arguments, true, out);
}

static bool
answer_cancel_consumer(struct celery_node *node, struct json_slice arguments, struct evbuffer *out)
{
    return answer_consumer(node, arguments, false, out);
}

/* ---- the table ---- */

static const struct command commands[] = {
    {"ping", answer_ping},
    {"revoke", answer_revoke},
    {"terminate", answer_terminate},
    {"active", answer_active},
    {"reserved", answer_reserved},
    {"scheduled", answer_later},
    {"revoked", answer_later},
    {"registered", answer_registered},
    {"query_task", answer_query},
    {"stats", answer_stats},
    {"active_queues", answer_queues},
    {"conf", answer_conf},
    {"report", answer_report},
    {"clock", answer_clock},
    {"hello", answer_hello},
    {"heartbeat", answer_heartbeat},
    {"enable_events", answer_enable_events},
    {"disable_events", answer_disable_events},
    {"add_consumer", answer_add_consumer},
    {"cancel_consumer", answer_cancel_consumer},
    {"shutdown", answer_shutdown},
};

/* What Celery's workers do and this one does not. */
static const char *const unsupported[] = {
    "rate_limit",
    "time_limit",
    "pool_grow",
    "pool_shrink",
    "pool_restart",
    "autoscale",
    "election",
    "objgraph",
    "memsample",
    "memdump",
    "revoke_by_stamped_headers",
    "memory_stats",
};

bool
celery_command_answer(struct celery_node *node, const char *method, struct json_slice arguments,
                      struct evbuffer *reply)
{
    char *text;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].method, method) == 0)
            return commands[i].answer(node, arguments, reply);
    text = xasprintf("KeyError('%s')", method);
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        if (strcmp(unsupported[i], method) != 0)
            continue;
        free(text);
        text = xasprintf("%s is not supported by this worker", method);
    }
    answer_error(reply, text);
    free(text);
    return true;
}
