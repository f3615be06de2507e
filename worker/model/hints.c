#include "worker/model/hints_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/model/pacer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define FRESH_MS       100
#define FLUSH_MS       100
#define OWN_MODEL_MS   5000
#define MARK_MS        2000
#define V1_COOLDOWN_MS 60000
#define MODELS_MAX     1000

const char *const hint_counter_names[COUNTERS] = {
    [COUNT_CALLS] = "calls",
    [COUNT_SUCCESSES] = "successes",
    [COUNT_THROTTLES] = "throttles",
    [COUNT_ERRORS] = "errors",
    [COUNT_PRIMARY] = "primary_successes",
};

static void
ignore_reply(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    (void)arg;
    if (error != NULL)
        log_debug("a hint was not written", LOG_STR("error", error->message));
}

/* All keys of a model share one Cluster slot by their hash tag. */
static char *
model_key(const struct hints *hints, const char *model, const char *what)
{
    return xasprintf("%s:{m:%s}:%s", hints->prefix, model, what);
}

static struct hint *
hint_new(struct hints *hints, const char *name)
{
    struct hint *hint = xcalloc(1, sizeof(*hint));

    hint->hints = hints;
    hint->name = xstrdup(name);
    hint->asked_ms = -FRESH_MS;
    hint->cooldown_key = model_key(hints, name, "cooldown");
    hint->throttled_key = model_key(hints, name, "throttled");
    hint->throttles_key = model_key(hints, name, "throttles");
    hint->stats_key = model_key(hints, name, "stats");
    hint->pace_key = model_key(hints, name, "pace");
    hint->pace_tokens_key = model_key(hints, name, "pace:tokens");
    HASH_ADD_KEYPTR(hh, hints->by_name, hint->name, strlen(hint->name), hint);
    return hint;
}

static void
hint_free(struct hint *hint)
{
    free(hint->name);
    free(hint->cooldown_key);
    free(hint->throttled_key);
    free(hint->throttles_key);
    free(hint->stats_key);
    free(hint->pace_key);
    free(hint->pace_tokens_key);
    free(hint);
}

/* NULL only for a job's own model when there are too many of them. */
static struct hint *
hint_find(struct hints *hints, const char *name)
{
    struct hint *hint;

    HASH_FIND_STR(hints->by_name, name, hint);
    if (hint == NULL && HASH_COUNT(hints->by_name) < MODELS_MAX)
        hint = hint_new(hints, name);
    return hint;
}

struct hint *
hint_of_model(struct hints *hints, int index)
{
    struct hint *hint = hint_find(hints, hints->models->models[index].name);

    assert(hint != NULL);
    return hint;
}

struct redis *
hint_commands(const struct hint *hint)
{
    return redis_route_commands(hint->hints->route, hint->cooldown_key);
}

static bool
is_served(const struct hint *hint)
{
    return redis_route_serves(hint->hints->route, hint->cooldown_key, NULL);
}

void
hint_put_keys(const struct hint *hint, struct redis_args *args)
{
    redis_arg_int(args, 3);
    redis_arg(args, hint->cooldown_key);
    redis_arg(args, hint->throttled_key);
    redis_arg(args, hint->throttles_key);
}

/* ---- the copy ---- */

static void
on_hint_read(const redisReply *reply, const struct error *error, void *arg)
{
    struct hint *hint = arg;
    int64_t now = clock_mono_ms();

    if (error != NULL)
        return;
    hint->cooldown_until_ms = now + redis_int(redis_at(reply, 0), 0);
    hint->throttled_until_ms = now + redis_int(redis_at(reply, 1), 0);
    hint->has_throttles = redis_int(redis_at(reply, 2), 0) > 0;
}

static void
hint_ask(struct hint *hint)
{
    struct redis_args args = {0};

    hint->asked_ms = hint->hints->asked_ms;
    hint_put_keys(hint, &args);
    redis_eval(hint_commands(hint), &hint->hints->read, &args, HINTS_TIMEOUT_MS, on_hint_read,
               hint);
}

/* Models that only jobs name are not asked for long after: producers could make them many. */
static bool
is_outdated(const struct hint *hint, struct pacer *pacer, int64_t now)
{
    if (!hint->is_configured && now - hint->used_ms >= OWN_MODEL_MS)
        return false;
    return now - hint->asked_ms >= pacer_hints_age(pacer, hint->name) && is_served(hint);
}

void
hints_refresh(struct hints *hints, struct pacer *pacer)
{
    int64_t now = clock_mono_ms();
    struct hint *hint, *next;

    if (now - hints->asked_ms < FRESH_MS)
        return;
    hints->asked_ms = now;
    HASH_ITER(hh, hints->by_name, hint, next)
    if (is_outdated(hint, pacer, now))
        hint_ask(hint);
}

struct selection_hint
hints_of(struct hints *hints, const char *model)
{
    struct hint *hint = hint_find(hints, model);
    int64_t now = clock_mono_ms();

    if (hint == NULL)
        return (struct selection_hint){0};
    hint->used_ms = now;
    return (struct selection_hint){
        .in_cooldown = hint->cooldown_until_ms > now,
        .just_throttled = hint->throttled_until_ms > now,
    };
}

/* ---- what this worker learns ---- */

static void
on_throttle_told(const redisReply *reply, const struct error *error, void *arg)
{
    struct hint *hint = arg;
    int64_t left_ms;

    if (error != NULL)
        return;
    left_ms = redis_int(redis_at(reply, 0), 0);
    hint->cooldown_until_ms = clock_mono_ms() + left_ms;
    log_info("model is cooling down", LOG_STR("model", hint->name), LOG_INT("cooldown_ms", left_ms),
             LOG_INT("throttles_60s", redis_int(redis_at(reply, 1), 0)));
}

