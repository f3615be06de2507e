/* A worker's standing: its beat, what is reaped when that ends, what it gives back when it goes,
 * and whether its record is what it believes. */
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/queue/keys.h"
#include "worker/queue/queue_internal.h"

#include <stdlib.h>

/* How long the death of a worker counts against its jobs. */
#define CRASHES_REMEMBERED_MS (24 * 3600 * 1000)
/* How long a worker that leaves may put sorted jobs back before it gives back its own. */
#define UNSORT_MS       1000
#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- reconcile: a claim whose reply was lost ---- */

static int
youngest_first(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? 1 : left > right ? -1 : 0;
}

static void
on_released(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue *queue = arg;

    STOP_POINT("release", "answered");
    if (error == NULL)
        log_warn("gave back claims whose reply was lost", LOG_STR("queue", queue->name),
                 LOG_INT("jobs", redis_int(reply, 0)));
}

static void
release(struct queue *queue, uint64_t *tokens, int count)
{
    static const enum queue_key keys[] = {KEY_INFLIGHT, KEY_BEGUN,   KEY_OWNERS,
                                          KEY_QUEUE,    KEY_DELAYED, KEY_DELAYED_JOBS};
    int at = 0;

    qsort(tokens, (size_t)count, sizeof(*tokens), youngest_first);
    while (at < count) {
        struct redis_args args = {0};

        STOP_POINT("release", "sending");
        queue_args_keys(queue, &args, keys, COUNT_OF(keys));
        redis_arg(&args, queue->worker);
        while (at < count && args.count < REDIS_ARGS_MAX - queue_extra_args(queue))
            redis_arg_int(&args, (int64_t)tokens[at++]);
        queue_args_end(queue, &args);
        redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_RELEASE], &args, 0, on_released,
                   queue);
    }
}

static void
on_record_read(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue *queue = arg;
    uint64_t *unknown;
    int count = 0;

    if (error != NULL || reply->type != REDIS_REPLY_ARRAY)
        return;
    unknown = xcalloc(reply->elements + 1, sizeof(*unknown));
    for (size_t i = 0; i < reply->elements; i++) {
        uint64_t token = (uint64_t)redis_int(redis_at(reply, i), 0);

        if (!queue_holds(queue, token))
            unknown[count++] = token;
    }
    release(queue, unknown, count);
    free(unknown);
}

/* Claims sent before this have been answered before it, claims sent after it run after it:
 * what it lists and memory lacks is nobody's. */
void
queue_reconcile(struct queue *queue)
{
    struct redis_args args = {0};

    redis_arg(&args, "HKEYS");
    redis_arg(&args, queue->keys[KEY_INFLIGHT]);
    redis_send(queue_commands(queue), &args, 0, on_record_read, queue);
}

/* ---- beat ---- */

static void
on_beat(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_request *request = arg;
    queue_beat_fn *fn = request->fn.beat;
    void *fn_arg = request->arg;
    struct beat_reply beat;

    STOP_POINT("beat", "answered");
    queue_request_free(request);
    if (error != NULL) {
        fn(NULL, error, fn_arg);
        return;
    }
    beat = (struct beat_reply){
        .was_registered = redis_int(redis_at(reply, 0), 0) == 1,
        .now_ms = redis_int(redis_at(reply, 1), 0),
        .is_paused = redis_int(redis_at(reply, 2), 0) == 1,
        .claims_on_record = redis_int(redis_at(reply, 3), 0),
        .inbox_len = redis_int(redis_at(reply, 4), 0),
        .next_due_ms = redis_int(redis_at(reply, 5), -1),
        .expired = redis_at(reply, 6),
        .cancelled = redis_at(reply, 7),
    };
    fn(&beat, NULL, fn_arg);
}

