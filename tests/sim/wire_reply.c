#include "common/clock.h"
#include "common/memory.h"
#include "tests/sim/wire_exchange.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define POUR_BYTES 65536

static const struct {
    int status;
    const char *reason;
} REASONS[] = {
    {200, "OK"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Payload Too Large"},
    {424, "Failed Dependency"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *
reason_of(int status)
{
    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++)
        if (REASONS[i].status == status)
            return REASONS[i].reason;
    return "Status";
}

void
wire_reply_init(struct wire_reply *reply, int status)
{
    *reply = (struct wire_reply){.manner = WIRE_WHOLE,
                                 .status = status,
                                 .content_type = "application/json",
                                 .lines = xevbuffer(),
                                 .body = xevbuffer()};
}

void
wire_reply(struct exchange *exchange, struct wire_reply *reply, wire_end_fn *on_end, void *arg)
{
    struct timeval delay = clock_timeval(reply->after_ms);

    exchange->reply = *reply;
    exchange->on_end = on_end;
    exchange->on_end_arg = arg;
    exchange->state = EXCHANGE_WAITING;
    evtimer_add(exchange->timer, &delay);
}

void
exchange_end(struct exchange *exchange, bool was_sent)
{
    wire_end_fn *on_end = exchange->on_end;

    if (exchange->reply.lines != NULL)
        evbuffer_free(exchange->reply.lines);
    if (exchange->reply.body != NULL)
        evbuffer_free(exchange->reply.body);
    if (exchange->leftover != NULL)
        evbuffer_free(exchange->leftover);
    exchange->reply.lines = exchange->reply.body = exchange->leftover = NULL;
    exchange->on_end = NULL;
    if (on_end != NULL)
        on_end(was_sent, exchange->on_end_arg);
}

static void
put_date(struct evbuffer *out, int64_t offset_ms)
{
    time_t now = (time_t)((clock_wall_ms() + offset_ms) / 1000);
    char text[64];
    struct tm parts;

    gmtime_r(&now, &parts);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    evbuffer_add_printf(out, "Date: %s\r\n", text);
}

static void
put_head(struct exchange *exchange, struct evbuffer *out, int64_t body_len)
{
    struct wire_reply *reply = &exchange->reply;

    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", reply->status, reason_of(reply->status));
    put_date(out, reply->date_offset_ms);
    evbuffer_add_printf(out, "Content-Type: %s\r\n", reply->content_type);
    if (reply->is_chunked)
        evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
    else
        evbuffer_add_printf(out, "Content-Length: %lld\r\n", (long long)body_len);
    evbuffer_add_buffer(out, reply->lines);
    evbuffer_add_printf(out, "Connection: %s\r\n\r\n",
                        exchange->is_kept_alive ? "keep-alive" : "close");
}

static struct evbuffer *
output_of(struct exchange *exchange)
{
    return bufferevent_get_output(exchange->link);
}

static int64_t
body_len_of(struct exchange *exchange)
{
    return (int64_t)evbuffer_get_length(exchange->reply.body);
}

static void
put_whole(struct exchange *exchange, struct evbuffer *out)
{
    put_head(exchange, out, body_len_of(exchange));
    evbuffer_add_buffer(out, exchange->reply.body);
}

static void
send_whole(struct exchange *exchange)
{
    put_whole(exchange, output_of(exchange));
    exchange_end(exchange, true);
    exchange_next(exchange);
}

static void
send_half(struct exchange *exchange)
{
    int64_t len = body_len_of(exchange);

    put_head(exchange, output_of(exchange), len);
    evbuffer_remove_buffer(exchange->reply.body, output_of(exchange), (size_t)len / 2);
    exchange_end(exchange, true);
    exchange_close_flushed(exchange);
}

static void
send_raw(struct exchange *exchange)
{
    evbuffer_add_buffer(output_of(exchange), exchange->reply.body);
    exchange_end(exchange, true);
    exchange_close_flushed(exchange);
}

static void
send_fin(struct exchange *exchange)
{
    exchange_end(exchange, true);
    exchange_close_flushed(exchange);
}

static void
send_rst(struct exchange *exchange)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(bufferevent_getfd(exchange->link), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    exchange_end(exchange, true);
    exchange_free(exchange);
}

static void
send_nothing(struct exchange *exchange)
{
    exchange->state = EXCHANGE_WAITING; /* until the client gives up */
}

static void
drip(struct exchange *exchange)
{
    struct timeval pause = clock_timeval(exchange->reply.byte_ms);

    exchange->state = EXCHANGE_SENDING;
    if (exchange->leftover == NULL) {
        exchange->leftover = xevbuffer();
        put_whole(exchange, exchange->leftover);
    }
    evbuffer_remove_buffer(exchange->leftover, output_of(exchange), 1);
    if (evbuffer_get_length(exchange->leftover) > 0) {
        evtimer_add(exchange->timer, &pause);
        return;
    }
    exchange_end(exchange, true);
    exchange_next(exchange);
}

static void
start_padding(struct exchange *exchange)
{
    int64_t len = body_len_of(exchange);

    exchange->state = EXCHANGE_SENDING;
    exchange->pad_left = exchange->reply.pad_bytes > len ? exchange->reply.pad_bytes - len : 0;
    put_head(exchange, output_of(exchange), exchange->pad_left + len);
    exchange_pour(exchange);
}

static void
put_piece(struct exchange *exchange, struct evbuffer *piece)
{
    struct evbuffer *out = output_of(exchange);
    bool is_chunked = exchange->reply.is_chunked;

    if (is_chunked)
        evbuffer_add_printf(out, "%zx\r\n", evbuffer_get_length(piece));
    evbuffer_add_buffer(out, piece);
    if (is_chunked)
        evbuffer_add(out, "\r\n", 2);
}

static void
put_blanks(struct exchange *exchange)
{
    int64_t count = exchange->pad_left < POUR_BYTES ? exchange->pad_left : POUR_BYTES;
    struct evbuffer *piece = xevbuffer();
    struct evbuffer_iovec space;

    exchange->pad_left -= count;
    if (evbuffer_reserve_space(piece, (ev_ssize_t)count, &space, 1) == 1) {
        space.iov_len = (size_t)count;
        memset(space.iov_base, ' ', space.iov_len);
        evbuffer_commit_space(piece, &space, 1);
    }
    put_piece(exchange, piece);
    evbuffer_free(piece);
}

void
exchange_pour(struct exchange *exchange)
{
    if (exchange->reply.manner != WIRE_PADDED)
        return;
    if (exchange->pad_left > 0) {
        put_blanks(exchange);
        return;
    }
    put_piece(exchange, exchange->reply.body);
    if (exchange->reply.is_chunked)
        evbuffer_add(output_of(exchange), "0\r\n\r\n", 5);
    exchange_end(exchange, true);
    exchange_next(exchange);
}

void
exchange_on_timer(evutil_socket_t fd, short what, void *arg)
{
    static void (*const send[])(struct exchange *) = {
        [WIRE_WHOLE] = send_whole,     [WIRE_HALF] = send_half,     [WIRE_DRIP] = drip,
        [WIRE_PADDED] = start_padding, [WIRE_RAW] = send_raw,       [WIRE_FIN] = send_fin,
        [WIRE_RST] = send_rst,         [WIRE_NEVER] = send_nothing,
    };
    struct exchange *exchange = arg;

    (void)fd, (void)what;
    send[exchange->reply.manner](exchange);
}
