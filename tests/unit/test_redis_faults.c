/* What common/redis does when Redis refuses, hangs, dies or is not there. */
#include "common/redis/redis.h"

#include "common/clock.h"
#include "tests/support/fake_redis.h"
#include "tests/support/loop.h"
#include "tests/support/redis_desk.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
redis_own_errors_arrive_with_their_kind_and_words(void **state)
{
    struct redis_desk *desk = *state;
    struct answer answer;

    redis_server_do(desk->server, "ACL SETUSER bob on nopass ~* &* +@all -flushall");
    snprintf(desk->url.username, sizeof(desk->url.username), "bob");
    redis_desk_connect(desk);
    answer = redis_desk_ask(desk, "FLUSHALL");
    assert_int_equal(answer.kind, ERROR_REFUSED);
    assert_non_null(strstr(answer.text, "NOPERM"));
    answer = redis_desk_ask(desk, "NOSUCH command");
    assert_int_equal(answer.kind, ERROR_INTERNAL);
    redis_server_do(desk->server, "CONFIG SET maxmemory 1");
    answer = redis_desk_ask(desk, "SET a b");
    assert_int_equal(answer.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(answer.text, "OOM"));
    redis_server_do(desk->server, "CONFIG SET maxmemory 0");
    redis_server_do(desk->server, "CONFIG SET min-replicas-to-write 1");
    answer = redis_desk_ask(desk, "SET a b");
    assert_int_equal(answer.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(answer.text, "NOREPLICAS"));
    assert_true(desk->is_ready);
}

static void
a_read_only_replica_is_left_for_a_new_connection(void **state)
{
    struct redis_desk *desk = *state;
    struct answer answer;

    redis_desk_connect(desk);
    redis_server_do(desk->server, "REPLICAOF 127.0.0.1 1");
    answer = redis_desk_ask(desk, "SET a b");
    assert_int_equal(answer.kind, ERROR_TRANSIENT);
    redis_desk_wait_failure(desk, ERROR_TRANSIENT, "READONLY");
    redis_server_do(desk->server, "REPLICAOF NO ONE");
    redis_desk_wait_ready(desk);
    assert_string_equal(redis_desk_ask(desk, "SET a b").text, "OK");
}

static void
a_wrong_password_is_told_once_and_tried_until_it_is_right(void **state)
{
    struct redis_desk *desk = *state;

    redis_server_do(desk->server, "ACL SETUSER eve on >old ~* +@all");
    snprintf(desk->url.username, sizeof(desk->url.username), "eve");
    snprintf(desk->url.password, sizeof(desk->url.password), "new");
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_REFUSED, "AUTH: WRONGPASS");
    assert_int_equal(desk->states, 1);
    redis_server_do(desk->server, "ACL SETUSER eve >new");
    redis_desk_wait_ready(desk);
    assert_int_equal(desk->states, 2);
}

static void
a_password_that_is_missing_is_refused(void **state)
{
    struct redis_desk *desk = *state;

    redis_server_do(desk->server, "CONFIG SET requirepass secret");
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_REFUSED, "NOAUTH");
}

static void
a_database_that_is_not_there_is_refused(void **state)
{
    struct redis_desk *desk = *state;

    desk->url.db = 16000;
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_REFUSED, "SELECT: ERR DB index is out of range");
}

static void
a_user_who_may_not_ping_is_ready(void **state)
{
    struct redis_desk *desk = *state;

    redis_server_do(desk->server, "ACL SETUSER jo on nopass ~* +@all -ping");
    snprintf(desk->url.username, sizeof(desk->url.username), "jo");
    redis_desk_connect(desk);
}

static void
one_client_too_many_is_told_in_redis_words(void **state)
{
    struct redis_desk *desk = *state;
    redisContext *other = redisConnectUnix(desk->server->socket);

    freeReplyObject(redisCommand(other, "CONFIG SET maxclients 1"));
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_UNREACHABLE, "max number of clients");
    freeReplyObject(redisCommand(other, "CONFIG SET maxclients 100"));
    redisFree(other);
    redis_desk_wait_ready(desk);
}

static void
calls_of_a_dying_connection_are_lost_and_the_next_one_is_up_in_two_seconds(void **state)
{
    struct redis_desk *desk = *state;
    struct answer blocked = {0}, down;
    int64_t back_ms;

    redis_desk_use_tcp(desk, desk->server->port);
    redis_desk_connect(desk);
    redis_desk_send(desk, "BLPOP nothing 0", &blocked);
    redis_desk_send(desk, "PING", &blocked);
    loop_turn(desk->base);
    redis_server_kill(desk->server);
    assert_true(loop_until_count(desk->base, &blocked.count, 2, LIMIT_MS));
    assert_int_equal(blocked.kind, ERROR_LOST);
    redis_desk_wait_failure(desk, ERROR_UNREACHABLE, "Connection refused");
    down = redis_desk_ask(desk, "PING");
    assert_int_equal(down.kind, ERROR_UNREACHABLE);
    assert_non_null(strstr(down.text, "Connection refused"));
    redis_server_restart(desk->server);
    back_ms = clock_mono_ms();
    redis_desk_wait_ready(desk);
    assert_true(clock_mono_ms() - back_ms < 2000);
    assert_string_equal(redis_desk_ask(desk, "PING").text, "PONG");
    assert_int_equal(desk->states, 4); /* ready, lost, refused, ready */
}

