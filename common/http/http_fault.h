/*
 * http_fault.h - what a failed transfer means, in our words.
 *
 * libcurl's codes become error kinds here and nowhere else. Messages name the server and the
 * cause, and neither path nor query nor headers. Behind http_client.h, for it alone.
 */
#ifndef COMMON_HTTP_FAULT_H
#define COMMON_HTTP_FAULT_H

#include "common/error.h"

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>

struct http_limits {
    int64_t connect_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t total_timeout_ms;
    size_t max_response_bytes;
};

/* `detail` is libcurl's own text, may be empty. */
void http_fault_of(CURL *easy, CURLcode code, const char *detail, const struct http_limits *limits,
                   struct error *err);
void http_fault_idle(CURL *easy, const struct http_limits *limits, struct error *err);
/* The answer could not be kept: ERROR_TOO_LARGE, or ERROR_INTERNAL when memory ran out. */
void http_fault_answer(CURL *easy, enum error_kind kind, const struct http_limits *limits,
                       struct error *err);

#endif
