#include "worker/model/hints.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

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
#define OP_TIMEOUT_MS  2000

enum counter {
    COUNT_CALLS,
    COUNT_SUCCESSES,
    COUNT_THROTTLES,
    COUNT_ERRORS,
    COUNT_PRIMARY,
    COUNTERS
};

static const char *const counter_names[COUNTERS] = {
    [COUNT_CALLS] = "calls",
    [COUNT_SUCCESSES] = "successes",
    [COUNT_THROTTLES] = "throttles",
    [COUNT_ERRORS] = "errors",
    [COUNT_PRIMARY] = "primary_successes",
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
    int64_t used_ms; /* monotonic; when a job last asked for it */
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
    struct redis_script throttle, read;
    int64_t asked_ms; /* monotonic; when the copy was last asked for */
    struct event *flush;
    bool is_dirty;
    bool is_v1;
    uint64_t throttle_seq;
    int64_t salt; /* makes names of throttles unique among processes */
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

/* Of a configured model: there are fewer of them than hints_new leaves room for. */
static struct hint *
hint_of_model(struct hints *hints, int index)
{
    struct hint *hint = hint_find(hints, hints->models->models[index].name);

    assert(hint != NULL);
    return hint;
}

static struct redis *
commands(const struct hint *hint)
{
    return redis_route_commands(hint->hints->route, hint->cooldown_key);
}

static bool
is_served(const struct hint *hint)
{
    return redis_route_serves(hint->hints->route, hint->cooldown_key, NULL);
}

static void
put_hint_keys(const struct hint *hint, struct redis_args *args)
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

    put_hint_keys(hint, &args);
    redis_eval(commands(hint), &hint->hints->read, &args, OP_TIMEOUT_MS, on_hint_read, hint);
}

