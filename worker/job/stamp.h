/*
 * stamp.h - what a door for producers adds to a job: its id, its type, the time. Pure.
 *
 * The HTTP port and `headgate enqueue` stamp what they push. The producer's own members stay
 * byte for byte as they came, so that templates and dead letters see what was sent; only
 * what is missing is put in front of them.
 */
#ifndef WORKER_JOB_STAMP_H
#define WORKER_JOB_STAMP_H

#include "worker/job/job.h"

struct stamp {
    const char *id;     /* NULL: a new UUIDv7 */
    const char *type;   /* NULL: the job's default */
    bool track_started; /* ask for the `running` state */
    int64_t now_ms;     /* Unix: enqueued_at */
};

/* Reads text[0..len) as a job, adds what it lacks, and checks the outcome as a worker would:
 * job->payload is what to push. ERROR_INPUT as job_init; job_release is due either way. */
int stamp_job(const char *text, size_t len, const struct stamp *stamp,
              const struct job_limits *limits, struct job *job, struct error *err) WARN_UNUSED;

#endif
