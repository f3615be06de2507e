#include "worker/model/pacer.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/model/pace_choice.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define LANES_MAX     1000
#define OP_TIMEOUT_MS 2000
/* Permits that one question asks for: more would be one burst. */
#define BATCH_MAX 16
/* What Redis said is believed for so long. */
#define STALE_MS 1000
/* Jobs that wait in this worker are worth so much of all permits. */
#define ROOM_S 1
/* A faster one is no limit, and sums of rates stay countable. */
#define RATE_MAX_MILLI INT64_C(1000000000)

/* Who waits for a model, and what is known of its permits. */
struct lane {
    struct pacer *pacer;
    char *name;
    char *key;
    struct pacer_wait *queue;
    int waiting;        /* in the queue */
    bool is_asking;     /* Redis is asked */
    bool turned_away;   /* somebody went on to another model since it was asked last */
    int64_t ready_ms;   /* monotonic; when the next permit should be due */
    int64_t ask_ms;     /* monotonic; when it is worth asking: what is known may change */
    int64_t drained_ms; /* monotonic; when the queue was empty last */
    double rate;        /* permits a second of the whole cluster; < 0: open */
    struct event *timer;
    UT_hash_handle hh;
};

struct pacer_wait {
    struct pacer *pacer;
    pacer_fn *fn;
    void *arg;
    int64_t since_ms; /* monotonic */
    int64_t patience_ms, last_resort_ms;
    struct lane *lane;  /* where it waits; NULL: it is decided */
    int choice;         /* index into lanes; of the decision: -1 for none */
    int64_t room_in_ms; /* of the decision */
    struct pacer_wait *prev, *next;
    int count;
    struct lane *lanes[]; /* best first; NULL: there are too many lanes for one more */
};

struct pacer {
    struct pacer_options options;
    char *prefix;
    struct redis_script script;
    struct lane *lanes; /* by name */
    struct pacer_wait *decided;
    struct event *tell; /* those who are decided */
};

/* ---- lanes ---- */

static void lane_ask(struct lane *lane);

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lane_ask(arg);
}

/* NULL only for a job's own model when there are too many of them. */
static struct lane *
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
    lane->rate = -1;
    lane->timer = evtimer_new(pacer->options.base, on_due, lane);
    HASH_ADD_KEYPTR(hh, pacer->lanes, lane->name, strlen(lane->name), lane);
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
    free(lane);
}

static bool
is_blind(const struct lane *lane)
{
    return lane == NULL || !redis_route_serves(lane->pacer->options.route, lane->key, NULL);
}

static struct redis *
commands(const struct lane *lane)
{
    return redis_route_commands(lane->pacer->options.route, lane->key);
}

