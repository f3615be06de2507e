/*
 * queue_names.h - where kombu keeps a queue's messages, and Celery its results: the flavour of a
 * queue (queue_flavour.h), in the order that lua/prelude.lua reads.
 */
#ifndef WORKER_CELERY_QUEUE_NAMES_H
#define WORKER_CELERY_QUEUE_NAMES_H

#include "common/config.h"
#include "worker/queue/queue_flavour.h"

struct celery_queue {
    struct queue_flavour flavour;
    char *texts[2 * QUEUE_EXTRAS_MAX]; /* owned: what the flavour borrows */
    int text_count;
};

void celery_queue_init(struct celery_queue *queue, const struct config *config, const char *name);
void celery_queue_release(struct celery_queue *queue);

#endif
