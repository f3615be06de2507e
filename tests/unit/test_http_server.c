#include "common/http/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHDOG_S 20 /* a test that waits for what never comes ends here */

/* The server under test, and what its owner saw. */
struct fixture {
    struct event_base *base;
    struct http_server *server;
    bool answers_later;
    size_t answer_bytes; /* 0: echoes method, path and body */
    int requests;
    int gone;
    char method[16];
    char path[64];
    char wait_param[16];
    char body[64];
    size_t body_len;
    struct http_exchange *open; /* waits for its answer */
};

/* A client of raw bytes. */
struct client {
    struct bufferevent *bev;
    struct evbuffer *received;
    bool is_closed;
};

static void
on_gone(struct http_exchange *exchange, void *arg)
{
    struct fixture *f = arg;

    if (f->open == exchange)
        f->open = NULL;
    f->gone++;
}

static void
answer(struct fixture *f, struct http_exchange *exchange)
{
    static const char *const extra[] = {"Allow: GET", "X-Bad: a\r\nX-Forged: b", NULL};
    struct evbuffer *body = evbuffer_new();

    if (f->answer_bytes == 0) {
        evbuffer_add_printf(body, "%s %s %zu", f->method, f->path, f->body_len);
    } else {
        char *block = calloc(1, f->answer_bytes);

        evbuffer_add(body, block, f->answer_bytes);
        free(block);
    }
    http_reply(exchange, 200, "text/plain", body, extra);
    assert_int_equal(evbuffer_get_length(body), 0);
    evbuffer_free(body);
}

static void
on_request(struct http_exchange *exchange, void *arg)
{
    struct fixture *f = arg;
    const char *wait = http_query(exchange, "wait");
    const char *body = http_body(exchange, &f->body_len);

    f->requests++;
    snprintf(f->method, sizeof(f->method), "%s", http_method(exchange));
    snprintf(f->path, sizeof(f->path), "%s", http_path(exchange));
    snprintf(f->wait_param, sizeof(f->wait_param), "%s", wait ? wait : "-");
    snprintf(f->body, sizeof(f->body), "%.*s", (int)f->body_len, body);
    if (!f->answers_later) {
        answer(f, exchange);
        return;
    }
    f->open = exchange;
    http_on_gone(exchange, on_gone, f);
}

static void
fixture_start(struct fixture *f, struct http_server_options options)
{
    struct error err;

    *f = (struct fixture){.base = event_base_new()};
    options.base = f->base;
    options.address = options.address ? options.address : "127.0.0.1";
    options.on_request = on_request;
    options.arg = f;
    f->server = http_server_new(&options, &err);
    assert_non_null(f->server);
    alarm(WATCHDOG_S);
}

static void
fixture_stop(struct fixture *f)
{
    http_server_free(f->server);
    event_base_free(f->base);
    alarm(0);
}

static void
on_client_readable(struct bufferevent *bev, void *arg)
{
    struct client *client = arg;

    bufferevent_read_buffer(bev, client->received);
}

static void
on_client_event(struct bufferevent *bev, short what, void *arg)
{
    struct client *client = arg;

    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        client->is_closed = true;
}

