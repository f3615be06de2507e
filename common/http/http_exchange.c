#include "common/http/http_exchange.h"

#include "common/clock.h"
#include "common/http/http_head.h"
#include "common/memory.h"

#include <assert.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define SMALL_ANSWER     4096               /* always sent: a refusal must be */
#define SURPLUS_MAX      (64 * 1024)        /* after a request, while its answer is made */
#define LINGER_MAX_BYTES (32 * 1024 * 1024) /* after an answer: a refused upload */
#define LINGER_MS        5000

enum exchange_state {
    EXCHANGE_HEAD,
    EXCHANGE_BODY,
    EXCHANGE_PENDING,
    EXCHANGE_ANSWERING,
    EXCHANGE_LINGERING,
};

struct http_exchange {
    enum exchange_state state;
    struct http_server *server; /* borrowed */
    struct bufferevent *bev;    /* owned, closes its socket */
    struct event deadline;      /* of the state it is in */
    struct http_guard guard;
    struct http_head head;
    struct evbuffer *body; /* owned; NULL until the request is whole */
    size_t reserved_bytes; /* its part of server->body_bytes */
    size_t answer_bytes;   /* its part of server->answer_bytes */
    size_t dropped_bytes;  /* that came after the request */
    http_gone_fn *on_gone;
    void *gone_arg;
    struct http_exchange *prev, *next;
};

static const struct status {
    int code;
    const char *phrase;
    const char *kind; /* of an error that the server itself answers */
} statuses[] = {
    {200, "OK", NULL},
    {202, "Accepted", NULL},
    {204, "No Content", NULL},
    {304, "Not Modified", NULL},
    {400, "Bad Request", "bad_request"},
    {401, "Unauthorized", NULL},
    {403, "Forbidden", NULL},
    {404, "Not Found", NULL},
    {405, "Method Not Allowed", NULL},
    {408, "Request Timeout", "timeout"},
    {411, "Length Required", "length_required"},
    {413, "Content Too Large", "too_large"},
    {415, "Unsupported Media Type", NULL},
    {429, "Too Many Requests", NULL},
    {500, "Internal Server Error", NULL},
    {503, "Service Unavailable", "unavailable"},
};

static const struct status *
status_of(int code)
{
    static const struct status other = {0, "Status", "error"};

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].code == code)
            return &statuses[i];
    return &other;
}

static void
set_deadline(struct http_exchange *exchange, int64_t ms)
{
    struct timeval in = clock_timeval(ms);

    event_add(&exchange->deadline, &in);
}

static void
release_request(struct http_exchange *exchange)
{
    http_head_release(&exchange->head);
    if (exchange->body != NULL)
        evbuffer_free(exchange->body);
    exchange->body = NULL;
    exchange->server->body_bytes -= exchange->reserved_bytes;
    exchange->reserved_bytes = 0;
}

static void
release_answer(struct http_exchange *exchange)
{
    exchange->server->answer_bytes -= exchange->answer_bytes;
    exchange->answer_bytes = 0;
}

void
http_exchange_end(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;

    if (exchange->state == EXCHANGE_PENDING && exchange->on_gone != NULL)
        exchange->on_gone(exchange, exchange->gone_arg);
    DL_DELETE(server->exchanges, exchange);
    server->exchange_count--;
    release_request(exchange);
    release_answer(exchange);
    event_del(&exchange->deadline);
    bufferevent_free(exchange->bev);
    free(exchange);
}

/* --- answering --- */

static void
put_date(struct evbuffer *out)
{
    char text[40];
    time_t now = time(NULL);
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    evbuffer_add_printf(out, "Date: %s\r\n", text);
}

static void
put_head(struct evbuffer *out, int status, const char *content_type, size_t body_len,
         const char *const *extra_headers)
{
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", status, status_of(status)->phrase);
    put_date(out);
    if (content_type != NULL)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", content_type);
    if (status != 204 && status != 304)
        evbuffer_add_printf(out, "Content-Length: %zu\r\n", body_len);
    for (; extra_headers != NULL && *extra_headers != NULL; extra_headers++)
        if (strpbrk(*extra_headers, "\r\n") == NULL)
            evbuffer_add_printf(out, "%s\r\n", *extra_headers);
    evbuffer_add_printf(out, "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
                             "Connection: close\r\n\r\n");
}

