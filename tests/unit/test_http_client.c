#include "common/http/http_client.h"
#include "tests/support/script_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHDOG_S 20 /* a test that waits for what never comes ends here */

struct fixture {
    struct event_base *base;
    struct http_client *client;
    struct script_server server;
    char url[128];
};

/* What one call came to. */
struct ending {
    int callbacks;
    int status; /* 0: it failed */
    char body[256];
    size_t body_len;
    char type[64];
    char later[64];
    int64_t duration_ms;
    int64_t sent_wall_ms;
    int64_t received_wall_ms;
    struct error error;
};

#define OK(body, len)                                                                              \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " len "\r\n\r\n" body

static void
fixture_start(struct fixture *f, int max_calls)
{
    const struct http_client_options options = {.base = event_base_new(), .max_calls = max_calls};

    f->base = options.base;
    f->client = http_client_new(&options);
    script_server_start(&f->server, f->base);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/p?secret=1", f->server.port);
    alarm(WATCHDOG_S);
}

static void
fixture_stop(struct fixture *f)
{
    http_client_free(f->client);
    script_server_stop(&f->server);
    event_base_free(f->base);
    alarm(0);
}

static void
set_script(struct fixture *f, const struct script_step *steps, int count)
{
    f->server.steps = steps;
    f->server.step_count = count;
}
#define SCRIPT(f, ...)                                                                             \
    static const struct script_step script[] = {__VA_ARGS__};                                      \
    set_script(f, script, (int)(sizeof(script) / sizeof(script[0])))

#define UNTIL(f, condition)                                                                        \
    while (!(condition))                                                                           \
    event_base_loop((f)->base, EVLOOP_ONCE)

static void
keep_header(const struct http_response *response, const char *name, char *out, size_t out_size)
{
    const char *value = http_header(response, name);

    snprintf(out, out_size, "%s", value != NULL ? value : "-");
}

static void
on_end(const struct http_response *response, const struct error *error, void *arg)
{
    struct ending *ending = arg;

    ending->callbacks++;
    assert_true((response == NULL) != (error == NULL));
    if (error != NULL) {
        ending->error = *error;
        return;
    }
    ending->status = response->status;
    ending->body_len = response->body_len;
    snprintf(ending->body, sizeof(ending->body), "%s", response->body);
    ending->duration_ms = response->duration_ms;
    ending->sent_wall_ms = response->sent_wall_ms;
    ending->received_wall_ms = response->received_wall_ms;
    keep_header(response, "content-TYPE", ending->type, sizeof(ending->type));
    keep_header(response, "x-later", ending->later, sizeof(ending->later));
}

static struct http_request
post(const struct fixture *f)
{
    return (struct http_request){.method = "POST", .url = f->url, .body = "hello", .body_len = 5};
}

/* Sends and waits for the end. */
static struct ending
call(struct fixture *f, struct http_request request)
{
    struct ending ending = {0};

    http_send(f->client, &request, on_end, &ending);
    assert_int_equal(ending.callbacks, 0);
    UNTIL(f, ending.callbacks > 0);
    assert_int_equal(ending.callbacks, 1);
    assert_int_equal(http_client_open_calls(f->client), 0);
    return ending;
}

static void
assert_failed(const struct ending *ending, enum error_kind kind, const char *words)
{
    assert_int_equal(ending->status, 0);
    if (ending->error.kind != kind || strstr(ending->error.message, words) == NULL)
        fail_msg("%s: \"%s\", not %s: \"%s\"", error_kind_name(ending->error.kind),
                 ending->error.message, error_kind_name(kind), words);
    assert_null(strstr(ending->error.message, "secret"));
}