static struct client *
client_new(struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct client *client = calloc(1, sizeof(*client));

    to.sin_port = htons((uint16_t)http_server_port(f->server));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->received = evbuffer_new();
    client->bev = bufferevent_socket_new(f->base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(client->bev, on_client_readable, NULL, on_client_event, client);
    bufferevent_enable(client->bev, EV_READ | EV_WRITE);
    assert_int_equal(bufferevent_socket_connect(client->bev, (struct sockaddr *)&to, sizeof(to)),
                     0);
    return client;
}

static void
client_free(struct client *client)
{
    bufferevent_free(client->bev);
    evbuffer_free(client->received);
    free(client);
}

#define UNTIL(f, condition)                                                                        \
    while (!(condition))                                                                           \
    event_base_loop((f)->base, EVLOOP_ONCE)

static const char *
received(struct client *client)
{
    evbuffer_add(client->received, "", 1);
    return (const char *)evbuffer_pullup(client->received, -1);
}

/* Sends bytes on a new connection and returns all that came until it was closed. */
static const char *
exchange_bytes(struct fixture *f, const char *bytes, size_t len)
{
    static char answer_text[4096];
    struct client *client = client_new(f);

    bufferevent_write(client->bev, bytes, len);
    UNTIL(f, client->is_closed);
    snprintf(answer_text, sizeof(answer_text), "%s", received(client));
    client_free(client);
    return answer_text;
}

static void
assert_starts(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0)
        fail_msg("\"%s\" does not start with \"%s\"", text, start);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void
a_request_is_answered_and_its_connection_closed(void **state)
{
    struct fixture f;
    const char *text;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    text = exchange_bytes(&f, GET("/a%20b?wait=1%2e5"), sizeof(GET("/a%20b?wait=1%2e5")) - 1);
    assert_starts(text, "HTTP/1.1 200 OK\r\n");
    assert_non_null(strstr(text, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Length: 10\r\n"));
    assert_non_null(strstr(text, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(text, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(text, "\r\nAllow: GET\r\n"));
    assert_null(strstr(text, "X-Forged"));
    assert_non_null(strstr(text, "\r\n\r\nGET /a b 0"));
    assert_string_equal(f.wait_param, "1.5");
    fixture_stop(&f);
}

static void
a_body_may_come_in_pieces_and_any_method_is_delivered(void **state)
{
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    client = client_new(&f);
    for (const char *at = "BREW /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"; *at;
         at++) {
        bufferevent_write(client->bev, at, 1);
        UNTIL(&f, evbuffer_get_length(bufferevent_get_output(client->bev)) == 0);
    }
    UNTIL(&f, client->is_closed);
    assert_non_null(strstr(received(client), "\r\n\r\nBREW /p 5"));
    assert_string_equal(f.body, "hello");
    client_free(client);
    fixture_stop(&f);
}

static void
an_answer_to_head_has_no_body(void **state)
{
    static const char head[] = "HEAD /p HTTP/1.1\r\nHost: a\r\n\r\n";
    struct fixture f;
    const char *text;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    text = exchange_bytes(&f, head, sizeof(head) - 1);
    assert_non_null(strstr(text, "Content-Length: 9\r\n"));
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    fixture_stop(&f);
}

static void
smuggled_requests_are_refused_and_never_run(void **state)
{
#define HIDDEN "POST /hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
#define POST(headers, body)                                                                        \
    {                                                                                              \
        "POST /seen HTTP/1.1\r\nHost: a\r\n" headers "\r\n" body,                                  \
            sizeof("POST /seen HTTP/1.1\r\nHost: a\r\n" headers "\r\n" body) - 1                   \
    }
    static const struct {
        const char *data;
        size_t len;
    } attacks[] = {
        POST("Content-Length: 0\r\nContent-Length: 51\r\n", HIDDEN),
        POST("Content-Length: +2\r\n", "{}" HIDDEN),
        POST("Transfer-Encoding : chunked\r\nContent-Length: 51\r\n", "0\r\n\r\n" HIDDEN),
        POST("Transfer-Encoding: xchunked\r\n", HIDDEN),
        POST("Transfer-Encoding: chunked\r\n", "0\r\n\r\n" HIDDEN),
        POST("X: a\nContent-Length: 0\r\n", HIDDEN),
        POST("X: \0\r\n", HIDDEN),
        POST("Host: b\r\n", HIDDEN),
    };
    struct fixture f;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        const char *text = exchange_bytes(&f, attacks[i].data, attacks[i].len);

        assert_starts(text, "HTTP/1.1 4");
        assert_non_null(strstr(text, "\r\n\r\n{\"success\":false,\"error\":{\"kind\":\""));
        assert_null(strstr(text + 1, "HTTP/1.1 2"));
    }
    assert_int_equal(f.requests, 0);
    fixture_stop(&f);
}

static void
a_pipelined_second_request_is_dropped(void **state)
{
    static const char two[] = GET("/first") GET("/second");
    struct fixture f;
    const char *text;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    text = exchange_bytes(&f, two, sizeof(two) - 1);
    assert_non_null(strstr(text, "GET /first 0"));
    assert_null(strstr(text + 1, "HTTP/1.1 200"));
    assert_int_equal(f.requests, 1);
    fixture_stop(&f);
}

static void
a_body_that_is_too_large_gets_its_413_even_while_it_is_being_sent(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n";
    struct fixture f;
    struct client *client;
    char *block = calloc(1, 4000000);

    (void)state;
    fixture_start(&f, (struct http_server_options){.max_body_bytes = 1000});
    client = client_new(&f);
    bufferevent_write(client->bev, head, sizeof(head) - 1);
    bufferevent_write(client->bev, block, 4000000);
    UNTIL(&f, client->is_closed && evbuffer_get_length(bufferevent_get_output(client->bev)) == 0);
    assert_starts(received(client), "HTTP/1.1 413 ");
    assert_int_equal(f.requests, 0);
    client_free(client);
    free(block);
    fixture_stop(&f);
}

static void
a_head_that_is_too_large_is_refused(void **state)
{
    struct fixture f;
    char *block = malloc(3000);

    (void)state;
    memset(block, 'a', 3000);
    fixture_start(&f, (struct http_server_options){.max_head_bytes = 2000});
    assert_starts(exchange_bytes(&f, block, 3000), "HTTP/1.1 413 ");
    free(block);
    fixture_stop(&f);
}

static void
all_bodies_together_are_bounded(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    struct fixture f;
    struct client *clients[9];

    (void)state;
    fixture_start(&f, (struct http_server_options){.max_body_bytes = 1000});
    for (int i = 0; i < 9; i++) {
        clients[i] = client_new(&f);
        bufferevent_write(clients[i]->bev, head, sizeof(head) - 1);
        UNTIL(&f, evbuffer_get_length(bufferevent_get_output(clients[i]->bev)) == 0);
    }
    UNTIL(&f, clients[8]->is_closed);
    assert_starts(received(clients[8]), "HTTP/1.1 503 ");
    for (int i = 0; i < 9; i++)
        client_free(clients[i]);
    fixture_stop(&f);
}

static void
a_client_that_asks_first_is_told_to_continue(void **state)
{
    static const char head[] =
        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    client = client_new(&f);
    bufferevent_write(client->bev, head, sizeof(head) - 1);
    UNTIL(&f, evbuffer_get_length(client->received) > 0);
    assert_int_equal(f.requests, 0);
    bufferevent_write(client->bev, "{}", 2);
    UNTIL(&f, client->is_closed);
    assert_starts(received(client), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
    client_free(client);
    fixture_stop(&f);
}

struct drip {
    struct client *client;
    struct event *timer;
    const char *next;
};

static void
on_drip(evutil_socket_t fd, short what, void *arg)
{
    struct drip *drip = arg;

    (void)fd;
    (void)what;
    bufferevent_write(drip->client->bev, drip->next, 1);
    if (drip->next[1] != '\0')
        drip->next++;
}

/* Drips a request for ever: only the deadline of the whole request ends it. */
static void
assert_drip_is_cut_off(const char *request)
{
    const struct timeval every = {.tv_usec = 5000};
    struct fixture f;
    struct drip drip = {.next = request};

    fixture_start(&f, (struct http_server_options){.request_timeout_ms = 60});
    drip.client = client_new(&f);
    drip.timer = event_new(f.base, -1, EV_PERSIST, on_drip, &drip);
    event_add(drip.timer, &every);
    UNTIL(&f, drip.client->is_closed);
    assert_starts(received(drip.client), "HTTP/1.1 408 ");
    assert_int_equal(f.requests, 0);
    event_free(drip.timer);
    client_free(drip.client);
    fixture_stop(&f);
}

static void
a_request_that_drips_is_cut_off_in_head_and_body(void **state)
{
    (void)state;
    assert_drip_is_cut_off("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaa");
    assert_drip_is_cut_off("P / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n{");
}

static void
a_connection_that_says_nothing_is_closed_without_a_word(void **state)
{
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){.request_timeout_ms = 20});
    client = client_new(&f);
    UNTIL(&f, client->is_closed);
    assert_int_equal(evbuffer_get_length(client->received), 0);
    client_free(client);
    fixture_stop(&f);
}

/* Its request has come, and its owner has not answered yet. */
static struct client *
client_whose_answer_comes_later(struct fixture *f)
{
    static const char request[] = GET("/later");
    struct client *client = client_new(f);

    f->answers_later = true;
    bufferevent_write(client->bev, request, sizeof(request) - 1);
    UNTIL(f, f->open != NULL);
    return client;
}

static void
an_answer_may_come_later(void **state)
{
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){.request_timeout_ms = 20});
    client = client_whose_answer_comes_later(&f);
    answer(&f, f.open);
    UNTIL(&f, client->is_closed);
    assert_non_null(strstr(received(client), "GET /later 0"));
    assert_int_equal(f.gone, 0);
    client_free(client);
    fixture_stop(&f);
}

static void
a_client_that_closed_its_sending_half_gets_its_answer(void **state)
{
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){.half_close_ms = 60000});
    client = client_whose_answer_comes_later(&f);
    shutdown(bufferevent_getfd(client->bev), SHUT_WR);
    for (int i = 0; i < 20; i++) { /* it arrives */
        event_base_loop(f.base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    assert_int_equal(f.gone, 0);
    answer(&f, f.open);
    UNTIL(&f, client->is_closed);
    assert_non_null(strstr(received(client), "GET /later 0"));
    client_free(client);
    fixture_stop(&f);
}

static void
the_owner_is_told_when_a_client_goes_before_its_answer(void **state)
{
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){.half_close_ms = 20});
    client = client_whose_answer_comes_later(&f);
    client_free(client);
    UNTIL(&f, f.gone == 1);
    assert_null(f.open);
    fixture_stop(&f);
    assert_int_equal(f.gone, 1);
}

