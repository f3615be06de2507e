#include "common/http/http_guard.h"
#include "common/http/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_HEAD 16384
#define MAX_BODY 1000

#define HEAD(lines)  "GET / HTTP/1.1\r\nHost: localhost\r\n" lines "\r\n"
#define TARGET(text) "GET " text " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define HOST(text)   "GET / HTTP/1.1\r\nHost: " text "\r\n\r\n"
#define BYTES(text)  (text), sizeof(text) - 1

static struct http_guard
guard_of(const char *data, size_t len)
{
    struct http_guard guard;

    http_guard_init(&guard, MAX_HEAD, MAX_BODY);
    http_guard_check(&guard, data, len);
    return guard;
}

struct attack {
    const char *name;
    const char *data;
    size_t len;
    int status;
};

/* Every attack must be refused whole, byte by byte, and by the same status. */
static void
assert_refused(const struct attack *attack)
{
    struct http_guard whole = guard_of(attack->data, attack->len);
    struct http_guard drip;

    http_guard_init(&drip, MAX_HEAD, MAX_BODY);
    for (size_t len = 1; len <= attack->len; len++)
        http_guard_check(&drip, attack->data, len);
    if (whole.state != HTTP_GUARD_REFUSED || drip.state != HTTP_GUARD_REFUSED)
        fail_msg("passed: %s", attack->name);
    if (whole.status != attack->status || drip.status != attack->status)
        fail_msg("%s: status %d and %d, not %d", attack->name, whole.status, drip.status,
                 attack->status);
    assert_non_null(whole.reason);
}

static void
assert_all_refused(const struct attack *attacks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(&attacks[i]);
}
#define ASSERT_ALL_REFUSED(attacks)                                                                \
    assert_all_refused(attacks, sizeof(attacks) / sizeof(attacks[0]))

static void
two_readers_never_disagree_on_where_a_body_ends(void **state)
{
    static const struct attack attacks[] = {
        {"two lengths", BYTES(HEAD("Content-Length: 5\r\nContent-Length: 6\r\n")), 400},
        {"the same length twice", BYTES(HEAD("Content-Length: 5\r\ncontent-length: 5\r\n")), 400},
        {"a list of lengths", BYTES(HEAD("Content-Length: 5, 5\r\n")), 400},
        {"plus", BYTES(HEAD("Content-Length: +2\r\n")), 400},
        {"minus", BYTES(HEAD("Content-Length: -1\r\n")), 400},
        {"hex", BYTES(HEAD("Content-Length: 0x10\r\n")), 400},
        {"blank within", BYTES(HEAD("Content-Length: 1 0\r\n")), 400},
        {"no digits", BYTES(HEAD("Content-Length:\r\n")), 400},
        {"a fraction", BYTES(HEAD("Content-Length: 1.0\r\n")), 400},
        {"one too large", BYTES(HEAD("Content-Length: 1001\r\n")), 413},
        {"2^64", BYTES(HEAD("Content-Length: 18446744073709551616\r\n")), 413},
        {"2^64 + 5", BYTES(HEAD("Content-Length: 18446744073709551621\r\n")), 413},
        {"huge", BYTES(HEAD("Content-Length: 99999999999999999999999999999999999999\r\n")), 413},
        {"chunked", BYTES(HEAD("Transfer-Encoding: chunked\r\n")), 411},
        {"both", BYTES(HEAD("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")), 411},
        {"xchunked", BYTES(HEAD("Transfer-Encoding: xchunked\r\n")), 411},
        {"identity", BYTES(HEAD("transfer-encoding: identity\r\n")), 411},
        {"empty encoding", BYTES(HEAD("Transfer-Encoding:\r\n")), 411},
        {"blank before the colon",
         BYTES(HEAD("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n")), 400},
        {"tab before the colon", BYTES(HEAD("Content-Length\t: 5\r\n")), 400},
        {"tab before the value", BYTES(HEAD("Transfer-Encoding:\tchunked\r\n")), 400},
        {"folded value", BYTES(HEAD("Transfer-Encoding:\r\n chunked\r\n")), 411},
        {"folded header", BYTES(HEAD("X: a\r\n Content-Length: 5\r\n")), 400},
        {"folded by a tab", BYTES(HEAD("X: a\r\n\tContent-Length: 5\r\n")), 400},
        {"vertical tab",
         BYTES(HEAD("Transfer-Encoding: \x0b"
                    "chunked\r\n")),
         400},
    };

    (void)state;
    ASSERT_ALL_REFUSED(attacks);
}