static void
a_call_brings_status_body_headers_and_times(void **state)
{
    static const char answer[] =
        "HTTP/1.1 100 Continue\r\nX-Later: no\r\n\r\n"
        "HTTP/1.1 429 Slow\r\nContent-type:  text/a\t \r\nX-Later: a\r\nx-later: b\r\n"
        "Content-Length: 3\r\n\r\na\0c";
    struct fixture f;
    struct ending ending;
    struct http_request request;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = answer, .len = sizeof(answer) - 1});
    request = post(&f);
    request.headers[0] = "X-One: 1";
    request.headers[1] = "Content-Type: application/json";
    ending = call(&f, request);
    assert_int_equal(ending.status, 429);
    assert_int_equal(ending.body_len, 3);
    assert_string_equal(ending.type, "text/a");
    assert_string_equal(ending.later, "b");
    assert_in_range(ending.duration_ms, 0, 5000);
    assert_in_range(ending.received_wall_ms, ending.sent_wall_ms, ending.sent_wall_ms + 5000);
    assert_non_null(strstr(f.server.last_request, "POST /p?secret=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(f.server.last_request, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(f.server.last_request, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(f.server.last_request, "\r\n\r\nhello"));
    fixture_stop(&f);
}

static void
a_request_goes_out_as_it_stands(void **state)
{
    struct fixture f;
    struct http_request request;
    char url[128];

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("", "0")});
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/a/../m%%3A0/b", f.server.port);
    request = post(&f);
    request.url = url;
    request.method = "PUT";
    request.body = calloc(1, 3 * 1024 * 1024);
    request.body_len = 3 * 1024 * 1024;
    assert_int_equal(call(&f, request).status, 200);
    assert_non_null(strstr(f.server.last_request, "PUT /a/../m%3A0/b HTTP/1.1\r\n"));
    assert_null(strcasestr(f.server.last_request, "\r\nExpect"));
    assert_null(strcasestr(f.server.last_request, "\r\nCookie"));
    free((void *)(uintptr_t)request.body);
    fixture_stop(&f);
}

static void
methods_follow_each_other_on_one_handle(void **state)
{
    static const char *const methods[] = {"POST", "GET", "DELETE", "GET", "POST"};
    struct fixture f;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct http_request request = {.method = methods[i], .url = f.url};

        assert_int_equal(call(&f, request).status, 200);
        assert_int_equal(strncmp(f.server.last_request, methods[i], strlen(methods[i])), 0);
        assert_true((strstr(f.server.last_request, "Content-Length: 0") == NULL) ==
                    (strcmp(methods[i], "GET") == 0));
    }
    assert_int_equal(f.server.accepted, 1);
    fixture_stop(&f);
}

static void
connections_are_kept_and_used_again(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, 1000);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    for (int i = 0; i < 5; i++)
        assert_string_equal(call(&f, post(&f)).body, "ok");
    assert_int_equal(f.server.accepted, 1);
    fixture_stop(&f);
}

static void
a_kept_connection_that_died_meanwhile_is_replaced_silently(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("1", "1")}, {.end = SCRIPT_RESET}, {.bytes = OK("3", "1")},
           {.bytes = OK("4", "1")});
    assert_string_equal(call(&f, post(&f)).body, "1");
    assert_string_equal(call(&f, post(&f)).body, "3"); /* reset before any byte of an answer */
    script_server_drop(&f.server);
    assert_string_equal(call(&f, post(&f)).body, "4");
    assert_int_equal(f.server.accepted, 3);
    fixture_stop(&f);
}

static void
a_refused_port_is_unreachable(void **state)
{
    struct fixture f;
    struct ending ending;
    char words[64];

    (void)state;
    fixture_start(&f, 1);
    script_server_stop(&f.server);
    ending = call(&f, post(&f));
    snprintf(words, sizeof(words), "could not connect to 127.0.0.1:%d (Connection refused)",
             f.server.port);
    assert_failed(&ending, ERROR_UNREACHABLE, words);
    script_server_start(&f.server, f.base);
    fixture_stop(&f);
}

/* A port whose backlog is full drops what comes: the kernel never answers. */
static int
silent_listener(int fillers[2], int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    *port = ntohs(address.sin_port);
    for (int i = 0; i < 2; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
    }
    return fd;
}

static void
a_connect_that_takes_too_long_is_unreachable(void **state)
{
    struct fixture f;
    struct ending ending;
    struct http_request request;
    int fillers[2], port, fd = silent_listener(fillers, &port);

    (void)state;
    fixture_start(&f, 1);
    snprintf(f.url, sizeof(f.url), "http://127.0.0.1:%d/?secret", port);
    request = post(&f);
    request.connect_timeout_ms = 50;
    ending = call(&f, request);
    assert_failed(&ending, ERROR_UNREACHABLE, "within 50 ms");
    close(fillers[0]);
    close(fillers[1]);
    close(fd);
    fixture_stop(&f);
}

