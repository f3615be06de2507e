/*
 * http_answer.h - what a server sends back, collected within bounds. Pure.
 *
 * Behind http_client.h, for http_client.c alone. Nothing is allocated before the first byte
 * has come: ten thousand calls wait at once and most of the time have nothing.
 */
#ifndef COMMON_HTTP_ANSWER_H
#define COMMON_HTTP_ANSWER_H

#include "common/budget.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTP_ANSWER_HEADERS_MAX     64
#define HTTP_ANSWER_HEADERS_BYTES   (16 * 1024)  /* kept; what is beyond is left out */
#define HTTP_ANSWER_HEADERS_REFUSED (256 * 1024) /* that many end the call */

/* "name\0value\0" one after the other. */
struct http_headers {
    char *text; /* owned */
    size_t len;
    size_t size;
    int count;
    size_t seen_bytes; /* also those left out */
};

struct http_answer {
    char *body; /* owned, NUL-terminated once it is not NULL */
    size_t body_len;
    size_t body_size;
    size_t max_body_bytes;
    struct budget *budget; /* borrowed; NULL: none */
    int64_t charged;
    struct http_headers headers; /* of the last status line */
    bool has_head;               /* their blank line has come */
    enum error_kind failure;     /* ERROR_TOO_LARGE, ERROR_INTERNAL (no memory), or
                                  * ERROR_TRANSIENT: the budget has no room */
};

/* Both return false when the call must end; `failure` says why. */
bool http_answer_add_body(struct http_answer *answer, const char *data, size_t len);
/* One line as libcurl gives it: a status line, "Name: value" or blank. */
bool http_answer_add_header(struct http_answer *answer, const char *line, size_t len);
void http_answer_release(struct http_answer *answer);

#endif
