/*
 * queue_internal.h - what queue.c (taking jobs), queue_op.c (the steps of a claim) and
 * queue_lease.c (a worker's standing) share. Nobody else includes it.
 */
#ifndef WORKER_QUEUE_QUEUE_INTERNAL_H
#define WORKER_QUEUE_QUEUE_INTERNAL_H

#include "worker/queue/queue.h"
#include "worker/queue/queue_flavour.h"
#include "worker/queue/scripts.h"

#include <uthash.h>

enum queue_key {
    KEY_QUEUE,
    KEY_DELAYED,
    KEY_DELAYED_JOBS,
    KEY_INFLIGHT,
    KEY_BEGUN,
    KEY_INBOX,
    KEY_OWNERS,
    KEY_WORKERS,
    KEY_PAUSED,
    KEY_SORTED,
    KEY_SORTED_JOBS,
    KEY_TURNS,
    KEY_RETURNED,
    KEY_BUSY,
    KEY_CRASHES,
    KEY_CANCELLED,
    KEY_STATS,
    KEY_DEAD,
    KEY_DONE_CHANNEL,
    KEY_CONTROL_CHANNEL,
    KEY_COUNT,
};

struct held_claim {
    uint64_t token;
    UT_hash_handle hh;
};

struct queue {
    struct event_base *base;   /* borrowed */
    struct redis_route *route; /* borrowed */
    char *prefix;
    char *name;
    char *worker;
    char *keys[KEY_COUNT];
    int64_t lease_ms;
    int64_t result_ttl_ms;
    int64_t dead_max;
    const struct queue_flavour *flavour; /* borrowed; NULL: none */
    bool is_fair;
    bool has_caps;
    struct evbuffer *tenants; /* owned; as claim.lua takes them */
    uint64_t next_token;
    struct held_claim *held; /* what memory says this worker holds */
    struct redis_script scripts[SCRIPT_COUNT];
    struct queue_op *ops;           /* steps under way */
    int64_t silent_until_ms;        /* until then, no step that Redis does not take is logged */
    struct queue_request *requests; /* other calls under way */
};

/* A call to Redis that is under way, and whom to tell. Not repeated. */
struct queue_request {
    struct queue *queue;
    union {
        queue_claims_fn *claims;
        queue_wait_fn *wait;
        queue_pop_fn *pop;
        queue_beat_fn *beat;
        queue_left_fn *left; /* NULL: nobody */
    } fn;
    void *arg;
    struct queue **pop_queues; /* a pop's; owned */
    int pop_count;
    char *reap_worker; /* whose jobs go back; owned */
    bool is_leaving;
    int64_t unsort_until_ms; /* a leaving one: monotonic */
    int64_t given_back;
    struct queue_request *prev, *next;
};
struct queue_request *queue_request_new(struct queue *queue, void *arg);
void queue_request_free(struct queue_request *request);

/* Does memory know this claim? */
bool queue_holds(const struct queue *queue, uint64_t token);

/* The connection that all steps of this queue share, in order. */
struct redis *queue_commands(struct queue *queue);
/* Starts an argument list: the number of keys, then these keys, then those that every step has. */
void queue_args_keys(const struct queue *queue, struct redis_args *args, const enum queue_key *keys,
                     int count);
/* The end of every argument list: what the flavour adds, and how many that are. */
int queue_extra_args(const struct queue *queue);
void queue_args_end(const struct queue *queue, struct redis_args *args);
/* How many keys every step has at the end, the flavour's or ours, and they themselves. */
int queue_extra_keys(const struct queue *queue);
const char *queue_extra_key(const struct queue *queue, int index);
void queue_args_extra_keys(const struct queue *queue, struct redis_args *args);

#endif