static void
answer(struct http_exchange *exchange, int status, const char *content_type, struct evbuffer *body,
       const char *const *extra_headers)
{
    struct evbuffer *out = bufferevent_get_output(exchange->bev);
    const char *method = exchange->head.method;
    bool is_bodyless = status == 204 || status == 304 || (method && strcmp(method, "HEAD") == 0);

    exchange->state = EXCHANGE_ANSWERING;
    exchange->answer_bytes = body ? evbuffer_get_length(body) : 0;
    exchange->server->answer_bytes += exchange->answer_bytes;
    bufferevent_disable(exchange->bev, EV_READ);
    put_head(out, status, content_type, body ? evbuffer_get_length(body) : 0, extra_headers);
    if (body != NULL && !is_bodyless)
        evbuffer_add_buffer(out, body);
    else if (body != NULL)
        evbuffer_drain(body, evbuffer_get_length(body));
    release_request(exchange);
    set_deadline(exchange, exchange->server->options.answer_timeout_ms);
}

void
http_reply(struct http_exchange *exchange, int status, const char *content_type,
           struct evbuffer *body, const char *const *extra_headers)
{
    const struct http_server *server = exchange->server;
    size_t len = body ? evbuffer_get_length(body) : 0;

    assert(exchange->state == EXCHANGE_PENDING);
    /* One alone is always sent: nobody could ever have it else. */
    if (len > SMALL_ANSWER && server->answer_bytes > 0 &&
        server->answer_bytes + len > server->options.max_bytes_at_once) {
        evbuffer_drain(body, len);
        http_exchange_refuse(exchange, 503, "too many large answers at once");
        return;
    }
    answer(exchange, status, content_type, body, extra_headers);
}

void
http_exchange_refuse(struct http_exchange *exchange, int status, const char *reason)
{
    struct evbuffer *body = xevbuffer();

    evbuffer_add_printf(body, "{\"success\":false,\"error\":{\"kind\":\"%s\",\"message\":\"%s\"}}",
                        status_of(status)->kind, reason);
    answer(exchange, status, "application/json", body, NULL);
    evbuffer_free(body);
}

/* --- reading --- */

/* Returns the bytes dropped so far. */
static size_t
drop_input(struct http_exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->bev);

    exchange->dropped_bytes += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    return exchange->dropped_bytes;
}

static void
read_body(struct http_exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->bev);
    const struct http_server_options *options = &exchange->server->options;

    if (evbuffer_get_length(input) < exchange->guard.body_len)
        return;
    exchange->body = xevbuffer();
    evbuffer_remove_buffer(input, exchange->body, exchange->guard.body_len);
    drop_input(exchange);
    exchange->state = EXCHANGE_PENDING;
    event_del(&exchange->deadline);
    options->on_request(exchange, options->arg);
}

static void
start_body(struct http_exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->bev);
    struct http_server *server = exchange->server;
    const struct http_guard *guard = &exchange->guard;
    char *text;

    if (server->body_bytes + guard->body_len > server->options.max_bytes_at_once) {
        http_exchange_refuse(exchange, 503, "too many large requests at once");
        return;
    }
    exchange->reserved_bytes = guard->body_len;
    server->body_bytes += guard->body_len;
    text = xcalloc(1, guard->head_len + 1);
    evbuffer_remove(input, text, guard->head_len);
    http_head_init(&exchange->head, text);
    exchange->state = EXCHANGE_BODY;
    if (guard->wants_continue && evbuffer_get_length(input) < guard->body_len)
        evbuffer_add_printf(bufferevent_get_output(exchange->bev), "HTTP/1.1 100 Continue\r\n\r\n");
    read_body(exchange);
}

static void
read_head(struct http_exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->bev);
    size_t len = evbuffer_get_length(input);
    const char *data = (const char *)evbuffer_pullup(input, -1);

    switch (http_guard_check(&exchange->guard, data, len)) {
    case HTTP_GUARD_MORE: break;
    case HTTP_GUARD_PASSED: start_body(exchange); break;
    case HTTP_GUARD_REFUSED:
        http_exchange_refuse(exchange, exchange->guard.status, exchange->guard.reason);
        break;
    }
}

