#include "worker/queue/queue.h"

#include "common/config.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/queue/keys.h"
#include "worker/queue/queue_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A claim never brings more than this at once, however large the jobs are. */
#define CLAIM_MAX_BYTES (16 * 1024 * 1024)
/* Fields that claim.lua returns per job: token, history, deaths, payload. */
#define CLAIM_FIELDS 4
#define CLAIM_HEAD   2
/* The socket's own delay on top of a blocking pop's time: then the link is dead. */
#define BLOCK_GRACE_MS 2000
/* How long the death of a worker counts against its jobs. */
#define CRASHES_REMEMBERED_MS (24 * 3600 * 1000)
#define COUNT_OF(array)       ((int)(sizeof(array) / sizeof((array)[0])))

static void
name_keys(struct queue *queue)
{
    static const char *const shared[KEY_COUNT] = {
        [KEY_DELAYED] = "delayed",
        [KEY_DELAYED_JOBS] = "delayed:jobs",
        [KEY_OWNERS] = "owners",
        [KEY_WORKERS] = "workers",
        [KEY_PAUSED] = "paused",
        [KEY_CRASHES] = "crashes",
        [KEY_CANCELLED] = "cancelled",
        [KEY_STATS] = "stats",
        [KEY_DEAD] = "dead",
        [KEY_DONE_CHANNEL] = "done",
        [KEY_CONTROL_CHANNEL] = "control",
    };
    static const char *const own[KEY_COUNT] = {
        [KEY_INFLIGHT] = "inflight",
        [KEY_BEGUN] = "begun",
        [KEY_INBOX] = "inbox",
    };

    queue->keys[KEY_QUEUE] = xstrdup(queue->name);
    for (int i = 0; i < KEY_COUNT; i++) {
        if (shared[i] != NULL)
            queue->keys[i] = queue_key(queue->prefix, queue->name, shared[i]);
        if (own[i] != NULL)
            queue->keys[i] = queue_key_of(queue->prefix, queue->name, own[i], queue->worker);
    }
}

struct queue *
queue_new(const struct queue_options *options)
{
    struct queue *queue = xcalloc(1, sizeof(*queue));

    queue->base = options->base;
    queue->route = options->route;
    queue->prefix = xstrdup(options->prefix);
    queue->name = xstrdup(options->name);
    queue->worker = xstrdup(options->worker);
    queue->lease_ms = options->lease_ms;
    queue->result_ttl_ms = options->result_ttl_ms;
    queue->dead_max = options->dead_max;
    queue->next_token = 1;
    name_keys(queue);
    queue_scripts_init(queue->scripts);
    return queue;
}

void
queue_free(struct queue *queue)
{
    struct held_claim *held, *next;

    if (queue == NULL)
        return;
    while (queue->ops != NULL)
        queue_op_cancel(queue->ops);
    HASH_ITER(hh, queue->held, held, next)
    {
        HASH_DEL(queue->held, held);
        free(held);
    }
    for (int i = 0; i < KEY_COUNT; i++)
        free(queue->keys[i]);
    free(queue->prefix);
    free(queue->name);
    free(queue->worker);
    free(queue);
}

const char *
queue_name(const struct queue *queue)
{
    return queue->name;
}

const char *
queue_control_channel(const struct queue *queue)
{
    return queue->keys[KEY_CONTROL_CHANNEL];
}

struct redis *
queue_commands(struct queue *queue)
{
    return redis_route_commands(queue->route, queue->name);
}

void
queue_args_keys(const struct queue *queue, struct redis_args *args, const enum queue_key *keys,
                int count)
{
    redis_arg_int(args, count);
    for (int i = 0; i < count; i++)
        redis_arg(args, queue->keys[keys[i]]);
}

/* ---- what memory says this worker holds ---- */

static void
hold(struct queue *queue, uint64_t token)
{
    struct held_claim *held = xcalloc(1, sizeof(*held));

    held->token = token;
    HASH_ADD(hh, queue->held, token, sizeof(held->token), held);
}