void
queue_beat(struct queue *queue, int64_t since_ms, bool has_lease, queue_beat_fn *fn, void *arg)
{
    static const enum queue_key keys[] = {KEY_WORKERS,   KEY_INFLIGHT, KEY_INBOX, KEY_DELAYED,
                                          KEY_CANCELLED, KEY_PAUSED,   KEY_STATS};
    struct queue_request *request = queue_request_new(queue, arg);
    struct redis_args args = {0};

    STOP_POINT("beat", "sending");
    request->fn.beat = fn;
    queue_args_keys(queue, &args, keys, COUNT_OF(keys));
    redis_arg(&args, queue->worker);
    redis_arg_int(&args, queue->lease_ms);
    redis_arg_int(&args, since_ms);
    redis_arg_int(&args, queue->result_ttl_ms);
    redis_arg_int(&args, has_lease);
    queue_args_end(queue, &args);
    redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_BEAT], &args, 0, on_beat, request);
}

/* ---- reap and leave ---- */

static void reap_send(struct queue_request *request);

static void
reap_end(struct queue_request *request, const struct error *error)
{
    queue_left_fn *fn = request->fn.left;
    int64_t given_back = request->given_back;
    void *fn_arg = request->arg;

    if (given_back > 0 && !request->is_leaving)
        log_warn("took over the jobs of a worker whose beat has stopped",
                 LOG_STR("queue", request->queue->name), LOG_STR("worker", request->reap_worker),
                 LOG_INT("jobs", given_back));
    queue_request_free(request);
    if (fn != NULL)
        fn(given_back, error, fn_arg);
}

static void
on_reaped(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_request *request = arg;
    int64_t given = error == NULL ? redis_int(redis_at(reply, 0), 0) : 0;

    STOP_POINT(request->is_leaving ? "leave" : "reap", "answered");
    if (given > 0)
        request->given_back += given;
    if (error == NULL && redis_int(redis_at(reply, 1), 0) == 1)
        reap_send(request);
    else
        reap_end(request, error);
}

static const char *
manner_of(const struct queue_request *request)
{
    if (!request->is_leaving)
        return "reap";
    return clock_mono_ms() < request->unsort_until_ms ? "unsort" : "leave";
}

static void
reap_send(struct queue_request *request)
{
    struct queue *queue = request->queue;
    const char *worker = request->reap_worker;
    char *inflight = queue_key_of(queue->prefix, queue->name, "inflight", worker);
    char *begun = queue_key_of(queue->prefix, queue->name, "begun", worker);
    struct redis_args args = {0};

    STOP_POINT(request->is_leaving ? "leave" : "reap", "sending");
    redis_arg_int(&args, 10 + queue_extra_keys(queue));
    redis_arg(&args, queue->keys[KEY_WORKERS]);
    redis_arg(&args, inflight);
    redis_arg(&args, begun);
    redis_arg(&args, queue->keys[KEY_INBOX]);
    redis_arg(&args, queue->keys[KEY_OWNERS]);
    redis_arg(&args, queue->keys[KEY_QUEUE]);
    redis_arg(&args, queue->keys[KEY_DELAYED]);
    redis_arg(&args, queue->keys[KEY_DELAYED_JOBS]);
    redis_arg(&args, queue->keys[KEY_CRASHES]);
    redis_arg(&args, queue->keys[KEY_STATS]);
    queue_args_extra_keys(queue, &args);
    redis_arg(&args, worker);
    redis_arg(&args, manner_of(request));
    redis_arg_int(&args, CRASHES_REMEMBERED_MS);
    queue_args_end(queue, &args);
    redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_REAP], &args, 0, on_reaped, request);
    free(inflight);
    free(begun);
}

void
queue_reap(struct queue *queue, const char *dead_worker)
{
    struct queue_request *request = queue_request_new(queue, NULL);

    request->reap_worker = xstrdup(dead_worker);
    reap_send(request);
}

void
queue_leave(struct queue *queue, queue_left_fn *fn, void *arg)
{
    struct queue_request *request = queue_request_new(queue, arg);

    request->reap_worker = xstrdup(queue->worker);
    request->is_leaving = true;
    request->unsort_until_ms = clock_mono_ms() + UNSORT_MS;
    request->fn.left = fn;
    reap_send(request);
}