static void
tell_throttle(struct hint *hint, const struct call *call)
{
    struct hints *hints = hint->hints;
    struct redis_args args = {0};
    char name[48];

    hint->throttled_until_ms = clock_mono_ms() + MARK_MS;
    hint->has_throttles = true;
    snprintf(name, sizeof(name), "%" PRIx64 "-%" PRIu64, (uint64_t)hints->salt,
             ++hints->throttle_seq);
    hint_put_keys(hint, &args);
    redis_arg_int(&args, call->retry_after_ms);
    redis_arg(&args, name);
    redis_arg_int(&args, hints->is_v1 ? V1_COOLDOWN_MS : 0);
    redis_eval(hint_commands(hint), &hints->throttle, &args, HINTS_TIMEOUT_MS, on_throttle_told,
               hint);
}

/* The 2 s mark runs out by itself. */
static void
tell_success(struct hint *hint)
{
    struct redis_args args = {0};

    if (hint->hints->is_v1 || (!hint->has_throttles && hint->cooldown_until_ms <= clock_mono_ms()))
        return;
    hint->has_throttles = false;
    hint->cooldown_until_ms = 0;
    redis_arg(&args, "DEL");
    redis_arg(&args, hint->cooldown_key);
    redis_arg(&args, hint->throttles_key);
    redis_send(hint_commands(hint), &args, HINTS_TIMEOUT_MS, ignore_reply, NULL);
}

static void
count(struct hint *hint, enum counter counter)
{
    struct hints *hints = hint->hints;
    struct timeval soon = clock_timeval(FLUSH_MS);

    hint->pending[counter]++;
    if (!hints->is_dirty)
        event_add(hints->flush, &soon);
    hints->is_dirty = true;
}

void
hints_tell(struct hints *hints, const char *model, bool is_primary, const struct call *call)
{
    struct hint *hint = hint_find(hints, model);

    if (hint == NULL)
        return;
    hint->used_ms = clock_mono_ms();
    count(hint, COUNT_CALLS);
    if (call->outcome == OUTCOME_OK) {
        count(hint, COUNT_SUCCESSES);
        if (is_primary)
            count(hint, COUNT_PRIMARY);
        tell_success(hint);
    } else if (call->outcome == OUTCOME_THROTTLED) {
        count(hint, COUNT_THROTTLES);
        tell_throttle(hint, call);
    } else {
        count(hint, COUNT_ERRORS);
    }
}

/* ---- counters ---- */

static void
write_counters(struct hint *hint)
{
    for (int i = 0; i < COUNTERS; i++) {
        struct redis_args args = {0};

        if (hint->pending[i] == 0)
            continue;
        redis_arg(&args, "HINCRBY");
        redis_arg(&args, hint->stats_key);
        redis_arg(&args, hint_counter_names[i]);
        redis_arg_int(&args, hint->pending[i]);
        redis_send(hint_commands(hint), &args, HINTS_TIMEOUT_MS, ignore_reply, NULL);
        hint->pending[i] = 0;
    }
}

static bool
has_pending(const struct hint *hint)
{
    for (int i = 0; i < COUNTERS; i++)
        if (hint->pending[i] != 0)
            return true;
    return false;
}

void
hints_flush(struct hints *hints)
{
    struct hint *hint, *next;

    if (!hints->is_dirty)
        return;
    hints->is_dirty = false;
    event_del(hints->flush);
    /* Without Redis the figures wait for it; they are a few numbers per model. */
    HASH_ITER(hh, hints->by_name, hint, next)
    if (has_pending(hint)) {
        if (is_served(hint))
            write_counters(hint);
        else
            hints->is_dirty = true;
    }
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct hints *hints = arg;
    struct timeval soon = clock_timeval(FLUSH_MS);

    (void)fd;
    (void)what;
    hints_flush(hints);
    if (hints->is_dirty)
        event_add(hints->flush, &soon);
}

/* ---- life ---- */

struct hints *
hints_new(struct event_base *base, struct redis_route *route, const char *prefix,
          const struct model_list *models)
{
    struct hints *hints = xcalloc(1, sizeof(*hints));

    hints->base = base;
    hints->route = route;
    hints->models = models;
    hints->prefix = xstrdup(prefix);
    hints->flush = evtimer_new(base, on_flush, hints);
    hints->salt = clock_jitter(0, INT64_MAX - 1);
    hints->asked_ms = -FRESH_MS;
    redis_script_init(&hints->throttle, "hint_throttle",
#include "worker/model/lua/hint_throttle.lua.h"
    );
    redis_script_init(&hints->read, "hint_read",
#include "worker/model/lua/hint_read.lua.h"
    );
    pace_script_init(&hints->pace);
    for (int i = 0; i < models->count; i++)
        hint_of_model(hints, i)->is_configured = true;
    return hints;
}

void
hints_use_v1(struct hints *hints)
{
    hints->is_v1 = true;
}

void
hints_free(struct hints *hints)
{
    struct hint *hint, *next;

    if (hints == NULL)
        return;
    hints_forget_queries(hints);
    HASH_ITER(hh, hints->by_name, hint, next)
    {
        HASH_DEL(hints->by_name, hint);
        hint_free(hint);
    }
    event_free(hints->flush);
    free(hints->prefix);
    free(hints);
}
