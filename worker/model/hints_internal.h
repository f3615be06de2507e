/*
 * hints_internal.h - what the files of this room share: hints.c (what is believed and learned) and
 * hints_figures.c (what the cluster counts, for people; a reset). Nobody else includes it.
 */
#ifndef WORKER_MODEL_HINTS_INTERNAL_H
#define WORKER_MODEL_HINTS_INTERNAL_H

#include "worker/model/hints.h"

#include <event2/event.h>
#include <uthash.h>

#define HINTS_TIMEOUT_MS 2000

enum counter {
    COUNT_CALLS,
    COUNT_SUCCESSES,
    COUNT_THROTTLES,
    COUNT_ERRORS,
    COUNT_PRIMARY,
    COUNTERS
};

/* What is believed of one model, and what is not yet written of it. */
struct hint {
    struct hints *hints;
    char *name;
    char *cooldown_key, *throttled_key, *throttles_key, *stats_key;
    char *pace_key, *pace_tokens_key; /* the pacer's; a reset forgets what it has learned */
    int64_t cooldown_until_ms;        /* monotonic */
    int64_t throttled_until_ms;
    bool has_throttles;
    bool is_configured;
    int64_t used_ms;  /* monotonic; when a job last asked for it or called it */
    int64_t asked_ms; /* monotonic; when its copy was last asked for */
    int64_t pending[COUNTERS];
    UT_hash_handle hh;
};

struct hints {
    struct event_base *base;         /* borrowed */
    struct redis_route *route;       /* borrowed */
    const struct model_list *models; /* borrowed */
    char *prefix;
    struct hint *by_name;
    struct hints_query *queries; /* under way */
    struct redis_script throttle, read, pace;
    int64_t asked_ms; /* monotonic; when hints were last looked through */
    struct event *flush;
    bool is_dirty;
    bool is_v1;
    uint64_t throttle_seq;
    int64_t salt; /* makes names of throttles unique among processes */
};

extern const char *const hint_counter_names[COUNTERS]; /* as fields of its hash */

/* Of a configured model: there are fewer of them than hints_new leaves room for. */
struct hint *hint_of_model(struct hints *hints, int index);
/* Where its keys live. */
struct redis *hint_commands(const struct hint *hint);
void hint_put_keys(const struct hint *hint, struct redis_args *args);
/* Those that are under way are told nothing any more. */
void hints_forget_queries(struct hints *hints);

#endif
