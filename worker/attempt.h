/*
 * attempt.h - one execution of one job: begin, choose, call, next model, settle.
 *
 * The flow and nothing else: what an outcome means is verdict.h, the order of models is
 * selection.h, Redis is queue.h. An attempt frees itself; its owner hears of that through
 * on_done, unless it abandoned it.
 */
#ifndef WORKER_ATTEMPT_H
#define WORKER_ATTEMPT_H

#include "common/budget.h"
#include "common/config.h"
#include "common/http/http_client.h"
#include "common/metrics.h"
#include "worker/job/wire.h"
#include "worker/model/hints.h"
#include "worker/model/pacer.h"
#include "worker/provider/provider.h"
#include "worker/queue/queue.h"

struct attempt;

/* What the owner may want to know of an attempt that is over. */
struct attempt_end {
    bool was_answered;    /* a provider answered properly (also with a throttle) */
    bool provider_is_out; /* credentials or provider: see verdict.h */
    const char *kind;     /* of that: "auth" or "unavailable" */
    const char *reason;   /* the provider's words; borrowed until the callback returns */
    int64_t due_in_ms;    /* the job was delayed by this much; -1: it was not */
    struct queue *queue;
};

/* Rooms that every attempt needs; all borrowed, for longer than any attempt lives. */
struct attempt_context {
    struct event_base *base;
    const struct config *config;
    const struct model_list *models;
    struct job_types *types;          /* of jobs that start now; a reload puts others here */
    const struct provider *providers; /* by model->provider */
    int provider_count;
    struct http_client *http;
    struct hints *hints;
    struct pacer *pacer; /* NULL: calls are not paced */
    struct metrics *metrics;
    struct budget *budget;
    const char *worker;      /* "host:123:9f2c" */
    const struct wire *wire; /* NULL: jobs and results are our own */
    /* Does this worker's lease on the queue hold, by our own clock? Only then is a model called:
     * the job may be another worker's by now. The owner says attempt_resume when it knows. */
    bool (*may_call)(struct queue *queue, void *arg);
    /* The calls of this attempt are over, only Redis is still to be told: its slot is free. */
    void (*on_slot_free)(void *arg);
    /* Follows once, last; the attempt is freed right after. */
    void (*on_done)(struct attempt *attempt, const struct attempt_end *end, void *arg);
    void *arg;
};

/* Starts on a claim; its payload is taken. on_done never runs before the return; on_slot_free does
 * for a job that needs no call. */
struct attempt *attempt_start(const struct attempt_context *context, struct queue *queue,
                              struct claim *claim);
/* Somebody cancelled the job: a running call is aborted, the job settled as cancelled. Does
 * nothing when the calls are over already. */
void attempt_cancel(struct attempt *attempt);
/* Stops at once and writes nothing: the claim is not ours any more, or goes back. Frees it; no
 * callback runs. */
void attempt_abandon(struct attempt *attempt);

/* The lease holds (again): a call that waited for that is made. */
void attempt_resume(struct attempt *attempt);

/* "" until the payload was read. */
const char *attempt_job_id(const struct attempt *attempt);
/* Are its calls still to be made, or under way? */
bool attempt_holds_slot(const struct attempt *attempt);
const struct queue *attempt_queue(const struct attempt *attempt);
/* For state dumps: "calling", ... and how long the attempt has run. */
const char *attempt_state_name(const struct attempt *attempt);
int64_t attempt_age_ms(const struct attempt *attempt);

#endif
