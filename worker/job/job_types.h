/*
 * job_types.h - what job_type.c reads of a generation. Not for other rooms: they use job_type.h.
 */
#ifndef WORKER_JOB_JOB_TYPES_H
#define WORKER_JOB_JOB_TYPES_H

#include "worker/job/job_type.h"

const struct job_type *job_types_list(const struct job_types *types);
int job_types_count(const struct job_types *types);

#endif
