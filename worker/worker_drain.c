#include "worker/worker_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/systemd.h"

#include <stdlib.h>

/* How long Redis may take for the last results, and again to hear that we go. */
#define LEAVE_MS 3000

static void
on_left(int64_t given_back, const struct error *error, void *arg)
{
    struct worker *w = arg;

    if (error != NULL)
        log_warn("could not say goodbye; the lease will end by itself",
                 LOG_STR("error", error->message));
    if (given_back > 0)
        log_warn("gave jobs back to their queue", LOG_INT("jobs", given_back));
    if (--w->queues_to_leave == 0)
        event_base_loopbreak(w->base);
}

void
worker_abandon_all(struct worker *w, bool calls_only)
{
    struct running *running, *next;

    HASH_ITER(hh, w->attempts, running, next)
    {
        if (calls_only && !attempt_holds_slot(running->attempt))
            continue;
        HASH_DEL(w->attempts, running);
        if (w->config->delivery == DELIVERY_AT_MOST_ONCE)
            log_warn("job is lost: nothing keeps it with at-most-once delivery",
                     LOG_STR("job", attempt_job_id(running->attempt)),
                     LOG_STR("queue", queue_name(attempt_queue(running->attempt))));
        attempt_abandon(running->attempt);
        free(running);
    }
    w->slots_busy = 0;
}

static void
leave(struct worker *w)
{
    struct timeval limit = clock_timeval(LEAVE_MS);

    w->phase = PHASE_LEAVING;
    worker_abandon_all(w, false);
    hints_flush(w->hints);
    if (w->node != NULL)
        celery_node_leave(w->node);
    w->queues_to_leave = w->config->queue_count;
    for (int i = 0; i < w->config->queue_count; i++) {
        beat_stop(w->beats[i]);
        queue_leave(w->queues[i], on_left, w);
    }
    event_base_loopexit(w->base, &limit);
}

/* Calls that are still under way end here, their jobs go back. What is being settled may be taken
 * by Redis first: it is paid for. */
void
worker_stop(struct worker *w)
{
    struct timeval limit = clock_timeval(LEAVE_MS);

    w->phase = PHASE_STOPPING;
    worker_abandon_all(w, true);
    if (w->attempts == NULL)
        leave(w);
    else
        event_add(w->drain_end, &limit);
}

/* In a turn of its own: the caller may be a beat or an attempt that leaving would free. */
void
worker_leave_when_done(struct worker *w)
{
    if (w->phase != PHASE_WORKING && w->phase != PHASE_LEAVING && w->attempts == NULL)
        event_active(w->drain_end, EV_TIMEOUT, 0);
}

void
worker_drain(struct worker *w)
{
    struct timeval limit = clock_timeval(w->config->drain_ms);

    log_info("draining: no new jobs", LOG_INT("running", HASH_COUNT(w->attempts)),
             LOG_INT("limit_ms", w->config->drain_ms));
    w->phase = PHASE_DRAINING;
    systemd_tell("STOPPING=1");
    intake_set_quiet(w->intake, true);
    event_add(w->drain_end, &limit);
    worker_leave_when_done(w);
}

/* The deadline itself, or the last job is done. */
void
worker_on_drain_end(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;

    (void)fd;
    (void)what;
    if (w->phase == PHASE_DRAINING)
        worker_stop(w);
    else if (w->phase == PHASE_STOPPING)
        leave(w);
}
