/*
 * pace_view.h - what the pace script knows of a model, for those who show it. Pure, but for the
 * script itself, which the pacer and the readers share.
 */
#ifndef WORKER_MODEL_PACE_VIEW_H
#define WORKER_MODEL_PACE_VIEW_H

#include "common/redis/redis.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

/* lua/pace.lua; its operation 'look' changes nothing. */
void pace_script_init(struct redis_script *script);

/* Why a model has no room. */
enum pace_why { PACE_HAS_ROOM, PACE_QUOTA, PACE_TOKENS, PACE_OUTAGE, PACE_COOLDOWN, PACE_WHYS };
/* "quota", "tokens", "outage" or "cooldown"; NULL when it has room. */
const char *pace_why_name(enum pace_why why);

/* The cluster's; zeroed: calls are not paced. */
struct pace_view {
    bool is_paced;     /* there is a pace: calls were made, or refused, in the last 10 minutes */
    double per_minute; /* calls that may be made, as learned; < 0: no limit was met */
    double tokens_per_minute; /* < 0: no limit was met */
    enum pace_why why;        /* somebody was turned away less than 10 s ago */
    int64_t next_ms;          /* until its next permit is due; 0: now */
    /* a minute, of about the last one */
    double permits;  /* given, ... */
    double refusals; /* ... of them refused, ... */
    double allowed;  /* ... and as many as there could have been */
};

/* Reads a reply of 'look'. A reply of another shape is no pace. */
struct pace_view pace_view_read(const redisReply *reply);
/* Refusals in 1000 calls, and permits in percent of those that there could have been (< 0: no limit
 * was met), both of about the last minute. */
double pace_refusals_per_1000(const struct pace_view *view);
double pace_utilisation(const struct pace_view *view);

/* What stands in the way of a model's calls, in words: "quota, next in 0.1 s". */
void pace_put_words(enum pace_why why, int64_t left_ms, struct evbuffer *out);
/* Appends the object "pace" of /model_stats. rpm, tpm: as configured; 0: not. waiting: jobs of this
 * worker that wait for a permit; < 0: this is no worker. */
void pace_put_json(const struct pace_view *view, double rpm, double tpm, int waiting,
                   struct evbuffer *out);

#endif
