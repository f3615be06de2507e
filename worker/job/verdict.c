#include "worker/job/verdict.h"

#include <stddef.h>
#include <string.h>

#define OUT_BASE_MS 1000  /* provider out: a probe after a second, then ever less often */
#define OUT_CAP_MS  30000 /* and back at work within half a minute */

/* The longest Retry-After that a retry obeys. A longer one is a mistake, and would hide the job. */
#define RETRY_AFTER_MAX_MS 3600000

#define BIT(outcome) (1U << (OUTCOME_##outcome))

enum course {
    COURSE_FAIL,
    COURSE_RETRY,    /* the execution is spent */
    COURSE_TURN,     /* wait for room, at most max_wait */
    COURSE_PATIENCE, /* wait, for as long as it takes */
    COURSE_OUT,      /* the same, and claim nothing meanwhile */
};

/* A rule holds when one outcome of `any` was seen, and one of `with` unless that is 0. */
struct rule {
    unsigned any;
    unsigned with;
    bool own_models; /* holds for jobs that named their models only */
    enum course course;
    const char *kind; /* NULL: that of the call to blame, the first with an outcome of `any` */
};

/* The first that holds decides. */
static const struct rule rules[] = {
    {BIT(TRANSIENT) | BIT(TIMEOUT), 0, false, COURSE_RETRY, NULL},
    {BIT(BAD_OUTPUT), BIT(THROTTLED) | BIT(UNREACHABLE) | BIT(AUTH), false, COURSE_RETRY, NULL},
    {BIT(THROTTLED), 0, false, COURSE_TURN, NULL},
    {BIT(BAD_OUTPUT), 0, false, COURSE_FAIL, NULL},
    /* Another model answered, so the provider is not out; this one may yet take the request. */
    {BIT(UNREACHABLE), BIT(REJECTED) | BIT(UNSUITED), false, COURSE_PATIENCE, NULL},
    {BIT(REJECTED) | BIT(UNSUITED), 0, false, COURSE_FAIL, NULL},
    {BIT(AUTH) | BIT(UNREACHABLE), 0, false, COURSE_OUT, NULL},
    {BIT(MODEL_CONFIG), 0, true, COURSE_FAIL, "rejected"},
    {BIT(MODEL_CONFIG), 0, false, COURSE_OUT, NULL},
};

/* The kind of error.kind that an outcome leads to. */
static const char *
outcome_kind(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK: return NULL;
    case OUTCOME_THROTTLED: return "throttled";
    case OUTCOME_TRANSIENT:
    case OUTCOME_UNREACHABLE: return "unavailable";
    case OUTCOME_TIMEOUT: return "timeout";
    case OUTCOME_AUTH:
    case OUTCOME_MODEL_CONFIG: return "auth";
    case OUTCOME_UNSUITED:
    case OUTCOME_REJECTED: return "rejected";
    case OUTCOME_BAD_OUTPUT: return "bad_output";
    case OUTCOME_CANCELLED: return "cancelled";
    }
    return "internal";
}

static unsigned
outcomes_seen(const struct verdict_facts *facts)
{
    unsigned seen = 0;

    for (int i = 0; i < facts->call_count; i++)
        seen |= 1U << facts->calls[i].outcome;
    return facts->has_no_room ? seen | BIT(THROTTLED) : seen;
}

static const struct call *
first_call(const struct verdict_facts *facts, unsigned any)
{
    for (int i = 0; i < facts->call_count; i++)
        if ((1U << facts->calls[i].outcome & any) != 0)
            return &facts->calls[i];
    return NULL;
}

/* base * 2^n, at most cap. */
static int64_t
backoff_ms(int64_t base, int64_t cap, int n)
{
    int64_t delay = base;

    for (int i = 0; i < n && delay < cap; i++)
        delay *= 2;
    return delay < cap ? delay : cap;
}

/* What the model of calls[index] asked for in all its calls of these outcomes. */
static int64_t
model_retry_after_ms(const struct verdict_facts *facts, int index, unsigned outcomes)
{
    int64_t most = 0;

    for (int i = 0; i < facts->call_count; i++) {
        const struct call *call = &facts->calls[i];

        if ((1U << call->outcome & outcomes) != 0 && call->retry_after_ms > most &&
            strcmp(call->model, facts->calls[index].model) == 0)
            most = call->retry_after_ms;
    }
    return most;
}

/* When the first of the models asked with these outcomes will listen again. One that asked for
 * nothing listens at once, or is left out (must_have_asked). */
static int64_t
least_retry_after_ms(const struct verdict_facts *facts, unsigned outcomes, bool must_have_asked)
{
    int64_t least = -1;

    for (int i = 0; i < facts->call_count; i++) {
        int64_t asked;

        if ((1U << facts->calls[i].outcome & outcomes) == 0)
            continue;
        asked = model_retry_after_ms(facts, i, outcomes);
        if ((asked > 0 || !must_have_asked) && (least < 0 || asked < least))
            least = asked;
    }
    return least < 0 ? 0 : least;
}