static void
a_tls_handshake_that_hangs_is_unreachable(void **state)
{
    struct fixture f;
    struct ending ending;
    struct http_request request;

    (void)state;
    fixture_start(&f, 1); /* its server waits for the end of a plain request */
    snprintf(f.url, sizeof(f.url), "https://127.0.0.1:%d/?secret", f.server.port);
    request = post(&f);
    request.connect_timeout_ms = 50;
    ending = call(&f, request);
    assert_failed(&ending, ERROR_UNREACHABLE, "could not connect to 127.0.0.1:");
    fixture_stop(&f);
}

static void
a_certificate_is_trusted_only_when_its_authority_is(void **state)
{
    struct fixture f;
    struct http_client_options options = {.max_calls = 1};
    struct ending ending;
    char ca_file[] = "/tmp/headgate-ca-XXXXXX";

    (void)state;
    close(mkstemp(ca_file));
    fixture_start(&f, 1);
    script_server_stop(&f.server);
    script_server_start_tls(&f.server, f.base, ca_file);
    snprintf(f.url, sizeof(f.url), "https://127.0.0.1:%d/?secret", f.server.port);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    ending = call(&f, post(&f));
    assert_failed(&ending, ERROR_UNREACHABLE, "no TLS with 127.0.0.1:");
    assert_failed(&ending, ERROR_UNREACHABLE, "self-signed certificate");
    assert_int_equal(f.server.requests, 0);

    http_client_free(f.client);
    options.base = f.base;
    options.ca_file = ca_file;
    f.client = http_client_new(&options);
    assert_string_equal(call(&f, post(&f)).body, "ok");

    snprintf(f.url, sizeof(f.url), "https://localhost:%d/?secret", f.server.port);
    ending = call(&f, post(&f));
    assert_failed(&ending, ERROR_UNREACHABLE, "no TLS with localhost:"); /* not its name */
    unlink(ca_file);
    fixture_stop(&f);
}

/* One script, one way to break an answer. */
static void
assert_answer_fails(struct script_step step, enum error_kind kind, const char *words)
{
    struct fixture f;
    struct ending ending;
    struct http_request request;

    fixture_start(&f, 1);
    set_script(&f, &step, 1);
    request = post(&f);
    request.idle_timeout_ms = 60;
    request.total_timeout_ms = 400;
    request.max_response_bytes = 1000;
    ending = call(&f, request);
    assert_failed(&ending, kind, words);
    fixture_stop(&f);
}

static void
an_answer_that_breaks_off_is_lost(void **state)
{
    static const char *const broken[] = {
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Ty",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_answer_fails((struct script_step){.bytes = broken[i], .end = SCRIPT_CLOSE},
                            ERROR_LOST, "lost the connection to 127.0.0.1:");
}

static void
a_reset_is_lost(void **state)
{
    (void)state;
    assert_answer_fails((struct script_step){.end = SCRIPT_RESET}, ERROR_LOST, "lost");
    assert_answer_fails(
        (struct script_step){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
                             .end = SCRIPT_RESET},
        ERROR_LOST, "lost");
}

static void
what_is_not_http_is_lost(void **state)
{
    static const char *const wrong[] = {
        "hello\r\n\r\n",
        "+OK\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_answer_fails((struct script_step){.bytes = wrong[i], .end = SCRIPT_CLOSE},
                            ERROR_LOST, "127.0.0.1:");
}

static void
a_server_that_never_answers_ends_by_the_total_limit(void **state)
{
    (void)state;
    assert_answer_fails((struct script_step){.bytes = NULL}, ERROR_TIMEOUT,
                        "no whole answer from 127.0.0.1:");
}

static void
silence_in_the_middle_of_an_answer_ends_by_the_idle_limit(void **state)
{
    (void)state;
    assert_answer_fails(
        (struct script_step){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"},
        ERROR_TIMEOUT, "sent nothing for 60 ms");
    assert_answer_fails((struct script_step){.bytes = "HTTP/1.1 200 OK\r\nX-Slow: yes\r\n"},
                        ERROR_TIMEOUT, "sent nothing for 60 ms");
}

static void
an_answer_that_drips_ends_by_the_total_limit(void **state)
{
    static const char drip[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    (void)state;
    assert_answer_fails((struct script_step){.bytes = drip, .drip_ms = 10, .drip_from = 45},
                        ERROR_TIMEOUT, "within 400 ms");
}

static void
a_slow_answer_within_the_idle_limit_arrives(void **state)
{
    struct fixture f;
    struct http_request request;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("0123456789012345678901234567890123456789", "40"), .drip_ms = 2});
    request = post(&f);
    request.idle_timeout_ms = 150; /* less than the whole answer takes */
    assert_int_equal(call(&f, request).body_len, 40);
    fixture_stop(&f);
}

