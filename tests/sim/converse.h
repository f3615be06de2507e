/*
 * converse.h - the bodies of Bedrock's Converse operation: the request checked as the service
 * does, the answer printed. Pure.
 *
 * Source: the service model of bedrock-runtime; error texts as the service words them.
 */
#ifndef SIM_CONVERSE_H
#define SIM_CONVERSE_H

#include "tests/sim/verify.h"

#include <event2/buffer.h>

/* What the simulator wants to know of a request. */
struct converse_request {
    struct json_slice prompt; /* the last text of the last message; borrowed from the body */
    int64_t max_tokens;       /* 0: not sent */
    int64_t input_tokens;     /* estimated */
};

/* 0, or -1 and the ValidationException. */
int converse_read(const char *body, size_t len, struct converse_request *request,
                  struct refusal *refusal) WARN_UNUSED;

struct converse_answer {
    const char *text; /* NULL: no content */
    size_t text_len;
    const char *stop_reason;
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t latency_ms;
};
void converse_print(const struct converse_answer *answer, struct evbuffer *out);

/* About four bytes a token. */
int64_t converse_tokens(size_t bytes);

#endif
