/*
 * hints.h - what the cluster believes of the models: cooldowns, throttles, counters.
 *
 * The hints live in Redis keys with TTLs. A worker keeps a copy that is at most 100 ms old
 * when a job starts: hints_refresh asks again when it is older, at most ten times a second
 * however many jobs there are, and not at all while none start. While calls are paced it may be
 * older (pacer_hints_age). What this worker learns itself it believes at once. Counters are added
 * up here and written every 100 ms. Without Redis the copy runs out by its own TTLs: hints order,
 * they never block.
 */
#ifndef WORKER_MODEL_HINTS_H
#define WORKER_MODEL_HINTS_H

#include "common/redis/redis_route.h"
#include "worker/job/call.h"
#include "worker/model/model.h"
#include "worker/model/pace_view.h"
#include "worker/model/selection.h"

struct hints;
struct pacer;

/* `models` and `route` are borrowed, `prefix` copied. A model that is not in the list (a job's
 * own) is added when first asked for, up to 1000 of them. */
struct hints *hints_new(struct event_base *base, struct redis_route *route, const char *prefix,
                        const struct model_list *models);
void hints_free(struct hints *hints);
/* From now on as in V1: every throttle means a cooldown of 60 s, and no success ends it. */
void hints_use_v1(struct hints *hints);

/* Asks Redis again for what is older than it may be; `pacer` may be NULL. Send it before the call
 * whose answer starts a job: replies come in order, so the copy is fresh by then. */
void hints_refresh(struct hints *hints, struct pacer *pacer);
/* What is believed of a model now. */
struct selection_hint hints_of(struct hints *hints, const char *model);
/* Tells how a call ended: counters always; on a throttle the cooldown and the marks, on a
 * success their end. `is_primary`: the model was the first of the job's order as configured. */
void hints_tell(struct hints *hints, const char *model, bool is_primary, const struct call *call);
/* Writes the counters now; for an exit and before counters are read. */
void hints_flush(struct hints *hints);

/* The cluster's figures of one model, read from Redis. */
struct hints_figures {
    int64_t calls, successes, throttles, errors; /* since the last reset of counters */
    int64_t primary_successes;                   /* successes as a job's primary */
    int64_t throttles_60s;
    int64_t cooldown_ms; /* what is left; 0: none */
    struct pace_view pace;
};
struct hints_query; /* a question that is under way */
/* `figures[i]` belongs to models->models[i]; borrowed until the callback returns; NULL with an
 * error. At least one model must be configured. */
typedef void hints_figures_fn(const struct hints_figures *figures, int count,
                              const struct error *error, void *arg);
struct hints_query *hints_read(struct hints *hints, hints_figures_fn *fn, void *arg);
/* Clears cooldowns, marks, throttles and learned rates of all configured models, not the counters.
 * fn as hints_read, with zeroed figures. */
struct hints_query *hints_reset(struct hints *hints, hints_figures_fn *fn, void *arg);
/* Its callback will not run. NULL is fine. */
void hints_query_cancel(struct hints_query *query);

#endif
