#include "worker/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
an_open_gate_lets_every_free_slot_be_filled(void **state)
{
    struct gate gate = {0};

    assert_true(gate_is_open(&gate));
    assert_int_equal(gate_room(&gate, 7, 3, 0), 7);
    (void)state;
}

static void
a_failure_closes_it_for_a_second_and_then_one_probe_may_pass(void **state)
{
    struct gate gate = {0};

    gate_fail(&gate, "no credentials", 1000);
    assert_false(gate_is_open(&gate));
    assert_string_equal(gate.reason, "no credentials");
    assert_int_equal(gate_room(&gate, 7, 0, 1999), 0);
    assert_int_equal(gate_room(&gate, 7, 0, 2000), 1);
    assert_int_equal(gate_room(&gate, 7, 1, 2000), 0);
    (void)state;
}

static void
each_failed_probe_doubles_the_time_up_to_thirty_seconds(void **state)
{
    static const int64_t closed_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    struct gate gate = {0};
    int64_t now = 0;

    for (size_t i = 0; i < sizeof(closed_ms) / sizeof(closed_ms[0]); i++) {
        gate_fail(&gate, "refused", now);
        assert_int_equal(gate.closed_until_ms - now, closed_ms[i]);
        now = gate.closed_until_ms;
    }
    (void)state;
}

static void
failures_of_calls_that_were_under_way_together_count_once(void **state)
{
    struct gate gate = {0};

    for (int i = 0; i < 100; i++)
        gate_fail(&gate, "refused", 5);
    assert_int_equal(gate.closed_until_ms, 1005);
    (void)state;
}

static void
a_proper_answer_opens_it_at_once(void **state)
{
    struct gate gate = {0};

    gate_fail(&gate, "refused", 0);
    gate_pass(&gate);
    assert_true(gate_is_open(&gate));
    assert_int_equal(gate_room(&gate, 7, 0, 1), 7);
    (void)state;
}

static void
no_free_slot_stays_no_free_slot(void **state)
{
    struct gate gate = {0};

    assert_int_equal(gate_room(&gate, 0, 5, 0), 0);
    gate_fail(&gate, "refused", 0);
    assert_int_equal(gate_room(&gate, 0, 0, 5000), 0);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_gate_lets_every_free_slot_be_filled),
        cmocka_unit_test(a_failure_closes_it_for_a_second_and_then_one_probe_may_pass),
        cmocka_unit_test(each_failed_probe_doubles_the_time_up_to_thirty_seconds),
        cmocka_unit_test(failures_of_calls_that_were_under_way_together_count_once),
        cmocka_unit_test(a_proper_answer_opens_it_at_once),
        cmocka_unit_test(no_free_slot_stays_no_free_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
