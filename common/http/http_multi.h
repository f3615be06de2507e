/*
 * http_multi.h - one curl multi handle on the event loop: a shard of http_client.
 *
 * libcurl searches all connections of a multi handle for every call, so that 10 000 in one
 * cost three times the CPU of the same in forty. Behind http_client.h, for it alone.
 */
#ifndef COMMON_HTTP_MULTI_H
#define COMMON_HTTP_MULTI_H

#include <curl/curl.h>
#include <event2/event.h>

#define HTTP_MULTI_CALLS 256 /* connections that one of them keeps, and calls it should have */

struct http_multi;
/* A transfer has ended. `easy` must be given to http_multi_remove, now or later; it may be
 * any other, and new ones may be added: no curl function is on the stack. */
typedef void http_multi_done_fn(CURL *easy, CURLcode result);

/* Keeps at most `connections_kept` open for later. NULL when libcurl has no memory for it. */
struct http_multi *http_multi_new(struct event_base *base, int connections_kept,
                                  http_multi_done_fn *fn);
/* All handles were removed before. */
void http_multi_free(struct http_multi *multi);

/* `fn` is never called before this has returned. */
CURLMcode http_multi_add(struct http_multi *multi, CURL *easy);
/* An unfinished transfer loses its connection. */
void http_multi_remove(struct http_multi *multi, CURL *easy);
int http_multi_count(const struct http_multi *multi);

#endif
