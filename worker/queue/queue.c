#include "worker/queue/queue.h"

#include "common/config.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/queue/keys.h"
#include "worker/queue/queue_internal.h"
#include "worker/queue/tenants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Fields that claim.lua returns per job: token, history, deaths, payload. */
#define CLAIM_FIELDS 4
#define CLAIM_HEAD   2
/* Attempts, waits, deaths: one more can be added to each. */
#define COUNT_MAX 1000000
/* The socket's own delay on top of a blocking pop's time: then the link is dead. */
#define BLOCK_GRACE_MS 2000
_Static_assert(REDIS_ARGS_MAX >= CONFIG_QUEUES_MAX + 2, "a pop names every queue, and a time");
#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void
name_keys(struct queue *queue)
{
    static const char *const shared[KEY_COUNT] = {
        [KEY_DELAYED] = "delayed",
        [KEY_DELAYED_JOBS] = "delayed:jobs",
        [KEY_OWNERS] = "owners",
        [KEY_WORKERS] = "workers",
        [KEY_INBOX] = "inbox",
        [KEY_PAUSED] = "paused",
        [KEY_CRASHES] = "crashes",
        [KEY_CANCELLED] = "cancelled",
        [KEY_STATS] = "stats",
        [KEY_DEAD] = "dead",
        [KEY_SORTED] = "sorted",
        [KEY_SORTED_JOBS] = "sorted:jobs",
        [KEY_TURNS] = "turns",
        [KEY_RETURNED] = "returned",
        [KEY_BUSY] = "busy",
        [KEY_DONE_CHANNEL] = "done",
        [KEY_CONTROL_CHANNEL] = "control",
    };
    static const char *const own[KEY_COUNT] = {
        [KEY_INFLIGHT] = "inflight",
        [KEY_BEGUN] = "begun",
    };

    queue->keys[KEY_QUEUE] = xstrdup(queue->flavour == NULL ? queue->name : queue->flavour->list);
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
    queue->flavour = options->flavour;
    queue->tenants = xevbuffer();
    queue_set_fairness(queue, options->is_fair, options->tenants);
    queue->next_token = 1;
    name_keys(queue);
    queue_scripts_init(queue->scripts, queue->flavour == NULL ? NULL : queue->flavour->scripts);
    return queue;
}

void
queue_set_fairness(struct queue *queue, bool is_fair, const struct tenants *tenants)
{
    queue->is_fair = is_fair;
    evbuffer_drain(queue->tenants, evbuffer_get_length(queue->tenants));
    if (tenants != NULL)
        tenants_put_json(tenants, queue->tenants);
    queue->has_caps = tenants != NULL && tenants_have_limit(tenants);
}

void
queue_free(struct queue *queue)
{
    struct held_claim *held, *next;

    if (queue == NULL)
        return;
    while (queue->ops != NULL)
        queue_op_cancel(queue->ops);
    while (queue->requests != NULL)
        queue_request_free(queue->requests);
    HASH_ITER(hh, queue->held, held, next)
    {
        HASH_DEL(queue->held, held);
        free(held);
    }
    for (int i = 0; i < KEY_COUNT; i++)
        free(queue->keys[i]);
    evbuffer_free(queue->tenants);
    free(queue->prefix);
    free(queue->name);
    free(queue->worker);
    free(queue);
}

bool
queue_is_fair(const struct queue *queue)
{
    return queue->is_fair;
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
    redis_arg_int(args, count + queue_extra_keys(queue));
    for (int i = 0; i < count; i++)
        redis_arg(args, queue->keys[keys[i]]);
    queue_args_extra_keys(queue, args);
}

static const enum queue_key own_extra_keys[] = {KEY_SORTED, KEY_SORTED_JOBS, KEY_TURNS,
                                                KEY_RETURNED, KEY_BUSY};

int
queue_extra_keys(const struct queue *queue)
{
    return queue->flavour == NULL ? COUNT_OF(own_extra_keys) : queue->flavour->key_count;
}

const char *
queue_extra_key(const struct queue *queue, int index)
{
    return queue->flavour == NULL ? queue->keys[own_extra_keys[index]]
                                  : queue->flavour->keys[index];
}

