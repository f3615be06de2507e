/*
 * pace_choice.h - which model a job waits for when calls are paced. Pure.
 *
 * The first model, as configured, that has room within the job's patience. When none has, the one
 * that has room soonest, as a last resort. A queue that does not drain buys nothing by waiting in
 * it, so patience ends there (docs/pacing.md).
 */
#ifndef WORKER_MODEL_PACE_CHOICE_H
#define WORKER_MODEL_PACE_CHOICE_H

#include <stdint.h>

/* A model that the job has not tried yet. */
struct pace_option {
    int64_t wait_ms;     /* expected until it has room for this job; 0: it may have it now */
    int64_t patience_ms; /* how much longer the job may wait for it rather than take the next */
};

/* Returns the index of the model to wait for; -1: none has room within last_resort_ms. */
int pace_choose(const struct pace_option *options, int count, int64_t last_resort_ms);

/* What is left of a wish to wait when the model's queue has not been empty for standing_ms and gets
 * `rate` permits a second (above 0). */
int64_t pace_patience(int64_t wish_ms, int64_t standing_ms, double rate);

#endif
