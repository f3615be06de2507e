/*
 * queue_bench.h - a queue on a Redis of its own, seen by two workers, and what came of each call.
 */
#ifndef TESTS_SUPPORT_QUEUE_BENCH_H
#define TESTS_SUPPORT_QUEUE_BENCH_H

#include "tests/support/redis_server.h"
#include "worker/queue/queue.h"

#include <event2/event.h>

#define QUEUE_BENCH_LIMIT_MS   10000 /* for what must happen: only a failing test waits so long */
#define QUEUE_BENCH_CLAIMS_MAX 64
#define KEY(what)              "headgate:{q}:" what

struct queue_bench {
    struct event_base *base;
    struct redis_server *server;
    struct redis_route *route;
    struct queue *queue; /* "q", of worker "w1" */
    struct queue *other; /* of worker "w2" */
    bool is_ready;
    int answers; /* callbacks since the last queue_bench_wait */
    /* what the last callbacks said */
    enum claim_status claim_status;
    struct claim claims[QUEUE_BENCH_CLAIMS_MAX]; /* payloads are owned */
    int claim_count;
    int64_t next_due_ms;
    enum begin_status begin_status;
    enum settle_status settle_status;
    int64_t due_in_ms;
    bool was_registered;
    int expired_workers;
    int cancelled_jobs;
    int64_t inbox_len;
    int64_t given_back;
};

/* Setup and teardown of cmocka: *state is a bench whose workers have both beaten. */
int queue_bench_setup(void **state);
int queue_bench_teardown(void **state);

/* Waits for the callback of a call. */
void queue_bench_wait(struct queue_bench *bench);

/* One call each, and its callback waited for. */
void queue_bench_beat(struct queue_bench *bench, struct queue *queue);
void queue_bench_claim(struct queue_bench *bench, struct queue *queue, int max);
void queue_bench_claim_bytes(struct queue_bench *bench, struct queue *queue, int max,
                             int64_t max_bytes);
enum begin_status queue_bench_begin(struct queue_bench *bench, struct queue *queue,
                                    const struct claim *claim, const char *id);
enum settle_status queue_bench_settle(struct queue_bench *bench, struct queue *queue,
                                      uint64_t token, const struct settlement *settlement);
/* By "w1". */
void queue_bench_delay(struct queue_bench *bench, uint64_t token, const struct delay *delay);
void queue_bench_leave(struct queue_bench *bench, struct queue *queue);
/* "w2" reaps "w1", and it is over. */
void queue_bench_reap(struct queue_bench *bench);

/* What producers and time do. */
void queue_bench_push(struct queue_bench *bench, const char *payload);
/* The worker's lease ends now. */
void queue_bench_end_lease(struct queue_bench *bench, const char *worker);

/* What Redis answers to a command, which must be a number. */
int64_t queue_bench_number(struct queue_bench *bench, const char *command);

/* Callbacks for calls of a test's own. */
void queue_bench_on_settled(enum settle_status status, void *bench);

#endif
