/*
 * job_fields.h - the fields of a job that mean something to us, in one table. Pure.
 *
 * Not for other rooms: they use job.h. The table is the one in docs/jobs.md.
 */
#ifndef WORKER_JOB_JOB_FIELDS_H
#define WORKER_JOB_JOB_FIELDS_H

#include "worker/job/job.h"

/* Reads what job->root says into the job. ERROR_INPUT names the first wrong field in the order
 * of the table; the others are read all the same. An unknown field is no error. */
int job_read_fields(struct job *job, struct error *err) WARN_UNUSED;

#endif
