#include "worker/job/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALLS_MAX    4
#define NONE         -1

static const char *const models[CALLS_MAX] = {"a", "b", "c", "d"};

/* A first execution of four; its calls are the test's. */
static struct verdict_facts
facts_of(const struct call *calls, int count)
{
    return (struct verdict_facts){
        .calls = calls,
        .call_count = count,
        .max_attempts = 4,
        .max_wait_ms = 3600000,
        .retry_base_ms = 1000,
        .retry_cap_ms = 60000,
    };
}

/* One call per outcome, each to its own model. Returns their number. */
static int
make_calls(const int outcomes[CALLS_MAX], struct call calls[CALLS_MAX])
{
    int count = 0;

    while (count < CALLS_MAX && outcomes[count] != NONE) {
        calls[count] =
            (struct call){.model = models[count], .outcome = (enum outcome)outcomes[count]};
        count++;
    }
    return count;
}

#define OK           OUTCOME_OK
#define THROTTLED    OUTCOME_THROTTLED
#define TRANSIENT    OUTCOME_TRANSIENT
#define TIMEOUT      OUTCOME_TIMEOUT
#define UNREACHABLE  OUTCOME_UNREACHABLE
#define AUTH         OUTCOME_AUTH
#define MODEL_CONFIG OUTCOME_MODEL_CONFIG
#define UNSUITED     OUTCOME_UNSUITED
#define REJECTED     OUTCOME_REJECTED
#define BAD_OUTPUT   OUTCOME_BAD_OUTPUT
#define CANCELLED    OUTCOME_CANCELLED
#define FAIL         VERDICT_FAIL
#define RETRY        VERDICT_RETRY
#define WAIT         VERDICT_WAIT

static const struct {
    int outcomes[CALLS_MAX];
    enum verdict_action action;
    const char *kind;
    bool provider_is_out;
    int blame; /* index of the call; NONE */
} verdicts[] = {
    {{OK, NONE}, VERDICT_SUCCEED, NULL, false, NONE},
    {{THROTTLED, TRANSIENT, OK, NONE}, VERDICT_SUCCEED, NULL, false, NONE},
    {{NONE}, RETRY, "internal", false, NONE},
    {{CANCELLED, NONE}, VERDICT_CANCEL, "cancelled", false, NONE},
    {{THROTTLED, CANCELLED, NONE}, VERDICT_CANCEL, "cancelled", false, NONE},
    /* may work later: the execution was spent */
    {{TRANSIENT, NONE}, RETRY, "unavailable", false, 0},
    {{TIMEOUT, NONE}, RETRY, "timeout", false, 0},
    {{THROTTLED, TIMEOUT, TRANSIENT, NONE}, RETRY, "timeout", false, 1},
    {{REJECTED, TRANSIENT, NONE}, RETRY, "unavailable", false, 1},
    {{BAD_OUTPUT, TRANSIENT, NONE}, RETRY, "unavailable", false, 1},
    {{AUTH, TRANSIENT, NONE}, RETRY, "unavailable", false, 1},
    {{BAD_OUTPUT, THROTTLED, NONE}, RETRY, "bad_output", false, 0},
    {{UNREACHABLE, BAD_OUTPUT, NONE}, RETRY, "bad_output", false, 1},
    {{AUTH, BAD_OUTPUT, NONE}, RETRY, "bad_output", false, 1},
    /* throttled: wait for a turn */
    {{THROTTLED, NONE}, WAIT, "throttled", false, 0},
    {{THROTTLED, THROTTLED, NONE}, WAIT, "throttled", false, 0},
    {{REJECTED, THROTTLED, NONE}, WAIT, "throttled", false, 1},
    {{UNREACHABLE, THROTTLED, NONE}, WAIT, "throttled", false, 1},
    {{MODEL_CONFIG, UNSUITED, THROTTLED, NONE}, WAIT, "throttled", false, 2},
    /* nobody to call */
    {{AUTH, NONE}, WAIT, "auth", true, 0},
    {{UNREACHABLE, NONE}, WAIT, "unavailable", true, 0},
    {{UNREACHABLE, AUTH, NONE}, WAIT, "unavailable", true, 0},
    {{MODEL_CONFIG, UNREACHABLE, NONE}, WAIT, "unavailable", true, 1},
    {{MODEL_CONFIG, AUTH, NONE}, WAIT, "auth", true, 1},
    {{MODEL_CONFIG, MODEL_CONFIG, NONE}, WAIT, "auth", true, 0},
    /* one model refused, the other one was not reached */
    {{UNREACHABLE, REJECTED, NONE}, WAIT, "unavailable", false, 0},
    {{UNSUITED, UNREACHABLE, NONE}, WAIT, "unavailable", false, 1},
    {{AUTH, UNREACHABLE, REJECTED, NONE}, WAIT, "unavailable", false, 1},
    /* useless to try again */
    {{BAD_OUTPUT, NONE}, FAIL, "bad_output", false, 0},
    {{REJECTED, BAD_OUTPUT, NONE}, FAIL, "bad_output", false, 1},
    {{UNSUITED, BAD_OUTPUT, MODEL_CONFIG, NONE}, FAIL, "bad_output", false, 1},
    {{REJECTED, NONE}, FAIL, "rejected", false, 0},
    {{UNSUITED, REJECTED, NONE}, FAIL, "rejected", false, 0},
    {{MODEL_CONFIG, REJECTED, NONE}, FAIL, "rejected", false, 1},
    {{AUTH, UNSUITED, NONE}, FAIL, "rejected", false, 1},
};

