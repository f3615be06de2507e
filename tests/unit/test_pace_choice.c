#include "worker/model/pace_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ALL_MODELS 3

static const struct {
    struct pace_option options[ALL_MODELS];
    int64_t last_resort_ms;
    int choice;
} choices[] = {
    /* the first that has room now */
    {{{0, 0}, {0, 0}, {0, 0}}, 10000, 0},
    {{{80, 0}, {0, 0}, {0, 0}}, 10000, 1},
    {{{80, 0}, {40, 0}, {0, 0}}, 10000, 2},
    /* or within the job's patience */
    {{{80, 1000}, {0, 1000}, {0, 1000}}, 10000, 0},
    {{{1001, 1000}, {900, 1000}, {0, 1000}}, 10000, 1},
    /* patience that is used up takes what is free, and nothing that is not */
    {{{80, -20}, {0, 0}, {0, 0}}, 10000, 1},
    /* as a last resort the one that has room soonest */
    {{{3000, 0}, {2000, 0}, {2500, 0}}, 10000, 1},
    {{{3000, 0}, {3000, 0}, {3000, 0}}, 3000, 0},
    /* unless that is too late */
    {{{3000, 0}, {3000, 0}, {3000, 0}}, 2999, -1},
    {{{1, 0}, {1, 0}, {1, 0}}, 0, -1},
};

static void
a_job_waits_for_the_first_model_within_its_patience_else_for_the_soonest(void **state)
{
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
        assert_int_equal(pace_choose(choices[i].options, ALL_MODELS, choices[i].last_resort_ms),
                         choices[i].choice);
    (void)state;
}

static void
in_a_standing_queue_patience_is_an_instant_or_one_permit(void **state)
{
    assert_int_equal(pace_patience(20000, 0, 10), 20000);
    assert_int_equal(pace_patience(20000, 2000, 10), 20000);
    assert_int_equal(pace_patience(20000, 2001, 10), 100);
    assert_int_equal(pace_patience(20000, 2001, 1000), 100);
    assert_int_equal(pace_patience(20000, 2001, 0.5), 2000);
    (void)state;
}

static void
a_job_that_would_not_wait_gets_no_patience_from_a_standing_queue(void **state)
{
    assert_int_equal(pace_patience(0, 5000, 10), 0);
    assert_int_equal(pace_patience(50, 5000, 10), 50);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_waits_for_the_first_model_within_its_patience_else_for_the_soonest),
        cmocka_unit_test(in_a_standing_queue_patience_is_an_instant_or_one_permit),
        cmocka_unit_test(a_job_that_would_not_wait_gets_no_patience_from_a_standing_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
