#include "tests/support/queue_bench.h"

#include "common/memory.h"
#include "tests/support/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- callbacks ---- */

static void
on_state(bool is_ready, const struct error *why, void *arg)
{
    (void)why;
    ((struct queue_bench *)arg)->is_ready = is_ready;
}

static void
on_beat(const struct beat_reply *reply, const struct error *error, void *arg)
{
    struct queue_bench *bench = arg;

    assert_null(error);
    bench->was_registered = reply->was_registered;
    bench->expired_workers = (int)reply->expired->elements;
    bench->inbox_len = reply->inbox_len;
    bench->cancelled_jobs = (int)reply->cancelled->elements;
    bench->next_due_ms = reply->next_due_ms;
    bench->answers++;
}

static void
drop_claims(struct queue_bench *bench)
{
    for (int i = 0; i < bench->claim_count; i++)
        free(bench->claims[i].payload);
    bench->claim_count = 0;
}

static void
on_claims(enum claim_status status, struct claim *claims, int count, int64_t next_due_ms,
          const struct error *error, void *arg)
{
    struct queue_bench *bench = arg;

    assert_null(error);
    drop_claims(bench);
    bench->claim_status = status;
    bench->claim_count = count;
    bench->next_due_ms = next_due_ms;
    for (int i = 0; i < count; i++)
        bench->claims[i] = claims[i];
    bench->answers++;
}

static void
on_begun(enum begin_status status, int64_t now_ms, void *arg)
{
    struct queue_bench *bench = arg;

    assert_true(now_ms > 1600000000000);
    bench->begin_status = status;
    bench->answers++;
}

void
queue_bench_on_settled(enum settle_status status, void *arg)
{
    struct queue_bench *bench = arg;

    bench->settle_status = status;
    bench->answers++;
}

static void
on_delayed(int64_t due_in_ms, void *arg)
{
    struct queue_bench *bench = arg;

    bench->due_in_ms = due_in_ms;
    bench->answers++;
}

static void
on_left(int64_t given_back, const struct error *error, void *arg)
{
    struct queue_bench *bench = arg;

    assert_null(error);
    bench->given_back = given_back;
    bench->answers++;
}

/* ---- calls ---- */

void
queue_bench_wait(struct queue_bench *bench)
{
    assert_true(loop_until_count(bench->base, &bench->answers, 1, QUEUE_BENCH_LIMIT_MS));
    bench->answers = 0;
}

void
queue_bench_beat(struct queue_bench *bench, struct queue *queue)
{
    queue_beat(queue, 0, false, on_beat, bench);
    queue_bench_wait(bench);
}

void
queue_bench_claim_bytes(struct queue_bench *bench, struct queue *queue, int max, int64_t max_bytes)
{
    queue_claim(queue, max, max_bytes, on_claims, bench);
    queue_bench_wait(bench);
}

void
queue_bench_claim(struct queue_bench *bench, struct queue *queue, int max)
{
    queue_bench_claim_bytes(bench, queue, max, QUEUE_CLAIM_BYTES);
}

enum begin_status
queue_bench_begin(struct queue_bench *bench, struct queue *queue, const struct claim *claim,
                  const char *id)
{
    queue_begin(queue, claim, id, NULL, on_begun, bench);
    queue_bench_wait(bench);
    return bench->begin_status;
}

enum settle_status
queue_bench_settle(struct queue_bench *bench, struct queue *queue, uint64_t token,
                   const struct settlement *settlement)
{
    queue_settle(queue, token, settlement, queue_bench_on_settled, bench);
    queue_bench_wait(bench);
    return bench->settle_status;
}

void
queue_bench_delay(struct queue_bench *bench, uint64_t token, const struct delay *delay)
{
    queue_delay(bench->queue, token, delay, on_delayed, bench);
    queue_bench_wait(bench);
}

void
queue_bench_leave(struct queue_bench *bench, struct queue *queue)
{
    queue_leave(queue, on_left, bench);
    queue_bench_wait(bench);
}

static bool
w1_is_struck_off(void *arg)
{
    struct queue_bench *bench = arg;
    redisReply *reply = redis_server_ask(bench->server, "ZSCORE " KEY("workers") " w1");
    bool is_gone = reply->type == REDIS_REPLY_NIL;

    freeReplyObject(reply);
    return is_gone;
}

void
queue_bench_reap(struct queue_bench *bench)
{
    queue_reap(bench->other, "w1");
    assert_true(loop_until(bench->base, w1_is_struck_off, bench, QUEUE_BENCH_LIMIT_MS));
}

void
queue_bench_push(struct queue_bench *bench, const char *payload)
{
    redis_server_do(bench->server, "RPUSH q %s", payload);
}

void
queue_bench_end_lease(struct queue_bench *bench, const char *worker)
{
    redis_server_do(bench->server, "ZADD " KEY("workers") " 1 %s", worker);
}

int64_t
queue_bench_number(struct queue_bench *bench, const char *command)
{
    redisReply *reply = redis_server_ask(bench->server, command);
    int64_t number = reply->integer;

    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
    return number;
}

/* ---- setup ---- */

static struct queue *
new_queue(struct queue_bench *bench, const char *worker)
{
    return queue_new(&(struct queue_options){
        .base = bench->base,
        .route = bench->route,
        .prefix = "headgate",
        .name = "q",
        .worker = worker,
        .lease_ms = 60000,
        .result_ttl_ms = 60000,
        .dead_max = 2,
        .is_fair = true,
    });
}

int
queue_bench_setup(void **state)
{
    struct queue_bench *bench = xcalloc(1, sizeof(*bench));
    struct redis_url url = {0};

    bench->server = redis_server_new(NULL);
    bench->base = event_base_new();
    snprintf(url.path, sizeof(url.path), "%s", bench->server->socket);
    bench->route = redis_route_new(bench->base, &url, "test", on_state, bench);
    assert_true(loop_until_flag(bench->base, &bench->is_ready, true, QUEUE_BENCH_LIMIT_MS));
    bench->queue = new_queue(bench, "w1");
    bench->other = new_queue(bench, "w2");
    queue_bench_beat(bench, bench->queue);
    queue_bench_beat(bench, bench->other);
    *state = bench;
    return 0;
}

int
queue_bench_teardown(void **state)
{
    struct queue_bench *bench = *state;

    drop_claims(bench);
    redis_route_free(bench->route);
    queue_free(bench->queue);
    queue_free(bench->other);
    event_base_free(bench->base);
    redis_server_free(bench->server);
    free(bench);
    return 0;
}
