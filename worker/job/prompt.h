/*
 * prompt.h - from a job and its type to the text a model is sent. Pure.
 *
 * The text is written JSON-escaped, straight from the job's escaped slices: a content of
 * 100 KB is copied once and never opened. So \u0000 and lone surrogates stay what they
 * were, and nothing in a job can end the string it stands in.
 */
#ifndef WORKER_JOB_PROMPT_H
#define WORKER_JOB_PROMPT_H

#include "worker/job/job.h"

/* Appends the user message of `job` as the inside of a JSON string (no quotes). {{name}}, or
 * {{ name }}: a string field is put in as it is, any other value as its JSON text, a missing one as
 * nothing. A template never looks into what it has put in. */
void prompt_put_user(const struct job *job, struct evbuffer *out);
/* The same for the system prompt; appends nothing when the type has none. */
void prompt_put_system(const struct job *job, struct evbuffer *out);
/* How often the two prompts of a type name the same field, at most: a job of n bytes makes a
 * request of so many times n. */
int prompt_copies(const struct job_type *type);

#endif
