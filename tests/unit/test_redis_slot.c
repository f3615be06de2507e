#include "common/redis/redis_slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 12739 is the specification's own check value (0x31C3); the others are CLUSTER KEYSLOT's. */
static void
keys_have_the_slots_that_redis_gives_them(void **state)
{
    static const struct {
        const char *key;
        int slot;
    } rows[] = {
        {"123456789", 12739},   {"", 0},
        {"foo", 12182},         {"bar", 5061},
        {"hello", 866},         {"foo{hash_tag}", 2515},
        {"{hash_tag}", 2515},   {"hash_tag", 2515},
        {"a{foo}{bar}", 12182},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (redis_slot(rows[i].key, strlen(rows[i].key)) != rows[i].slot)
            fail_msg("%s: %d, not %d", rows[i].key, redis_slot(rows[i].key, strlen(rows[i].key)),
                     rows[i].slot);
}

static void
only_a_whole_tag_that_is_not_empty_counts(void **state)
{
    (void)state;
    assert_int_not_equal(redis_slot("foo{}bar", 8), redis_slot("", 0));
    assert_int_not_equal(redis_slot("{foo", 4), redis_slot("foo", 3));
    assert_int_not_equal(redis_slot("{}{foo}", 7), redis_slot("foo", 3));
    assert_int_equal(redis_slot("x{{foo}}y", 9), redis_slot("{foo", 4));
    assert_int_equal(redis_slot("\0{foo}\0", 7), redis_slot("foo", 3));
}

static void
all_keys_of_a_queue_share_its_slot(void **state)
{
    (void)state;
    assert_int_equal(redis_slot("headgate:{analyze}:result:42", 28), redis_slot("analyze", 7));
    assert_int_equal(redis_slot("headgate:{analyze}:result:{other}", 33), redis_slot("analyze", 7));
}

static void
redirects_are_read(void **state)
{
    struct redis_redirect to;

    (void)state;
    assert_true(redis_redirect_read("MOVED 3999 10.0.0.2:6381", "h", &to));
    assert_int_equal(to.kind, REDIS_MOVED);
    assert_int_equal(to.slot, 3999);
    assert_string_equal(to.to.host, "10.0.0.2");
    assert_int_equal(to.to.port, 6381);
    assert_true(redis_redirect_read("ASK 16383 ::1:7000", "h", &to));
    assert_int_equal(to.kind, REDIS_ASK);
    assert_string_equal(to.to.host, "::1");
    assert_true(redis_redirect_read("MOVED 0 :6381", "asked", &to));
    assert_string_equal(to.to.host, "asked");
    assert_true(redis_redirect_read("MOVED 0 ?:6381", "asked", &to));
    assert_string_equal(to.to.host, "asked");
}

static void
what_only_looks_like_a_redirect_is_none(void **state)
{
    static const char *const rows[] = {
        "",
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED x h:1",
        "MOVED -1 h:1",
        "MOVED 16384 h:1",
        "MOVED 99999999999999999999 h:1",
        "MOVED 1 h",
        "MOVED 1 h:",
        "MOVED 1 h:0",
        "MOVED 1 h:65536",
        "MOVED 1 h:99999999999999999999",
        "MOVED 1 h:1x",
        "MOVED 1h h:1",
        "MOVEDX 1 h:1",
        "moved 1 h:1",
        "TRYAGAIN Multiple keys request during rehashing of slot",
    };
    struct redis_redirect to;
    char text[400];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (redis_redirect_read(rows[i], "asked", &to))
            fail_msg("taken: %s", rows[i]);
    snprintf(text, sizeof(text), "MOVED 1 %0300d:1", 0);
    assert_false(redis_redirect_read(text, "asked", &to));
    assert_false(redis_redirect_read("MOVED 1 :1", "", &to));
}

/* ---- the map ---- */

struct seen {
    int ranges;
    char last[300];
};

static void
on_range(int first, int last, const struct redis_node_address *primary, void *arg)
{
    struct seen *seen = arg;

    seen->ranges++;
    snprintf(seen->last, sizeof(seen->last), "%d-%d %s:%d", first, last, primary->host,
             primary->port);
}

/* What a server says, as it goes over the wire. */
static int
read_map(const char *wire, size_t len, struct seen *seen)
{
    redisReader *reader = redisReaderCreate();
    struct error err = {0};
    void *reply = NULL;
    int outcome;

    *seen = (struct seen){0};
    redisReaderFeed(reader, wire, len);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    outcome = redis_slots_read(reply, "asked", on_range, seen, &err);
    freeReplyObject(reply);
    redisReaderFree(reader);
    if (outcome != 0)
        assert_int_equal(err.kind, ERROR_INTERNAL);
    return outcome;
}

#define RANGE(first, last, node) "*3\r\n:" first "\r\n:" last "\r\n" node
#define NODE(host, port)         "*3\r\n" host "\r\n:" port "\r\n$2\r\nid\r\n"
#define HOST                     "$9\r\n127.0.0.1"

static void
a_map_is_read(void **state)
{
    static const struct {
        const char *wire, *last;
        int ranges;
    } rows[] = {
        {"*1\r\n" RANGE("0", "16383", NODE(HOST, "7000")), "0-16383 127.0.0.1:7000", 1},
        {"*2\r\n" RANGE("0", "99", NODE(HOST, "7000")) RANGE("100", "100", NODE(HOST, "7001")),
         "100-100 127.0.0.1:7001", 2},
        {"*1\r\n" RANGE("5", "6", NODE("$-1", "7000")), "5-6 asked:7000", 1},
        {"*1\r\n" RANGE("5", "6", NODE("$0\r\n", "7000")), "5-6 asked:7000", 1},
        {"*1\r\n" RANGE("5", "6", NODE("$1\r\n?", "7000")), "5-6 asked:7000", 1},
        {"*2\r\n" RANGE("0", "9", NODE(HOST, "7000")) RANGE("5", "9", NODE(HOST, "7001")),
         "5-9 127.0.0.1:7001", 2},
        /* Redis 7: what else is known of a node; and a replica behind the primary */
        {"*1\r\n*4\r\n:1\r\n:2\r\n*4\r\n" HOST "\r\n:7000\r\n$2\r\nid\r\n*2\r\n$8\r\nhostname\r\n"
         "$1\r\nx\r\n*3\r\n" HOST "\r\n:7003\r\n$2\r\nid\r\n",
         "1-2 127.0.0.1:7000", 1},
    };
    struct seen seen;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(read_map(rows[i].wire, strlen(rows[i].wire), &seen), 0);
        assert_int_equal(seen.ranges, rows[i].ranges);
        assert_string_equal(seen.last, rows[i].last);
    }
}

