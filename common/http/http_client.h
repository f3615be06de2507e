/*
 * http_client.h - HTTPS calls by libcurl on the event loop.
 *
 * libcurl searches all connections of a multi handle on every call, so calls are
 * spread over several of them (about 256 connections each); easy handles are
 * pooled. HTTP/1.1 with keep-alive, HTTP/2 where the server offers it over TLS.
 * No redirects, no cookies, no netrc, no proxy from the environment unless
 * `use_proxy_env`, no protocol but http and https, certificates verified.
 *
 * The promises of redis.h hold here too: the callback runs exactly once or never
 * after http_cancel, never before http_send has returned, every failure comes
 * through it, what it gets is borrowed, every call ends.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include "common/budget.h"
#include "common/error.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;
struct http_call;

struct http_client_options {
    struct event_base *base; /* borrowed */
    int max_calls;           /* expected calls at once: decides the number of multis, and how many
                              * connections are kept open */
    const char *ca_file;     /* NULL: the system's; copied */
    struct budget *budget;   /* borrowed; answers are charged to it; NULL: none */
    bool use_proxy_env;      /* honour https_proxy and friends */
};

#define HTTP_HEADERS_MAX 16

/* A request. Everything is borrowed until http_send returns, except `body`, which
 * stays borrowed until the callback or http_cancel. */
struct http_request {
    const char *method;                    /* "POST", "GET", ...; not "HEAD" */
    const char *url;                       /* sent as it stands: already encoded */
    const char *headers[HTTP_HEADERS_MAX]; /* "Name: value" lines; NULL ends the list */
    const char *body;
    size_t body_len;
    int64_t connect_timeout_ms; /* name, TCP and TLS; 0: 5000 */
    int64_t idle_timeout_ms;    /* between two reads once the answer has begun, where a header
                                 * counts when it is whole; 0: 30000 */
    int64_t total_timeout_ms;   /* the whole call; 0: 120000 */
    size_t max_response_bytes;  /* body; more ends the call with ERROR_TOO_LARGE; 0: 8 MiB */
};

/* An answer, borrowed until the callback returns. */
struct http_response {
    int status;       /* 100-599 */
    const char *body; /* NUL-terminated for convenience; may hold NULs */
    size_t body_len;
    int64_t sent_wall_ms; /* when the call started and ended, for clock skew */
    int64_t received_wall_ms;
    int64_t duration_ms; /* monotonic */
    const struct http_headers *headers;
};
/* The value of a response header (name without regard to case, the last one wins), or
 * NULL. At most 64 headers of 16 KiB in all are kept. */
const char *http_header(const struct http_response *response, const char *name);

/* `response` is NULL exactly when `error` is not. Kinds: ERROR_UNREACHABLE (DNS,
 * connect, TLS: nothing was sent), ERROR_TIMEOUT, ERROR_LOST (reset, cut, wrong
 * length, not HTTP), ERROR_TOO_LARGE, ERROR_INTERNAL. */
typedef void http_done_fn(const struct http_response *response, const struct error *error,
                          void *arg);

struct http_client *http_client_new(const struct http_client_options *options);
/* Open calls get no callback any more. Not from within a callback. */
void http_client_free(struct http_client *client);
struct http_call *http_send(struct http_client *client, const struct http_request *request,
                            http_done_fn *fn, void *arg);
/* Ends the call at once: the connection is closed, the callback does not run. The handle is
 * valid until the callback is entered. */
void http_cancel(struct http_call *call);
/* Calls that have not had their callback yet. */
int http_client_open_calls(const struct http_client *client);

#endif