static void
expect_verdict(size_t row)
{
    struct call calls[CALLS_MAX];
    int count = make_calls(verdicts[row].outcomes, calls);
    struct verdict_facts facts = facts_of(calls, count);
    struct verdict verdict = verdict_decide(&facts);
    const struct call *blame = verdicts[row].blame == NONE ? NULL : &calls[verdicts[row].blame];

    if (verdict.action != verdicts[row].action)
        fail_msg("row %zu: action %d", row, (int)verdict.action);
    if (verdicts[row].kind == NULL)
        assert_null(verdict.kind);
    else if (strcmp(verdict.kind, verdicts[row].kind) != 0)
        fail_msg("row %zu: kind %s", row, verdict.kind);
    if (verdict.blame != blame || verdict.provider_is_out != verdicts[row].provider_is_out)
        fail_msg("row %zu: blame or provider_is_out", row);
}

static void
what_the_calls_mean_for_the_job(void **state)
{
    for (size_t i = 0; i < COUNT(verdicts); i++)
        expect_verdict(i);
    (void)state;
}

static void
a_cancelled_job_is_cancelled_whatever_came(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_OK};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.is_cancelled = true;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_CANCEL);
    (void)state;
}

static void
an_answer_counts_though_the_time_is_up(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_OK};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.is_timed_out = true;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_SUCCEED);
    (void)state;
}

static void
a_job_out_of_time_has_spent_its_execution(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_THROTTLED};
    struct verdict_facts facts = facts_of(&call, 1);
    struct verdict verdict;

    facts.is_timed_out = true;
    verdict = verdict_decide(&facts);
    assert_int_equal(verdict.action, VERDICT_RETRY);
    assert_string_equal(verdict.kind, "timeout");
    facts.attempts_spent = 3;
    verdict = verdict_decide(&facts);
    assert_int_equal(verdict.action, VERDICT_FAIL);
    assert_string_equal(verdict.kind, "timeout");
    (void)state;
}

static void
the_last_execution_is_not_retried(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_TRANSIENT};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.attempts_spent = 2;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_RETRY);
    facts.attempts_spent = 3;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_FAIL);
    assert_string_equal(verdict_decide(&facts).kind, "unavailable");
    facts.attempts_spent = 0;
    facts.max_attempts = 1;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_FAIL);
    (void)state;
}

