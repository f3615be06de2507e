/* What callbacks of common/redis may do: everything. */
#include "common/redis/redis.h"

#include "tests/support/loop.h"
#include "tests/support/redis_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct chain {
    struct redis_desk *desk;
    struct redis_call *other;
    struct answer answer;
    int count;
};

static void
on_reply_send_and_cancel(const redisReply *reply, const struct error *error, void *arg)
{
    struct chain *chain = arg;

    (void)reply;
    (void)error;
    chain->count++;
    redis_cancel(chain->other);
    redis_desk_send(chain->desk, "ECHO inner", &chain->answer);
    assert_int_equal(chain->answer.count, 0);
}

static void
a_callback_may_send_and_cancel(void **state)
{
    struct redis_desk *desk = *state;
    struct chain chain = {.desk = desk};
    struct answer cancelled = {0};
    struct redis_args args = {0};

    redis_desk_connect(desk);
    redis_arg(&args, "PING");
    redis_send(desk->redis, &args, 0, on_reply_send_and_cancel, &chain);
    chain.other = redis_desk_send(desk, "ECHO other", &cancelled);
    assert_true(loop_until_count(desk->base, &chain.answer.count, 1, LIMIT_MS));
    assert_string_equal(chain.answer.text, "inner");
    assert_int_equal(cancelled.count, 0);
}

static void
on_reply_free(const redisReply *reply, const struct error *error, void *arg)
{
    struct chain *chain = arg;

    (void)reply;
    (void)error;
    chain->count++;
    redis_free(chain->desk->redis);
    chain->desk->redis = NULL;
}

static void
a_callback_may_free_the_room_and_no_other_runs_after_it(void **state)
{
    struct redis_desk *desk = *state;
    struct chain chain = {.desk = desk};
    struct answer behind = {0};
    struct redis_args args = {0};

    redis_desk_connect(desk);
    redis_arg(&args, "PING");
    redis_send(desk->redis, &args, 0, on_reply_free, &chain);
    redis_desk_send(desk, "PING", &behind);
    assert_true(loop_until_count(desk->base, &chain.count, 1, LIMIT_MS));
    loop_turn(desk->base);
    assert_int_equal(behind.count, 0);
}

static void
the_callback_of_a_failed_call_may_free_the_room_too(void **state)
{
    struct redis_desk *desk = *state;
    struct chain chain = {.desk = desk};
    struct answer behind = {0};

    redis_desk_open(desk);
    redis_send(desk->redis, &(struct redis_args){0}, 0, on_reply_free, &chain);
    redis_desk_send(desk, "PING", &behind);
    assert_true(loop_until_count(desk->base, &chain.count, 1, LIMIT_MS));
    loop_turn(desk->base);
    assert_int_equal(behind.count, 0);
}

static void
on_reply_try_again(const redisReply *reply, const struct error *error, void *arg)
{
    struct chain *chain = arg;
    struct redis_args args = {0};

    (void)reply;
    chain->count++;
    redis_arg(&args, "PING");
    if (error != NULL)
        redis_send(chain->desk->redis, &args, 0, on_reply_try_again, chain);
}

static void
a_call_repeated_at_once_when_it_fails_does_not_keep_the_loop_from_connecting(void **state)
{
    struct redis_desk *desk = *state;
    struct chain chain = {.desk = desk};

    redis_desk_open(desk);
    redis_send(desk->redis, &(struct redis_args){0}, 0, on_reply_try_again, &chain);
    redis_desk_wait_ready(desk);
    assert_true(chain.count > 1);
}

static void
freeing_with_open_calls_runs_no_callback(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_script script;
    struct redis_args args = {0};
    struct answer answer = {0};

    redis_script_init(&script, "one", "return 1");
    redis_arg_int(&args, 0);
    redis_desk_connect(desk);
    redis_desk_send(desk, "PING", &answer);
    redis_eval(desk->redis, &script, &args, 0, take_answer, &answer);
    redis_send(desk->redis, &(struct redis_args){0}, 0, take_answer, &answer);
    redis_free(desk->redis);
    desk->redis = NULL;
    loop_turn(desk->base);
    assert_int_equal(answer.count, 0);
    redis_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_desk_setup, redis_desk_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_callback_may_send_and_cancel),
        TEST(a_callback_may_free_the_room_and_no_other_runs_after_it),
        TEST(the_callback_of_a_failed_call_may_free_the_room_too),
        TEST(a_call_repeated_at_once_when_it_fails_does_not_keep_the_loop_from_connecting),
        TEST(freeing_with_open_calls_runs_no_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