/* Full jitter above `floor`: between it and backoff after n times more. */
static void
set_delay(struct verdict *verdict, const struct verdict_facts *facts, int n, int64_t floor)
{
    verdict->delay_low_ms = floor;
    verdict->delay_high_ms = floor + backoff_ms(facts->retry_base_ms, facts->retry_cap_ms, n);
}

static void
retry(struct verdict *verdict, const struct verdict_facts *facts)
{
    int64_t floor = least_retry_after_ms(facts, ~0U, true);

    verdict->action = VERDICT_RETRY;
    if (facts->attempts_spent + 1 >= facts->max_attempts)
        verdict->action = VERDICT_FAIL;
    else
        set_delay(verdict, facts, facts->attempts_spent,
                  floor < RETRY_AFTER_MAX_MS ? floor : RETRY_AFTER_MAX_MS);
}

static void
wait_for_turn(struct verdict *verdict, const struct verdict_facts *facts)
{
    verdict->action = VERDICT_WAIT;
    set_delay(verdict, facts, facts->waits,
              facts->has_no_room ? facts->room_in_ms
                                 : least_retry_after_ms(facts, BIT(THROTTLED), false));
    if (facts->waited_ms + verdict->delay_low_ms > facts->max_wait_ms)
        verdict->action = VERDICT_FAIL;
}

static void
wait_for_provider(struct verdict *verdict, const struct verdict_facts *facts)
{
    int64_t delay = backoff_ms(OUT_BASE_MS, OUT_CAP_MS, facts->waits);

    verdict->action = VERDICT_WAIT;
    verdict->provider_is_out = true;
    verdict->delay_low_ms = delay / 2;
    verdict->delay_high_ms = delay;
}

static void
take_course(struct verdict *verdict, enum course course, const struct verdict_facts *facts)
{
    switch (course) {
    case COURSE_FAIL: verdict->action = VERDICT_FAIL; break;
    case COURSE_RETRY: retry(verdict, facts); break;
    case COURSE_TURN: wait_for_turn(verdict, facts); break;
    case COURSE_PATIENCE:
        verdict->action = VERDICT_WAIT;
        set_delay(verdict, facts, facts->waits, 0);
        break;
    case COURSE_OUT: wait_for_provider(verdict, facts); break;
    }
}

static const struct rule *
find_rule(unsigned seen, bool has_own_models)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct rule *rule = &rules[i];

        if ((rule->any & seen) != 0 && (rule->with == 0 || (rule->with & seen) != 0) &&
            (!rule->own_models || has_own_models))
            return rule;
    }
    return NULL;
}

/* An attempt that nobody ended: by what its calls say. */
static struct verdict
judge_calls(const struct verdict_facts *facts, unsigned seen)
{
    const struct rule *rule = find_rule(seen, facts->has_own_models);
    struct verdict verdict = {.kind = "internal"};

    if (rule == NULL) { /* no call was made */
        retry(&verdict, facts);
        return verdict;
    }
    verdict.blame = first_call(facts, rule->any);
    if (rule->kind != NULL)
        verdict.kind = rule->kind;
    else if (verdict.blame != NULL)
        verdict.kind = outcome_kind(verdict.blame->outcome);
    else /* by no call, but by the room that there was not */
        verdict.kind = outcome_kind(OUTCOME_THROTTLED);
    take_course(&verdict, rule->course, facts);
    return verdict;
}

struct verdict
verdict_decide(const struct verdict_facts *facts)
{
    unsigned seen = outcomes_seen(facts);
    struct verdict verdict = {.action = VERDICT_CANCEL, .kind = "cancelled"};

    if (facts->is_cancelled || (seen & BIT(CANCELLED)) != 0)
        return verdict;
    if ((seen & BIT(OK)) != 0)
        return (struct verdict){.action = VERDICT_SUCCEED};
    if (!facts->is_timed_out)
        return judge_calls(facts, seen);
    verdict.kind = "timeout";
    verdict.blame = first_call(facts, BIT(TIMEOUT));
    retry(&verdict, facts);
    return verdict;
}

bool
verdict_wants_next_model(const struct call *calls, int count)
{
    if (count == 0)
        return true;
    switch (calls[count - 1].outcome) {
    case OUTCOME_OK:
    case OUTCOME_CANCELLED: return false;
    case OUTCOME_REJECTED:
    case OUTCOME_THROTTLED:
    case OUTCOME_TRANSIENT:
    case OUTCOME_TIMEOUT:
    case OUTCOME_UNREACHABLE:
    case OUTCOME_AUTH:
    case OUTCOME_MODEL_CONFIG:
    case OUTCOME_UNSUITED:
    case OUTCOME_BAD_OUTPUT: return true;
    }
    return true;
}