static void
on_readable(struct bufferevent *bev, void *arg)
{
    struct http_exchange *exchange = arg;

    (void)bev;
    switch (exchange->state) {
    case EXCHANGE_HEAD: read_head(exchange); break;
    case EXCHANGE_BODY: read_body(exchange); break;
    case EXCHANGE_ANSWERING: break; /* stays in the buffer until LINGERING */
    case EXCHANGE_PENDING:
        if (drop_input(exchange) > SURPLUS_MAX)
            http_exchange_end(exchange);
        break;
    case EXCHANGE_LINGERING:
        if (drop_input(exchange) > LINGER_MAX_BYTES)
            http_exchange_end(exchange);
        break;
    }
}

static void
on_drained(struct bufferevent *bev, void *arg)
{
    struct http_exchange *exchange = arg;

    if (exchange->state != EXCHANGE_ANSWERING)
        return;
    exchange->state = EXCHANGE_LINGERING;
    release_answer(exchange);
    shutdown(bufferevent_getfd(bev), SHUT_WR);
    drop_input(exchange);
    set_deadline(exchange, LINGER_MS);
    bufferevent_enable(bev, EV_READ);
}

/* `printf ... | nc` and its like shut their sending half down once the request is out. */
static void
on_closed(struct bufferevent *bev, short what, void *arg)
{
    struct http_exchange *exchange = arg;

    (void)bev;
    if (exchange->state == EXCHANGE_PENDING && (what & BEV_EVENT_EOF))
        set_deadline(exchange, exchange->server->options.half_close_ms);
    else
        http_exchange_end(exchange);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct http_exchange *exchange = arg;

    (void)fd;
    (void)what;
    if (exchange->guard.scanned > 0 &&
        (exchange->state == EXCHANGE_HEAD || exchange->state == EXCHANGE_BODY))
        http_exchange_refuse(exchange, 408, "the request took too long to arrive");
    else
        http_exchange_end(exchange);
}

struct http_exchange *
http_exchange_new(struct http_server *server, evutil_socket_t fd)
{
    const struct http_server_options *options = &server->options;
    struct bufferevent *bev = bufferevent_socket_new(options->base, fd, BEV_OPT_CLOSE_ON_FREE);
    struct http_exchange *exchange;

    if (bev == NULL) {
        close(fd);
        return NULL;
    }
    exchange = xcalloc(1, sizeof(*exchange));
    exchange->server = server;
    exchange->bev = bev;
    http_guard_init(&exchange->guard, options->max_head_bytes, options->max_body_bytes);
    evtimer_assign(&exchange->deadline, options->base, on_deadline, exchange);
    set_deadline(exchange, options->request_timeout_ms);
    DL_APPEND(server->exchanges, exchange);
    server->exchange_count++;
    bufferevent_setcb(bev, on_readable, on_drained, on_closed, exchange);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    return exchange;
}

bool
http_exchange_is_expendable(const struct http_exchange *exchange)
{
    return exchange->state != EXCHANGE_PENDING && exchange->state != EXCHANGE_ANSWERING;
}

struct http_exchange *
http_exchange_next(const struct http_exchange *exchange)
{
    return exchange->next;
}

/* --- what the owner of a pending exchange may ask --- */

const char *
http_method(const struct http_exchange *exchange)
{
    return exchange->head.method;
}

const char *
http_path(const struct http_exchange *exchange)
{
    return exchange->head.path;
}

const char *
http_query(const struct http_exchange *exchange, const char *name)
{
    return http_head_param(&exchange->head, name);
}

const char *
http_request_header(const struct http_exchange *exchange, const char *name)
{
    return http_head_header(&exchange->head, name);
}

const char *
http_body(const struct http_exchange *exchange, size_t *len)
{
    const char *text = (const char *)evbuffer_pullup(exchange->body, -1);

    *len = text != NULL ? evbuffer_get_length(exchange->body) : 0;
    return text != NULL ? text : "";
}

void
http_on_gone(struct http_exchange *exchange, http_gone_fn *fn, void *arg)
{
    exchange->on_gone = fn;
    exchange->gone_arg = arg;
}
