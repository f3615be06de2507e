/*
 * pace_local.h - how fast one worker may call a model while Redis, which paces all, is out of
 * reach. Pure.
 *
 * It goes on at its own share of the last rate it heard of: its permits among all that were given
 * meanwhile, which the numbers of permits tell. 90 % of that, less after each throttle, slowly
 * more without. What was heard is worth something for 30 s. All times are monotonic ms.
 */
#ifndef WORKER_MODEL_PACE_LOCAL_H
#define WORKER_MODEL_PACE_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: nothing was heard. */
struct pace_local {
    double rate;      /* of the whole cluster, permits a second, as last heard; < 0: open */
    double own, all;  /* permits of about the last minute: this worker's, everybody's */
    int64_t number;   /* of the last permit that was given to anybody; 0: nothing was heard */
    int64_t heard_ms; /* when */
    double factor;    /* what throttles and time without them made of the share since */
    int64_t paced_ms; /* when factor was last true */
    double due_ms;    /* when the next call is due */
};

/* Redis said: so many permits for this worker, the last one given to anybody has this number, and
 * they come at this rate (< 0: not limited). */
void pace_local_hear(struct pace_local *local, int granted, int64_t number, double rate,
                     int64_t now_ms);
/* This worker's part of all permits, of about the last minute; 1 when nothing was heard. */
double pace_local_share(const struct pace_local *local);
/* Is there a rate to keep to? */
bool pace_local_holds(const struct pace_local *local, int64_t now_ms);
/* While it holds: the calls a second of this worker alone, and when the next one is due, in ms. */
double pace_local_rate(const struct pace_local *local, int64_t now_ms);
int64_t pace_local_wait_ms(const struct pace_local *local, int64_t now_ms);
/* A call is made; its throttle. */
void pace_local_spend(struct pace_local *local, int64_t now_ms);
void pace_local_throttled(struct pace_local *local, int64_t now_ms);

#endif
