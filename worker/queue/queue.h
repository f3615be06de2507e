/*
 * queue.h - one queue, as a worker sees it: claim, begin, settle, delay.
 *
 * Every step is one Lua script (worker/queue/lua), so a job is at every moment in exactly one
 * place: the queue's list, this worker's in-flight record, the delayed set, or final. A claim
 * has a token, a number this worker uses once; a step with a token that is no longer on the
 * record changes nothing and says so.
 *
 * Steps of a claim (begin, settle, delay) keep trying until Redis has taken them: they are
 * made to be repeated, so an answer lost on the wire does no harm. Their callback therefore
 * never sees an error.
 */
#ifndef WORKER_QUEUE_QUEUE_H
#define WORKER_QUEUE_QUEUE_H

#include "common/redis/redis_route.h"
#include "worker/job/job.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdint.h>

struct queue;
struct queue_op; /* a step that is under way */
struct queue_flavour;
struct tenants;

struct queue_options {
    struct event_base *base;   /* borrowed */
    struct redis_route *route; /* borrowed */
    const char *prefix;        /* copied, as name and worker */
    const char *name;
    const char *worker;
    int64_t lease_ms;
    int64_t result_ttl_ms;
    int64_t dead_max;
    const struct queue_flavour *flavour; /* borrowed; NULL: a list of our own jobs */
    bool is_fair;                        /* tenants take turns while jobs have to wait */
    const struct tenants *tenants;       /* borrowed until queue_new returns; NULL: all are alike */
};

struct queue *queue_new(const struct queue_options *options);
/* Steps under way are forgotten; their callbacks do not run. */
void queue_free(struct queue *queue);
/* From the next claim on: do tenants take turns, and what have they? NULL: all are alike. */
void queue_set_fairness(struct queue *queue, bool is_fair, const struct tenants *tenants);
bool queue_is_fair(const struct queue *queue);
const char *queue_name(const struct queue *queue);
/* The channel on which the queue's workers are told: "cancel <id>", "pause", "resume". */
const char *queue_control_channel(const struct queue *queue);

/* What a job has behind it; all zero for a fresh one. */
struct history {
    int attempts;     /* executions that failed */
    int waits;        /* times in a row that it had to wait for a model */
    int64_t since_ms; /* when the first of these waits began, Redis' clock; 0: none */
};

/* A job taken from the queue. */
struct claim {
    uint64_t token; /* 0: taken without a record (at most once) */
    char *payload;  /* owned: whoever gets the claim frees it or hands it on */
    size_t payload_len;
    struct history history;
    char id[JOB_ID_MAX + 1]; /* of a job with a history; "" for a fresh one */
    int deaths;              /* workers that died on it */
};

/* CLAIM_FULL: as CLAIM_OK, and there is one more that max_bytes had no room for. */
enum claim_status { CLAIM_OK, CLAIM_FULL, CLAIM_PAUSED, CLAIM_UNREGISTERED };

/* `claims` (and their payloads) become the callee's to take, entry by entry; the array itself is
 * borrowed. next_due_ms: until the next delayed job; -1: none. After an error `count` is 0; what
 * Redis may have claimed all the same is found by queue_reconcile. */
typedef void queue_claims_fn(enum claim_status status, struct claim *claims, int count,
                             int64_t next_due_ms, const struct error *error, void *arg);
/* The most that a claim should bring at once, however large the jobs are. */
#define QUEUE_CLAIM_BYTES (16 * 1024 * 1024)
/* Claims up to `max` jobs (0: gives back what blocking pops have brought) of max_bytes together;
 * the first one counts as none, so that a larger one comes alone. */
void queue_claim(struct queue *queue, int max, int64_t max_bytes, queue_claims_fn *fn, void *arg);

/* Waits on `connection`, at most block_ms, until the queue has a job, and moves it into the inbox,
 * the front part of the queue, from where the next queue_claim takes it, whoever's that is.
 * `has_come` false: nothing did. */
typedef void queue_wait_fn(bool has_come, const struct error *error, void *arg);
void queue_wait(struct queue *queue, struct redis *connection, int64_t block_ms, queue_wait_fn *fn,
                void *arg);
/* At most once: waits until one of the queues, the first one first, has a job, and takes it without
 * a record. `claim` is the callee's to take; NULL: nothing came. */
typedef void queue_pop_fn(struct queue *queue, struct claim *claim, const struct error *error,
                          void *arg);
void queue_pop(struct queue *const *queues, int count, struct redis *connection, int64_t block_ms,
               queue_pop_fn *fn, void *arg);