static void
an_answer_that_is_too_large_is_cut_off_whether_announced_or_not(void **state)
{
    static char large[4096];
    int len = snprintf(large, sizeof(large), "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");

    (void)state;
    snprintf(large + len, sizeof(large) - (size_t)len, "%01001d", 1);
    assert_answer_fails((struct script_step){.bytes = large}, ERROR_TOO_LARGE,
                        "larger than what is taken (1000 bytes)");
    len = snprintf(large, sizeof(large),
                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n");
    snprintf(large + len, sizeof(large) - (size_t)len, "%01001d\r\n0\r\n\r\n", 1);
    assert_answer_fails((struct script_step){.bytes = large}, ERROR_TOO_LARGE, "1000 bytes");
    len = snprintf(large, sizeof(large), "HTTP/1.1 200 OK\r\n\r\n");
    snprintf(large + len, sizeof(large) - (size_t)len, "%02000d", 1);
    assert_answer_fails((struct script_step){.bytes = large}, ERROR_TOO_LARGE, "1000 bytes");
}

static void
an_answer_of_exactly_the_limit_arrives(void **state)
{
    struct fixture f;
    struct http_request request;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("0123456789", "10")});
    request = post(&f);
    request.max_response_bytes = 10;
    assert_int_equal(call(&f, request).body_len, 10);
    fixture_stop(&f);
}

static void
headers_are_kept_up_to_a_bound_and_a_flood_of_them_ends_the_call(void **state)
{
    static char flood[600 * 1024];
    const struct script_step step = {.bytes = flood, .end = SCRIPT_KEEP};
    struct fixture f;
    struct ending ending;
    size_t len = (size_t)sprintf(flood, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");

    (void)state;
    for (int i = 0; i < 70; i++)
        len += (size_t)sprintf(flood + len, "X-%d: %0200d\r\n", i, i);
    sprintf(flood + len, "X-Later: no room\r\nContent-Length: 2\r\n\r\nok");
    fixture_start(&f, 1);
    set_script(&f, &step, 1);
    ending = call(&f, post(&f));
    assert_string_equal(ending.body, "ok");
    assert_string_equal(ending.type, "text/plain");
    assert_string_equal(ending.later, "-");

    while (len < 500 * 1024)
        len += (size_t)sprintf(flood + len, "X-More: %0300d\r\n", 1);
    ending = call(&f, post(&f));
    assert_failed(&ending, ERROR_TOO_LARGE, "larger than what is taken");
    fixture_stop(&f);
}

static void
redirects_are_answers_like_any_other(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = "HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"});
    assert_int_equal(call(&f, post(&f)).status, 307);
    assert_int_equal(f.server.requests, 1);
    fixture_stop(&f);
}

static void
a_proxy_of_the_environment_is_not_used_unless_asked_for(void **state)
{
    struct fixture f;

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    unsetenv("no_proxy");
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    assert_string_equal(call(&f, post(&f)).body, "ok");
    unsetenv("http_proxy");
    fixture_stop(&f);
}

static void
only_http_is_spoken_however_a_url_begins(void **state)
{
    static const char *const schemes[] = {"ftp://", "gopher://", "dict://", "file:///", "ws://"};
    struct fixture f;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        char url[64];
        struct http_request request = {.method = "GET", .url = url};
        struct ending ending;

        snprintf(url, sizeof(url), "%s127.0.0.1:%d/x", schemes[i], f.server.port);
        ending = call(&f, request);
        assert_int_equal(ending.callbacks, 1);
        assert_non_null(strstr(ending.error.message, "rotocol"));
    }
    assert_int_equal(f.server.accepted, 0);
    fixture_stop(&f);
}

