/*
 * job_type.h - what a job type asks a model for, and what it wants back.
 *
 * A type is data: a system prompt, a prompt template with {{field}} in it, how the answer
 * is read, and the model parameters. `analyze` and `chat` are built in; types from a
 * configuration file can stand beside them in the same table.
 */
#ifndef WORKER_JOB_JOB_TYPE_H
#define WORKER_JOB_JOB_TYPE_H

#include <stddef.h>
#include <stdint.h>

enum job_output {
    JOB_OUTPUT_FEEDBACK, /* a JSON object with feedback_items: see feedback.h */
    JOB_OUTPUT_TEXT,     /* the answer as it is: {"success":true,"response":...} */
};

struct job_type {
    const char *name;        /* "analyze" */
    const char *system;      /* system prompt; NULL: none */
    const char *prompt;      /* user message; {{name}} is replaced by the job's field */
    const char *required[4]; /* fields a job must have, non-empty; ends with NULL */
    enum job_output output;
    int64_t max_tokens;    /* always sent: an unset one reserves the model's maximum */
    double temperature;    /* < 0: not sent */
    double min_confidence; /* feedback only: 0-1 */
};

/* The built-in type of this name, or NULL. Static data. */
const struct job_type *job_type_find(const char *name);
/* Writes their names, "analyze, chat", cut to size. For messages. */
void job_type_names(char *names, size_t size);

#endif
