/* Beats of two workers on a real Redis whose clock, as the scripts see it, can be moved. */
#include "worker/queue/beat.h"

#include "common/memory.h"
#include "tests/support/loop.h"
#include "tests/support/redis_server.h"
#include "worker/queue/queue_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 20000
#define LEASE_MS 2000
#define WORKERS  2

struct fixture {
    struct event_base *base;
    struct redis_server *server;
    struct redis_route *route;
    struct queue *queues[WORKERS];
    struct beat *beats[WORKERS];
    char *sources[SCRIPT_COUNT]; /* the scripts with a clock that can be moved */
    bool is_ready;
    int leases_lost;
};

static void
on_state(bool is_ready, const struct error *why, void *arg)
{
    (void)why;
    ((struct fixture *)arg)->is_ready = is_ready;
}

static void
on_lease_lost(struct queue *queue, void *arg)
{
    (void)queue;
    ((struct fixture *)arg)->leases_lost++;
}

static void
on_cancel(struct queue *queue, const char *job_id, void *arg)
{
    (void)queue;
    (void)job_id;
    (void)arg;
}

static void
on_news(struct queue *queue, bool is_paused, bool has_inbox, int64_t next_due_ms, void *arg)
{
    (void)queue;
    (void)is_paused;
    (void)has_inbox;
    (void)next_due_ms;
    (void)arg;
}

/* TIME plus the seconds in the key "clock". */
static char *
with_movable_clock(const char *source)
{
    static const char *const plain = "tonumber(time[1]) * 1000";
    const char *at = strstr(source, plain);

    assert_non_null(at);
    return xasprintf("%.*s(tonumber(time[1]) + (redis.call('GET', 'clock') or 0)) * 1000%s",
                     (int)(at - source), source, at + strlen(plain));
}

static struct queue *
new_queue(struct fixture *f, const char *worker)
{
    struct queue *queue = queue_new(&(struct queue_options){
        .base = f->base,
        .route = f->route,
        .prefix = "headgate",
        .name = "q",
        .worker = worker,
        .lease_ms = LEASE_MS,
        .result_ttl_ms = 60000,
        .dead_max = 2,
        .is_fair = true,
    });

    for (int i = 0; i < SCRIPT_COUNT; i++) {
        if (f->sources[i] == NULL)
            f->sources[i] = with_movable_clock(queue->scripts[i].source);
        redis_script_init(&queue->scripts[i], queue->scripts[i].name, f->sources[i]);
    }
    return queue;
}

static int
setup(void **state)
{
    static const char *const names[WORKERS] = {"w1", "w2"};
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct redis_url url = {0};

    f->server = redis_server_new(NULL);
    f->base = event_base_new();
    snprintf(url.path, sizeof(url.path), "%s", f->server->socket);
    f->route = redis_route_new(f->base, &url, "test", on_state, f);
    assert_true(loop_until_flag(f->base, &f->is_ready, true, LIMIT_MS));
    for (int i = 0; i < WORKERS; i++) {
        f->queues[i] = new_queue(f, names[i]);
        f->beats[i] = beat_new(&(struct beat_options){
            .base = f->base,
            .queue = f->queues[i],
            .lease_ms = LEASE_MS,
            .on_lease_lost = on_lease_lost,
            .on_cancel = on_cancel,
            .on_news = on_news,
            .arg = f,
        });
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < WORKERS; i++)
        beat_free(f->beats[i]);
    redis_route_free(f->route);
    for (int i = 0; i < WORKERS; i++)
        queue_free(f->queues[i]);
    for (int i = 0; i < SCRIPT_COUNT; i++)
        free(f->sources[i]);
    event_base_free(f->base);
    redis_server_free(f->server);
    free(f);
    return 0;
}

static bool
is_dead_one_reaped(void *arg)
{
    redisReply *reply =
        redis_server_ask(((struct fixture *)arg)->server, "ZSCORE headgate:{q}:workers dead");
    bool is_gone = reply->type == REDIS_REPLY_NIL;

    freeReplyObject(reply);
    return is_gone;
}

static void
wait_until_a_dead_worker_is_reaped(struct fixture *f)
{
    redis_server_do(f->server, "ZADD headgate:{q}:workers 1 dead");
    assert_true(loop_until(f->base, is_dead_one_reaped, f, LIMIT_MS));
}

static void
a_leap_of_redis_clock_ends_no_living_workers_lease(void **state)
{
    struct fixture *f = *state;

    wait_until_a_dead_worker_is_reaped(f);
    redis_server_do(f->server, "SET clock 3600");
    wait_until_a_dead_worker_is_reaped(f);
    assert_int_equal(f->leases_lost, 0);
}

static void
a_step_back_of_redis_clock_ends_no_living_workers_lease(void **state)
{
    struct fixture *f = *state;

    wait_until_a_dead_worker_is_reaped(f);
    redis_server_do(f->server, "SET clock -3600");
    wait_until_a_dead_worker_is_reaped(f);
    assert_int_equal(f->leases_lost, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_leap_of_redis_clock_ends_no_living_workers_lease, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_step_back_of_redis_clock_ends_no_living_workers_lease,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
