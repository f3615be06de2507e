#include "worker/attempt_internal.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/job/verdict.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* How long a job that prefers neither waits for the primary, and any job when no model has room
 * (docs/pacing.md). */
#define BALANCED_MS    1000
#define LAST_RESORT_MS 10000
#define BYTES_A_TOKEN  4

/* ---- choose ---- */

/* What the cluster believes of this attempt's models now; owned by the caller. */
static struct selection_hint *
read_hints(const struct attempt *a)
{
    size_t count = (size_t)a->model_count;
    struct selection_hint *hints = xcalloc(count, sizeof(*hints));

    for (size_t i = 0; i < count; i++)
        hints[i] = hints_of(a->context->hints, a->models[i].name);
    return hints;
}

/* Where calls are paced the order is the configured one: the pacer knows who has room. In V1 it is
 * everybody's. */
void
attempt_order(struct attempt *a)
{
    size_t count = (size_t)a->model_count;
    struct selection_hint *hints = xcalloc(count, sizeof(*hints));
    struct pacer *pacer = a->context->pacer;
    bool is_v2 = a->context->config->policy == POLICY_V2;

    for (size_t i = 0; i < count; i++)
        if (is_v2 || (pacer != NULL && pacer_is_blind(pacer, a->models[i].name)))
            hints[i] = hints_of(a->context->hints, a->models[i].name);
    a->order = xcalloc(count, sizeof(*a->order));
    selection_order(hints, a->model_count, a->order);
    free(hints);
}

/* V1: a model that was throttled is out for everybody. */
static void
skip_blocked(struct attempt *a)
{
    struct selection_hint *hints = read_hints(a);
    int next = selection_next_v1(hints, a->model_count, a->next);

    a->has_no_room |= next > a->next;
    a->next = next;
    free(hints);
}

void
attempt_choose(struct attempt *a)
{
    bool is_first = a->call_count == 0;

    if (!is_first && !verdict_wants_next_model(a->calls, a->call_count)) {
        attempt_conclude(a);
        return;
    }
    if (!is_first)
        a->next++;
    if (a->context->config->policy == POLICY_V1)
        skip_blocked(a);
    if (a->next == a->model_count) {
        attempt_conclude(a);
        return;
    }
    a->is_second_try = false;
    attempt_enter(a, a->context->pacer == NULL ? ATTEMPT_CALLING : ATTEMPT_PACING);
}

/* ---- pace ---- */

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t
run_ms(const struct attempt *a)
{
    return clock_mono_ms() - a->started_mono_ms;
}

static int64_t
ms_to_end(const struct attempt *a)
{
    int64_t timeout_ms =
        a->job.timeout_ms > 0 ? a->job.timeout_ms : a->context->config->job_timeout_ms;

    return timeout_ms - run_ms(a);
}

int64_t
attempt_ms_to_start(const struct attempt *a)
{
    if (a->job.expires_at_ms == 0)
        return INT64_MAX;
    return a->job.expires_at_ms - a->begun_ms - (clock_mono_ms() - a->begun_mono_ms);
}

bool
attempt_is_expired(const struct attempt *a)
{
    return a->call_count == 0 && attempt_ms_to_start(a) <= 0;
}

void
attempt_arm_timeout(struct attempt *a, bool to_start)
{
    int64_t left_ms = ms_to_end(a);
    struct timeval left;

    if (to_start && a->call_count == 0)
        left_ms = least(left_ms, attempt_ms_to_start(a));
    left = clock_timeval(left_ms);
    event_add(a->timeout, &left);
}

/* What the job may spend on waiting: a call must fit in, too. */
static int64_t
time_to_wait(const struct attempt *a)
{
    int64_t left_ms = ms_to_end(a) * 4 / 5;

    if (a->call_count == 0)
        left_ms = least(left_ms, attempt_ms_to_start(a));
    return left_ms > 0 ? left_ms : 0;
}

static int64_t
patience(const struct attempt *a)
{
    int prefer = a->job.prefer == PREFER_UNSET ? (int)a->context->config->prefer
                                               : (int)a->job.prefer - PREFER_LATENCY;

    switch ((enum config_prefer)prefer) {
    case CONFIG_PREFER_LATENCY: return 0;
    case CONFIG_PREFER_BALANCED: return least(BALANCED_MS, time_to_wait(a));
    case CONFIG_PREFER_PRIMARY: return time_to_wait(a);
    }
    return 0;
}

/* The chosen one is next; those that are left keep their order behind it. */
static void
call_next(struct attempt *a, int choice)
{
    int *next = &a->order[a->next];
    int chosen = next[choice];

    memmove(next + 1, next, (size_t)choice * sizeof(*next));
    next[0] = chosen;
    attempt_arm_timeout(a, false);
    attempt_enter(a, ATTEMPT_CALLING);
}

static void
on_permit(int choice, struct pacer_permit permit, int64_t room_in_ms, void *arg)
{
    struct attempt *a = arg;

    a->op.pacing = NULL;
    a->permit = permit;
    if (choice >= 0 && !attempt_is_expired(a)) {
        call_next(a, choice);
        return;
    }
    a->has_no_room = true;
    a->room_in_ms = room_in_ms;
    attempt_conclude(a);
}

/* What the call may use, as providers reserve it: its input, about four bytes a token, and all that
 * it may answer. The learned quota is in these units, so that errors fall into it. */
static int64_t
estimate_tokens(const struct job *job)
{
    size_t bytes = job->payload_len + strlen(job->type->prompt);
    int64_t max_tokens;

    if (job->type->system != NULL)
        bytes += strlen(job->type->system);
    if (!json_int(job->max_tokens, 1, INT32_MAX, &max_tokens))
        max_tokens = job->type->max_tokens;
    return (int64_t)bytes / BYTES_A_TOKEN + max_tokens;
}

/* Who takes turns where jobs wait for a model; two with the same number are one there. */
static uint32_t
tenant_number(const struct attempt *a)
{
    uint32_t number = 0;

    if (queue_is_fair(a->queue) && a->job.tenant.len > 0)
        HASH_JEN(a->job.tenant.text, a->job.tenant.len, number);
    return number;
}

void
attempt_pace(struct attempt *a)
{
    struct pacer_wish wish = {
        .models = a->models,
        .order = &a->order[a->next],
        .count = a->model_count - a->next,
        .tokens = estimate_tokens(&a->job),
        .tenant = tenant_number(a),
        .patience_ms = patience(a),
        .last_resort_ms = least(LAST_RESORT_MS, time_to_wait(a)),
    };

    if (wish.patience_ms > wish.last_resort_ms)
        wish.last_resort_ms = wish.patience_ms;
    attempt_arm_timeout(a, true);
    a->op.pacing = pacer_ask(a->context->pacer, &wish, on_permit, a);
}

/* The job ends while it waits for a permit. */
void
attempt_stop_pacing(struct attempt *a)
{
    pacer_cancel(a->op.pacing);
    a->op.pacing = NULL;
    a->has_no_room = true;
    attempt_conclude(a);
}