enum begin_status { BEGIN_RUN, BEGIN_CANCELLED, BEGIN_DROPPED, BEGIN_LOST };
/* now_ms: Redis' clock. BEGIN_DROPPED: the id has its result or runs elsewhere; the claim is over.
 * BEGIN_LOST: the claim is another worker's by now. */
/* Redis' least limit for one argument (proto-max-bulk-len): what is smaller is always taken. */
#define QUEUE_ARGUMENT_TAKEN (1024 * 1024)
typedef void queue_begin_fn(enum begin_status status, int64_t now_ms, void *arg);
/* `running`: the document to leave as result meanwhile; NULL: none. Drained. */
struct queue_op *queue_begin(struct queue *queue, const struct claim *claim, const char *id,
                             struct evbuffer *running, queue_begin_fn *fn, void *arg);

enum settle_status {
    SETTLE_OK,        /* also when an earlier try, whose answer was lost, has written it */
    SETTLE_LATE,      /* the id had its final result: ours was dropped */
    SETTLE_LOST,      /* the claim was another worker's: nothing was written */
    SETTLE_TOO_LARGE, /* Redis takes no argument of that size, now or later: nothing was written,
                       * the claim is still ours, and a smaller end is to be told */
};
typedef void queue_settled_fn(enum settle_status status, void *arg);
struct settlement {
    const char *id;            /* "": no id, no result */
    const char *state;         /* counter to add to: "succeeded", "failed", ... */
    struct evbuffer *document; /* the result; drained */
    const char *reply_to;      /* NULL: none */
    struct evbuffer *letter;   /* dead letter; NULL: none; drained */
    bool has_run;              /* a model was called: if the id has its result, no letter */
    struct evbuffer *follow;   /* what its flavour is to do with it; NULL: nothing; drained */
};
struct queue_op *queue_settle(struct queue *queue, uint64_t token,
                              const struct settlement *settlement, queue_settled_fn *fn, void *arg);

/* due_in_ms: how long until the job is due, by Redis' clock; -1 when the claim was lost. */
typedef void queue_delayed_fn(int64_t due_in_ms, void *arg);
struct delay {
    const char *id;
    struct history history;
    bool is_absolute; /* due_ms is a Unix date; else it counts from now */
    int64_t due_ms;
    const char *counter; /* "retried", "waited", "scheduled" */
    struct evbuffer
        *document; /* to be left as result meanwhile, by a flavour; NULL: none; drained */
};
struct queue_op *queue_delay(struct queue *queue, uint64_t token, const struct delay *delay,
                             queue_delayed_fn *fn, void *arg);
/* Its callback will not run; Redis may run the step all the same. NULL is fine. */
void queue_op_cancel(struct queue_op *op);

/* The claim is over without a step of ours (its worker's lease was lost). */
void queue_forget(struct queue *queue, uint64_t token);
/* How many claims this worker believes to hold. */
int queue_claims_held(const struct queue *queue);

/* Ends of jobs that Redis has not taken yet, and is offered again and again: they are in memory
 * alone. At most one per claim that is held. */
struct queue_kept {
    int answers;
    int64_t bytes;
};
/* Adds this queue's to *kept. */
void queue_count_kept(const struct queue *queue, struct queue_kept *kept);
/* Compares the in-flight record in Redis with memory and gives back what memory does not know: a
 * claim whose reply was lost on the wire. Runs by itself; errors are left to the next one. */
void queue_reconcile(struct queue *queue);

struct beat_reply {
    bool was_registered;
    int64_t now_ms; /* Redis' clock */
    bool is_paused;
    int64_t claims_on_record;
    int64_t inbox_len;
    int64_t next_due_ms;         /* -1: none */
    const redisReply *expired;   /* array of worker ids */
    const redisReply *cancelled; /* array of job ids, cancelled since `since_ms` */
};
typedef void queue_beat_fn(const struct beat_reply *reply, const struct error *error, void *arg);
/* With has_lease a worker that was struck off is not registered again: it hears that, each time,
 * until it beats without. */
void queue_beat(struct queue *queue, int64_t since_ms, bool has_lease, queue_beat_fn *fn,
                void *arg);

/* Gives back all that a worker with an ended lease holds, in as many calls as it needs. */
void queue_reap(struct queue *queue, const char *dead_worker);
/* The same for this worker, which goes. `fn` runs once, when done or failed (error). */
typedef void queue_left_fn(int64_t given_back, const struct error *error, void *arg);
void queue_leave(struct queue *queue, queue_left_fn *fn, void *arg);

#endif
