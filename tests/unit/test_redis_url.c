#include "common/redis/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
what_a_url_says_is_understood(void **state)
{
    static const struct {
        const char *text;
        struct redis_url url;
        const char *shown;
    } rows[] = {
        {"redis://localhost:6379/0", {.host = "localhost", .port = 6379}, NULL},
        {"redis://localhost", {.host = "localhost", .port = 6379}, "redis://localhost:6379/0"},
        {"REDIS://h/", {.host = "h", .port = 6379}, "redis://h:6379/0"},
        {"redis://10.0.0.1:65535/16383", {.host = "10.0.0.1", .port = 65535, .db = 16383}, NULL},
        {"redis://[::1]", {.host = "::1", .port = 6379}, "redis://[::1]:6379/0"},
        {"redis://[fe80::1]:7000/2", {.host = "fe80::1", .port = 7000, .db = 2}, NULL},
        {"redis://:secret@h:1",
         {.host = "h", .port = 1, .password = "secret"},
         "redis://:***@h:1/0"},
        {"redis://user:secret@h",
         {.host = "h", .port = 6379, .username = "user", .password = "secret"},
         "redis://user:***@h:6379/0"},
        {"redis://user:@h",
         {.host = "h", .port = 6379, .username = "user"},
         "redis://user:@h:6379/0"},
        {"redis://u%3as%40r:p%2Fw%25:x@y@h",
         {.host = "h", .port = 6379, .username = "u:s@r", .password = "p/w%:x@y"},
         "redis://u:s@r:***@h:6379/0"},
        {"redis://h?db=3", {.host = "h", .port = 6379, .db = 3}, "redis://h:6379/3"},
        {"unix:///run/redis.sock", {.path = "/run/redis.sock"}, "unix:///run/redis.sock?db=0"},
        {"unix:///a%20b?db=7", {.path = "/a b", .db = 7}, "unix:///a b?db=7"},
        {"unix://user:pw@/r.sock",
         {.path = "/r.sock", .username = "user", .password = "pw"},
         "unix://user:***@/r.sock?db=0"},
        {"redis+socket:///r.sock?virtual_host=4",
         {.path = "/r.sock", .db = 4},
         "unix:///r.sock?db=4"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct redis_url url;
        struct error err = {0};
        char shown[1200];

        if (redis_url_parse(rows[i].text, &url, &err) != 0)
            fail_msg("%s: %s", rows[i].text, err.message);
        assert_string_equal(url.host, rows[i].url.host);
        assert_int_equal(url.port, rows[i].url.port);
        assert_string_equal(url.path, rows[i].url.path);
        assert_string_equal(url.username, rows[i].url.username);
        assert_string_equal(url.password, rows[i].url.password);
        assert_int_equal(url.db, rows[i].url.db);
        redis_url_show(&url, shown, sizeof(shown));
        assert_string_equal(shown, rows[i].shown != NULL ? rows[i].shown : rows[i].text);
    }
    (void)state;
}

static void
a_wrong_url_is_refused_without_showing_its_secret(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "must begin with redis:// or unix://"},
        {"localhost:6379", "must begin with redis:// or unix://"},
        {"http://h", "must begin with redis:// or unix://"},
        {"redis:/h", "must begin with redis:// or unix://"},
        {"rediss://h", "rediss:// is not available in this version"},
        {"redis+sentinel://h", "redis+sentinel:// is not available in this version"},
        {"redis+cluster://h", "redis+cluster:// is not available in this version"},
        {"redis://", "there is no host"},
        {"redis:///0", "there is no host"},
        {"redis://:6379", "there is no host"},
        {"redis://:hunter2@", "there is no host"},
        {"redis://h:", "the port must be a whole number from 1 to 65535"},
        {"redis://h:0", "the port must be a whole number from 1 to 65535"},
        {"redis://h:65536", "the port must be a whole number from 1 to 65535"},
        {"redis://h:99999999999999999999", "the port must be a whole number from 1 to 65535"},
        {"redis://h:+1", "the port must be a whole number from 1 to 65535"},
        {"redis://h:1x", "the port must be a whole number from 1 to 65535"},
        {"redis://u:hunter2/x@h", "the port must be a whole number from 1 to 65535"},
        {"redis://h/x", "the database must be a whole number from 0 to 16383"},
        {"redis://h/-1", "the database must be a whole number from 0 to 16383"},
        {"redis://h/16384", "the database must be a whole number from 0 to 16383"},
        {"redis://h/0/1", "the database must be a whole number from 0 to 16383"},
        {"redis://h?db=", "the database must be a whole number from 0 to 16383"},
        {"redis://h?ssl=true", "the only option behind '?' is db=N"},
        {"redis://hunter2@h", "what stands before '@' must be user:password or :password"},
        {"redis://:hunter2%@h", "the password has a '%' that is no escape, or a NUL"},
        {"redis://:hunter2%zz@h", "the password has a '%' that is no escape, or a NUL"},
        {"redis://:hunter2%00@h", "the password has a '%' that is no escape, or a NUL"},
        {"redis://a b", "the host is no host name or address"},
        {"redis://h\n", "the host is no host name or address"},
        {"redis://caf\xc3\xa9", "the host is no host name or address"},
        {"redis://::1", "there is no host"},
        {"redis://[::1", "an IPv6 address stands in brackets: [::1]:6379"},
        {"redis://[::1]x", "an IPv6 address stands in brackets: [::1]:6379"},
        {"unix://", "there is no path: unix:///run/redis.sock"},
        {"unix://host/r.sock", "a socket has no host: unix:///run/redis.sock"},
        {"unix:///r.sock?db=x", "the database must be a whole number from 0 to 16383"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct redis_url url;
        struct error err = {0};

        if (redis_url_parse(rows[i].text, &url, &err) == 0)
            fail_msg("%s is taken", rows[i].text);
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_string_equal(err.message, rows[i].message);
        assert_null(strstr(err.message, "hunter2"));
    }
    (void)state;
}

static void
every_part_has_a_bound(void **state)
{
    static const struct {
        const char *before, *behind;
        size_t most;
    } rows[] = {
        {"redis://", "", 255},
        {"redis://", ":pw@h", 127},
        {"redis://:", "@h", 511},
        {"unix:///", "", 106},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t len = rows[i].most; len <= rows[i].most + 1; len++) {
            char filler[600] = "", text[700];
            struct redis_url url;
            struct error err;

            memset(filler, 'x', len);
            snprintf(text, sizeof(text), "%s%s%s", rows[i].before, filler, rows[i].behind);
            assert_int_equal(redis_url_parse(text, &url, &err), len == rows[i].most ? 0 : -1);
        }
    }
    (void)state;
}

static void
a_shown_url_is_cut_where_the_room_ends(void **state)
{
    struct redis_url url;
    char shown[12];

    assert_int_equal(redis_url_parse("redis://:pw@host", &url, NULL), 0);
    redis_url_show(&url, shown, sizeof(shown));
    assert_string_equal(shown, "redis://:**");
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_url_says_is_understood),
        cmocka_unit_test(a_wrong_url_is_refused_without_showing_its_secret),
        cmocka_unit_test(every_part_has_a_bound),
        cmocka_unit_test(a_shown_url_is_cut_where_the_room_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
