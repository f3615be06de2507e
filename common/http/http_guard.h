/*
 * http_guard.h - the strict check of an HTTP/1.1 request head. Pure.
 *
 * It looks at what a client sent before anything acts on it, and refuses whatever two
 * readers could understand differently: that is what request smuggling lives on. Stricter
 * than RFC 9112 where real clients never notice: CRLF only, no tab, no Transfer-Encoding
 * at all, exactly one Host also with HTTP/1.0, the origin form of a target only, and
 * headers that decide something at most once.
 */
#ifndef COMMON_HTTP_GUARD_H
#define COMMON_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_GUARD_HEADERS_MAX 64
#define HTTP_GUARD_LINE_MAX    8192

enum http_guard_state {
    HTTP_GUARD_MORE,    /* the head is not complete yet */
    HTTP_GUARD_PASSED,  /* head_len, body_len and wants_continue are true */
    HTTP_GUARD_REFUSED, /* status and reason say why */
};

struct http_guard {
    enum http_guard_state state;
    size_t head_len;     /* bytes of the head, its blank line included */
    size_t body_len;     /* bytes that follow; 0 without Content-Length */
    bool wants_continue; /* Expect: 100-continue */
    int status;          /* 400, 411 or 413 */
    const char *reason;  /* a sentence for people; static */
    /* the rest is its own */
    size_t max_head_bytes;
    size_t max_body_bytes;
    size_t scanned;    /* bytes looked at */
    size_t line_start; /* where the unfinished line begins */
    size_t lines;      /* finished ones, the request line included */
    unsigned seen;     /* which headers of the table have come, a bit each */
};

void http_guard_init(struct http_guard *guard, size_t max_head_bytes, size_t max_body_bytes);
/* data[0..len) is all that has come since the request's first byte: call it again with more
 * while it returns HTTP_GUARD_MORE. No byte is looked at twice, so that a client which
 * drips costs no more than one which does not. Any other answer is final. */
enum http_guard_state http_guard_check(struct http_guard *guard, const char *data, size_t len);

#endif
