/*
 * http_exchange.h - one connection of http_server: a request in, an answer out, closed.
 *
 * Behind http_server.h, for http_server.c alone. The life of an exchange:
 *
 *     HEAD -> BODY -> PENDING -> ANSWERING -> LINGERING -> freed
 *
 * PENDING is the owner's turn and has no deadline while the client's sending half is open; every
 * other state has one. A refused
 * request goes to ANSWERING at once. LINGERING eats what the client still sends for a while,
 * because closing over unread bytes resets the connection and loses the answer.
 */
#ifndef COMMON_HTTP_EXCHANGE_H
#define COMMON_HTTP_EXCHANGE_H

#include "common/http/http_server.h"

#include <event2/event_struct.h>
#include <event2/listener.h>

struct http_server {
    struct http_server_options options; /* with the defaults filled in */
    struct evconnlistener *listener;
    struct event resume;             /* accepts again after a shortage */
    struct http_exchange *exchanges; /* oldest first */
    int exchange_count;
    size_t answer_bytes; /* of answers that their clients have yet to take */
    size_t body_bytes;   /* announced by the requests that are being read or answered */
};

/* Serves an accepted socket (taken). NULL when there is no memory for it: it is closed. */
struct http_exchange *http_exchange_new(struct http_server *server, evutil_socket_t fd);
/* Nobody waits for it: no whole request has come yet, or its answer has gone out. */
bool http_exchange_is_expendable(const struct http_exchange *exchange);
/* The next younger one, or NULL. */
struct http_exchange *http_exchange_next(const struct http_exchange *exchange);
/* Answers with an error of our own. */
void http_exchange_refuse(struct http_exchange *exchange, int status, const char *reason);
/* Closes it; its owner is told when it still owed an answer. */
void http_exchange_end(struct http_exchange *exchange);

#endif
