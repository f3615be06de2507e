#include "worker/model/pace_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ALL_MODELS 3

static const struct {
    int64_t options[ALL_MODELS][4]; /* wait, patience, haste, call */
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
    /* or the one from which the answer comes sooner than from the next that has room now, ... */
    {{{300, 0, 333, 1700}, {0, 0, 0, 2800}, {0, 0, 0, 5200}}, 10000, 0},
    {{{300, 0, 333, 1700}, {300, 0, 333, 2800}, {0, 0, 0, 5200}}, 10000, 0},
    {{{400, 0, 333, 1700}, {300, 0, 333, 2800}, {0, 0, 0, 5200}}, 10000, 1},
    /* ... by a margin, ... */
    {{{300, 0, 333, 1700}, {0, 0, 0, 2500}, {0, 0, 0, 5200}}, 10000, 1},
    {{{300, 0, 333, 3000}, {0, 0, 0, 3000}, {0, 0, 0, 3000}}, 10000, 1},
    /* ... within its haste, ... */
    {{{334, 0, 333, 1700}, {0, 0, 0, 2800}, {0, 0, 0, 5200}}, 10000, 1},
    {{{10, 0, -10, 1700}, {0, 0, 0, 2800}, {0, 0, 0, 5200}}, 10000, 1},
    /* ... when both are known */
    {{{300, 0, 333, 0}, {0, 0, 0, 2800}, {0, 0, 0, 5200}}, 10000, 1},
    {{{300, 0, 333, 1700}, {0, 0, 0, 0}, {0, 0, 0, 5200}}, 10000, 1},
    /* which does not make the last resort another one */
    {{{300, 0, 333, 1700}, {200, 0, 333, 2800}, {400, 0, 0, 5200}}, 10000, 1},
};

static void
a_job_waits_within_its_patience_or_for_a_sooner_answer_else_for_room(void **state)
{
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        struct pace_option options[ALL_MODELS];

        for (size_t j = 0; j < ALL_MODELS; j++) {
            const int64_t *option = choices[i].options[j];

            options[j] = (struct pace_option){option[0], option[1], option[2], option[3]};
        }
        assert_int_equal(pace_choose(options, ALL_MODELS, choices[i].last_resort_ms),
                         choices[i].choice);
    }
    (void)state;
}

static void
a_sooner_answer_is_worth_two_permits_and_600_ms_at_most(void **state)
{
    assert_int_equal(pace_haste(10), 200);
    assert_int_equal(pace_haste(4), 500);
    assert_int_equal(pace_haste(0.5), 600);
    (void)state;
}

static void
in_a_standing_queue_patience_is_an_instant_or_one_permit(void **state)
{
    assert_int_equal(pace_patience(20000, 0, 1, 10), 20000);
    assert_int_equal(pace_patience(20000, 2000, 1, 10), 20000);
    assert_int_equal(pace_patience(20000, 2001, 1, 10), 100);
    assert_int_equal(pace_patience(20000, 2001, 1, 1000), 100);
    assert_int_equal(pace_patience(20000, 2001, 1, 0.5), 2000);
    (void)state;
}

static void
or_one_turn_of_the_tenants_that_wait_there(void **state)
{
    assert_int_equal(pace_patience(20000, 2001, 3, 10), 300);
    assert_int_equal(pace_patience(20000, 2000, 3, 10), 20000);
    assert_int_equal(pace_patience(250, 2001, 3, 10), 250);
    assert_int_equal(pace_patience(-50, 2001, 3, 10), -50);
    (void)state;
}

static void
a_job_that_would_not_wait_gets_no_patience_from_a_standing_queue(void **state)
{
    assert_int_equal(pace_patience(0, 5000, 1, 10), 0);
    assert_int_equal(pace_patience(50, 5000, 1, 10), 50);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_waits_within_its_patience_or_for_a_sooner_answer_else_for_room),
        cmocka_unit_test(a_sooner_answer_is_worth_two_permits_and_600_ms_at_most),
        cmocka_unit_test(in_a_standing_queue_patience_is_an_instant_or_one_permit),
        cmocka_unit_test(or_one_turn_of_the_tenants_that_wait_there),
        cmocka_unit_test(a_job_that_would_not_wait_gets_no_patience_from_a_standing_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
