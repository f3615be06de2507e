/* What common/redis promises, on a real redis-server. */
#include "common/redis/redis.h"

#include "common/memory.h"
#include "tests/support/loop.h"
#include "tests/support/redis_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
a_command_gets_its_answer_over_a_unix_socket(void **state)
{
    struct redis_desk *desk = *state;
    struct answer answer;

    redis_desk_connect(desk);
    answer = redis_desk_ask(desk, "SET key value");
    assert_int_equal(answer.type, REDIS_REPLY_STATUS);
    answer = redis_desk_ask(desk, "GET key");
    assert_string_equal(answer.text, "value");
    answer = redis_desk_ask(desk, "INCRBY n 42");
    assert_int_equal(answer.number, 42);
    answer = redis_desk_ask(desk, "GET nothing");
    assert_int_equal(answer.type, REDIS_REPLY_NIL);
}

static void
a_host_name_and_tcp_do_as_well(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_use_tcp(desk, desk->server->port);
    snprintf(desk->url.host, sizeof(desk->url.host), "localhost");
    redis_desk_connect(desk);
    assert_string_equal(redis_desk_ask(desk, "PING").text, "PONG");
}

static void
user_password_database_and_name_are_those_asked_for(void **state)
{
    struct redis_desk *desk = *state;

    redis_server_do(desk->server, "ACL SETUSER ann on >s3:cr%%et ~* &* +@all");
    snprintf(desk->url.username, sizeof(desk->url.username), "ann");
    snprintf(desk->url.password, sizeof(desk->url.password), "s3:cr%%et");
    desk->url.db = 3;
    redis_desk_connect(desk);
    assert_string_equal(redis_desk_ask(desk, "ACL WHOAMI").text, "ann");
    assert_string_equal(redis_desk_ask(desk, "CLIENT GETNAME").text, "headgate-test");
    assert_non_null(strstr(redis_desk_ask(desk, "CLIENT INFO").text, "name=headgate-test"));
    redis_desk_ask(desk, "SET where here");
    assert_non_null(strstr(redis_desk_ask(desk, "INFO keyspace").text, "db3:keys=1"));
}

static void
a_password_alone_is_that_of_the_default_user(void **state)
{
    struct redis_desk *desk = *state;

    redis_server_do(desk->server, "CONFIG SET requirepass open");
    snprintf(desk->url.password, sizeof(desk->url.password), "open");
    redis_desk_connect(desk);
    assert_string_equal(redis_desk_ask(desk, "ACL WHOAMI").text, "default");
}

static void
arguments_and_answers_may_hold_any_bytes(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_args args = {0};
    struct answer answer = {0};

    redis_desk_connect(desk);
    redis_arg(&args, "ECHO");
    redis_arg_bytes(&args, "a\0b\r\n$3\r\n", 9);
    redis_send(desk->redis, &args, 0, take_answer, &answer);
    assert_true(loop_until_count(desk->base, &answer.count, 1, LIMIT_MS));
    assert_int_equal(answer.len, 9);
    assert_memory_equal(answer.text, "a\0b\r\n$3\r\n", 9);
}

static void
a_value_of_many_megabytes_goes_there_and_back(void **state)
{
    struct redis_desk *desk = *state;
    size_t len = (size_t)20 << 20;
    char *value = xcalloc(1, len);
    struct redis_args args = {0};
    struct answer answer = {0};

    memset(value, 'x', len);
    redis_desk_connect(desk);
    redis_arg(&args, "ECHO");
    redis_arg_bytes(&args, value, len);
    redis_send(desk->redis, &args, 0, take_answer, &answer);
    memset(value, 'y', len); /* borrowed until redis_send returned, and no longer */
    free(value);
    assert_true(loop_until_count(desk->base, &answer.count, 1, LIMIT_MS));
    assert_int_equal(answer.len, len);
    assert_int_equal(answer.text[0], 'x');
}

