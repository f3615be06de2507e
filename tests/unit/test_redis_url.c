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
        {"rediss://h", {.is_tls = true, .host = "h", .port = 6379}, "rediss://h:6379/0"},
        {"rediss://:pw@h:1/2?ssl_ca_certs=/"
         "a%20b&ssl_certfile=c&ssl_keyfile=k&ssl_cert_reqs=required",
         {.is_tls = true,
          .host = "h",
          .port = 1,
          .password = "pw",
          .db = 2,
          .tls = {.ca = "/a b", .cert = "c", .key = "k"}},
         "rediss://:***@h:1/2"},
        {"redis+sentinel://u:p@s1,[::2]:7/my%20master/3?sentinel_username=su&sentinel_password=sp",
         {.topology = REDIS_SENTINEL,
          .host = "s1",
          .port = 26379,
          .seed_count = 2,
          .seeds = {{"s1", 26379}, {"::2", 7}},
          .username = "u",
          .password = "p",
          .db = 3,
          .master_name = "my master",
          .sentinel_username = "su",
          .sentinel_password = "sp"},
         "redis+sentinel://u:***@s1:26379,[::2]:7/my master/3"},
        {"rediss+cluster://:p@a:1,b/0",
         {.topology = REDIS_CLUSTER,
          .is_tls = true,
          .host = "a",
          .port = 1,
          .seed_count = 2,
          .seeds = {{"a", 1}, {"b", 6379}},
          .password = "p"},
         "rediss+cluster://:***@a:1,b:6379"},
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
        assert_memory_equal(&url, &rows[i].url, sizeof(url));
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
        {"", "must begin with redis://, rediss://, unix://, redis+sentinel:// or "
             "redis+cluster://"},
        {"localhost:6379", "must begin with redis://, rediss://, unix://, redis+sentinel:// or "
                           "redis+cluster://"},
        {"http://h", "must begin with redis://, rediss://, unix://, redis+sentinel:// or "
                     "redis+cluster://"},
        {"redis:/h", "must begin with redis://, rediss://, unix://, redis+sentinel:// or "
                     "redis+cluster://"},
        {"redis+sentinel://h", "there is no master name: redis+sentinel://host:26379/mymaster/0"},
        {"redis+sentinel://h/m/x", "the database must be a whole number from 0 to 16383"},
        {"redis+sentinel://h,/m", "there is no host"},
        {"redis+sentinel://h,:1/m", "there is no host"},
        {"redis+cluster://", "there is no host"},
        {"redis+cluster://a,b:0", "the port must be a whole number from 1 to 65535"},
        {"redis+cluster://a,b/1", "a cluster has no other database than 0"},
        {"redis+cluster://a?db=2", "a cluster has no other database than 0"},
        {"redis+cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "there are more than 16 hosts"},
        {"redis://a,b", "the host is no host name or address"},
        {"rediss://h?ssl_cert_reqs=none",
         "ssl_cert_reqs can only be required: name the server's authority with ssl_ca_certs "
         "instead"},
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
        {"redis://h?ssl=true", "the options behind '?' are db, ssl_ca_certs, ssl_certfile, "
                               "ssl_keyfile, ssl_cert_reqs, sentinel_username and "
                               "sentinel_password"},
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