/* Until it may have room for one more. Whoever may ask may get as many as he asks for. */
static int64_t
expected_wait_ms(const struct lane *lane, int64_t now)
{
    int64_t wait_ms = lane->ready_ms - now;

    if (now >= lane->ask_ms)
        return 0;
    return lane->rate > 0 ? wait_ms + (int64_t)(lane->waiting * 1000 / lane->rate) : wait_ms;
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

static void
tell(struct pacer_wait *wait, int64_t number)
{
    wait->fn(wait->choice, number, wait->room_in_ms, wait->arg);
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
        tell(wait, 0);
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
    DL_APPEND(lane->queue, wait);
    lane->waiting++;
    lane_ask(lane);
}

static void
leave(struct pacer_wait *wait)
{
    struct lane *lane = wait->lane;

    DL_DELETE(lane->queue, wait);
    lane->waiting--;
}

static struct pace_option
option_of(const struct pacer_wait *wait, const struct lane *lane, int64_t now)
{
    int64_t standing_ms = lane->queue == NULL ? 0 : now - lane->drained_ms;
    int64_t wish_ms = wait->patience_ms;

    if (lane->rate > 0)
        wish_ms = pace_patience(wish_ms, standing_ms, lane->rate);
    return (struct pace_option){
        .wait_ms = expected_wait_ms(lane, now),
        .patience_ms = wish_ms - (now - wait->since_ms),
    };
}

/* Into a lane, or to a decision. */
static void
place(struct pacer_wait *wait)
{
    int64_t now = clock_mono_ms(), soonest_ms = INT64_MAX;
    struct pace_option *options = xcalloc((size_t)wait->count, sizeof(*options));
    int choice = 0, count = 0;

    while (count < wait->count && !is_blind(wait->lanes[count])) {
        options[count] = option_of(wait, wait->lanes[count], now);
        /* One that is free now is taken, however long the job has waited. */
        if (options[count].wait_ms == 0)
            options[count].patience_ms = 0;
        if (options[count].wait_ms < soonest_ms)
            soonest_ms = options[count].wait_ms;
        count++;
    }
    if (count > 0)
        choice = pace_choose(options, count, wait->last_resort_ms - (now - wait->since_ms));
    free(options);
    for (int i = 0; i < count && i != choice; i++)
        wait->lanes[i]->turned_away = true;
    if (count == 0)
        decide(wait, 0, 0);
    else if (choice < 0)
        decide(wait, -1, soonest_ms);
    else
        join(wait, choice);
}

/* ---- Redis ---- */

/* `count` of those who wait get theirs; 0 as first: without Redis. */
static void
grant(struct lane *lane, int count, int64_t first)
{
    struct pacer *pacer = lane->pacer;

    for (int i = 0; i < count && lane->queue != NULL; i++) {
        struct pacer_wait *wait = lane->queue;

        leave(wait);
        tell(wait, first == 0 ? 0 : first + i);
    }
    pacer->options.on_room(pacer->options.arg);
}

/* What is known has changed: each of those who are left looks again, in their order. */
static void
place_again(struct lane *lane)
{
    struct pacer_wait *queue = lane->queue, *wait, *next;
    int64_t drained_ms = lane->drained_ms;

    lane->queue = NULL;
    lane->waiting = 0;
    DL_FOREACH_SAFE(queue, wait, next)
    {
        DL_DELETE(queue, wait);
        place(wait);
    }
    if (lane->queue != NULL)
        lane->drained_ms = drained_ms;
}

static void
on_taken(const redisReply *reply, const struct error *error, void *arg)
{
    struct lane *lane = arg;
    int granted = (int)redis_int(redis_at(reply, 0), 0);
    int64_t wait_ms, rate;

    lane->is_asking = false;
    if (error != NULL) {
        log_debug("no permits from Redis: calls are not paced", LOG_STR("model", lane->name),
                  LOG_STR("error", error->message));
        grant(lane, lane->waiting, 0);
        return;
    }
    wait_ms = redis_int(redis_at(reply, 2), 0);
    lane->ready_ms = clock_mono_ms() + wait_ms;
    lane->ask_ms = clock_mono_ms() + (wait_ms < STALE_MS ? wait_ms : STALE_MS);
    rate = redis_int(redis_at(reply, 3), -1);
    lane->rate = rate < 0 || rate > RATE_MAX_MILLI ? -1 : (double)rate / 1000;
    grant(lane, granted, redis_int(redis_at(reply, 1), 0));
    place_again(lane);
}

/* Asks for those who wait, when the next permit is due. */
static void
lane_ask(struct lane *lane)
{
    int64_t wait_ms = lane->ask_ms - clock_mono_ms();
    struct timeval wait = clock_timeval(wait_ms);
    struct redis_args args = {0};

    if (lane->is_asking || lane->queue == NULL)
        return;
    if (wait_ms > 0) {
        event_add(lane->timer, &wait);
        return;
    }
    lane->is_asking = true;
    redis_arg_int(&args, 1);
    redis_arg(&args, lane->key);
    redis_arg(&args, "take");
    redis_arg_int(&args, lane->waiting < BATCH_MAX ? lane->waiting : BATCH_MAX);
    redis_arg_int(&args, lane->turned_away);
    lane->turned_away = false;
    redis_eval(commands(lane), &lane->pacer->script, &args, OP_TIMEOUT_MS, on_taken, lane);
}

static void
on_told(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    (void)arg;
    if (error != NULL)
        log_debug("a refusal was not told", LOG_STR("error", error->message));
}

void
pacer_tell(struct pacer *pacer, int64_t number, const struct call *call)
{
    struct lane *lane = lane_find(pacer, call->model);
    bool is_throttle = call->outcome == OUTCOME_THROTTLED;
    struct redis_args args = {0};

    if (number == 0 || is_blind(lane) ||
        (!is_throttle && call->outcome != OUTCOME_TRANSIENT &&
         call->outcome != OUTCOME_UNREACHABLE))
        return;
    redis_arg_int(&args, 1);
    redis_arg(&args, lane->key);
    redis_arg(&args, is_throttle ? "throttled" : "failed");
    redis_arg_int(&args, number);
    redis_arg_int(&args, call->retry_after_ms);
    redis_eval(commands(lane), &pacer->script, &args, OP_TIMEOUT_MS, on_told, NULL);
}

/* ---- those who ask ---- */

bool
pacer_is_blind(struct pacer *pacer, const char *model)
{
    return is_blind(lane_find(pacer, model));
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
    wait->patience_ms = wish->patience_ms;
    wait->last_resort_ms = wish->last_resort_ms;
    wait->count = wish->count;
    for (size_t i = 0; i < count; i++)
        wait->lanes[i] = lane_find(pacer, wish->models[wish->order[i]].name);
    place(wait);
    return wait;
}

void
pacer_cancel(struct pacer_wait *wait)
{
    if (wait == NULL)
        return;
    if (wait->lane != NULL)
        leave(wait);
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
        permits += lane->rate * ROOM_S;
        waiting += lane->waiting;
    }
    return waiting > permits ? 0 : (int)permits + 1 - waiting;
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
    redis_script_init(&pacer->script, "pace",
#include "worker/model/lua/pace.lua.h"
    );
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
