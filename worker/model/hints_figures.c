#include "worker/model/hints_internal.h"

#include "common/memory.h"

#include <stdlib.h>
#include <utlist.h>

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

/* Without a pace, or with something else where it should be, the rest is still worth showing. */
static void
on_pace_read(const redisReply *reply, const struct error *error, void *arg)
{
    struct query_slot *slot = arg;

    slot->figures->pace = pace_view_read(reply);
    query_step(slot->query, error != NULL && error->kind == ERROR_INTERNAL ? NULL : error);
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
    struct redis_args marks = {0}, counters = {0}, pace = {0};

    hint_put_keys(hint, &marks);
    redis_eval(hint_commands(hint), &hint->hints->read, &marks, HINTS_TIMEOUT_MS, on_marks_read,
               slot);
    redis_arg(&counters, "HMGET");
    redis_arg(&counters, hint->stats_key);
    for (int i = 0; i < COUNTERS; i++)
        redis_arg(&counters, hint_counter_names[i]);
    redis_send(hint_commands(hint), &counters, HINTS_TIMEOUT_MS, on_counters_read, slot);
    redis_arg_int(&pace, 2);
    redis_arg(&pace, hint->pace_key);
    redis_arg(&pace, hint->pace_tokens_key);
    redis_arg(&pace, "look");
    redis_eval(hint_commands(hint), &hint->hints->pace, &pace, HINTS_TIMEOUT_MS, on_pace_read,
               slot);
    slot->query->open += 3;
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
    redis_send(hint_commands(hint), &args, HINTS_TIMEOUT_MS, on_reset_done, slot);
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

void
hints_forget_queries(struct hints *hints)
{
    while (hints->queries != NULL)
        query_free(hints->queries);
}
