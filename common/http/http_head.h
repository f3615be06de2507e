/*
 * http_head.h - a request head that http_guard let pass, taken apart. Pure.
 *
 * The text is cut into strings where it stands: nothing is copied, and decoding a percent
 * escape only makes it shorter.
 */
#ifndef COMMON_HTTP_HEAD_H
#define COMMON_HTTP_HEAD_H

#include "common/http/http_guard.h"

#define HTTP_HEAD_PARAMS_MAX 32

struct http_pair {
    const char *name;
    const char *value;
};

struct http_head {
    char *text; /* owned; all the others point into it */
    const char *method;
    const char *path; /* percent-decoded, no query */
    struct http_pair headers[HTTP_GUARD_HEADERS_MAX];
    size_t header_count;
    struct http_pair params[HTTP_HEAD_PARAMS_MAX]; /* decoded; what is beyond is left out */
    size_t param_count;
};

/* `text` (taken; NUL-terminated) is a head with its blank line, as it passed the guard. */
void http_head_init(struct http_head *head, char *text);
void http_head_release(struct http_head *head);

/* The first value under this name, or NULL. Header names have no case. */
const char *http_head_header(const struct http_head *head, const char *name);
const char *http_head_param(const struct http_head *head, const char *name);

#endif
