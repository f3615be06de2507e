#include "common/redis/redis_link.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/redis/redis_reader.h"
#include "common/redis/redis_resolve.h"
#include "common/redis/redis_tls.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOKUP_POLL_MS 5           /* how often a running lookup is looked at */
#define BYTES_PER_TURN (256 << 10) /* libevent's own 16 KiB would cut a big job into 512 turns */

struct redis_link {
    struct redis_link_options options;
    char name[256];              /* the URL without its password, for errors */
    struct redis_lookup *lookup; /* outlives a close: one thread a link, however slow the names */
    char looked_up[256];         /* whose address that looks for, and the port */
    int looked_up_port;
    int64_t lookup_until_ms;
    struct event *lookup_timer;
    struct redis_addresses addresses;
    int next_address;
    int fd;                     /* connecting; -1: none */
    struct event *connecting;   /* fd is ready, or its time is over */
    struct error failure;       /* of the address tried last */
    SSL_CTX *tls;               /* from the first open on; NULL: plain */
    struct bufferevent *stream; /* the connection; NULL: none */
    bool is_up;                 /* the handshake of TLS is over, too */
    bool has_read; /* so the server lets us talk: TLS 1.3 refuses us after its handshake */
    redisReader *reader;
    bool *is_closed; /* set by a close inside on_reply */
};

static void
fail(struct redis_link *link)
{
    struct error why = link->failure;

    redis_link_close(link);
    link->options.on_down(&why, link->options.arg);
}

/* A failed write is not the end yet: what Redis said before it hung up ("max number of
 * clients reached") is still to be read, and the reading ends by itself. */
static const char *
end_reason(const struct redis_link *link, short what)
{
    int failure = EVUTIL_SOCKET_ERROR();
    unsigned long tls_failure = link->tls != NULL ? bufferevent_get_openssl_error(link->stream) : 0;

    if (what & BEV_EVENT_TIMEOUT)
        return "no answer to the TLS handshake: is this its TLS port?";
    if (link->tls != NULL && (tls_failure != 0 || !link->has_read))
        return redis_tls_why(bufferevent_openssl_get_ssl(link->stream), tls_failure);
    return what & BEV_EVENT_ERROR ? strerror(failure) : "closed by the server";
}

static void
on_event(struct bufferevent *stream, short what, void *arg)
{
    struct redis_link *link = arg;

    if (what & BEV_EVENT_CONNECTED) {
        bufferevent_set_timeouts(stream, NULL, NULL);
        link->is_up = true;
        link->options.on_up(link->options.arg);
        return;
    }
    if (what & BEV_EVENT_WRITING && link->tls == NULL)
        return;
    error_set(&link->failure, link->is_up ? ERROR_LOST : ERROR_UNREACHABLE, "%s: %s", link->name,
              end_reason(link, what));
    fail(link);
}

static void
feed_reader(struct redis_link *link)
{
    struct evbuffer *input = bufferevent_get_input(link->stream);
    size_t len;

    while ((len = evbuffer_get_contiguous_space(input)) > 0) {
        redisReaderFeed(link->reader, (const char *)evbuffer_pullup(input, (ev_ssize_t)len), len);
        evbuffer_drain(input, len);
    }
}

/* False when there is no whole reply, or when the link failed on it. */
static bool
next_reply(struct redis_link *link, redisReply **reply)
{
    void *found = NULL;

    if (redisReaderGetReply(link->reader, &found) != REDIS_OK) {
        error_set(&link->failure, ERROR_LOST, "%s: not Redis' protocol: %s", link->name,
                  link->reader->errstr);
        fail(link);
        return false;
    }
    *reply = found;
    return found != NULL;
}

static void
on_readable(struct bufferevent *stream, void *arg)
{
    struct redis_link *link = arg;
    bool is_closed = false;
    redisReply *reply;

    (void)stream;
    link->has_read = true;
    link->is_closed = &is_closed;
    feed_reader(link);
    while (!is_closed && next_reply(link, &reply)) {
        link->options.on_reply(reply, link->options.arg);
        freeReplyObject(reply);
    }
    if (!is_closed)
        link->is_closed = NULL;
}