static bool
holds(const struct queue *queue, uint64_t token)
{
    struct held_claim *held;

    HASH_FIND(hh, queue->held, &token, sizeof(token), held);
    return held != NULL;
}

void
queue_forget(struct queue *queue, uint64_t token)
{
    struct held_claim *held;

    HASH_FIND(hh, queue->held, &token, sizeof(token), held);
    if (held == NULL)
        return;
    HASH_DEL(queue->held, held);
    free(held);
}

int
queue_claims_held(const struct queue *queue)
{
    return (int)HASH_COUNT(queue->held);
}

/* ---- claim ---- */

struct claim_request {
    struct queue *queue;
    queue_claims_fn *fn;
    void *arg;
};

/* A payload may be large: its allocation may fail, and then it stays on the record in Redis. */
static bool
copy_payload(const redisReply *reply, struct claim *claim)
{
    if (reply == NULL || reply->type != REDIS_REPLY_STRING)
        return false;
    claim->payload_len = (size_t)reply->len;
    claim->payload = malloc(claim->payload_len + 1);
    if (claim->payload == NULL)
        return false;
    memcpy(claim->payload, reply->str, claim->payload_len);
    claim->payload[claim->payload_len] = '\0';
    return true;
}

static void
read_history(const char *text, struct claim *claim)
{
    int id_at = 0;

    if (sscanf(text, "%d %d %" SCNd64 " %n", &claim->history.attempts, &claim->history.waits,
               &claim->history.since_ms, &id_at) < 3 ||
        id_at == 0)
        return;
    snprintf(claim->id, sizeof(claim->id), "%s", text + id_at);
}

static bool
read_claim(const redisReply *reply, size_t at, struct claim *claim)
{
    memset(claim, 0, sizeof(*claim));
    claim->token = (uint64_t)redis_int(redis_at(reply, at), 0);
    read_history(redis_str(redis_at(reply, at + 1), ""), claim);
    claim->deaths = (int)redis_int(redis_at(reply, at + 2), 0);
    return claim->token != 0 && copy_payload(redis_at(reply, at + 3), claim);
}

static enum claim_status
read_claim_status(const redisReply *reply)
{
    const char *status = redis_str(redis_at(reply, 0), "");

    if (strcmp(status, "paused") == 0)
        return CLAIM_PAUSED;
    return strcmp(status, "unregistered") == 0 ? CLAIM_UNREGISTERED : CLAIM_OK;
}

static void
on_claimed(const redisReply *reply, const struct error *error, void *arg)
{
    struct claim_request request = *(struct claim_request *)arg;
    struct claim *claims = NULL;
    int count = 0;

    free(arg);
    if (error != NULL) {
        request.fn(CLAIM_OK, NULL, 0, -1, error, request.arg);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > CLAIM_HEAD) {
        claims = xcalloc(reply->elements / CLAIM_FIELDS, sizeof(*claims));
        for (size_t at = CLAIM_HEAD; at + CLAIM_FIELDS <= reply->elements; at += CLAIM_FIELDS)
            if (read_claim(reply, at, &claims[count]))
                hold(request.queue, claims[count++].token);
    }
    request.fn(read_claim_status(reply), claims, count, redis_int(redis_at(reply, 1), -1), NULL,
               request.arg);
    free(claims);
}

void
queue_claim(struct queue *queue, int max, queue_claims_fn *fn, void *arg)
{
    static const enum queue_key keys[] = {KEY_QUEUE,    KEY_DELAYED, KEY_DELAYED_JOBS,
                                          KEY_INFLIGHT, KEY_BEGUN,   KEY_INBOX,
                                          KEY_WORKERS,  KEY_PAUSED,  KEY_CRASHES};
    struct claim_request *request = xcalloc(1, sizeof(*request));
    struct redis_args args = {0};

    *request = (struct claim_request){queue, fn, arg};
    queue_args_keys(queue, &args, keys, COUNT_OF(keys));
    redis_arg(&args, queue->worker);
    redis_arg_int(&args, max);
    redis_arg_int(&args, (int64_t)queue->next_token);
    redis_arg_int(&args, CLAIM_MAX_BYTES);
    /* Used once even if the call fails: Redis may have run it. */
    queue->next_token += (uint64_t)max;
    redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_CLAIM], &args, 0, on_claimed, request);
}