static void
what_makes_no_sense_in_a_map_is_left_out(void **state)
{
    static const char *const bad[] = {
        RANGE("-1", "5", NODE(HOST, "7000")),
        RANGE("9", "5", NODE(HOST, "7000")),
        RANGE("0", "16384", NODE(HOST, "7000")),
        RANGE("0", "9223372036854775807", NODE(HOST, "7000")),
        RANGE("0", "5", NODE(HOST, "0")),
        RANGE("0", "5", NODE(HOST, "65536")),
        RANGE("0", "5", NODE(":1", "7000")),
        RANGE("0", "5", NODE("*0", "7000")),
        RANGE("0", "5", ":7000\r\n"),
        RANGE("0", "5", "*0\r\n"),
        RANGE("0", "5", "$-1\r\n"),
        "*2\r\n:0\r\n:5\r\n",
        "*0\r\n",
        "$-1\r\n",
        ":5\r\n",
    };
    struct seen seen;
    char wire[400];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(wire, sizeof(wire), "*2\r\n%s%s", bad[i], RANGE("1", "2", NODE(HOST, "7000")));
        if (read_map(wire, strlen(wire), &seen) != 0 || seen.ranges != 1)
            fail_msg("row %zu: %d ranges", i, seen.ranges);
        snprintf(wire, sizeof(wire), "*1\r\n%s", bad[i]);
        assert_int_equal(read_map(wire, strlen(wire), &seen), -1);
    }
}

static void
what_is_no_map_is_refused(void **state)
{
    static const char *const rows[] = {"$-1\r\n", "*-1\r\n", "*0\r\n",
                                       ":1\r\n",  "+OK\r\n", "$2\r\nhi\r\n"};
    struct seen seen;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(read_map(rows[i], strlen(rows[i]), &seen), -1);
    assert_int_equal(redis_slots_read(NULL, "asked", on_range, &seen, &err), -1);
}

static void
a_host_with_a_nul_is_no_host(void **state)
{
    static const char wire[] = "*1\r\n*3\r\n:0\r\n:5\r\n*3\r\n$3\r\na\0b\r\n:7000\r\n$2\r\nid\r\n";
    struct seen seen;

    (void)state;
    assert_int_equal(read_map(wire, sizeof(wire) - 1, &seen), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_the_slots_that_redis_gives_them),
        cmocka_unit_test(only_a_whole_tag_that_is_not_empty_counts),
        cmocka_unit_test(all_keys_of_a_queue_share_its_slot),
        cmocka_unit_test(redirects_are_read),
        cmocka_unit_test(what_only_looks_like_a_redirect_is_none),
        cmocka_unit_test(what_makes_no_sense_in_a_map_is_left_out),
        cmocka_unit_test(a_map_is_read),
        cmocka_unit_test(what_is_no_map_is_refused),
        cmocka_unit_test(a_host_with_a_nul_is_no_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
