/*
 * waiting.h - why jobs wait in a queue, for those who look: a word, and words for people. Pure.
 */
#ifndef WORKER_WAITING_H
#define WORKER_WAITING_H

#include "worker/model/hints.h"
#include "worker/queue/desk_view.h"

struct waiting {
    /* "paused"; "workers": none lives, or none takes jobs; "quota", "tokens", "outage", "cooldown":
     * no model has room; "slots": the workers are busy. NULL: no job waits but for its date. */
    const char *why;
    int64_t left_ms; /* of a quota or an outage, until a model takes a call; < 0: not known */
    char words[128]; /* "" when none waits */
};

/* `models`: the cluster's figures of the configured ones; NULL: not known. */
struct waiting waiting_explain(const struct queue_view *queue, const struct hints_figures *models,
                               int model_count);

#endif