static void
a_line_ends_with_cr_lf_and_with_nothing_else(void **state)
{
    static const struct attack attacks[] = {
        {"bare LF everywhere", BYTES("GET / HTTP/1.1\nHost: localhost\n\n"), 400},
        {"bare LF in the middle", BYTES(HEAD("X: a\nY: b\r\n")), 400},
        {"bare LF at the end", BYTES("GET / HTTP/1.1\r\nHost: localhost\r\n\n"), 400},
        {"bare CR", BYTES(HEAD("X: a\rContent-Length: 5\r\n")), 400},
        {"two CR", BYTES(HEAD("X: a\r\r\n")), 400},
        {"CR CR LF at the end", BYTES("GET / HTTP/1.1\r\nHost: localhost\r\n\r\r\n"), 400},
        {"empty lines first", BYTES("\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400},
    };

    (void)state;
    ASSERT_ALL_REFUSED(attacks);
}

static void
control_bytes_are_refused_wherever_they_stand(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char inside[] = "GET /? HTTP/1.1\r\nHost: localhost\r\nX-?: ?\r\n\r\n";
        static const size_t spots[] = {1, 5, 9, 37, 40};
        struct attack attack = {"control byte", inside, sizeof(inside) - 1, 400};

        if ((c >= 0x20 && c != 0x7f))
            continue;
        for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); i++) {
            char saved = inside[spots[i]];

            inside[spots[i]] = (char)c;
            assert_refused(&attack);
            inside[spots[i]] = saved;
        }
    }
}

static void
a_host_is_there_exactly_once_and_is_a_host(void **state)
{
    static const struct attack attacks[] = {
        {"none", BYTES("GET / HTTP/1.1\r\n\r\n"), 400},
        {"none with 1.0", BYTES("GET / HTTP/1.0\r\n\r\n"), 400},
        {"two", BYTES(HEAD("Host: localhost\r\n")), 400},
        {"two that differ", BYTES(HEAD("hOST: evil\r\n")), 400},
        {"NUL", BYTES(HOST("localhost\0.evil")), 400},
        {"empty", BYTES(HOST("")), 400},
        {"port only", BYTES(HOST(":80")), 400},
        {"two ports", BYTES(HOST("a:1:2")), 400},
        {"long port", BYTES(HOST("a:123456")), 400},
        {"port of letters", BYTES(HOST("a:http")), 400},
        {"user", BYTES(HOST("localhost@evil")), 400},
        {"path", BYTES(HOST("localhost/evil")), 400},
        {"list", BYTES(HOST("localhost, evil")), 400},
        {"blank", BYTES(HOST("localhost evil")), 400},
        {"open bracket", BYTES(HOST("[::1")), 400},
        {"empty bracket", BYTES(HOST("[]")), 400},
        {"zone", BYTES(HOST("[fe80::1%25eth0]")), 400},
        {"after the bracket", BYTES(HOST("[::1]evil")), 400},
        {"not ASCII", BYTES(HOST("loc\xc3\xa4lhost")), 400},
    };
    static const char *const good[] = {"localhost", "localhost:8080",           "127.0.0.1:1",
                                       "[::1]",     "[::ffff:127.0.0.1]:65535", "a-b.c_d~",
                                       "host:"};

    (void)state;
    ASSERT_ALL_REFUSED(attacks);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char head[128];
        int len = snprintf(head, sizeof(head), HOST("%s"), good[i]);

        assert_int_equal(guard_of(head, (size_t)len).state, HTTP_GUARD_PASSED);
    }
}