static struct bufferevent *
new_stream(struct redis_link *link)
{
    struct event_base *base = link->options.base;
    const struct redis_url *url = link->options.url;
    struct bufferevent *stream;
    SSL *session;

    if (link->tls == NULL)
        return bufferevent_socket_new(base, link->fd, BEV_OPT_CLOSE_ON_FREE);
    session = redis_tls_session(link->tls, &url->tls, url->host);
    if (session == NULL)
        return NULL;
    stream = bufferevent_openssl_socket_new(base, link->fd, session, BUFFEREVENT_SSL_CONNECTING,
                                            BEV_OPT_CLOSE_ON_FREE);
    /* A Redis that is killed says no goodbye. */
    if (stream != NULL)
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    return stream;
}

/* Connected: what remains is the handshake of TLS, which has its own deadline. */
static void
come_up(struct redis_link *link)
{
    struct timeval timeout = clock_timeval(link->options.connect_timeout_ms);

    link->stream = new_stream(link);
    if (link->stream != NULL)
        link->fd = -1; /* the stream's from here on */
    link->reader = redis_reader_new();
    if (link->stream == NULL || link->reader == NULL) {
        error_set(&link->failure, ERROR_UNREACHABLE, "%s: out of memory", link->name);
        fail(link);
        return;
    }
    bufferevent_set_max_single_read(link->stream, BYTES_PER_TURN);
    bufferevent_set_max_single_write(link->stream, BYTES_PER_TURN);
    bufferevent_setcb(link->stream, on_readable, NULL, on_event, link);
    if (link->tls != NULL)
        bufferevent_set_timeouts(link->stream, &timeout, &timeout);
    bufferevent_enable(link->stream, EV_READ | EV_WRITE);
    if (link->tls == NULL)
        on_event(link->stream, BEV_EVENT_CONNECTED, link);
}

/* A port of the ephemeral range that nobody listens on can be connected to itself: Linux
 * gives such a socket its own target as source. It would keep Redis from ever binding it. */
static bool
is_connected_to_itself(int fd)
{
    struct sockaddr_storage ours = {0}, theirs = {0};
    socklen_t our_len = sizeof(ours), their_len = sizeof(theirs);

    if (getsockname(fd, (struct sockaddr *)&ours, &our_len) != 0 ||
        getpeername(fd, (struct sockaddr *)&theirs, &their_len) != 0)
        return false;
    return ours.ss_family != AF_UNIX && our_len == their_len &&
           memcmp(&ours, &theirs, our_len) == 0;
}

static int
connect_outcome(int fd)
{
    int outcome = 0;
    socklen_t len = sizeof(outcome);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &len) != 0)
        return errno;
    if (outcome == 0 && is_connected_to_itself(fd))
        return ECONNREFUSED;
    return outcome;
}

static void
close_socket(struct redis_link *link)
{
    if (link->connecting != NULL)
        event_free(link->connecting);
    link->connecting = NULL;
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}

/* A dead peer of an idle connection is found within 4 s. TCP_USER_TIMEOUT does not do that:
 * it counts only while something is unacknowledged. */
static void
set_tcp_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},  {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 1}, {IPPROTO_TCP, TCP_KEEPINTVL, 1},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

/* Returns 0 or an errno. */
static int
start_connecting(struct redis_link *link, const struct redis_address *address,
                 event_callback_fn callback)
{
    struct timeval timeout = clock_timeval(link->options.connect_timeout_ms);
    int family = address->socket.ss_family;

    link->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return errno;
    if (family != AF_UNIX)
        set_tcp_options(link->fd);
    if (connect(link->fd, (const struct sockaddr *)&address->socket, address->len) != 0 &&
        errno != EINPROGRESS)
        return errno;
    link->connecting =
        event_new(link->options.base, link->fd, EV_WRITE | EV_TIMEOUT, callback, link);
    return link->connecting != NULL && event_add(link->connecting, &timeout) == 0 ? 0 : ENOMEM;
}