static void
a_killed_client_is_back_at_once(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_connect(desk);
    for (int i = 0; i < 3; i++) {
        redis_server_do(desk->server, "CLIENT KILL TYPE normal");
        redis_desk_wait_failure(desk, ERROR_LOST, "closed by the server");
        redis_desk_wait_ready(desk);
    }
}

static void
a_missed_deadline_is_a_timeout_and_the_calls_beside_it_are_lost(void **state)
{
    struct redis_desk *desk = *state;
    struct answer late = {0}, lost = {0};
    struct redis_args args = {0};

    redis_desk_connect(desk);
    redis_server_signal(desk->server, SIGSTOP);
    redis_desk_send(desk, "PING", &lost);
    redis_arg(&args, "PING");
    redis_send(desk->redis, &args, 50, take_answer, &late);
    redis_desk_send(desk, "PING", &lost);
    assert_true(loop_until_count(desk->base, &lost.count, 2, LIMIT_MS));
    assert_int_equal(late.count, 1);
    assert_int_equal(late.kind, ERROR_TIMEOUT);
    assert_int_equal(lost.kind, ERROR_LOST);
    redis_desk_wait_failure(desk, ERROR_TIMEOUT, "does not answer");
    redis_server_signal(desk->server, SIGCONT);
    redis_desk_wait_ready(desk);
}

static void
a_host_that_does_not_exist_is_told_and_waited_for(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_use_tcp(desk, 1);
    /* a label of more than 63 bytes: no name server is asked */
    memset(desk->url.host, 'a', 64);
    snprintf(desk->url.host + 64, sizeof(desk->url.host) - 64, ".invalid");
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_UNREACHABLE, "looking up aaaa");
}

static void
the_room_may_be_freed_while_the_name_is_looked_up(void **state)
{
    struct redis_desk *desk = *state;

    redis_desk_use_tcp(desk, 1);
    snprintf(desk->url.host, sizeof(desk->url.host), "localhost");
    for (int i = 0; i < 20; i++) {
        redis_desk_open(desk);
        loop_turn(desk->base);
        redis_free(desk->redis);
    }
    redis_desk_open(desk);
    loop_turn(desk->base);
    redis_reconnect(desk->redis);
    redis_desk_wait_failure(desk, ERROR_UNREACHABLE, "Connection refused");
}

static void
a_socket_that_is_not_there_is_told_once(void **state)
{
    struct redis_desk *desk = *state;
    int64_t until_ms = 0;

    snprintf(desk->url.path, sizeof(desk->url.path), "/nonexistent/redis.sock");
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_UNREACHABLE, "No such file");
    until_ms = clock_mono_ms() + 120; /* one or two attempts more */
    while (clock_mono_ms() < until_ms)
        loop_turn(desk->base);
    assert_int_equal(desk->states, 1);
}

/* A server that loads its data for three PINGs. */
static const char *
answer_loading(const redisReply *command, int connection, void *arg)
{
    int *pings = arg;

    (void)connection;
    if (strcmp(command->element[0]->str, "PING") != 0)
        return "+OK\r\n";
    return ++*pings <= 3 ? "-LOADING Redis is loading the dataset in memory\r\n" : "+PONG\r\n";
}

static void
a_server_that_is_loading_is_waited_for_on_the_same_connection(void **state)
{
    struct redis_desk *desk = *state;
    int pings = 0;
    struct fake_redis *fake = fake_redis_new(desk->base, answer_loading, &pings);

    redis_desk_use_tcp(desk, fake_redis_port(fake));
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_TRANSIENT, "LOADING");
    redis_desk_wait_ready(desk);
    assert_int_equal(pings, 4);
    assert_int_equal(desk->states, 2);
    assert_int_equal(fake_redis_connections(fake), 1);
    fake_redis_free(fake);
}

static const char *
answer_echoing_auth(const redisReply *command, int connection, void *arg)
{
    (void)connection;
    (void)arg;
    if (strcmp(command->element[0]->str, "AUTH") == 0)
        return "-ERR unknown command 'AUTH', with args beginning with: 'hush' \r\n";
    return "+OK\r\n";
}

