#include "worker/model/pacer_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/model/pace_choice.h"
#include "worker/model/pace_view.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define LANES_MAX 1000
/* Jobs that wait in this worker are worth so much of its part of all permits: what waits in Redis
 * is there for every worker, and for tenants to take turns. */
#define ROOM_S 1
/* A job that found no room so recently still tells of now. */
#define FULL_MS 5000
/* What a job waits for a model while Redis is out of reach. */
#define LOCAL_PATIENCE_MS 500

/* A copy of hints by which models are ordered, and one that only tells a success whether there is a
 * throttle to clear. */
#define HINTS_ORDER_MS 100
#define HINTS_TELL_MS  1000

/* ---- lanes ---- */

/* NULL only for a job's own model when there are too many of them. */
struct lane *
lane_find(struct pacer *pacer, const char *name)
{
    struct lane *lane;

    HASH_FIND_STR(pacer->lanes, name, lane);
    if (lane != NULL || HASH_COUNT(pacer->lanes) >= LANES_MAX)
        return lane;
    lane = xcalloc(1, sizeof(*lane));
    lane->pacer = pacer;
    lane->name = xstrdup(name);
    lane->key = xasprintf("%s:{m:%s}:pace", pacer->prefix, name);
    lane->tokens_key = xasprintf("%s:{m:%s}:pace:tokens", pacer->prefix, name);
    lane->rate = -1;
    lane->timer = evtimer_new(pacer->options.base, lane_on_due, lane);
    HASH_ADD_KEYPTR(hh, pacer->lanes, lane->name, strlen(lane->name), lane);
    return lane;
}

static struct lane *
lane_of(struct pacer *pacer, const struct model *model)
{
    struct lane *lane = lane_find(pacer, model->name);

    if (lane != NULL) {
        lane->limits[0] = model->rpm;
        lane->limits[1] = model->tpm;
    }
    return lane;
}

static void
lane_free(struct lane *lane)
{
    struct pacer_wait *wait, *next;

    DL_FOREACH_SAFE(lane->queue, wait, next)
    free(wait);
    event_free(lane->timer);
    free(lane->name);
    free(lane->key);
    free(lane->tokens_key);
    free(lane);
}

/* Redis can't be asked. */
bool
lane_is_blind(const struct lane *lane)
{
    return lane == NULL || clock_mono_ms() < lane->deaf_ms ||
           !redis_route_serves(lane->pacer->options.route, lane->key, NULL);
}

/* Nothing is known that a call would have to wait for. */
static bool
is_unpaced(const struct lane *lane)
{
    return lane == NULL ||
           (lane_is_blind(lane) && !pace_local_holds(&lane->local, clock_mono_ms()));
}

/* Until it may have room for one more. Whoever may ask may get as many as he asks for. */
static int64_t
expected_wait_ms(const struct lane *lane, int in_front, int64_t now)
{
    int64_t wait_ms = lane->ready_ms - now;
    double rate = lane->rate;

    if (lane_is_blind(lane)) {
        wait_ms = pace_local_wait_ms(&lane->local, now);
        rate = pace_local_rate(&lane->local, now);
    } else if (now >= lane->ask_ms + lane_courtesy_ms(lane, now)) {
        return 0;
    }
    if (wait_ms < 0)
        wait_ms = 0;
    return rate > 0 ? wait_ms + (int64_t)(in_front * 1000 / rate) : wait_ms;
}

/* ---- decisions ---- */

static void
decide(struct pacer_wait *wait, int choice, int64_t room_in_ms)
{
    struct pacer *pacer = wait->pacer;

    wait->lane = NULL;
    wait->choice = choice;
    wait->room_in_ms = room_in_ms;
    DL_APPEND(pacer->decided, wait);
    event_active(pacer->tell, EV_TIMEOUT, 0);
}

void
wait_tell(struct pacer_wait *wait, struct pacer_permit permit)
{
    wait->fn(wait->choice, permit, wait->room_in_ms, wait->arg);
    free(wait);
}