static void on_connected(evutil_socket_t fd, short what, void *arg);

static void
connect_next(struct redis_link *link)
{
    while (link->next_address < link->addresses.count) {
        int failure =
            start_connecting(link, &link->addresses.at[link->next_address++], on_connected);

        if (failure == 0)
            return;
        close_socket(link);
        error_set(&link->failure, ERROR_UNREACHABLE, "%s: %s", link->name, strerror(failure));
    }
    fail(link);
}

static void
on_connected(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    int failure = what & EV_TIMEOUT ? ETIMEDOUT : connect_outcome(fd);

    event_free(link->connecting);
    link->connecting = NULL;
    if (failure == 0) {
        come_up(link);
        return;
    }
    close_socket(link);
    error_set(&link->failure, ERROR_UNREACHABLE, "%s: %s", link->name, strerror(failure));
    connect_next(link);
}

static void
on_lookup_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    struct timeval pause = clock_timeval(LOOKUP_POLL_MS);
    struct redis_lookup *lookup = link->lookup;

    (void)fd;
    (void)what;
    if (redis_lookup_is_done(lookup)) {
        link->lookup = NULL;
        if (redis_lookup_finish(lookup, &link->addresses, &link->failure) == 0)
            connect_next(link);
        else
            fail(link);
    } else if (clock_mono_ms() < link->lookup_until_ms) {
        evtimer_add(link->lookup_timer, &pause);
    } else {
        error_set(&link->failure, ERROR_UNREACHABLE, "looking up %s: no answer yet",
                  link->options.url->host);
        fail(link);
    }
}

struct redis_link *
redis_link_new(const struct redis_link_options *options)
{
    struct redis_link *link = xcalloc(1, sizeof(*link));

    link->options = *options;
    link->fd = -1;
    link->lookup_timer = evtimer_new(options->base, on_lookup_timer, link);
    return link;
}

/* In a cluster the next connect may be to another node. */
static void
forget_other_lookup(struct redis_link *link)
{
    const struct redis_url *url = link->options.url;

    if (strcmp(link->looked_up, url->host) != 0 || link->looked_up_port != url->port) {
        redis_lookup_abandon(link->lookup);
        link->lookup = NULL;
    }
    snprintf(link->looked_up, sizeof(link->looked_up), "%s", url->host);
    link->looked_up_port = url->port;
}

void
redis_link_open(struct redis_link *link)
{
    link->next_address = 0;
    redis_url_show_server(link->options.url, link->name, sizeof(link->name));
    if (link->options.url->is_tls && link->tls == NULL) {
        link->tls = redis_tls_new(&link->options.url->tls, &link->failure);
        if (link->tls == NULL) {
            fail(link);
            return;
        }
    }
    forget_other_lookup(link);
    if (redis_resolve_now(link->options.url, &link->addresses)) {
        connect_next(link);
        return;
    }
    if (link->lookup == NULL)
        link->lookup = redis_lookup_start(link->options.url, &link->failure);
    if (link->lookup == NULL) {
        fail(link);
        return;
    }
    link->lookup_until_ms = clock_mono_ms() + link->options.connect_timeout_ms;
    on_lookup_timer(-1, 0, link);
}

void
redis_link_close(struct redis_link *link)
{
    if (link->is_closed != NULL)
        *link->is_closed = true;
    link->is_closed = NULL;
    evtimer_del(link->lookup_timer);
    close_socket(link);
    if (link->stream != NULL)
        bufferevent_free(link->stream);
    link->stream = NULL;
    link->is_up = false;
    link->has_read = false;
    if (link->reader != NULL)
        redisReaderFree(link->reader);
    link->reader = NULL;
}

void
redis_link_free(struct redis_link *link)
{
    if (link == NULL)
        return;
    redis_link_close(link);
    redis_lookup_abandon(link->lookup);
    event_free(link->lookup_timer);
    SSL_CTX_free(link->tls);
    free(link);
}

struct evbuffer *
redis_link_output(struct redis_link *link)
{
    return link->is_up ? bufferevent_get_output(link->stream) : NULL;
}