static void
a_password_that_the_server_repeats_is_not_passed_on(void **state)
{
    struct redis_desk *desk = *state;
    struct fake_redis *fake = fake_redis_new(desk->base, answer_echoing_auth, NULL);

    snprintf(desk->url.password, sizeof(desk->url.password), "hush");
    redis_desk_use_tcp(desk, fake_redis_port(fake));
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_REFUSED, "AUTH: ERR unknown command");
    assert_null(strstr(desk->why.message, "hush"));
    fake_redis_free(fake);
}

/* Says `arg` to a GET, once logged in. */
static const char *
answer_to_get(const redisReply *command, int connection, void *arg)
{
    if (connection == 1 && strcmp(command->element[0]->str, "GET") == 0)
        return arg;
    return "+OK\r\n";
}

static void
get_from_a_server_that_says(struct redis_desk *desk, const char *text, enum error_kind kind,
                            const char *words)
{
    char wire[128];
    struct fake_redis *fake = fake_redis_new(desk->base, answer_to_get, wire);
    struct answer answer;

    snprintf(wire, sizeof(wire), "%s", text);
    redis_desk_use_tcp(desk, fake_redis_port(fake));
    redis_desk_connect(desk);
    answer = redis_desk_ask(desk, "GET a");
    assert_int_equal(answer.kind, kind);
    assert_non_null(strstr(answer.text, words));
    redis_free(desk->redis);
    desk->redis = NULL;
    desk->is_ready = false;
    fake_redis_free(fake);
}

static void
an_answer_that_is_no_answer_ends_the_connection(void **state)
{
    struct redis_desk *desk = *state;

    get_from_a_server_that_says(desk, "HTTP/1.1 400\r\n", ERROR_LOST, "not Redis' protocol");
    get_from_a_server_that_says(desk, FAKE_REDIS_HANG_UP, ERROR_LOST, "closed by the server");
    get_from_a_server_that_says(desk, "$5\r\nhe", ERROR_TIMEOUT, "no answer");
    get_from_a_server_that_says(desk, "-MASTERDOWN no link\r\n", ERROR_TRANSIENT, "MASTERDOWN");
}

static void
an_answer_that_nobody_asked_for_ends_the_connection(void **state)
{
    struct redis_desk *desk = *state;
    char wire[] = "$1\r\na\r\n$1\r\nb\r\n";
    struct fake_redis *fake = fake_redis_new(desk->base, answer_to_get, wire);

    redis_desk_use_tcp(desk, fake_redis_port(fake));
    redis_desk_connect(desk);
    assert_string_equal(redis_desk_ask(desk, "GET a").text, "a");
    redis_desk_wait_failure(desk, ERROR_LOST, "nobody asked for");
    redis_desk_wait_ready(desk);
    fake_redis_free(fake);
}

static const char *
answer_nothing(const redisReply *command, int connection, void *arg)
{
    (void)command;
    (void)connection;
    (void)arg;
    return NULL;
}

static void
a_login_that_hangs_is_given_up(void **state)
{
    struct redis_desk *desk = *state;
    struct fake_redis *fake = fake_redis_new(desk->base, answer_nothing, NULL);

    redis_desk_use_tcp(desk, fake_redis_port(fake));
    redis_desk_open(desk);
    redis_desk_wait_failure(desk, ERROR_TIMEOUT, "does not answer");
    fake_redis_free(fake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_desk_setup, redis_desk_teardown)
#define ALONE(name)                                                                                \
    cmocka_unit_test_setup_teardown(name, redis_desk_setup_alone, redis_desk_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(redis_own_errors_arrive_with_their_kind_and_words),
        TEST(a_read_only_replica_is_left_for_a_new_connection),
        TEST(a_wrong_password_is_told_once_and_tried_until_it_is_right),
        TEST(a_password_that_is_missing_is_refused),
        TEST(a_database_that_is_not_there_is_refused),
        TEST(a_user_who_may_not_ping_is_ready),
        TEST(one_client_too_many_is_told_in_redis_words),
        TEST(calls_of_a_dying_connection_are_lost_and_the_next_one_is_up_in_two_seconds),
        TEST(a_killed_client_is_back_at_once),
        TEST(a_missed_deadline_is_a_timeout_and_the_calls_beside_it_are_lost),
        ALONE(a_host_that_does_not_exist_is_told_and_waited_for),
        ALONE(the_room_may_be_freed_while_the_name_is_looked_up),
        ALONE(a_socket_that_is_not_there_is_told_once),
        ALONE(a_server_that_is_loading_is_waited_for_on_the_same_connection),
        ALONE(a_password_that_the_server_repeats_is_not_passed_on),
        ALONE(an_answer_that_is_no_answer_ends_the_connection),
        ALONE(an_answer_that_nobody_asked_for_ends_the_connection),
        ALONE(a_login_that_hangs_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