static void
neither_netrc_nor_a_packed_answer_is_heeded(void **state)
{
    char home[] = "/tmp/headgate-home-XXXXXX", path[64];
    char *home_before = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;
    struct fixture f;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(home));
    snprintf(path, sizeof(path), "%s/.netrc", home);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("machine 127.0.0.1 login user password secret\n", file);
    fclose(file);
    setenv("HOME", home, 1);
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                         "Content-Length: 2\r\n\r\nok"});
    assert_string_equal(call(&f, post(&f)).body, "ok");
    assert_null(strcasestr(f.server.last_request, "\r\nAuthorization"));
    assert_null(strcasestr(f.server.last_request, "\r\nAccept-Encoding"));
    fixture_stop(&f);
    if (home_before != NULL)
        setenv("HOME", home_before, 1);
    free(home_before);
    unlink(path);
    rmdir(home);
}

static void
a_request_that_cannot_start_fails_through_its_callback(void **state)
{
    struct fixture f;
    struct ending ending;
    struct http_request request;

    (void)state;
    fixture_start(&f, 1);
    request = post(&f);
    request.headers[0] = "X-Forged: a\r\nHost: evil";
    ending = call(&f, request);
    assert_failed(&ending, ERROR_INTERNAL, "header");
    request = post(&f);
    request.url = "http://user:secret@:0:0/secret";
    ending = call(&f, request);
    assert_failed(&ending, ERROR_INTERNAL, "the server");
    request.url = "file:///etc/passwd";
    ending = call(&f, request);
    assert_int_equal(ending.error.kind, ERROR_UNREACHABLE);
    fixture_stop(&f);
}

/* Cancels after 0, 1, 2, ... turns of the loop, until a call is over before that. */
static void
assert_cancel_works_in_every_state(struct script_step step)
{
    struct fixture f;
    bool is_over = false;

    fixture_start(&f, 1);
    set_script(&f, &step, 1);
    for (int turns = 0; !is_over && turns < 30; turns++) {
        struct ending ending = {0};
        struct http_request request = post(&f);
        struct http_call *open;

        request.headers[0] = "Connection: close";
        open = http_send(f.client, &request, on_end, &ending);
        for (int i = 0; i < turns && ending.callbacks == 0; i++)
            event_base_loop(f.base, EVLOOP_ONCE);
        is_over = ending.callbacks > 0;
        if (!is_over)
            http_cancel(open);
        assert_int_equal(http_client_open_calls(f.client), 0);
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        assert_int_equal(ending.callbacks, is_over);
    }
    assert_true(is_over);
    fixture_stop(&f);
}

static void
a_call_can_be_cancelled_in_every_state(void **state)
{
    (void)state;
    assert_cancel_works_in_every_state((struct script_step){.bytes = OK("ok", "2")});
    assert_cancel_works_in_every_state(
        (struct script_step){.bytes = "HTTP/1.1 200 OK\r\n\r\nx", .end = SCRIPT_CLOSE});
}

static void
a_cancelled_call_closes_its_connection(void **state)
{
    struct fixture f;
    struct ending ending = {0};
    struct http_request request;
    struct http_call *open;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = NULL});
    request = post(&f);
    open = http_send(f.client, &request, on_end, &ending);
    UNTIL(&f, f.server.requests == 1);
    http_cancel(open);
    UNTIL(&f, f.server.open == 0);
    assert_int_equal(ending.callbacks, 0);
    fixture_stop(&f);
}

static void
a_call_that_could_not_start_can_be_cancelled(void **state)
{
    struct fixture f;
    struct ending ending = {0};
    struct http_request request;

    (void)state;
    fixture_start(&f, 1);
    request = post(&f);
    request.headers[0] = "X: a\nb";
    http_cancel(http_send(f.client, &request, on_end, &ending));
    event_base_loop(f.base, EVLOOP_NONBLOCK);
    assert_int_equal(ending.callbacks, 0);
    fixture_stop(&f);
}

static void
three_hundred_calls_at_once_all_end_and_leave_their_connections_for_the_next(void **state)
{
    enum { CALLS = 300 };
    static struct ending endings[CALLS];
    struct fixture f;
    struct http_request request;

    (void)state;
    memset(endings, 0, sizeof(endings));
    fixture_start(&f, CALLS);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    request = post(&f);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < CALLS; i++)
            http_send(f.client, &request, on_end, &endings[i]);
        assert_int_equal(http_client_open_calls(f.client), CALLS);
        UNTIL(&f, http_client_open_calls(f.client) == 0);
        for (int i = 0; i < CALLS; i++) {
            assert_int_equal(endings[i].callbacks, round);
            assert_int_equal(endings[i].status, 200);
        }
        assert_in_range(f.server.accepted, 1, CALLS);
    }
    fixture_stop(&f);
}