void
queue_args_extra_keys(const struct queue *queue, struct redis_args *args)
{
    for (int i = 0; i < queue_extra_keys(queue); i++)
        redis_arg(args, queue_extra_key(queue, i));
}

int
queue_extra_args(const struct queue *queue)
{
    return queue->flavour == NULL ? 0 : queue->flavour->arg_count;
}

void
queue_args_end(const struct queue *queue, struct redis_args *args)
{
    for (int i = 0; i < queue_extra_args(queue); i++)
        redis_arg(args, queue->flavour->args[i]);
}

/* ---- what memory says this worker holds ---- */

static void
hold(struct queue *queue, uint64_t token)
{
    struct held_claim *held = xcalloc(1, sizeof(*held));

    held->token = token;
    HASH_ADD(hh, queue->held, token, sizeof(held->token), held);
}

bool
queue_holds(const struct queue *queue, uint64_t token)
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

/* ---- calls to Redis that are under way ---- */

struct queue_request *
queue_request_new(struct queue *queue, void *arg)
{
    struct queue_request *request = xcalloc(1, sizeof(*request));

    request->queue = queue;
    request->arg = arg;
    DL_APPEND(queue->requests, request);
    return request;
}

void
queue_request_free(struct queue_request *request)
{
    DL_DELETE(request->queue->requests, request);
    free(request->pop_queues);
    free(request->reap_worker);
    free(request);
}

/* ---- claim ---- */

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

static bool
is_within(int64_t value, int64_t most)
{
    return value >= 0 && value <= most;
}

/* One that this program can't have written counts as none. */
static void
read_history(const char *text, struct claim *claim)
{
    int64_t attempts, waits, since_ms;
    int id_at = 0;

    if (sscanf(text, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %n", &attempts, &waits, &since_ms,
               &id_at) < 3 ||
        id_at == 0 || !is_within(attempts, COUNT_MAX) || !is_within(waits, COUNT_MAX) ||
        !is_within(since_ms, REDIS_INT_MAX))
        return;
    claim->history =
        (struct history){.attempts = (int)attempts, .waits = (int)waits, .since_ms = since_ms};
    snprintf(claim->id, sizeof(claim->id), "%s", text + id_at);
}

static bool
read_claim(const redisReply *reply, size_t at, struct claim *claim)
{
    int64_t deaths;

    memset(claim, 0, sizeof(*claim));
    claim->token = (uint64_t)redis_int(redis_at(reply, at), 0);
    read_history(redis_str(redis_at(reply, at + 1), ""), claim);
    deaths = redis_int(redis_at(reply, at + 2), 0);
    claim->deaths = is_within(deaths, COUNT_MAX) ? (int)deaths : 0;
    return claim->token != 0 && copy_payload(redis_at(reply, at + 3), claim);
}

static enum claim_status
read_claim_status(const redisReply *reply)
{
    const char *status = redis_str(redis_at(reply, 0), "");

    if (strcmp(status, "paused") == 0)
        return CLAIM_PAUSED;
    if (strcmp(status, "full") == 0)
        return CLAIM_FULL;
    return strcmp(status, "unregistered") == 0 ? CLAIM_UNREGISTERED : CLAIM_OK;
}

static void
on_claimed(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_request *request = arg;
    queue_claims_fn *fn = request->fn.claims;
    struct queue *queue = request->queue;
    void *fn_arg = request->arg;
    struct claim *claims = NULL;
    int count = 0;

    STOP_POINT("claim", "answered");
    queue_request_free(request);
    if (error != NULL) {
        fn(CLAIM_OK, NULL, 0, -1, error, fn_arg);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > CLAIM_HEAD) {
        claims = xcalloc(reply->elements / CLAIM_FIELDS, sizeof(*claims));
        for (size_t at = CLAIM_HEAD; at + CLAIM_FIELDS <= reply->elements; at += CLAIM_FIELDS)
            if (read_claim(reply, at, &claims[count]))
                hold(queue, claims[count++].token);
    }
    fn(read_claim_status(reply), claims, count, redis_int(redis_at(reply, 1), -1), NULL, fn_arg);
    free(claims);
}