static void
on_tell(evutil_socket_t fd, short what, void *arg)
{
    struct pacer *pacer = arg;

    (void)fd;
    (void)what;
    while (pacer->decided != NULL) {
        struct pacer_wait *wait = pacer->decided;

        DL_DELETE(pacer->decided, wait);
        wait_tell(wait, (struct pacer_permit){0});
    }
    pacer->options.on_room(pacer->options.arg);
}

static void
join(struct pacer_wait *wait, int choice)
{
    struct lane *lane = wait->lanes[choice];

    wait->choice = choice;
    wait->lane = lane;
    if (lane->queue == NULL)
        lane->drained_ms = clock_mono_ms();
    lane_put(lane, wait);
    lane_ask(lane);
}

void
wait_leave(struct pacer_wait *wait)
{
    struct lane *lane = wait->lane;

    DL_DELETE(lane->queue, wait);
    lane->waiting--;
    lane->turns.waiting[wait->tenant % TURN_TENANTS]--;
}

static struct pace_option
option_of(const struct pacer_wait *wait, const struct lane *lane, int64_t now)
{
    int64_t standing_ms, waited_ms = now - wait->since_ms;
    int64_t patience_ms = wait->patience_ms - waited_ms;
    struct lane_place place;

    if (is_unpaced(lane))
        return (struct pace_option){0};
    place = lane_place(lane, wait->tenant);
    standing_ms = lane->queue == NULL ? 0 : now - lane->drained_ms;
    if (lane_is_blind(lane))
        patience_ms = LOCAL_PATIENCE_MS - waited_ms;
    else if (lane->rate > 0)
        patience_ms = pace_patience(patience_ms, standing_ms,
                                    place.has_turn ? 2 + place.in_front : 1, lane->rate);
    return (struct pace_option){
        .wait_ms = expected_wait_ms(lane, place.in_front, now),
        .patience_ms = patience_ms,
        .haste_ms = lane->queue == NULL ? pace_haste(lane->rate) - waited_ms : 0,
        .call_ms = (int64_t)lane->call_ms,
    };
}

/* Into a lane, or to a decision. */
void
wait_place(struct pacer_wait *wait)
{
    int64_t now = clock_mono_ms(), soonest_ms = INT64_MAX;
    struct pace_option *options = xcalloc((size_t)wait->count, sizeof(*options));
    int choice;

    for (int i = 0; i < wait->count; i++) {
        options[i] = option_of(wait, wait->lanes[i], now);
        /* One that is free now is taken, however long the job has waited. */
        if (options[i].wait_ms == 0)
            options[i].patience_ms = 0;
        if (options[i].wait_ms < soonest_ms)
            soonest_ms = options[i].wait_ms;
    }
    if (soonest_ms > 0)
        wait->pacer->full_ms = now;
    choice = pace_choose(options, wait->count, wait->last_resort_ms - (now - wait->since_ms));
    for (int i = 0; i < wait->count && i != choice; i++)
        if (wait->lanes[i] != NULL)
            wait->lanes[i]->turned_away_ms = now;
    free(options);
    if (choice < 0)
        decide(wait, -1, soonest_ms);
    else if (is_unpaced(wait->lanes[choice]))
        decide(wait, choice, 0);
    else
        join(wait, choice);
}

/* ---- those who ask ---- */

bool
pacer_is_blind(struct pacer *pacer, const char *model)
{
    return lane_is_blind(lane_find(pacer, model));
}

int64_t
pacer_hints_age(struct pacer *pacer, const char *model)
{
    const struct lane *lane = pacer == NULL ? NULL : lane_find(pacer, model);

    if (lane_is_blind(lane))
        return HINTS_ORDER_MS;
    return lane->rate < 0 ? INT64_MAX : HINTS_TELL_MS;
}