struct chain {
    struct fixture *f;
    struct http_call *victim;
    struct ending ending;
    int left;
};

static void
on_link(const struct http_response *response, const struct error *error, void *arg)
{
    struct chain *chain = arg;
    struct http_request request = post(chain->f);

    assert_non_null(response);
    assert_null(error);
    if (chain->victim != NULL)
        http_cancel(chain->victim);
    chain->victim = NULL;
    if (--chain->left > 0)
        http_send(chain->f->client, &request, on_link, chain);
}

static void
a_callback_may_send_and_cancel_other_calls(void **state)
{
    struct fixture f;
    struct chain chain = {.f = &f, .left = 5};
    struct http_request request;

    (void)state;
    fixture_start(&f, 1);
    SCRIPT(&f, {.bytes = OK("ok", "2")});
    request = post(&f);
    http_send(f.client, &request, on_link, &chain);
    chain.victim = http_send(f.client, &request, on_end, &chain.ending);
    UNTIL(&f, chain.left == 0);
    assert_int_equal(chain.ending.callbacks, 0);
    assert_int_equal(http_client_open_calls(f.client), 0);
    fixture_stop(&f);
}

static void
a_client_that_is_freed_calls_nobody(void **state)
{
    struct fixture f;
    struct ending ending = {0};
    struct http_request request;

    (void)state;
    fixture_start(&f, 2);
    SCRIPT(&f, {.bytes = NULL});
    request = post(&f);
    http_send(f.client, &request, on_end, &ending);
    UNTIL(&f, f.server.requests == 1);
    http_send(f.client, &request, on_end, &ending);
    fixture_stop(&f);
    assert_int_equal(ending.callbacks, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_brings_status_body_headers_and_times),
        cmocka_unit_test(a_request_goes_out_as_it_stands),
        cmocka_unit_test(methods_follow_each_other_on_one_handle),
        cmocka_unit_test(connections_are_kept_and_used_again),
        cmocka_unit_test(a_kept_connection_that_died_meanwhile_is_replaced_silently),
        cmocka_unit_test(a_refused_port_is_unreachable),
        cmocka_unit_test(a_connect_that_takes_too_long_is_unreachable),
        cmocka_unit_test(a_tls_handshake_that_hangs_is_unreachable),
        cmocka_unit_test(a_certificate_is_trusted_only_when_its_authority_is),
        cmocka_unit_test(an_answer_that_breaks_off_is_lost),
        cmocka_unit_test(a_reset_is_lost),
        cmocka_unit_test(what_is_not_http_is_lost),
        cmocka_unit_test(a_server_that_never_answers_ends_by_the_total_limit),
        cmocka_unit_test(silence_in_the_middle_of_an_answer_ends_by_the_idle_limit),
        cmocka_unit_test(an_answer_that_drips_ends_by_the_total_limit),
        cmocka_unit_test(a_slow_answer_within_the_idle_limit_arrives),
        cmocka_unit_test(an_answer_that_is_too_large_is_cut_off_whether_announced_or_not),
        cmocka_unit_test(an_answer_of_exactly_the_limit_arrives),
        cmocka_unit_test(headers_are_kept_up_to_a_bound_and_a_flood_of_them_ends_the_call),
        cmocka_unit_test(redirects_are_answers_like_any_other),
        cmocka_unit_test(a_proxy_of_the_environment_is_not_used_unless_asked_for),
        cmocka_unit_test(only_http_is_spoken_however_a_url_begins),
        cmocka_unit_test(neither_netrc_nor_a_packed_answer_is_heeded),
        cmocka_unit_test(a_request_that_cannot_start_fails_through_its_callback),
        cmocka_unit_test(a_call_can_be_cancelled_in_every_state),
        cmocka_unit_test(a_cancelled_call_closes_its_connection),
        cmocka_unit_test(a_call_that_could_not_start_can_be_cancelled),
        cmocka_unit_test(
            three_hundred_calls_at_once_all_end_and_leave_their_connections_for_the_next),
        cmocka_unit_test(a_callback_may_send_and_cancel_other_calls),
        cmocka_unit_test(a_client_that_is_freed_calls_nobody),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