void
queue_claim(struct queue *queue, int max, int64_t max_bytes, queue_claims_fn *fn, void *arg)
{
    static const enum queue_key keys[] = {KEY_QUEUE,    KEY_DELAYED, KEY_DELAYED_JOBS,
                                          KEY_INFLIGHT, KEY_BEGUN,   KEY_INBOX,
                                          KEY_WORKERS,  KEY_PAUSED,  KEY_CRASHES};
    struct queue_request *request = queue_request_new(queue, arg);
    struct redis_args args = {0};

    STOP_POINT("claim", "sending");
    request->fn.claims = fn;
    queue_args_keys(queue, &args, keys, COUNT_OF(keys));
    redis_arg(&args, queue->worker);
    redis_arg_int(&args, max);
    redis_arg_int(&args, (int64_t)queue->next_token);
    redis_arg_int(&args, max_bytes);
    redis_arg(&args, !queue->is_fair ? "plain" : queue->has_caps ? "caps" : "fair");
    redis_arg_bytes(&args, (const char *)evbuffer_pullup(queue->tenants, -1),
                    evbuffer_get_length(queue->tenants));
    queue_args_end(queue, &args);
    /* Used once even if the call fails: Redis may have run it. */
    queue->next_token += (uint64_t)max;
    redis_eval(queue_commands(queue), &queue->scripts[SCRIPT_CLAIM], &args, 0, on_claimed, request);
}

/* ---- wait for a job ---- */

static void
on_waited(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_request *request = arg;
    queue_wait_fn *fn = request->fn.wait;
    void *fn_arg = request->arg;

    if (error == NULL && reply->type != REDIS_REPLY_NIL)
        STOP_POINT("pop", "answered");
    queue_request_free(request);
    fn(error == NULL && reply->type != REDIS_REPLY_NIL, error, fn_arg);
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
    struct queue_request *request = queue_request_new(queue, arg);
    bool in_place = queue->flavour != NULL && queue->flavour->waits_in_place;
    struct redis_args args = {0};
    char seconds[32];

    STOP_POINT("pop", "sending");
    request->fn.wait = fn;
    redis_arg(&args, "BLMOVE");
    redis_arg(&args, queue->keys[KEY_QUEUE]);
    redis_arg(&args, queue->keys[in_place ? KEY_QUEUE : KEY_INBOX]);
    redis_arg(&args, in_place ? "RIGHT" : "LEFT");
    redis_arg(&args, "RIGHT");
    put_block_time(&args, block_ms, seconds, sizeof(seconds));
    redis_send(connection, &args, block_ms + BLOCK_GRACE_MS, on_waited, request);
}

static struct queue *
popped_from(const struct queue_request *request, const char *name)
{
    for (int i = 0; i < request->pop_count; i++)
        if (strcmp(request->pop_queues[i]->name, name) == 0)
            return request->pop_queues[i];
    return NULL;
}

static void
on_popped(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_request *request = arg;
    queue_pop_fn *fn = request->fn.pop;
    void *fn_arg = request->arg;
    struct claim claim = {0};
    struct queue *queue = NULL;

    if (error == NULL && copy_payload(redis_at(reply, 1), &claim))
        queue = popped_from(request, redis_str(redis_at(reply, 0), ""));
    queue_request_free(request);
    fn(queue, queue == NULL ? NULL : &claim, error, fn_arg);
    if (queue == NULL)
        free(claim.payload);
}

void
queue_pop(struct queue *const *queues, int count, struct redis *connection, int64_t block_ms,
          queue_pop_fn *fn, void *arg)
{
    struct queue_request *request = queue_request_new(queues[0], arg);
    struct redis_args args = {0};
    char seconds[32];

    request->fn.pop = fn;
    request->pop_queues = xcalloc((size_t)count, sizeof(*request->pop_queues));
    redis_arg(&args, "BLPOP");
    for (int i = 0; i < count; i++) {
        request->pop_queues[request->pop_count++] = queues[i];
        redis_arg(&args, queues[i]->keys[KEY_QUEUE]);
    }
    put_block_time(&args, block_ms, seconds, sizeof(seconds));
    redis_send(connection, &args, block_ms + BLOCK_GRACE_MS, on_popped, request);
}
