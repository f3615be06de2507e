/*
 * queue_flavour.h - what is different about a queue whose list is another system's.
 *
 * The steps of a job, their order and what they answer are the same (queue.h): a flavour has
 * scripts of its own for them, which get the same keys and arguments as ours and, at the end of
 * both lists, what it adds. So intake, attempt and beat do not know which queue they serve.
 */
#ifndef WORKER_QUEUE_QUEUE_FLAVOUR_H
#define WORKER_QUEUE_QUEUE_FLAVOUR_H

#include "worker/queue/scripts.h"

#include <stdbool.h>

#define QUEUE_EXTRAS_MAX 16

struct queue_flavour {
    /* By enum queue_script; one without a source is ours. */
    struct script_source scripts[SCRIPT_COUNT];
    const char *list;          /* where jobs wait; borrowed, as all here */
    const char *result_prefix; /* a result's key is this and the id */
    /* A blocking pop leaves the job where it is: it turns the list by nothing, at its right end.
     * There is no inbox then. */
    bool waits_in_place;
    const char *keys[QUEUE_EXTRAS_MAX]; /* added to the keys of every step */
    int key_count;
    const char *args[QUEUE_EXTRAS_MAX]; /* added to the arguments of every step */
    int arg_count;
};

#endif
