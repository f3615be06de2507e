#include "worker/worker_internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

static struct queue_kept
kept_answers(const struct worker *w)
{
    struct queue_kept kept = {0};

    for (int i = 0; i < w->config->queue_count; i++)
        queue_count_kept(w->queues[i], &kept);
    return kept;
}

static void
add_kept_answers(const struct worker *w, char *why, size_t why_size)
{
    struct queue_kept kept = kept_answers(w);
    size_t len = strlen(why);

    if (kept.answers > 0)
        snprintf(why + len, why_size - len, "; %d answers are kept until Redis takes them",
                 kept.answers);
}

/* The first queue whose server does not answer; NULL: all do. */
static const char *
queue_away(const struct worker *w, const struct error **why)
{
    for (int i = 0; i < w->config->queue_count; i++)
        if (!redis_route_serves(w->route, w->config->queues[i].name, why))
            return w->config->queues[i].name;
    return NULL;
}

bool
worker_meets_redis(const struct worker *w)
{
    for (int i = 0; i < w->config->queue_count; i++)
        if (redis_route_serves(w->route, w->config->queues[i].name, NULL))
            return true;
    return false;
}

bool
worker_is_ready(char *why, size_t why_size, void *arg)
{
    const struct worker *w = arg;
    const struct error *error;
    const char *away;

    why[0] = '\0';
    if (w->phase != PHASE_WORKING)
        snprintf(why, why_size, "draining");
    else if (w->is_quiet)
        snprintf(why, why_size, "quiet: told by SIGTSTP to take no new jobs");
    else if ((away = queue_away(w, &error)) != NULL)
        snprintf(why, why_size, "Redis is away for queue %s: %s", away, error->message);
    else if (!gate_is_open(&w->gate))
        snprintf(why, why_size, "%s", w->gate.reason);
    else if (intake_trouble(w->intake)[0] != '\0')
        snprintf(why, why_size, "Redis refuses claims: %s", intake_trouble(w->intake));
    for (int i = 0; why[0] == '\0' && i < w->config->queue_count; i++)
        if (!beat_is_alive(w->beats[i]))
            snprintf(why, why_size, "no living lease on queue %s%s%s", queue_name(w->queues[i]),
                     beat_trouble(w->beats[i])[0] == '\0' ? "" : ": ", beat_trouble(w->beats[i]));
    if (why[0] == '\0')
        return true;
    add_kept_answers(w, why, why_size);
    return false;
}

static void
set_figure(struct metrics *metrics, enum metric_type type, const char *name, const char *help,
           double value)
{
    struct metric_family family = {.name = name, .help = help, .type = type};

    metrics_set(metrics, &family, NULL, value);
}

static void
set_gauge(struct metrics *metrics, const char *name, const char *help, double value)
{
    set_figure(metrics, METRIC_GAUGE, name, help, value);
}

/* A job that waits for a permit holds a slot, but is not what fills them. */
static bool
is_provider_limited(const struct worker *w)
{
    return w->pacer != NULL && pacer_is_full(w->pacer) &&
           w->slots_busy - pacer_waiting(w->pacer, NULL) < w->slots;
}

void
worker_set_gauges(struct metrics *metrics, void *arg)
{
    const struct worker *w = arg;
    struct queue_kept kept = kept_answers(w);
    const struct error *error;
    char why[512];

    set_gauge(metrics, "headgate_slots_busy", "Jobs whose calls are under way.", w->slots_busy);
    set_figure(metrics, METRIC_UNTYPED, "headgate_slots_total",
               "Jobs that may run at once in this worker.", w->slots);
    set_gauge(metrics, "headgate_jobs_held", "Jobs this worker holds, those being settled too.",
              HASH_COUNT(w->attempts));
    set_gauge(metrics, "headgate_ready", "1 when this worker can claim jobs.",
              worker_is_ready(why, sizeof(why), arg) ? 1 : 0);
    set_gauge(metrics, "headgate_redis_up", "1 when Redis answers.",
              queue_away(w, &error) == NULL ? 1 : 0);
    set_gauge(metrics, "headgate_provider_up", "0 while no call can succeed for any job.",
              gate_is_open(&w->gate) ? 1 : 0);
    set_gauge(metrics, "headgate_answers_kept",
              "Ends of jobs that Redis has not taken yet: they are in memory alone.", kept.answers);
    set_gauge(metrics, "headgate_answers_kept_bytes", "Their size.", (double)kept.bytes);
    set_gauge(metrics, "headgate_memory_held_bytes",
              "What the held jobs and answers may need, as HEADGATE_MEMORY_MAX counts it.",
              (double)w->budget.held);
    set_gauge(metrics, "headgate_memory_budget_bytes",
              "The most that they may need; 0: HEADGATE_MEMORY_MAX is not set.",
              (double)w->budget.max);
    if (w->pacer != NULL)
        pacer_set_gauges(w->pacer, metrics);
    set_gauge(metrics, "headgate_provider_limited",
              "1: slots are free, and jobs wait because no model has room. More workers would not "
              "help.",
              is_provider_limited(w) ? 1 : 0);
    set_gauge(metrics, "headgate_log_lines_dropped", "Log lines that stderr did not take.",
              (double)log_dropped());
}

void
worker_dump_state(const struct worker *w)
{
    struct running *running, *next;
    char why[512];
    bool ready = worker_is_ready(why, sizeof(why), (void *)(uintptr_t)w);

    log_info("state", LOG_STR("worker", w->id), LOG_STR("ready", ready ? "yes" : why),
             LOG_INT("slots_busy", w->slots_busy), LOG_INT("slots_total", w->slots),
             LOG_INT("jobs_held", HASH_COUNT(w->attempts)),
             LOG_INT("open_calls", http_client_open_calls(w->http)));
    HASH_ITER(hh, w->attempts, running, next)
    log_info("state of a job", LOG_STR("job", attempt_job_id(running->attempt)),
             LOG_STR("queue", queue_name(attempt_queue(running->attempt))),
             LOG_STR("state", attempt_state_name(running->attempt)),
             LOG_INT("ms", attempt_age_ms(running->attempt)));
}