static void
the_owner_is_told_when_the_server_goes_before_the_answer(void **state)
{
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    client = client_whose_answer_comes_later(&f);
    client_free(client);
    fixture_stop(&f);
    assert_int_equal(f.gone, 1);
}

static void
a_client_that_talks_on_while_it_waits_is_cut_off(void **state)
{
    static const char request[] = GET("/later");
    struct fixture f;
    struct client *client;
    char *block = calloc(1, 200000);

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    f.answers_later = true;
    client = client_new(&f);
    bufferevent_write(client->bev, request, sizeof(request) - 1);
    bufferevent_write(client->bev, block, 200000);
    UNTIL(&f, client->is_closed && f.gone == 1);
    client_free(client);
    free(block);
    fixture_stop(&f);
}

static void
a_client_that_does_not_take_its_answer_is_cut_off(void **state)
{
    static const char request[] = GET("/large");
    struct fixture f;
    struct client *client;

    (void)state;
    fixture_start(&f, (struct http_server_options){.answer_timeout_ms = 50});
    f.answer_bytes = 32 * 1024 * 1024;
    client = client_new(&f);
    bufferevent_disable(client->bev, EV_READ);
    bufferevent_write(client->bev, request, sizeof(request) - 1);
    UNTIL(&f, f.requests == 1);
    UNTIL(&f,
          event_base_get_num_events(f.base, EVENT_BASE_COUNT_ADDED) <= 1); /* but the listener */
    bufferevent_enable(client->bev, EV_READ);
    UNTIL(&f, client->is_closed);
    assert_true(evbuffer_get_length(client->received) < f.answer_bytes);
    client_free(client);
    fixture_stop(&f);
}

