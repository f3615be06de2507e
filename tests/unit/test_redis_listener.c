/* A connection of common/redis that listens to channels. */
#include "common/redis/redis.h"

#include "tests/support/fake_redis.h"
#include "tests/support/loop.h"
#include "tests/support/redis_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* How many got it. */
static int64_t
publish(struct redis_desk *desk, const char *channel, const char *message)
{
    redisReply *reply = redis_server_ask(desk->server, "PUBLISH %s %s", channel, message);
    int64_t receivers = redis_int(reply, -1);

    freeReplyObject(reply);
    return receivers;
}

static void
a_listener_that_is_ready_misses_no_message(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_open(desk);
    redis_subscribe(desk->redis, "done");
    redis_subscribe(desk->redis, "control");
    redis_subscribe(desk->redis, "done");
    redis_desk_wait_ready(desk);
    assert_int_equal(publish(desk, "done", "42"), 1);
    assert_true(loop_until_count(desk->base, &desk->pushes, 1, LIMIT_MS));
    assert_string_equal(desk->pushed, "done=42");
    assert_int_equal(publish(desk, "control", "pause"), 1);
    assert_true(loop_until_count(desk->base, &desk->pushes, 2, LIMIT_MS));
    assert_string_equal(desk->pushed, "control=pause");
}

static void
channels_are_asked_for_again_after_a_restart(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_open(desk);
    redis_subscribe(desk->redis, "done");
    redis_desk_wait_ready(desk);
    redis_server_kill(desk->server);
    assert_true(loop_until_flag(desk->base, &desk->is_ready, false, LIMIT_MS));
    redis_server_restart(desk->server);
    redis_desk_wait_ready(desk);
    assert_int_equal(publish(desk, "done", "after"), 1);
    assert_true(loop_until_count(desk->base, &desk->pushes, 1, LIMIT_MS));
}

struct audience {
    struct redis_desk *desk;
    const char *channel;
    int64_t receivers;
};

static bool
has_audience(void *arg)
{
    const struct audience *audience = arg;

    return publish(audience->desk, audience->channel, "x") == audience->receivers;
}

static void
channels_come_and_go_while_it_runs_down_to_none(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_connect(desk);
    redis_subscribe(desk->redis, "a");
    assert_true(loop_until(desk->base, has_audience, &(struct audience){desk, "a", 1}, LIMIT_MS));
    redis_unsubscribe(desk->redis, "a");
    redis_unsubscribe(desk->redis, "never asked for");
    assert_true(loop_until(desk->base, has_audience, &(struct audience){desk, "a", 0}, LIMIT_MS));
    redis_subscribe(desk->redis, "b");
    assert_true(loop_until(desk->base, has_audience, &(struct audience){desk, "b", 1}, LIMIT_MS));
    assert_true(loop_until_count(desk->base, &desk->pushes, 1, LIMIT_MS));
    assert_true(desk->is_ready);
    assert_int_equal(desk->states, 1);
}

static void
a_listener_takes_no_calls(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_open(desk);
    redis_subscribe(desk->redis, "done");
    redis_desk_wait_ready(desk);
    assert_int_equal(redis_desk_ask(desk, "PING").kind, ERROR_INTERNAL);
}

static void
a_channel_that_is_forbidden_is_told(void **state)
{
    struct redis_desk *desk = *state;

    redis_server_do(desk->server, "ACL SETUSER amy on nopass ~* resetchannels +@all");
    strcpy(desk->url.username, "amy");
    redis_desk_open(desk);
    redis_subscribe(desk->redis, "secret");
    redis_desk_wait_failure(desk, ERROR_REFUSED, "SUBSCRIBE: NOPERM");
    redis_server_do(desk->server, "ACL SETUSER amy &secret");
    redis_desk_wait_ready(desk);
    assert_int_equal(publish(desk, "secret", "x"), 1);
}

static void
on_push_free(const char *channel, const char *message, size_t len, void *arg)
{
    struct redis_desk *desk = arg;

    (void)channel;
    (void)message;
    (void)len;
    desk->pushes++;
    redis_free(desk->redis);
    desk->redis = NULL;
}

static void
on_state_free(bool is_ready, const struct error *why, void *arg)
{
    struct redis_desk *desk = arg;

    (void)is_ready;
    (void)why;
    desk->states++;
    redis_free(desk->redis);
    desk->redis = NULL;
}

static void
a_message_or_a_change_may_free_the_room(void **state)
{
    struct redis_desk *desk = *state;
    struct redis_options options = {
        .base = desk->base, .url = &desk->url, .on_push = on_push_free, .arg = desk};

    desk->redis = redis_new(&options);
    redis_subscribe(desk->redis, "done");
    assert_true(
        loop_until(desk->base, has_audience, &(struct audience){desk, "done", 1}, LIMIT_MS));
    publish(desk, "done", "again");
    assert_true(loop_until_count(desk->base, &desk->pushes, 1, LIMIT_MS));
    loop_turn(desk->base);
    assert_int_equal(desk->pushes, 1);

    options.on_state = on_state_free;
    options.url = &(struct redis_url){.path = "/nonexistent"};
    desk->redis = redis_new(&options);
    assert_true(loop_until_count(desk->base, &desk->states, 1, LIMIT_MS));
    loop_turn(desk->base);
}

/* Answers the login and the first two pings, then nothing: a half-open link. */
static const char *
answer_and_fall_silent(const redisReply *command, int connection, void *arg)
{
    int *pings = arg;

    (void)connection;
    if (strcmp(command->element[0]->str, "SUBSCRIBE") == 0)
        return "*3\r\n$9\r\nsubscribe\r\n$4\r\ndone\r\n:1\r\n";
    if (strcmp(command->element[0]->str, "PING") != 0)
        return "+OK\r\n";
    return ++*pings <= 3 ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : NULL;
}

static void
on_state(bool is_ready, const struct error *why, void *arg)
{
    struct redis_desk *desk = arg;

    desk->states++;
    desk->is_ready = is_ready;
    desk->why = why != NULL ? *why : (struct error){0};
}

static void
a_listener_notices_that_nobody_is_there_any_more(void **state)
{
    struct redis_desk *desk = *state;
    int pings = 0;
    struct fake_redis *fake = fake_redis_new(desk->base, answer_and_fall_silent, &pings);

    redis_desk_use_tcp(desk, fake_redis_port(fake));
    desk->redis = redis_new(&(struct redis_options){
        .base = desk->base,
        .url = &desk->url,
        .ping_every_ms = 10,
        .on_state = on_state,
        .arg = desk,
    });
    redis_subscribe(desk->redis, "done");
    redis_desk_wait_ready(desk);
    redis_desk_wait_failure(desk, ERROR_TIMEOUT, "does not answer");
    assert_int_equal(pings, 4);
    fake_redis_free(fake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_desk_setup, redis_desk_teardown)
#define ALONE(name)                                                                                \
    cmocka_unit_test_setup_teardown(name, redis_desk_setup_alone, redis_desk_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_listener_that_is_ready_misses_no_message),
        TEST(channels_are_asked_for_again_after_a_restart),
        TEST(channels_come_and_go_while_it_runs_down_to_none),
        TEST(a_listener_takes_no_calls),
        TEST(a_channel_that_is_forbidden_is_told),
        TEST(a_message_or_a_change_may_free_the_room),
        ALONE(a_listener_notices_that_nobody_is_there_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