static void
models_that_a_job_named_itself_are_its_own_fault(void **state)
{
    static const struct call calls[] = {{.model = "a", .outcome = OUTCOME_MODEL_CONFIG},
                                        {.model = "b", .outcome = OUTCOME_AUTH}};
    struct verdict_facts facts = facts_of(calls, 1);

    facts.has_own_models = true;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_FAIL);
    assert_string_equal(verdict_decide(&facts).kind, "rejected");
    assert_ptr_equal(verdict_decide(&facts).blame, calls);
    facts.call_count = 2;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_WAIT);
    (void)state;
}

static void
retries_come_ever_later_up_to_the_cap(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_TRANSIENT};
    static const int64_t high[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.max_attempts = 100;
    for (int i = 0; i < (int)COUNT(high); i++) {
        facts.attempts_spent = i;
        assert_int_equal(verdict_decide(&facts).delay_low_ms, 0);
        assert_int_equal(verdict_decide(&facts).delay_high_ms, high[i]);
    }
    facts.attempts_spent = 98;
    assert_int_equal(verdict_decide(&facts).delay_high_ms, 60000);
    (void)state;
}

static void
waits_come_ever_later_by_their_own_count(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_THROTTLED};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.attempts_spent = 3;
    facts.waits = 2;
    assert_int_equal(verdict_decide(&facts).delay_high_ms, 4000);
    facts.waits = INT32_MAX;
    assert_int_equal(verdict_decide(&facts).delay_high_ms, 60000);
    (void)state;
}

static void
a_throttled_job_waits_for_the_model_that_is_free_first(void **state)
{
    struct call calls[] = {
        {.model = "a", .outcome = OUTCOME_THROTTLED, .retry_after_ms = 9000},
        {.model = "b", .outcome = OUTCOME_THROTTLED, .retry_after_ms = 2000},
        {.model = "b", .outcome = OUTCOME_THROTTLED, .retry_after_ms = 5000},
        {.model = "c", .outcome = OUTCOME_REJECTED, .retry_after_ms = 1000},
    };
    struct verdict_facts facts = facts_of(calls, 4);
    struct verdict verdict = verdict_decide(&facts);

    assert_int_equal(verdict.delay_low_ms, 5000);
    assert_int_equal(verdict.delay_high_ms, 6000);
    calls[0].retry_after_ms = 0;
    assert_int_equal(verdict_decide(&facts).delay_low_ms, 0);
    (void)state;
}

static void
a_retry_comes_no_sooner_than_the_provider_asked_for(void **state)
{
    struct call calls[] = {
        {.model = "a", .outcome = OUTCOME_TRANSIENT},
        {.model = "b", .outcome = OUTCOME_THROTTLED, .retry_after_ms = 7000},
        {.model = "c", .outcome = OUTCOME_TRANSIENT, .retry_after_ms = 3000},
    };
    struct verdict_facts facts = facts_of(calls, 3);
    struct verdict verdict = verdict_decide(&facts);

    assert_int_equal(verdict.delay_low_ms, 3000);
    assert_int_equal(verdict.delay_high_ms, 4000);
    calls[1].retry_after_ms = calls[2].retry_after_ms = INT64_MAX;
    verdict = verdict_decide(&facts);
    assert_int_equal(verdict.delay_low_ms, 3600000);
    (void)state;
}

static void
a_throttled_job_waits_at_most_max_wait(void **state)
{
    struct call call = {.model = "a", .outcome = OUTCOME_THROTTLED, .retry_after_ms = 100};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.max_wait_ms = 5000;
    facts.waited_ms = 4900;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_WAIT);
    facts.waited_ms = 4901;
    assert_int_equal(verdict_decide(&facts).action, VERDICT_FAIL);
    assert_string_equal(verdict_decide(&facts).kind, "throttled");
    assert_ptr_equal(verdict_decide(&facts).blame, &call);
    (void)state;
}

