/*
 * job.h - one job: the producer's bytes, checked, and what they say. Pure.
 *
 * The payload is kept as it came (dead letters need it byte for byte) and read through
 * slices; nothing is copied that a slice can point at. The format is in docs/jobs.md.
 */
#ifndef WORKER_JOB_JOB_H
#define WORKER_JOB_JOB_H

#include "common/error.h"
#include "common/json/json.h"
#include "worker/job/job_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_ID_MAX     256
#define JOB_MODELS_MAX 10

enum job_prefer { PREFER_UNSET, PREFER_LATENCY, PREFER_BALANCED, PREFER_PRIMARY };

struct job {
    char *payload; /* owned */
    size_t payload_len;
    struct json_slice root; /* the object; every slice below points into payload */

    char id[JOB_ID_MAX + 1];
    bool has_own_id;             /* the producer named it; false: made by us */
    const struct job_type *type; /* NULL only after a failure */
    struct job_types *types;     /* held: where the type is from; NULL: built in */
    struct json_slice tenant;    /* tenant, else user_id, else session_id; string or absent */
    struct json_slice user_id, session_id; /* strings or absent */
    char *models[JOB_MODELS_MAX];          /* owned; the job's own order */
    int model_count;                       /* 0: as configured */
    enum job_prefer prefer;
    int64_t run_at_ms;     /* Unix; 0: at once */
    int64_t expires_at_ms; /* Unix; 0: never */
    int64_t timeout_ms;    /* one execution; 0: as configured */
    int max_attempts;      /* 0: as configured */
    char *reply_to;        /* owned; NULL: none */
    bool track_started;
    double enqueued_at;            /* Unix seconds; 0: unknown */
    struct json_slice metadata;    /* absent: {} */
    struct json_slice traceparent; /* string or absent */
    double min_confidence;         /* feedback: the job's own, else its type's; 0-1 */
    /* model parameters; absent: as the type has it */
    struct json_slice max_tokens, temperature, top_p, stop_sequences;
};

struct job_limits {
    size_t max_bytes;
    struct job_types *types; /* those that a job may have; borrowed; NULL: the built-in ones */
};

/* Takes `payload` (malloced; freed by job_release, also after failure) and reads it. On failure
 * ERROR_INPUT whose message names the first wrong field, what it is and what it must be; all
 * that could be read is set nevertheless, the id too when it is usable (has_own_id tells, else it
 * is empty): the failed result needs id, metadata, reply_to and the like. A job without id gets
 * a UUIDv7. */
int job_init(struct job *job, char *payload, size_t len, const struct job_limits *limits,
             struct error *err) WARN_UNUSED;
void job_release(struct job *job);
/* Frees the payload alone, once the end of the job is written down: its slices are absent then, and
 * what was copied stays. */
void job_forget_payload(struct job *job);

/* A new UUIDv7 (RFC 9562) as text. */
void job_new_id(char id[37]);
/* Is this text a usable id: 1-256 bytes of valid UTF-8 without control characters? */
bool job_id_is_valid(const char *id, size_t len);

#endif
