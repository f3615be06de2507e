#include "tests/sim/wire.h"

#include "common/clock.h"
#include "common/memory.h"
#include "tests/sim/wire_exchange.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define BACKLOG         4096
#define ACCEPT_PAUSE_MS 100

struct wire {
    struct event_base *base; /* borrowed */
    struct evconnlistener *listener;
    struct event *accept_again;
    wire_request_fn *on_request;
    void *arg;
    struct exchange *exchanges;
};

void
exchange_free(struct exchange *exchange)
{
    DL_DELETE(exchange->wire->exchanges, exchange);
    exchange_end(exchange, false);
    event_free(exchange->timer);
    bufferevent_free(exchange->link);
    free(exchange->head_text);
    free(exchange);
}

void
exchange_close_flushed(struct exchange *exchange)
{
    exchange->state = EXCHANGE_ENDING;
    bufferevent_disable(exchange->link, EV_READ);
    if (evbuffer_get_length(bufferevent_get_output(exchange->link)) == 0)
        exchange_free(exchange);
}

static void
await_head(struct exchange *exchange)
{
    exchange->state = EXCHANGE_HEAD;
    bufferevent_setwatermark(exchange->link, EV_READ, 0, WIRE_HEAD_BYTES);
}

void
exchange_next(struct exchange *exchange)
{
    if (!exchange->is_kept_alive) {
        exchange_close_flushed(exchange);
        return;
    }
    await_head(exchange);
    /* A client that did not wait for the answer has its next request here already. */
    if (evbuffer_get_length(bufferevent_get_input(exchange->link)) > 0)
        bufferevent_trigger(exchange->link, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

static void
refuse_head(struct exchange *exchange, int status)
{
    struct wire_reply reply;

    exchange->is_kept_alive = false;
    wire_reply_init(&reply, status);
    wire_reply(exchange, &reply, NULL, NULL);
}

static void
read_body(struct exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->link);
    size_t len = exchange->head.body_len;
    struct wire_request request = {.head = &exchange->head, .body = "", .body_len = len};

    if (evbuffer_get_length(input) < len)
        return;
    if (len > 0)
        request.body = (const char *)evbuffer_pullup(input, (ev_ssize_t)len);
    exchange->wire->on_request(exchange, &request, exchange->wire->arg);
    evbuffer_drain(input, len);
    free(exchange->head_text);
    exchange->head_text = NULL;
    /* Reading goes on, because that is how the end of a client is seen. */
    bufferevent_setwatermark(exchange->link, EV_READ, 0, WIRE_HEAD_BYTES);
}

static void
await_body(struct exchange *exchange)
{
    size_t len = exchange->head.body_len;

    exchange->state = EXCHANGE_BODY;
    exchange->is_kept_alive = exchange->head.is_kept_alive;
    if (exchange->head.wants_continue)
        bufferevent_write(exchange->link, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    bufferevent_setwatermark(exchange->link, EV_READ, len, len);
    read_body(exchange);
}

static void
read_head(struct exchange *exchange)
{
    struct evbuffer *input = bufferevent_get_input(exchange->link);
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    size_t len;
    int status;

    if (end.pos < 0) {
        if (evbuffer_get_length(input) >= WIRE_HEAD_BYTES)
            refuse_head(exchange, 431);
        return;
    }
    len = (size_t)end.pos + 4;
    exchange->head_text = xcalloc(1, len + 1);
    evbuffer_remove(input, exchange->head_text, len);
    status = wire_head_parse(exchange->head_text, &exchange->head);
    if (status != 0)
        refuse_head(exchange, status);
    else
        await_body(exchange);
}

static void
on_read(struct bufferevent *link, void *arg)
{
    struct exchange *exchange = arg;

    (void)link;
    if (exchange->state == EXCHANGE_HEAD)
        read_head(exchange);
    else if (exchange->state == EXCHANGE_BODY)
        read_body(exchange);
}

static void
on_write(struct bufferevent *link, void *arg)
{
    struct exchange *exchange = arg;

    (void)link;
    if (exchange->state == EXCHANGE_ENDING)
        exchange_free(exchange);
    else if (exchange->state == EXCHANGE_SENDING)
        exchange_pour(exchange);
}

static void
on_event(struct bufferevent *link, short what, void *arg)
{
    struct exchange *exchange = arg;

    (void)link;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        exchange_free(exchange);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int peer_len,
          void *arg)
{
    struct exchange *exchange = xcalloc(1, sizeof(*exchange));
    int on = 1;

    (void)listener, (void)peer, (void)peer_len;
    exchange->wire = arg;
    exchange->link = bufferevent_socket_new(exchange->wire->base, fd, BEV_OPT_CLOSE_ON_FREE);
    exchange->timer = evtimer_new(exchange->wire->base, exchange_on_timer, exchange);
    assert(exchange->link != NULL && exchange->timer != NULL); /* NULL only without memory */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    DL_APPEND(exchange->wire->exchanges, exchange);
    await_head(exchange);
    bufferevent_setcb(exchange->link, on_read, on_write, on_event, exchange);
    bufferevent_enable(exchange->link, EV_READ | EV_WRITE);
}

static void
on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct wire *wire = arg;

    (void)fd, (void)what;
    evconnlistener_enable(wire->listener);
}

/* Out of descriptors: the socket stays readable, so that without a pause this would spin. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct wire *wire = arg;
    struct timeval pause = clock_timeval(ACCEPT_PAUSE_MS);

    evconnlistener_disable(listener);
    evtimer_add(wire->accept_again, &pause);
}

struct wire *
wire_new(struct event_base *base, int port, wire_request_fn *on_request, void *arg,
         struct error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct wire *wire = xcalloc(1, sizeof(*wire));

    *wire = (struct wire){.base = base, .on_request = on_request, .arg = arg};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->accept_again = evtimer_new(base, on_accept_again, wire);
    wire->listener = evconnlistener_new_bind(
        base, on_accept, wire, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
        BACKLOG, (struct sockaddr *)&address, sizeof(address));
    if (wire->listener == NULL) {
        error_set(err, ERROR_UNREACHABLE, "cannot listen on 127.0.0.1:%d: %s", port,
                  strerror(errno));
        wire_free(wire);
        return NULL;
    }
    evconnlistener_set_error_cb(wire->listener, on_accept_error);
    return wire;
}

int
wire_port(const struct wire *wire)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);

    if (getsockname(evconnlistener_get_fd(wire->listener), (struct sockaddr *)&address, &len) != 0)
        return -1;
    return ntohs(address.sin_port);
}

void
wire_free(struct wire *wire)
{
    struct exchange *exchange, *next;

    if (wire == NULL)
        return;
    DL_FOREACH_SAFE(wire->exchanges, exchange, next)
    exchange_free(exchange);
    if (wire->listener != NULL)
        evconnlistener_free(wire->listener);
    event_free(wire->accept_again);
    free(wire);
}
