#include "common/http/http_server.h"

#include "common/clock.h"
#include "common/http/http_exchange.h"
#include "common/memory.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG        128
#define BODIES_AT_ONCE 8   /* times max_body_bytes, over all exchanges */
#define SHORTAGE_MS    100 /* without descriptors, how long not to accept */

/* Those that nobody waits for make room: opening connections and saying nothing is no way to
 * keep others out. */
static void
make_room(struct http_server *server)
{
    struct http_exchange *oldest = server->exchanges;

    if (server->exchange_count < server->options.max_connections)
        return;
    while (oldest != NULL && !http_exchange_is_expendable(oldest))
        oldest = http_exchange_next(oldest);
    if (oldest != NULL)
        http_exchange_end(oldest);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len,
          void *arg)
{
    struct http_server *server = arg;
    struct http_exchange *exchange;

    (void)listener;
    (void)address;
    (void)len;
    make_room(server);
    if (server->exchange_count >= server->options.max_connections + server->options.max_refused) {
        close(fd);
        return;
    }
    exchange = http_exchange_new(server, fd);
    if (exchange != NULL && server->exchange_count > server->options.max_connections)
        http_exchange_refuse(exchange, 503, "too many connections");
}

/* Out of descriptors: the waiting connection would be reported again and again. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *server = arg;
    struct timeval in = clock_timeval(SHORTAGE_MS);

    evconnlistener_disable(listener);
    event_add(&server->resume, &in);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;

    (void)fd;
    (void)what;
    evconnlistener_enable(server->listener);
}

static struct http_server_options
with_defaults(const struct http_server_options *given)
{
    struct http_server_options options = *given;

    if (options.max_head_bytes == 0)
        options.max_head_bytes = 16 * 1024;
    if (options.max_body_bytes == 0)
        options.max_body_bytes = 8 * 1024 * 1024;
    if (options.max_connections == 0)
        options.max_connections = 256;
    if (options.max_bytes_at_once == 0)
        options.max_bytes_at_once = BODIES_AT_ONCE * options.max_body_bytes;
    if (options.max_refused == 0)
        options.max_refused = 32;
    if (options.request_timeout_ms == 0)
        options.request_timeout_ms = 10000;
    if (options.answer_timeout_ms == 0)
        options.answer_timeout_ms = 30000;
    if (options.half_close_ms == 0)
        options.half_close_ms = 2000;
    return options;
}

static struct addrinfo *
find_address(const struct http_server_options *options, struct error *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[12];
    int code;

    snprintf(port, sizeof(port), "%d", options->port);
    code = getaddrinfo(options->address, port, &hints, &found);
    if (code == 0)
        return found;
    error_set(err, ERROR_CONFIG, "%s is no address to listen on (%s)", options->address,
              gai_strerror(code));
    return NULL;
}

static int
start_to_listen(struct http_server *server, struct error *err)
{
    const struct http_server_options *options = &server->options;
    struct addrinfo *address = find_address(options, err);
    int cause;

    if (address == NULL)
        return -1;
    server->listener =
        evconnlistener_new_bind(options->base, on_accept, server,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                BACKLOG, address->ai_addr, (int)address->ai_addrlen);
    cause = errno;
    freeaddrinfo(address);
    if (server->listener == NULL)
        return error_set(err, cause == EADDRINUSE ? ERROR_UNREACHABLE : ERROR_CONFIG,
                         "cannot listen on %s port %d (%s)", options->address, options->port,
                         strerror(cause));
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    return 0;
}

struct http_server *
http_server_new(const struct http_server_options *options, struct error *err)
{
    struct http_server *server = xcalloc(1, sizeof(*server));

    server->options = with_defaults(options);
    evtimer_assign(&server->resume, options->base, on_resume, server);
    if (start_to_listen(server, err) != 0) {
        free(server);
        return NULL;
    }
    return server;
}

void
http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    evconnlistener_free(server->listener);
    event_del(&server->resume);
    while (server->exchanges != NULL)
        http_exchange_end(server->exchanges);
    free(server);
}

int
http_server_port(const struct http_server *server)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);

    if (getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&address, &len))
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&address)->sin_port);
}