static void
numbers_are_written_in_full(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_args args = {0};
    struct answer answer = {0};

    redis_desk_connect(desk);
    redis_arg(&args, "ECHO");
    redis_arg_int(&args, INT64_MIN);
    redis_send(desk->redis, &args, 0, take_answer, &answer);
    assert_true(loop_until_count(desk->base, &answer.count, 1, LIMIT_MS));
    assert_string_equal(answer.text, "-9223372036854775808");
}

struct sequence {
    int count;
    bool is_in_order;
};

static void
on_next_number(const redisReply *reply, const struct error *error, void *arg)
{
    struct sequence *sequence = arg;

    (void)error;
    if (redis_int(reply, -1) != ++sequence->count)
        sequence->is_in_order = false;
}

static void
ten_thousand_calls_in_one_turn_are_answered_in_their_order(void **state)
{
    struct redis_desk *desk = *state;
    struct sequence sequence = {.is_in_order = true};
    struct redis_args args = {0};

    redis_desk_connect(desk);
    redis_arg(&args, "INCR");
    redis_arg(&args, "n");
    for (int i = 0; i < 10000; i++)
        redis_send(desk->redis, &args, 8000 + (i * 7919) % 10000, on_next_number, &sequence);
    assert_int_equal(sequence.count, 0);
    assert_true(loop_until_count(desk->base, &sequence.count, 10000, LIMIT_MS));
    assert_true(sequence.is_in_order);
}

static void
a_call_made_too_early_fails_at_the_next_turn_and_not_before(void **state)
{
    struct redis_desk *desk = *state;
    struct answer answer = {0};

    redis_desk_open(desk);
    assert_int_equal(desk->states, 0);
    assert_false(redis_is_ready(desk->redis));
    assert_int_equal(redis_last_error(desk->redis)->kind, ERROR_UNREACHABLE);
    redis_desk_send(desk, "PING", &answer);
    assert_int_equal(answer.count, 0);
    loop_turn(desk->base);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.kind, ERROR_UNREACHABLE);
    redis_desk_wait_ready(desk);
    assert_int_equal(redis_last_error(desk->redis)->kind, ERROR_NONE);
    assert_int_equal(answer.count, 1);
}

static void
a_command_without_a_name_fails_through_its_callback(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_args nothing = {0};
    struct answer answer = {0};

    redis_desk_connect(desk);
    redis_send(desk->redis, &nothing, 0, take_answer, &answer);
    assert_int_equal(answer.count, 0);
    assert_true(loop_until_count(desk->base, &answer.count, 1, LIMIT_MS));
    assert_int_equal(answer.kind, ERROR_INPUT);
    assert_string_equal(redis_desk_ask(desk, "PING").text, "PONG");
}

static void
a_cancelled_call_is_silent_and_its_answer_goes_to_nobody_else(void **state)
{
    struct redis_desk *desk = *state;
    struct answer cancelled = {0}, failed = {0}, next = {0};

    redis_desk_connect(desk);
    redis_cancel(redis_desk_send(desk, "ECHO first", &cancelled));
    redis_cancel(redis_send(desk->redis, &(struct redis_args){0}, 0, take_answer, &failed));
    redis_cancel(NULL);
    redis_desk_send(desk, "ECHO second", &next);
    assert_true(loop_until_count(desk->base, &next.count, 1, LIMIT_MS));
    assert_string_equal(next.text, "second");
    assert_int_equal(cancelled.count, 0);
    assert_int_equal(failed.count, 0);
}

static void
an_error_inside_an_array_stays_there(void **state)
{
    struct redis_desk *desk = *state;
    struct answer ignored = {0};

    redis_desk_connect(desk);
    redis_desk_ask(desk, "SET text abc");
    redis_desk_send(desk, "MULTI", &ignored);
    redis_desk_send(desk, "INCR text", &ignored);
    redis_desk_send(desk, "ECHO fine", &ignored);
    assert_int_equal(redis_desk_ask(desk, "EXEC").type, REDIS_REPLY_ARRAY);
}

