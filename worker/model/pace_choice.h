/*
 * pace_choice.h - which model a job waits for when calls are paced. Pure.
 *
 * The first model, as configured, that has room within the job's patience, or that answers sooner
 * than the next one that has room now. When none has, the one that has room soonest, as a last
 * resort. A queue that does not drain buys nothing by waiting in it, so patience ends there
 * (docs/pacing.md).
 */
#ifndef WORKER_MODEL_PACE_CHOICE_H
#define WORKER_MODEL_PACE_CHOICE_H

#include <stdint.h>

/* A model that the job has not tried yet. */
struct pace_option {
    int64_t wait_ms;     /* expected until it has room for this job; 0: it may have it now */
    int64_t patience_ms; /* how much longer the job may wait for it rather than take the next */
    int64_t haste_ms;    /* how much longer it may if the answer comes sooner that way */
    int64_t call_ms;     /* what a call to it takes; 0: not known */
};

/* Returns the index of the model to wait for; -1: none has room within last_resort_ms. */
int pace_choose(const struct pace_option *options, int count, int64_t last_resort_ms);

/* How long a job may wait for the next permit, of `rate` a second, because its answer comes sooner
 * that way: two permits, as another worker may get the first. */
int64_t pace_haste(double rate);

/* What is left of a wish to wait when the model's queue has not been empty for standing_ms and gets
 * `rate` permits a second (above 0): there it may wait for so many permits: for its turn. */
int64_t pace_patience(int64_t wish_ms, int64_t standing_ms, int turn, double rate);

#endif
