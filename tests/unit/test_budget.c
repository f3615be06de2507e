#include "common/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define ANY (16 * MIB)

static void
without_a_maximum_everything_fits_and_is_counted(void **state)
{
    struct budget budget;

    (void)state;
    budget_init(&budget, 0, 8 * MIB, 8 * MIB);
    assert_true(budget_take(&budget, INT64_C(1) << 50));
    assert_int_equal(budget.held, INT64_C(1) << 50);
    assert_int_equal(budget_claim_bytes(&budget, 0, ANY), ANY);
}

static void
the_least_budget_has_room_for_the_largest_job_and_then_for_the_largest_answer(void **state)
{
    static const int64_t sizes[][2] = {
        {KIB, KIB}, {8 * MIB, 8 * MIB}, {512 * MIB, KIB}, {KIB, 512 * MIB}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int64_t job = sizes[i][0], answer = sizes[i][1];
        struct budget budget;

        budget_init(&budget, budget_least(job, answer), job, answer);
        assert_true(budget_claim_bytes(&budget, 0, INT64_MAX) >= job);
        budget_charge(&budget, budget_of_job(job));
        assert_true(budget_take(&budget, BUDGET_ANSWER_COPIES * answer));
        budget_init(&budget, budget_least(job, answer) - MIB, job, answer);
        assert_int_equal(budget_claim_bytes(&budget, 0, INT64_MAX), 0);
    }
}

static void
claims_stop_before_the_budget_and_go_on_when_a_job_has_ended(void **state)
{
    struct budget budget;
    int claimed = 0;

    (void)state;
    budget_init(&budget, 1024 * MIB, 8 * MIB, 8 * MIB);
    while (budget_claim_bytes(&budget, 0, ANY) > 0) {
        assert_true(budget_claim_bytes(&budget, 0, ANY) >= 8 * MIB);
        budget_charge(&budget, budget_of_job(8 * MIB));
        claimed++;
    }
    assert_in_range(claimed, 10, 1024 / (8 * BUDGET_JOB_COPIES));
    assert_true(budget.held <= budget.max);
    budget_charge(&budget, -budget_of_job(8 * MIB));
    assert_true(budget_claim_bytes(&budget, 0, ANY) >= 8 * MIB);
}

static void
claims_leave_room_for_answers(void **state)
{
    struct budget budget;

    (void)state;
    budget_init(&budget, 1024 * MIB, MIB, MIB);
    while (budget_claim_bytes(&budget, 0, ANY) > 0)
        budget_charge(&budget, budget_of_job(MIB));
    assert_true(budget_take(&budget, 1024 * MIB / 8));
    while (budget_take(&budget, MIB)) {
    }
    assert_true(budget.held <= budget.max);
    assert_false(budget_take(&budget, MIB));
}

static void
one_claim_never_brings_more_than_was_put_aside_for_it(void **state)
{
    struct budget budget;

    (void)state;
    budget_init(&budget, 100 * 1024 * MIB, 2 * KIB, MIB);
    assert_int_equal(budget_claim_bytes(&budget, 0, ANY), MIB);
    budget_init(&budget, 100 * 1024 * MIB, 64 * MIB, MIB);
    assert_int_equal(budget_claim_bytes(&budget, 0, ANY), ANY);
}

/* What a server that hangs will bring is known when it answers, and that may be all of them at
 * once. */
static void
claims_that_hang_keep_room_for_all_that_they_may_bring(void **state)
{
    struct budget budget;
    int open_claims = 0;

    (void)state;
    budget_init(&budget, 1024 * MIB, 8 * MIB, 8 * MIB);
    for (; budget_claim_bytes(&budget, open_claims, ANY) > 0; open_claims++)
        assert_true(budget_claim_bytes(&budget, open_claims, ANY) >= 8 * MIB);
    assert_in_range(open_claims, 5, 1024 / (8 * BUDGET_JOB_COPIES));
    budget_charge(&budget, open_claims * budget_of_job(8 * MIB));
    assert_true(budget_take(&budget, 1024 * MIB / 8));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_maximum_everything_fits_and_is_counted),
        cmocka_unit_test(
            the_least_budget_has_room_for_the_largest_job_and_then_for_the_largest_answer),
        cmocka_unit_test(claims_stop_before_the_budget_and_go_on_when_a_job_has_ended),
        cmocka_unit_test(claims_leave_room_for_answers),
        cmocka_unit_test(one_claim_never_brings_more_than_was_put_aside_for_it),
        cmocka_unit_test(claims_that_hang_keep_room_for_all_that_they_may_bring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