static void
silent_connections_make_room_for_a_new_one(void **state)
{
    static const char request[] = GET("/p");
    struct fixture f;
    struct client *silent[3];

    (void)state;
    fixture_start(&f, (struct http_server_options){.max_connections = 3});
    for (int i = 0; i < 3; i++)
        silent[i] = client_new(&f);
    assert_starts(exchange_bytes(&f, request, sizeof(request) - 1), "HTTP/1.1 200 ");
    UNTIL(&f, silent[0]->is_closed);
    assert_false(silent[2]->is_closed);
    for (int i = 0; i < 3; i++)
        client_free(silent[i]);
    fixture_stop(&f);
}

static void
a_connection_above_the_maximum_is_told_so_and_far_above_it_closed(void **state)
{
    static const char request[] = GET("/later");
    struct fixture f;
    struct client *waiting, *more[40];
    int told = 0, closed = 0;

    (void)state;
    fixture_start(&f, (struct http_server_options){.max_connections = 1});
    f.answers_later = true;
    waiting = client_new(&f);
    bufferevent_write(waiting->bev, request, sizeof(request) - 1);
    UNTIL(&f, f.open != NULL);
    for (int i = 0; i < 40; i++) {
        more[i] = client_new(&f);
        bufferevent_write(more[i]->bev, request, sizeof(request) - 1);
    }
    for (int i = 0; i < 40; i++) {
        UNTIL(&f, more[i]->is_closed);
        told += strncmp(received(more[i]), "HTTP/1.1 503 ", 13) == 0;
        closed++;
    }
    assert_int_equal(closed, 40);
    assert_in_range(told, 1, 40);
    assert_int_equal(f.requests, 1);
    answer(&f, f.open);
    UNTIL(&f, waiting->is_closed);
    assert_starts(received(waiting), "HTTP/1.1 200 ");
    for (int i = 0; i < 40; i++)
        client_free(more[i]);
    client_free(waiting);
    fixture_stop(&f);
}