/* ---- wait for a job ---- */

struct wait_request {
    queue_wait_fn *fn;
    void *arg;
};

static void
on_waited(const redisReply *reply, const struct error *error, void *arg)
{
    struct wait_request request = *(struct wait_request *)arg;

    free(arg);
    request.fn(error == NULL && reply->type != REDIS_REPLY_NIL, error, request.arg);
}

static void
put_block_time(struct redis_args *args, int64_t block_ms, char *out, size_t out_size)
{
    snprintf(out, out_size, "%.3f", (double)block_ms / 1000.0);
    redis_arg(args, out);
}

void
queue_wait(struct queue *queue, struct redis *connection, int64_t block_ms, queue_wait_fn *fn,
           void *arg)
{
    struct wait_request *request = xcalloc(1, sizeof(*request));
    struct redis_args args = {0};
    char seconds[32];

    *request = (struct wait_request){fn, arg};
    redis_arg(&args, "BLMOVE");
    redis_arg(&args, queue->keys[KEY_QUEUE]);
    redis_arg(&args, queue->keys[KEY_INBOX]);
    redis_arg(&args, "LEFT");
    redis_arg(&args, "RIGHT");
    put_block_time(&args, block_ms, seconds, sizeof(seconds));
    redis_send(connection, &args, block_ms + BLOCK_GRACE_MS, on_waited, request);
}

struct pop_request {
    struct queue *queues[CONFIG_QUEUES_MAX];
    int count;
    queue_pop_fn *fn;
    void *arg;
};

static struct queue *
queue_by_name(const struct pop_request *request, const char *name)
{
    for (int i = 0; i < request->count; i++)
        if (strcmp(request->queues[i]->name, name) == 0)
            return request->queues[i];
    return NULL;
}

static void
on_popped(const redisReply *reply, const struct error *error, void *arg)
{
    struct pop_request *request = arg;
    struct claim claim = {0};
    struct queue *queue = NULL;

    if (error == NULL && copy_payload(redis_at(reply, 1), &claim))
        queue = queue_by_name(request, redis_str(redis_at(reply, 0), ""));
    request->fn(queue, queue == NULL ? NULL : &claim, error, request->arg);
    if (queue == NULL)
        free(claim.payload);
    free(request);
}

void
queue_pop(struct queue *const *queues, int count, struct redis *connection, int64_t block_ms,
          queue_pop_fn *fn, void *arg)
{
    struct pop_request *request = xcalloc(1, sizeof(*request));
    struct redis_args args = {0};
    char seconds[32];

    request->fn = fn;
    request->arg = arg;
    redis_arg(&args, "BLPOP");
    for (int i = 0; i < count && request->count < REDIS_ARGS_MAX - 2; i++) {
        request->queues[request->count++] = queues[i];
        redis_arg(&args, queues[i]->keys[KEY_QUEUE]);
    }
    put_block_time(&args, block_ms, seconds, sizeof(seconds));
    redis_send(connection, &args, block_ms + BLOCK_GRACE_MS, on_popped, request);
}

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

        queue_args_keys(queue, &args, keys, COUNT_OF(keys));
        redis_arg(&args, queue->worker);
        while (at < count && args.count < REDIS_ARGS_MAX)
            redis_arg_int(&args, (int64_t)tokens[at++]);
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

        if (!holds(queue, token))
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

struct beat_request {
    queue_beat_fn *fn;
    void *arg;
};

