/*
 * result.h - the JSON documents that a job leaves behind: results and dead letters. Pure.
 */
#ifndef WORKER_JOB_RESULT_H
#define WORKER_JOB_RESULT_H

#include "worker/job/call.h"
#include "worker/job/job.h"

#include <event2/buffer.h>

enum result_state { STATE_RUNNING, STATE_SUCCEEDED, STATE_FAILED, STATE_EXPIRED, STATE_CANCELLED };
const char *result_state_name(enum result_state state);

struct result {
    enum result_state state;
    const struct job *job; /* borrowed; its id is set, the rest may be empty (bad_job) */
    const char *queue;
    const char *worker;
    int attempt;              /* executions so far, this one included; 0: none */
    const struct call *calls; /* of this attempt */
    int call_count;
    const char *model;       /* that answered; NULL: none */
    bool is_primary;         /* it was the first of the job's order as configured */
    struct evbuffer *output; /* succeeded: the `result` object; drained; else NULL */
    const char *error_kind;  /* NULL unless failed, expired or cancelled */
    const char *error_message;
    double input_price, output_price; /* USD per million tokens of `model`; < 0: unknown */
    int64_t started_at_ms;            /* Unix; 0: never started -> null */
    int64_t finished_at_ms;           /* 0: not yet -> null */
};

/* Appends the result document (contract: docs/jobs.md). The first member is always "id", the
 * second "state": scripts tell a running one by that prefix. */
void result_print(const struct result *result, struct evbuffer *out);
/* Appends `{"id":"...","state":"running"` for this id: the prefix just named. */
void result_put_running_prefix(const char *id, struct evbuffer *out);

struct dead_letter {
    const char *id; /* NULL or "": null */
    const char *queue;
    const char *kind;
    const char *message;
    const char *worker;
    int attempt;
    int64_t at_ms;
    const char *payload;
    size_t payload_len;
};
/* Appends {id, queue, kind, message, at, worker, attempt, payload_base64}; `at` in seconds. */
void dead_letter_print(const struct dead_letter *letter, struct evbuffer *out);

#endif