void
hints_refresh(struct hints *hints)
{
    int64_t now = clock_mono_ms();
    struct hint *hint, *next;

    if (now - hints->asked_ms < FRESH_MS)
        return;
    hints->asked_ms = now;
    /* Models that only jobs name are not asked for long after: producers could make them many. */
    HASH_ITER(hh, hints->by_name, hint, next)
    if ((hint->is_configured || now - hint->used_ms < OWN_MODEL_MS) && is_served(hint))
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
    put_hint_keys(hint, &args);
    redis_arg_int(&args, call->retry_after_ms);
    redis_arg(&args, name);
    redis_arg_int(&args, hints->is_v1 ? V1_COOLDOWN_MS : 0);
    redis_eval(commands(hint), &hints->throttle, &args, OP_TIMEOUT_MS, on_throttle_told, hint);
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
    redis_send(commands(hint), &args, OP_TIMEOUT_MS, ignore_reply, NULL);
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
        redis_arg(&args, counter_names[i]);
        redis_arg_int(&args, hint->pending[i]);
        redis_send(commands(hint), &args, OP_TIMEOUT_MS, ignore_reply, NULL);
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

/* ---- figures ---- */

/* One reply's place in a query. */
struct query_slot {
    struct hints_query *query;
    struct hints_figures *figures;
};

struct hints_query {
    struct hints *hints;
    hints_figures_fn *fn; /* NULL: cancelled */
    void *arg;
    int open;                      /* replies still to come */
    struct error error;            /* the first; ERROR_NONE: all is well */
    struct hints_figures *figures; /* one per configured model; owned */
    struct query_slot *slots;      /* as many; owned */
    struct hints_query *prev, *next;
};

static void
query_free(struct hints_query *query)
{
    DL_DELETE(query->hints->queries, query);
    free(query->figures);
    free(query->slots);
    free(query);
}

static struct hints_query *
query_new(struct hints *hints, hints_figures_fn *fn, void *arg)
{
    size_t count = (size_t)hints->models->count;
    struct hints_query *query = xcalloc(1, sizeof(*query));

    query->hints = hints;
    query->fn = fn;
    query->arg = arg;
    query->figures = xcalloc(count, sizeof(*query->figures));
    query->slots = xcalloc(count, sizeof(*query->slots));
    for (size_t i = 0; i < count; i++)
        query->slots[i] = (struct query_slot){query, &query->figures[i]};
    DL_APPEND(hints->queries, query);
    return query;
}

void
hints_query_cancel(struct hints_query *query)
{
    if (query != NULL)
        query->fn = NULL;
}

/* A reply has been read; after the last one the query is told and gone. */
static void
query_step(struct hints_query *query, const struct error *error)
{
    if (error != NULL && query->error.kind == ERROR_NONE)
        query->error = *error;
    if (--query->open > 0)
        return;
    if (query->fn != NULL && query->error.kind != ERROR_NONE)
        query->fn(NULL, 0, &query->error, query->arg);
    else if (query->fn != NULL)
        query->fn(query->figures, query->hints->models->count, NULL, query->arg);
    query_free(query);
}

static void
on_counters_read(const redisReply *reply, const struct error *error, void *arg)
{
    struct query_slot *slot = arg;
    struct hints_figures *figures = slot->figures;
    int64_t *const fields[COUNTERS] = {
        [COUNT_CALLS] = &figures->calls,
        [COUNT_SUCCESSES] = &figures->successes,
        [COUNT_THROTTLES] = &figures->throttles,
        [COUNT_ERRORS] = &figures->errors,
        [COUNT_PRIMARY] = &figures->primary_successes,
    };

    for (int i = 0; error == NULL && i < COUNTERS; i++)
        *fields[i] = redis_int(redis_at(reply, (size_t)i), 0);
    query_step(slot->query, error);
}

static void
on_marks_read(const redisReply *reply, const struct error *error, void *arg)
{
    struct query_slot *slot = arg;

    if (error == NULL) {
        slot->figures->cooldown_ms = redis_int(redis_at(reply, 0), 0);
        slot->figures->throttles_60s = redis_int(redis_at(reply, 2), 0);
    }
    query_step(slot->query, error);
}

static void
on_reset_done(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    query_step(((struct query_slot *)arg)->query, error);
}

static void
ask_figures(struct hint *hint, struct query_slot *slot)
{
    struct redis_args marks = {0}, counters = {0};

    put_hint_keys(hint, &marks);
    redis_eval(commands(hint), &hint->hints->read, &marks, OP_TIMEOUT_MS, on_marks_read, slot);
    redis_arg(&counters, "HMGET");
    redis_arg(&counters, hint->stats_key);
    for (int i = 0; i < COUNTERS; i++)
        redis_arg(&counters, counter_names[i]);
    redis_send(commands(hint), &counters, OP_TIMEOUT_MS, on_counters_read, slot);
    slot->query->open += 2;
}

struct hints_query *
hints_read(struct hints *hints, hints_figures_fn *fn, void *arg)
{
    struct hints_query *query = query_new(hints, fn, arg);

    hints_flush(hints);
    for (int i = 0; i < hints->models->count; i++)
        ask_figures(hint_of_model(hints, i), &query->slots[i]);
    return query;
}

static void
forget(struct hint *hint, struct query_slot *slot)
{
    struct redis_args args = {0};

    hint->cooldown_until_ms = 0;
    hint->throttled_until_ms = 0;
    hint->has_throttles = false;
    redis_arg(&args, "DEL");
    redis_arg(&args, hint->cooldown_key);
    redis_arg(&args, hint->throttled_key);
    redis_arg(&args, hint->throttles_key);
    redis_arg(&args, hint->pace_key);
    redis_arg(&args, hint->pace_tokens_key);
    redis_send(commands(hint), &args, OP_TIMEOUT_MS, on_reset_done, slot);
    slot->query->open++;
}

struct hints_query *
hints_reset(struct hints *hints, hints_figures_fn *fn, void *arg)
{
    struct hints_query *query = query_new(hints, fn, arg);

    for (int i = 0; i < hints->models->count; i++)
        forget(hint_of_model(hints, i), &query->slots[i]);
    return query;
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
    while (hints->queries != NULL)
        query_free(hints->queries);
    HASH_ITER(hh, hints->by_name, hint, next)
    {
        HASH_DEL(hints->by_name, hint);
        hint_free(hint);
    }
    event_free(hints->flush);
    free(hints->prefix);
    free(hints);
}