static void
the_target_is_a_path_of_this_server(void **state)
{
    static const struct attack attacks[] = {
        {"absolute", BYTES(TARGET("http://evil/")), 400},
        {"authority", BYTES("CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n"), 400},
        {"asterisk", BYTES("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
        {"relative", BYTES(TARGET("metrics")), 400},
        {"fragment", BYTES(TARGET("/#a")), 400},
        {"NUL escape", BYTES(TARGET("/a%00b")), 400},
        {"NUL escape in the query", BYTES(TARGET("/?a=%00")), 400},
        {"cut escape", BYTES(TARGET("/%")), 400},
        {"cut escape of one digit", BYTES(TARGET("/%4")), 400},
        {"no hex", BYTES(TARGET("/%zz")), 400},
        {"percent u", BYTES(TARGET("/%u0041")), 400},
        {"blank", BYTES(TARGET("/a b")), 400},
        {"two blanks", BYTES(TARGET(" /a")), 400},
        {"raw UTF-8", BYTES(TARGET("/\xc3\xa4")), 400},
        {"empty", BYTES(TARGET("")), 400},
    };

    (void)state;
    ASSERT_ALL_REFUSED(attacks);
}

static void
the_request_line_is_a_token_a_target_and_a_known_version(void **state)
{
    static const struct attack attacks[] = {
        {"0.9", BYTES("GET /\r\nHost: a\r\n\r\n"), 400},
        {"one word", BYTES("GET\r\nHost: a\r\n\r\n"), 400},
        {"no method", BYTES(" / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
        {"bad method", BYTES("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
        {"2.0", BYTES("PRI / HTTP/2.0\r\nHost: a\r\n\r\n"), 400},
        {"1.2", BYTES("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 400},
        {"lower case", BYTES("GET / http/1.1\r\nHost: a\r\n\r\n"), 400},
        {"longer", BYTES("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 400},
        {"blank at the end", BYTES("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400},
        {"TLS", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400},
        {"HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400},
        {"Redis", BYTES("*1\r\n$4\r\nPING\r\n"), 400},
    };

    (void)state;
    ASSERT_ALL_REFUSED(attacks);
}

static void
headers_that_decide_something_come_once(void **state)
{
    static const struct attack attacks[] = {
        {"type", BYTES(HEAD("Content-Type: a/b\r\nContent-Type: application/json\r\n")), 400},
        {"token", BYTES(HEAD("Authorization: a\r\nAuthorization: b\r\n")), 400},
        {"origin", BYTES(HEAD("Origin: a\r\norigin: b\r\n")), 400},
        {"expect", BYTES(HEAD("Expect: 100-continue\r\nExpect: 100-continue\r\n")), 400},
        {"expect something", BYTES(HEAD("Expect: a-miracle\r\n")), 400},
        {"no colon", BYTES(HEAD("Hello\r\n")), 400},
        {"no name", BYTES(HEAD(": a\r\n")), 400},
        {"bad name", BYTES(HEAD("X[1]: a\r\n")), 400},
        {"name not ASCII", BYTES(HEAD("X\xc3\xa4: a\r\n")), 400},
    };

    (void)state;
    ASSERT_ALL_REFUSED(attacks);
}

static void
a_head_is_bounded_in_lines_in_bytes_and_in_each_line(void **state)
{
    static char data[MAX_HEAD * 2];
    struct attack attack = {"too much", data, 0, 413};
    size_t len = (size_t)snprintf(data, sizeof(data), "GET / HTTP/1.1\r\nHost: a\r\n");

    (void)state;
    for (int i = 0; i < HTTP_GUARD_HEADERS_MAX; i++)
        len += (size_t)snprintf(data + len, sizeof(data) - len, "X: %d\r\n", i);
    attack.len = len;
    assert_refused(&attack);

    memset(data, 'a', sizeof(data));
    attack.len = HTTP_GUARD_LINE_MAX + 1;
    assert_refused(&attack);

    len = (size_t)snprintf(data, sizeof(data), "GET / HTTP/1.1\r\nHost: a\r\n");
    while (len <= MAX_HEAD)
        len += (size_t)snprintf(data + len, sizeof(data) - len, "X: %01000d\r\n", 1);
    attack.len = len;
    assert_refused(&attack);
}

static void
a_good_head_passes_whole_and_byte_by_byte(void **state)
{
    static const char request[] = "POST /a%2Fb?x=1&y=%41+c&z&x=2 HTTP/1.1\r\n"
                                  "Host: localhost:8080\r\n"
                                  "User-Agent: J\xc3\xbcrgen\r\n"
                                  "content-length:  0012  \r\n"
                                  "EXPECT: 100-Continue\r\n"
                                  "X-Empty:\r\n"
                                  "\r\n";
    const size_t len = sizeof(request) - 1;
    struct http_guard guard;

    (void)state;
    http_guard_init(&guard, MAX_HEAD, MAX_BODY);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(http_guard_check(&guard, request, n), HTTP_GUARD_MORE);
    assert_int_equal(http_guard_check(&guard, request, len), HTTP_GUARD_PASSED);
    guard = guard_of(request, len);
    assert_int_equal(guard.state, HTTP_GUARD_PASSED);
    assert_int_equal(guard.head_len, len);
    assert_int_equal(guard.body_len, 12);
    assert_true(guard.wants_continue);
}

static void
what_follows_the_head_is_not_looked_at(void **state)
{
    static const char data[] = HEAD("Content-Length: 1000\r\n") "\0\x01\n\n";
    struct http_guard guard = guard_of(data, sizeof(data) - 1);

    (void)state;
    assert_int_equal(guard.state, HTTP_GUARD_PASSED);
    assert_int_equal(guard.head_len, sizeof(data) - 5);
    assert_int_equal(guard.body_len, 1000);
    assert_int_equal(http_guard_check(&guard, data, sizeof(data) - 1), HTTP_GUARD_PASSED);
}

static void
a_head_that_just_fits_passes(void **state)
{
    static const char data[] = HEAD("");
    struct http_guard guard;

    (void)state;
    http_guard_init(&guard, sizeof(data) - 1, 0);
    assert_int_equal(http_guard_check(&guard, data, sizeof(data) - 1), HTTP_GUARD_PASSED);
    http_guard_init(&guard, sizeof(data) - 2, 0);
    assert_int_equal(http_guard_check(&guard, data, sizeof(data) - 1), HTTP_GUARD_REFUSED);
}

static void
a_passed_head_is_taken_apart_and_decoded(void **state)
{
    struct http_head head;

    (void)state;
    http_head_init(&head, strdup("POST /a%2fb+?x=1&y=%41+c&z&&x=2&%3D=? HTTP/1.1\r\n"
                                 "Host: localhost\r\nX-Empty:\r\nX-Colon:  a: b  \r\n\r\n"));
    assert_string_equal(head.method, "POST");
    assert_string_equal(head.path, "/a/b+");
    assert_string_equal(http_head_param(&head, "x"), "1");
    assert_string_equal(http_head_param(&head, "y"), "A c");
    assert_string_equal(http_head_param(&head, "z"), "");
    assert_string_equal(http_head_param(&head, "="), "?");
    assert_null(http_head_param(&head, "Z"));
    assert_string_equal(http_head_header(&head, "HOST"), "localhost");
    assert_string_equal(http_head_header(&head, "x-empty"), "");
    assert_string_equal(http_head_header(&head, "x-colon"), "a: b");
    assert_null(http_head_header(&head, "x"));
    http_head_release(&head);
}

static void
more_query_parameters_than_are_kept_do_no_harm(void **state)
{
    struct http_head head;
    char *text = calloc(1, 4096);
    char *end = text + sprintf(text, "GET /?");

    (void)state;
    for (int i = 0; i < 2 * HTTP_HEAD_PARAMS_MAX; i++)
        end += sprintf(end, "p%d=%d&", i, i);
    sprintf(end, " HTTP/1.1\r\nHost: a\r\n\r\n");
    http_head_init(&head, text);
    assert_string_equal(http_head_param(&head, "p31"), "31");
    assert_null(http_head_param(&head, "p32"));
    assert_string_equal(http_head_header(&head, "host"), "a");
    http_head_release(&head);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_readers_never_disagree_on_where_a_body_ends),
        cmocka_unit_test(a_line_ends_with_cr_lf_and_with_nothing_else),
        cmocka_unit_test(control_bytes_are_refused_wherever_they_stand),
        cmocka_unit_test(a_host_is_there_exactly_once_and_is_a_host),
        cmocka_unit_test(the_target_is_a_path_of_this_server),
        cmocka_unit_test(the_request_line_is_a_token_a_target_and_a_known_version),
        cmocka_unit_test(headers_that_decide_something_come_once),
        cmocka_unit_test(a_head_is_bounded_in_lines_in_bytes_and_in_each_line),
        cmocka_unit_test(a_good_head_passes_whole_and_byte_by_byte),
        cmocka_unit_test(what_follows_the_head_is_not_looked_at),
        cmocka_unit_test(a_head_that_just_fits_passes),
        cmocka_unit_test(a_passed_head_is_taken_apart_and_decoded),
        cmocka_unit_test(more_query_parameters_than_are_kept_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
