#include "worker/worker_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/exit_code.h"

#include <stdlib.h>
#include <string.h>

/* While Redis is away, further reasons are logged this often. */
#define COMPLAIN_EVERY_MS 10000

/* ---- what attempts tell ---- */

void
worker_on_slot_free(void *arg)
{
    struct worker *w = arg;

    w->slots_busy--;
    intake_kick(w->intake);
}

static void
close_gate(struct worker *w, const struct attempt_end *end)
{
    bool is_auth = strcmp(end->kind, "auth") == 0;
    char *reason = xasprintf("%s: %s",
                             is_auth ? "credentials, permissions or model ids are refused"
                                     : "the provider is out of reach",
                             end->reason);
    bool was_open = gate_is_open(&w->gate);
    int64_t now = clock_mono_ms();
    struct timeval wait;

    gate_fail(&w->gate, reason, now);
    free(reason);
    if (was_open)
        log_error("the provider can't be used: jobs wait, none is lost",
                  LOG_STR("reason", w->gate.reason));
    wait = clock_timeval(w->gate.closed_until_ms - now + 1);
    event_add(w->gate_timer, &wait);
}

static void
open_gate(struct worker *w)
{
    if (gate_is_open(&w->gate))
        return;
    gate_pass(&w->gate);
    log_info("the provider answers again");
    intake_look_everywhere(w->intake);
}

void
worker_on_gate_timer(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;

    (void)fd;
    (void)what;
    intake_look_everywhere(w->intake);
}

void
worker_on_attempt_done(struct attempt *attempt, const struct attempt_end *end, void *arg)
{
    struct worker *w = arg;
    struct running *running;

    HASH_FIND_PTR(w->attempts, &attempt, running);
    HASH_DEL(w->attempts, running);
    free(running);
    if (end->provider_is_out)
        close_gate(w, end);
    else if (end->was_answered)
        open_gate(w);
    if (end->due_in_ms >= 0)
        intake_set_due(w->intake, end->queue, end->due_in_ms);
    else
        intake_kick(w->intake); /* there may be room that its end has taken */
    worker_leave_when_done(w);
}

/* ---- what beats and notices tell ---- */

void
worker_on_lease_lost(struct queue *queue, void *arg)
{
    struct worker *w = arg;
    struct running *running, *next;

    HASH_ITER(hh, w->attempts, running, next)
    {
        if (attempt_queue(running->attempt) != queue)
            continue;
        HASH_DEL(w->attempts, running);
        if (attempt_holds_slot(running->attempt))
            w->slots_busy--;
        attempt_abandon(running->attempt);
        free(running);
    }
    intake_kick(w->intake);
    worker_leave_when_done(w);
}

void
worker_on_cancel(struct queue *queue, const char *job_id, void *arg)
{
    struct worker *w = arg;
    struct running *running, *next;

    HASH_ITER(hh, w->attempts, running, next)
    {
        if (attempt_queue(running->attempt) != queue ||
            strcmp(attempt_job_id(running->attempt), job_id) != 0)
            continue;
        attempt_cancel(running->attempt);
        return;
    }
    /* It may be a delayed job, which is due now. */
    intake_set_due(w->intake, queue, 0);
}

/* A connection alone does not say it: a read-only replica has one too. A beat was written. */
static void
tell_redis_back(struct worker *w)
{
    if (w->redis_lost_ms == 0)
        return;
    log_info("Redis is back", LOG_INT("away_ms", clock_mono_ms() - w->redis_lost_ms));
    w->redis_lost_ms = 0;
}

/* A beat has said that our claims are still ours. */
static void
resume_calls(struct worker *w, const struct queue *queue)
{
    struct running *running, *next;

    HASH_ITER(hh, w->attempts, running, next)
    if (attempt_queue(running->attempt) == queue)
        attempt_resume(running->attempt);
}

void
worker_on_news(struct queue *queue, bool is_paused, bool has_inbox, int64_t next_due_ms, void *arg)
{
    struct worker *w = arg;

    if (w->attempts == NULL && w->has_worked) {
        memory_trim();
        w->has_worked = false;
    }
    tell_redis_back(w);
    intake_set_paused(w->intake, queue, is_paused);
    if (has_inbox)
        intake_set_inbox(w->intake, queue);
    if (next_due_ms >= 0)
        intake_set_due(w->intake, queue, next_due_ms);
    resume_calls(w, queue);
    intake_kick(w->intake);
}

static struct queue *
queue_of_channel(const struct worker *w, const char *channel)
{
    for (int i = 0; i < w->config->queue_count; i++)
        if (strcmp(queue_control_channel(w->queues[i]), channel) == 0)
            return w->queues[i];
    return NULL;
}

void
worker_on_notice(const char *channel, const char *message, size_t len, void *arg)
{
    struct worker *w = arg;
    struct queue *queue = queue_of_channel(w, channel);

    if (w->node != NULL)
        celery_node_hear(w->node, channel, message, len);
    if (queue == NULL || w->phase == PHASE_LEAVING)
        return;
    if (strncmp(message, "cancel ", 7) == 0)
        worker_on_cancel(queue, message + 7, w);
    else if (strcmp(message, "pause") == 0)
        intake_set_paused(w->intake, queue, true);
    else if (strcmp(message, "resume") == 0)
        intake_set_paused(w->intake, queue, false);
}

/* ---- Redis comes and goes ---- */

static void
on_redis_back(struct worker *w)
{
    if (!w->has_met_redis)
        log_info("connected to Redis");
    w->has_met_redis = true;
    if (w->node != NULL && w->phase != PHASE_LEAVING)
        celery_node_arrive(w->node);
    if (w->phase == PHASE_LEAVING)
        return;
    for (int i = 0; i < w->config->queue_count; i++) {
        beat_now(w->beats[i]);
        queue_reconcile(w->queues[i]);
    }
    intake_look_everywhere(w->intake);
}

/* The first reason is often no more than "closed"; what is said to the next attempt explains it. */
static void
tell_redis_away(struct worker *w, const char *url, const struct error *why)
{
    int64_t now = clock_mono_ms();

    if (w->redis_lost_ms == 0) {
        w->redis_lost_ms = now;
        w->redis_silent_until_ms = 0;
        log_error("Redis is away: jobs wait", LOG_STR("url", url), LOG_STR("error", why->message));
    } else if (now >= w->redis_silent_until_ms) {
        w->redis_silent_until_ms = now + COMPLAIN_EVERY_MS;
        log_error("Redis is still away", LOG_STR("url", url), LOG_STR("error", why->message));
    }
}

void
worker_on_redis_state(bool is_ready, const struct error *why, void *arg)
{
    struct worker *w = arg;
    char url[512];

    if (is_ready) {
        on_redis_back(w);
        return;
    }
    redis_url_show(&w->config->redis, url, sizeof(url));
    tell_redis_away(w, url, why);
    if (!w->has_met_redis && why->kind == ERROR_REFUSED) {
        log_error("REDIS_URL: Redis refuses us; check user, password and database",
                  LOG_STR("url", url), LOG_STR("error", why->message));
        w->exit_code = EXIT_USAGE;
        event_base_loopbreak(w->base);
    }
}