static void
on_beat(const redisReply *reply, const struct error *error, void *arg)
{
    struct beat_request request = *(struct beat_request *)arg;
    struct beat_reply beat;

    free(arg);
    if (error != NULL) {
        request.fn(NULL, error, request.arg);
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
    request.fn(&beat, NULL, request.arg);
}

void
queue_beat(struct queue *queue, int64_t since_ms, queue_beat_fn *fn, void *arg)
{
    static const enum queue_key keys[] = {KEY_WORKERS, KEY_INFLIGHT,  KEY_INBOX,
                                          KEY_DELAYED, KEY_CANCELLED, KEY_PAUSED};
    struct beat_request *request = xcalloc(1, sizeof(*request));
    struct redis_args args = {0};

    request->fn = fn;
    request->arg = arg;
    queue_args_keys(queue, &args, keys, COUNT_OF(keys));
    redis_arg(&args, queue->worker);
    redis_arg_int(&args, queue->lease_ms);
    redis_arg_int(&args, since_ms);
    redis_arg_int(&args, queue->result_ttl_ms);
    redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_BEAT], &args, 0, on_beat, request);
}

/* ---- reap and leave ---- */

struct reap_request {
    struct queue *queue;
    char *worker; /* owned */
    bool is_leaving;
    int64_t given_back;
    queue_left_fn *fn; /* NULL when reaping */
    void *arg;
};

static void reap_send(struct reap_request *request);

static void
reap_end(struct reap_request *request, const struct error *error)
{
    if (request->given_back > 0 && !request->is_leaving)
        log_warn("took over the jobs of a worker whose beat has stopped",
                 LOG_STR("queue", request->queue->name), LOG_STR("worker", request->worker),
                 LOG_INT("jobs", request->given_back));
    if (request->fn != NULL)
        request->fn(request->given_back, error, request->arg);
    free(request->worker);
    free(request);
}

static void
on_reaped(const redisReply *reply, const struct error *error, void *arg)
{
    struct reap_request *request = arg;
    int64_t given = error == NULL ? redis_int(redis_at(reply, 0), 0) : 0;

    if (given > 0)
        request->given_back += given;
    if (error == NULL && redis_int(redis_at(reply, 1), 0) == 1)
        reap_send(request);
    else
        reap_end(request, error);
}

static void
reap_send(struct reap_request *request)
{
    struct queue *queue = request->queue;
    const char *worker = request->worker;
    char *inflight = queue_key_of(queue->prefix, queue->name, "inflight", worker);
    char *begun = queue_key_of(queue->prefix, queue->name, "begun", worker);
    char *inbox = queue_key_of(queue->prefix, queue->name, "inbox", worker);
    struct redis_args args = {0};

    redis_arg_int(&args, 10);
    redis_arg(&args, queue->keys[KEY_WORKERS]);
    redis_arg(&args, inflight);
    redis_arg(&args, begun);
    redis_arg(&args, inbox);
    redis_arg(&args, queue->keys[KEY_OWNERS]);
    redis_arg(&args, queue->keys[KEY_QUEUE]);
    redis_arg(&args, queue->keys[KEY_DELAYED]);
    redis_arg(&args, queue->keys[KEY_DELAYED_JOBS]);
    redis_arg(&args, queue->keys[KEY_CRASHES]);
    redis_arg(&args, queue->keys[KEY_STATS]);
    redis_arg(&args, worker);
    redis_arg(&args, request->is_leaving ? "leave" : "reap");
    redis_arg_int(&args, CRASHES_REMEMBERED_MS);
    redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_REAP], &args, 0, on_reaped, request);
    free(inflight);
    free(begun);
    free(inbox);
}

static struct reap_request *
reap_request_new(struct queue *queue, const char *worker)
{
    struct reap_request *request = xcalloc(1, sizeof(*request));

    request->queue = queue;
    request->worker = xstrdup(worker);
    return request;
}

void
queue_reap(struct queue *queue, const char *dead_worker)
{
    reap_send(reap_request_new(queue, dead_worker));
}

void
queue_leave(struct queue *queue, queue_left_fn *fn, void *arg)
{
    struct reap_request *request = reap_request_new(queue, queue->worker);

    request->is_leaving = true;
    request->fn = fn;
    request->arg = arg;
    reap_send(request);
}
