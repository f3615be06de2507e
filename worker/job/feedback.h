/*
 * feedback.h - from a model's answer to the `result` object of a job. Pure.
 *
 * A model is asked for {"feedback_items":[...]}. What comes may stand in code fences, have
 * text around it, miss fields or repeat itself: the rules are in docs/jobs.md.
 */
#ifndef WORKER_JOB_FEEDBACK_H
#define WORKER_JOB_FEEDBACK_H

#include "common/error.h"
#include "worker/job/job.h"

#include <event2/buffer.h>

/* What the `result` object says of the call beside the answer itself. */
struct feedback_context {
    const char *model_used; /* display name: "Claude 3.5 Sonnet" */
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t duration_ms;
};

/* Reads answer[0..len) as the job's type wants it and appends the whole `result` object:
 *   feedback: {"success":true,"section","feedback_items","feedback_count","model_used",
 *              "tokens":{"input","output","total"},"duration"}
 *   json:     {"success":true,"data","model_used","tokens","duration"}
 *   text:     {"success":true,"response","model_used","tokens","duration"}
 * ERROR_INPUT when the answer is not usable (no object with a feedback_items array; no JSON, or
 * none that fits the type's schema; empty text): the call's outcome is then bad_output. Nothing is
 * appended on failure. */
int feedback_print(const struct job *job, const char *answer, size_t len,
                   const struct feedback_context *context, struct evbuffer *out,
                   struct error *err) WARN_UNUSED;

#endif
