/*
 * beat.h - proof of life for one queue, and what comes with it: reaping, cancels, pauses.
 *
 * Every quarter of a lease the worker says that it lives, in one script, and hears what it
 * should know. Whoever notices an ended lease reaps it. A beat that can't be sent is tried again
 * as soon as Redis is back (beat_now).
 */
#ifndef WORKER_QUEUE_BEAT_H
#define WORKER_QUEUE_BEAT_H

#include "worker/queue/queue.h"

struct beat;

struct beat_options {
    struct event_base *base; /* borrowed */
    struct queue *queue;     /* borrowed */
    int64_t lease_ms;
    /* This worker's lease had ended and its jobs are others' by now. */
    void (*on_lease_lost)(struct queue *queue, void *arg);
    /* A job was cancelled; the notice may have come before by another way. */
    void (*on_cancel)(struct queue *queue, const char *job_id, void *arg);
    /* After every beat: is the queue paused, does a job that a blocking pop has brought lie in the
     * inbox, when is the next delayed job due (-1: none). */
    void (*on_news)(struct queue *queue, bool is_paused, bool has_inbox, int64_t next_due_ms,
                    void *arg);
    void *arg;
};

/* Beats at once. */
struct beat *beat_new(const struct beat_options *options);
void beat_free(struct beat *beat);
void beat_now(struct beat *beat);
/* No more beats, and an answer under way is ignored: the worker leaves. */
void beat_stop(struct beat *beat);
/* Does our lease hold, by what we know? Only then may jobs be claimed. */
bool beat_is_alive(const struct beat *beat);
/* Why Redis refuses our beats, or "". */
const char *beat_trouble(const struct beat *beat);

#endif
