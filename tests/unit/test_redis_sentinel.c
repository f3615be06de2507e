#include "common/redis/redis_sentinel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <hiredis/read.h>

static redisReply *
parse(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    redisReaderFeed(reader, text, strlen(text));
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void
an_answer_names_the_primary(void **state)
{
    redisReply *reply = parse("*2\r\n$8\r\n10.0.0.7\r\n$4\r\n6380\r\n");
    struct redis_seed primary;

    assert_true(redis_sentinel_read_address(reply, &primary));
    assert_string_equal(primary.host, "10.0.0.7");
    assert_int_equal(primary.port, 6380);
    freeReplyObject(reply);
    (void)state;
}

static void
an_answer_that_names_nobody_is_not_taken(void **state)
{
    static const char *const answers[] = {
        "*-1\r\n",
        "$-1\r\n",
        "+OK\r\n",
        ":7\r\n",
        "*0\r\n",
        "*1\r\n$1\r\nh\r\n",
        "*2\r\n$0\r\n\r\n$4\r\n6380\r\n",
        "*2\r\n$1\r\nh\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\nh\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\nh\r\n$2\r\n-1\r\n",
        "*2\r\n$1\r\nh\r\n$4\r\nport\r\n",
        "*2\r\n:1\r\n$4\r\n6380\r\n",
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        redisReply *reply = parse(answers[i]);
        struct redis_seed primary;

        assert_false(redis_sentinel_read_address(reply, &primary));
        freeReplyObject(reply);
    }
    (void)state;
}

static void
a_host_that_is_too_long_is_not_taken(void **state)
{
    char text[600], host[301];
    struct redis_seed primary;
    redisReply *reply;

    memset(host, 'h', 300);
    host[300] = '\0';
    snprintf(text, sizeof(text), "*2\r\n$300\r\n%s\r\n$4\r\n6380\r\n", host);
    reply = parse(text);
    assert_false(redis_sentinel_read_address(reply, &primary));
    freeReplyObject(reply);
    snprintf(text, sizeof(text), "m a 1 %s 2", host);
    assert_false(redis_sentinel_read_switch(text, strlen(text), "m", &primary));
    (void)state;
}

static const struct {
    const char *message;
    const char *name;
    const char *host; /* NULL: it is not about us */
    int port;
} switches[] = {
    {"mymaster 10.0.0.1 6379 10.0.0.2 6380", "mymaster", "10.0.0.2", 6380},
    {"my master a 1 b.example 2", "my master", "b.example", 2},
    {"m ::1 6379 ::2 6380", "m", "::2", 6380},
    {"mymaster2 10.0.0.1 6379 10.0.0.2 6380", "mymaster", NULL, 0},
    {"other 10.0.0.1 6379 10.0.0.2 6380", "mymaster", NULL, 0},
    {"mymaster 10.0.0.1 6379 10.0.0.2", "mymaster", NULL, 0},
    {"mymaster 10.0.0.1 6379 10.0.0.2 6380 more", "mymaster", NULL, 0},
    {"mymaster 10.0.0.1 6379 10.0.0.2 70000", "mymaster", NULL, 0},
    {"mymaster 10.0.0.1 6379 10.0.0.2 -1", "mymaster", NULL, 0},
    {"mymaster", "mymaster", NULL, 0},
    {"", "mymaster", NULL, 0},
};

static void
a_switch_names_the_new_primary_of_our_master_only(void **state)
{
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        struct redis_seed primary = {0};
        bool is_ours = redis_sentinel_read_switch(switches[i].message, strlen(switches[i].message),
                                                  switches[i].name, &primary);

        assert_int_equal(is_ours, switches[i].host != NULL);
        if (!is_ours)
            continue;
        assert_string_equal(primary.host, switches[i].host);
        assert_int_equal(primary.port, switches[i].port);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_names_the_primary),
        cmocka_unit_test(an_answer_that_names_nobody_is_not_taken),
        cmocka_unit_test(a_host_that_is_too_long_is_not_taken),
        cmocka_unit_test(a_switch_names_the_new_primary_of_our_master_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