static void
without_a_provider_jobs_wait_as_long_as_it_takes(void **state)
{
    static const struct call call = {.model = "a", .outcome = OUTCOME_AUTH};
    static const int64_t high[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    struct verdict_facts facts = facts_of(&call, 1);

    facts.waited_ms = 100 * facts.max_wait_ms;
    facts.attempts_spent = 3;
    for (int i = 0; i < (int)COUNT(high); i++) {
        struct verdict verdict;

        facts.waits = i;
        verdict = verdict_decide(&facts);
        assert_int_equal(verdict.action, VERDICT_WAIT);
        assert_int_equal(verdict.delay_high_ms, high[i]);
        assert_int_equal(verdict.delay_low_ms, high[i] / 2);
    }
    (void)state;
}

static bool
wants_next(int first, int second, int third)
{
    struct call calls[CALLS_MAX];
    int outcomes[CALLS_MAX] = {first, second, third, NONE};

    return verdict_wants_next_model(calls, make_calls(outcomes, calls));
}

static void
everything_but_an_answer_sends_the_job_to_its_next_model(void **state)
{
    assert_true(wants_next(NONE, NONE, NONE));
    assert_false(wants_next(OK, NONE, NONE));
    assert_false(wants_next(THROTTLED, OK, NONE));
    assert_false(wants_next(CANCELLED, NONE, NONE));
    for (int outcome = THROTTLED; outcome < CANCELLED; outcome++)
        assert_true(wants_next(outcome, NONE, NONE));
    (void)state;
}

static void
every_outcome_has_a_name_of_its_own(void **state)
{
    for (int i = OK; i <= CANCELLED; i++) {
        assert_string_not_equal(outcome_name((enum outcome)i), "unknown");
        for (int j = OK; j < i; j++)
            assert_string_not_equal(outcome_name((enum outcome)i), outcome_name((enum outcome)j));
    }
    (void)state;
}

static void
a_model_without_room_counts_as_throttled_until_it_has_some(void **state)
{
    struct call calls[CALLS_MAX];
    int count = make_calls((const int[CALLS_MAX]){REJECTED, NONE}, calls);
    struct verdict_facts facts = facts_of(calls, 0);
    struct verdict verdict;

    facts.has_no_room = true;
    facts.room_in_ms = 12000;
    verdict = verdict_decide(&facts);
    assert_int_equal(verdict.action, WAIT);
    assert_string_equal(verdict.kind, "throttled");
    assert_null(verdict.blame);
    assert_int_equal(verdict.delay_low_ms, 12000);
    facts.max_wait_ms = 11999;
    assert_int_equal(verdict_decide(&facts).action, FAIL);
    /* It may yet take what another one rejected. */
    facts.max_wait_ms = 12000;
    facts.call_count = count;
    assert_int_equal(verdict_decide(&facts).action, WAIT);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_calls_mean_for_the_job),
        cmocka_unit_test(a_cancelled_job_is_cancelled_whatever_came),
        cmocka_unit_test(an_answer_counts_though_the_time_is_up),
        cmocka_unit_test(a_job_out_of_time_has_spent_its_execution),
        cmocka_unit_test(the_last_execution_is_not_retried),
        cmocka_unit_test(models_that_a_job_named_itself_are_its_own_fault),
        cmocka_unit_test(retries_come_ever_later_up_to_the_cap),
        cmocka_unit_test(waits_come_ever_later_by_their_own_count),
        cmocka_unit_test(a_throttled_job_waits_for_the_model_that_is_free_first),
        cmocka_unit_test(a_retry_comes_no_sooner_than_the_provider_asked_for),
        cmocka_unit_test(a_throttled_job_waits_at_most_max_wait),
        cmocka_unit_test(without_a_provider_jobs_wait_as_long_as_it_takes),
        cmocka_unit_test(everything_but_an_answer_sends_the_job_to_its_next_model),
        cmocka_unit_test(every_outcome_has_a_name_of_its_own),
        cmocka_unit_test(a_model_without_room_counts_as_throttled_until_it_has_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
