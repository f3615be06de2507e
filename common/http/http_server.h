/*
 * http_server.h - a small, strict HTTP/1.1 server on the event loop.
 *
 * A guard (http_guard.h, pure) reads the head before anything acts on it, and one request
 * per connection is taken; later bytes are dropped and every answer closes. Not evhttp: it
 * takes duplicate lengths, blanks before colons, NULs in values and requests that never end,
 * and once a guard has read the head, what is left to do is smaller than a filter before it.
 *
 * What clients can make it hold: max_connections heads, bodies of max_bytes_at_once in all,
 * and as much again of answers that are not taken (beyond that: 503).
 */
#ifndef COMMON_HTTP_SERVER_H
#define COMMON_HTTP_SERVER_H

#include "common/error.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_exchange; /* one request and its answer */

/* A request whose head was checked and whose body is complete. Answer it now or
 * later with http_reply; nothing else ends it, but the client may go away first: who
 * answers later must say http_on_gone before returning. */
typedef void http_request_fn(struct http_exchange *exchange, void *arg);
/* The client is gone before an answer, or the server is being freed; the exchange is freed
 * after this. A client that only closed its sending half cannot be told from one that is gone: it
 * has half_close_ms to get its answer. */
typedef void http_gone_fn(struct http_exchange *exchange, void *arg);

struct http_server_options {
    struct event_base *base;
    const char *address;      /* "127.0.0.1", "::1", "0.0.0.0" */
    int port;                 /* 0: any free one */
    size_t max_head_bytes;    /* 0: 16 KiB */
    size_t max_body_bytes;    /* 0: 8 MiB; more is answered 413 */
    size_t max_bytes_at_once; /* over all connections; 0: 8 * max_body_bytes */
    int max_connections;      /* 0: 256; above it the oldest that has sent no whole request, or has
                               * its answer, is closed, or the new one is answered 503 */
    int max_refused;          /* connections above it that get that 503; then none; 0: 32 */
    int64_t request_timeout_ms; /* from accept to the last byte of the request; 0: 10000; a late
                                 * one is answered 408 */
    int64_t answer_timeout_ms;  /* for a client to take its answer; 0: 30000; then it is cut off */
    int64_t half_close_ms;      /* that a client which sends no more is still waited for; 0: 2000 */
    http_request_fn *on_request;
    void *arg;
};

/* Listens, or says why not (ERROR_UNREACHABLE: the address is in use; ERROR_CONFIG:
 * it is no address of this host). */
struct http_server *http_server_new(const struct http_server_options *options, struct error *err);
/* Closes every connection; open exchanges are told through their http_gone_fn. */
void http_server_free(struct http_server *server);
int http_server_port(const struct http_server *server);

const char *http_method(const struct http_exchange *exchange); /* "GET", "POST", ... any token */
const char *http_path(const struct http_exchange *exchange); /* percent-decoded, no query, no NUL */
/* The decoded value of a query parameter, or NULL. Borrowed. */
const char *http_query(const struct http_exchange *exchange, const char *name);
const char *http_request_header(const struct http_exchange *exchange, const char *name);
const char *http_body(const struct http_exchange *exchange, size_t *len);

/* For an answer that comes later: whom to tell when the client goes away. */
void http_on_gone(struct http_exchange *exchange, http_gone_fn *fn, void *arg);
/* Answers and ends the exchange. `body` is drained (may be NULL). Extra headers are
 * "Name: value" lines, NULL-terminated (may be NULL). Nosniff, no-store and
 * Connection: close are always sent. */
void http_reply(struct http_exchange *exchange, int status, const char *content_type,
                struct evbuffer *body, const char *const *extra_headers);

#endif