static struct redis_script
sum_script(void)
{
    struct redis_script script;

    redis_script_init(&script, "sum", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    return script;
}

static struct redis_call *
add(struct redis_desk *desk, const struct redis_script *script, struct answer *answer)
{
    struct redis_args args = {0};

    redis_arg_int(&args, 1);
    redis_arg(&args, "sum");
    redis_arg_int(&args, 5);
    return redis_eval(desk->redis, script, &args, 0, take_answer, answer);
}

static void
a_script_that_redis_does_not_know_is_run_all_the_same_and_once(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_script script = sum_script();
    struct answer answer = {0}, again = {0}, flushed = {0};

    redis_desk_connect(desk);
    add(desk, &script, &answer);
    assert_true(loop_until_count(desk->base, &answer.count, 1, LIMIT_MS));
    assert_int_equal(answer.number, 5);
    add(desk, &script, &again);
    assert_true(loop_until_count(desk->base, &again.count, 1, LIMIT_MS));
    assert_int_equal(again.number, 10);
    redis_server_do(desk->server, "SCRIPT FLUSH");
    add(desk, &script, &flushed);
    assert_true(loop_until_count(desk->base, &flushed.count, 1, LIMIT_MS));
    assert_int_equal(flushed.number, 15);
}

static void
many_calls_of_an_unknown_script_in_one_turn_all_run(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_script script = sum_script();
    struct answer answer = {0};

    redis_desk_connect(desk);
    for (int i = 0; i < 20; i++)
        add(desk, &script, &answer);
    assert_true(loop_until_count(desk->base, &answer.count, 20, LIMIT_MS));
    assert_int_equal(answer.number, 100);
}

static void
a_cancelled_call_of_an_unknown_script_still_runs(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_script script = sum_script();
    struct answer cancelled = {0}, after = {0};

    redis_desk_connect(desk);
    redis_cancel(add(desk, &script, &cancelled));
    redis_desk_ask(desk, "PING");
    add(desk, &script, &after);
    assert_true(loop_until_count(desk->base, &after.count, 1, LIMIT_MS));
    assert_int_equal(after.number, 10);
    assert_int_equal(cancelled.count, 0);
}

static void
on_reply_count(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    assert_non_null(error);
    assert_int_equal(error->kind, ERROR_LOST);
    ++*(int *)arg;
}

static void
reconnect_drops_a_blocked_pop_and_is_ready_again_soon(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_args args = {0};
    int lost = 0;

    redis_desk_connect(desk);
    redis_arg(&args, "BLPOP");
    redis_arg(&args, "empty");
    redis_arg_int(&args, 0);
    redis_send(desk->redis, &args, 60000, on_reply_count, &lost);
    redis_reconnect(desk->redis);
    assert_int_equal(lost, 0);
    assert_false(redis_is_ready(desk->redis));
    assert_true(loop_until_count(desk->base, &lost, 1, LIMIT_MS));
    redis_desk_wait_ready(desk);
    redis_server_do(desk->server, "RPUSH empty job");
    assert_int_equal(redis_desk_ask(desk, "LLEN empty").number, 1);
    assert_int_equal(lost, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_desk_setup, redis_desk_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_gets_its_answer_over_a_unix_socket),
        TEST(a_host_name_and_tcp_do_as_well),
        TEST(user_password_database_and_name_are_those_asked_for),
        TEST(a_password_alone_is_that_of_the_default_user),
        TEST(arguments_and_answers_may_hold_any_bytes),
        TEST(a_value_of_many_megabytes_goes_there_and_back),
        TEST(numbers_are_written_in_full),
        TEST(ten_thousand_calls_in_one_turn_are_answered_in_their_order),
        TEST(a_call_made_too_early_fails_at_the_next_turn_and_not_before),
        TEST(a_command_without_a_name_fails_through_its_callback),
        TEST(a_cancelled_call_is_silent_and_its_answer_goes_to_nobody_else),
        TEST(an_error_inside_an_array_stays_there),
        TEST(a_script_that_redis_does_not_know_is_run_all_the_same_and_once),
        TEST(many_calls_of_an_unknown_script_in_one_turn_all_run),
        TEST(a_cancelled_call_of_an_unknown_script_still_runs),
        TEST(reconnect_drops_a_blocked_pop_and_is_ready_again_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
