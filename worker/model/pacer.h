/*
 * pacer.h - permits to call a model, at the rate that the cluster has learned.
 *
 * A job asks for a permit for one of its models and waits in a lane, one per model. One asker per
 * lane speaks to Redis (lua/pace.lua), for all that wait, when the next permit is due: never one
 * per job. What a permit led to is told with its number, which is how the rate is learned; tokens
 * that were reserved and not used go back with the next question. While Redis is out of reach each
 * worker keeps to its share of what it last heard (pace_local.h); then every job gets its first
 * model at once, as without pacing.
 */
#ifndef WORKER_MODEL_PACER_H
#define WORKER_MODEL_PACER_H

#include "common/metrics.h"
#include "common/redis/redis_route.h"
#include "worker/job/call.h"
#include "worker/model/model.h"

struct pacer;
struct pacer_wait; /* a job that waits for a permit */

/* on_room: somebody got or gave up a permit, see pacer_room. `route` and `models` are borrowed,
 * `prefix` copied. */
struct pacer_options {
    struct event_base *base;
    struct redis_route *route;
    const char *prefix;
    const struct model_list *models;
    void (*on_room)(void *arg);
    void *arg;
};
struct pacer *pacer_new(const struct pacer_options *options);
/* Those who wait are forgotten; their callbacks do not run. */
void pacer_free(struct pacer *pacer);

/* Would a permit for the model be given without Redis now? */
bool pacer_is_blind(struct pacer *pacer, const char *model);

/* How old a copy of a model's hints (hints.h) may be, in ms. Where the pacer knows who has room
 * they order nothing, and of a model that refused nobody there are none. Of no pacer: it knows
 * nothing. */
int64_t pacer_hints_age(struct pacer *pacer, const char *model);

/* Leave for one call. */
struct pacer_permit {
    int64_t number; /* names it; 0: it came without Redis */
    int64_t tokens; /* reserved with it */
};

/* What a job would take. */
struct pacer_wish {
    const struct model *models; /* read before pacer_ask returns */
    const int *order;           /* indices into models: those to choose from, best first */
    int count;                  /* >= 1 */
    int64_t tokens;             /* that the call may use, as estimated */
    uint32_t tenant;            /* takes turns with the others that wait for a model; 0: nobody's */
    int64_t patience_ms;        /* how long it waits for a better model rather than take the next */
    int64_t last_resort_ms;     /* how long it waits at all */
};
/* `choice`: index into the wish's order; -1: none has room, and the first may have it in about
 * room_in_ms. */
typedef void pacer_fn(int choice, struct pacer_permit permit, int64_t room_in_ms, void *arg);
/* fn runs once, never before the return. */
struct pacer_wait *pacer_ask(struct pacer *pacer, const struct pacer_wish *wish, pacer_fn *fn,
                             void *arg);
/* The callback does not run. NULL is fine. */
void pacer_cancel(struct pacer_wait *wait);

/* How the call ended that a permit was used for. */
void pacer_tell(struct pacer *pacer, struct pacer_permit permit, const struct call *call);

/* How many more jobs may be taken: about as many as get a permit here within a second, of any
 * configured model; the others are better off in Redis. INT_MAX while a model is not limited. */
int pacer_room(const struct pacer *pacer);
/* How many wait for a permit: of this model, or of any (NULL). Of no pacer nobody does. */
int pacer_waiting(const struct pacer *pacer, const char *model);
/* Has a job found no room at any of its models, within the last 5 s? */
bool pacer_is_full(const struct pacer *pacer);
/* Rates and jobs that wait, by model. */
void pacer_set_gauges(const struct pacer *pacer, struct metrics *metrics);

#endif