static void
an_address_in_use_and_a_wrong_one_are_told_apart(void **state)
{
    struct fixture f;
    struct error err;
    struct http_server_options options = {.address = "127.0.0.1", .on_request = on_request};

    (void)state;
    fixture_start(&f, (struct http_server_options){0});
    options.base = f.base;
    options.port = http_server_port(f.server);
    assert_null(http_server_new(&options, &err));
    assert_int_equal(err.kind, ERROR_UNREACHABLE);
    assert_non_null(strstr(err.message, "Address already in use"));
    options.address = "192.0.2.1"; /* TEST-NET-1 is no address of any host */
    assert_null(http_server_new(&options, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    options.address = "300.1.1.1:x";
    assert_null(http_server_new(&options, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    fixture_stop(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_its_connection_closed),
        cmocka_unit_test(a_body_may_come_in_pieces_and_any_method_is_delivered),
        cmocka_unit_test(an_answer_to_head_has_no_body),
        cmocka_unit_test(smuggled_requests_are_refused_and_never_run),
        cmocka_unit_test(a_pipelined_second_request_is_dropped),
        cmocka_unit_test(a_body_that_is_too_large_gets_its_413_even_while_it_is_being_sent),
        cmocka_unit_test(a_head_that_is_too_large_is_refused),
        cmocka_unit_test(all_bodies_together_are_bounded),
        cmocka_unit_test(a_client_that_asks_first_is_told_to_continue),
        cmocka_unit_test(a_request_that_drips_is_cut_off_in_head_and_body),
        cmocka_unit_test(a_connection_that_says_nothing_is_closed_without_a_word),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(a_client_that_closed_its_sending_half_gets_its_answer),
        cmocka_unit_test(the_owner_is_told_when_a_client_goes_before_its_answer),
        cmocka_unit_test(the_owner_is_told_when_the_server_goes_before_the_answer),
        cmocka_unit_test(a_client_that_talks_on_while_it_waits_is_cut_off),
        cmocka_unit_test(a_client_that_does_not_take_its_answer_is_cut_off),
        cmocka_unit_test(silent_connections_make_room_for_a_new_one),
        cmocka_unit_test(a_connection_above_the_maximum_is_told_so_and_far_above_it_closed),
        cmocka_unit_test(an_address_in_use_and_a_wrong_one_are_told_apart),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