struct pacer_wait *
pacer_ask(struct pacer *pacer, const struct pacer_wish *wish, pacer_fn *fn, void *arg)
{
    size_t count = (size_t)wish->count;
    struct pacer_wait *wait = xcalloc(1, sizeof(*wait) + count * sizeof(wait->lanes[0]));

    wait->pacer = pacer;
    wait->fn = fn;
    wait->arg = arg;
    wait->since_ms = clock_mono_ms();
    wait->tokens = wish->tokens;
    wait->tenant = wish->tenant;
    wait->patience_ms = wish->patience_ms;
    wait->last_resort_ms = wish->last_resort_ms;
    wait->count = wish->count;
    for (size_t i = 0; i < count; i++)
        wait->lanes[i] = lane_of(pacer, &wish->models[wish->order[i]]);
    wait_place(wait);
    return wait;
}

void
pacer_cancel(struct pacer_wait *wait)
{
    if (wait == NULL)
        return;
    if (wait->lane != NULL)
        wait_leave(wait);
    else
        DL_DELETE(wait->pacer->decided, wait);
    free(wait);
}

/* ---- what is known ---- */

int
pacer_room(const struct pacer *pacer)
{
    const struct model_list *models = pacer->options.models;
    double permits = 0;
    int waiting = 0;

    for (int i = 0; i < models->count; i++) {
        const struct lane *lane;

        HASH_FIND_STR(pacer->lanes, models->models[i].name, lane);
        if (lane == NULL || lane->rate < 0)
            return INT_MAX;
        permits += lane->rate * pace_local_share(&lane->local) * ROOM_S;
        waiting += lane->waiting;
    }
    return waiting > permits ? 0 : (int)permits + 1 - waiting;
}

int
pacer_waiting(const struct pacer *pacer, const char *model)
{
    const struct lane *lane, *next;
    int waiting = 0;

    if (pacer == NULL)
        return 0;
    HASH_ITER(hh, pacer->lanes, lane, next)
    if (model == NULL || strcmp(lane->name, model) == 0)
        waiting += lane->waiting;
    return waiting;
}

bool
pacer_is_full(const struct pacer *pacer)
{
    return pacer->full_ms > 0 && clock_mono_ms() - pacer->full_ms < FULL_MS;
}

void
pacer_set_gauges(const struct pacer *pacer, struct metrics *metrics)
{
    static const struct metric_family rate = {
        "headgate_pace_permits_per_second",
        "Calls a second that the whole cluster may make, as learned; -1: no limit was met.",
        METRIC_GAUGE, NULL};
    static const struct metric_family waiting = {"headgate_pace_jobs_waiting",
                                                 "Jobs of this worker that wait for a permit.",
                                                 METRIC_GAUGE, NULL};
    struct lane *lane, *next;

    HASH_ITER(hh, pacer->lanes, lane, next)
    {
        char labels[2304] = "";

        metrics_label(labels, sizeof(labels), "model", lane->name);
        metrics_set(metrics, &rate, labels, lane->rate);
        metrics_set(metrics, &waiting, labels, lane->waiting);
    }
}

/* ---- life ---- */

struct pacer *
pacer_new(const struct pacer_options *options)
{
    struct pacer *pacer = xcalloc(1, sizeof(*pacer));

    pacer->options = *options;
    pacer->prefix = xstrdup(options->prefix);
    pacer->options.prefix = pacer->prefix;
    pacer->tell = evtimer_new(options->base, on_tell, pacer);
    pace_script_init(&pacer->script);
    return pacer;
}

void
pacer_free(struct pacer *pacer)
{
    struct lane *lane, *next;
    struct pacer_wait *wait, *after;

    if (pacer == NULL)
        return;
    DL_FOREACH_SAFE(pacer->decided, wait, after)
    free(wait);
    HASH_ITER(hh, pacer->lanes, lane, next)
    {
        HASH_DEL(pacer->lanes, lane);
        lane_free(lane);
    }
    event_free(pacer->tell);
    free(pacer->prefix);
    free(pacer);
}
