/*
 * bedrock_answer.h - what Bedrock's answers mean. Pure.
 *
 * Sources: the Bedrock Runtime API reference (Converse: response, errors) and captures of
 * real answers in tests/golden/bedrock_responses.json, which lists every case.
 */
#ifndef WORKER_PROVIDER_BEDROCK_ANSWER_H
#define WORKER_PROVIDER_BEDROCK_ANSWER_H

#include "worker/job/call.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

/* What an error asks for beside its outcome. */
enum bedrock_remedy {
    REMEDY_NONE,
    REMEDY_RENEW_CREDENTIALS, /* once, then it is what the outcome says */
};

/* Reads an answer whose status is not 200 into call->outcome, error, message. `error_type` is the
 * header x-amzn-ErrorType or NULL; it wins over the body. */
enum bedrock_remedy bedrock_read_error(int status, const char *error_type, const char *body,
                                       size_t len, struct call *call);
/* Reads an answer with status 200: its tokens and, on OUTCOME_OK, its text, which is appended. */
void bedrock_read_answer(const char *body, size_t len, struct call *call, struct evbuffer *text);

/* A daily quota, or one of the account: asking again sooner is useless. */
#define BEDROCK_LONG_THROTTLE_MS 300000

#endif
