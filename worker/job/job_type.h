/*
 * job_type.h - what a job type asks a model for, and what it wants back.
 *
 * A type is data: a system prompt, a prompt template with {{field}} in it, how the answer
 * is read, and the model parameters. `analyze` and `chat` are built in; a configuration file adds
 * others, or changes these, in section "types":
 *     {"summarize": {"prompt": "Summarize {{content}}", "required": ["content"], "output": "text"}}
 * Types of a file are a generation: a reload makes a new one, and the old one lives until the last
 * job that was read with it is released.
 */
#ifndef WORKER_JOB_JOB_TYPE_H
#define WORKER_JOB_JOB_TYPE_H

#include "common/config_file.h"
#include "worker/job/json_schema.h"

#include <stddef.h>
#include <stdint.h>

#define JOB_TYPE_NAME_MAX     64
#define JOB_TYPE_REQUIRED_MAX 16

enum job_output {
    JOB_OUTPUT_FEEDBACK, /* a JSON object with feedback_items: see feedback.h */
    JOB_OUTPUT_JSON,     /* the JSON of the answer: {"success":true,"data":...} */
    JOB_OUTPUT_TEXT,     /* the answer as it is: {"success":true,"response":...} */
};

struct job_type {
    const char *name;   /* "analyze" */
    const char *system; /* system prompt; NULL: none */
    const char *prompt; /* user message; {{name}} is replaced by the job's field */
    int copies;         /* of one field that its prompts hold at most; 0: not more than one */
    const char *required[JOB_TYPE_REQUIRED_MAX + 1]; /* fields a job must have, none null or blank;
                                                      * ends with NULL */
    enum job_output output;
    int64_t max_tokens;         /* always sent: an unset one reserves the model's maximum */
    double temperature;         /* < 0: not sent */
    double min_confidence;      /* feedback only: 0-1 */
    struct json_schema *schema; /* json only: what the answer must fit; NULL: any */
};

/* One generation. NULL stands for the built-in types alone. */
struct job_types;
/* Reads the section, which may be absent. The caller holds it. NULL with ERROR_CONFIG. */
struct job_types *job_types_new(const struct config_part *section, struct error *err);
/* One more holder; returns it. */
struct job_types *job_types_hold(struct job_types *types);
/* One holder less; the last one frees it. NULL is fine. */
void job_types_drop(struct job_types *types);

/* The type of this name, or NULL. Lives as long as the generation. */
const struct job_type *job_type_find(const struct job_types *types, const char *name);
/* How often its prompts hold one field at most; at least 1. */
int job_type_copies(const struct job_type *type);
/* The same of the type with the most, built-in ones included. */
int job_types_most_copies(const struct job_types *types);
/* Writes their names, "analyze, chat", cut to size. For messages. */
void job_type_names(const struct job_types *types, char *names, size_t size);

#endif
