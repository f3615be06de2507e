#include "worker/model/pace_local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HOUR_MS 3600000

/* A worker that was given `own` of each `all` permits, once a second for two minutes. */
static struct pace_local
shared_pace(int own, int all, double rate)
{
    struct pace_local local = {0};
    int64_t number = 0;

    for (int64_t s = 0; s <= 120; s++)
        pace_local_hear(&local, own, number += all, rate, HOUR_MS + 1000 * s);
    return local;
}
#define HEARD_MS (HOUR_MS + 120000)

static void
assert_rate(const struct pace_local *local, int64_t now_ms, double rate)
{
    double off = pace_local_rate(local, now_ms) / rate - 1;

    assert_true(off > -0.001 && off < 0.001);
}

/* Calls that it makes alone between two times, looking each millisecond. */
static int
calls_between(struct pace_local *local, int64_t from_ms, int64_t to_ms)
{
    int calls = 0;

    for (int64_t now = from_ms; now < to_ms; now++)
        while (pace_local_wait_ms(local, now) == 0) {
            pace_local_spend(local, now);
            calls++;
        }
    return calls;
}

static void
a_worker_alone_keeps_to_its_share_of_the_last_rate(void **state)
{
    static const struct {
        int own, all;
        double rate;
        int calls; /* in 20 s, from the second on */
    } cases[] = {
        {10, 10, 10, 186}, /* the only one: 90 %, and 0.3 % a second more */
        {5, 10, 10, 93},   {1, 10, 10, 19},       {10, 100, 100, 186},
        {1, 1, 0.5, 9},    {10, 10, 1000, 18551},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pace_local local = shared_pace(cases[i].own, cases[i].all, cases[i].rate);
        int off;

        assert_true(pace_local_holds(&local, HEARD_MS));
        calls_between(&local, HEARD_MS, HEARD_MS + 1000);
        off = calls_between(&local, HEARD_MS + 1000, HEARD_MS + 21000) - cases[i].calls;
        assert_in_range(off + 2 + cases[i].calls / 100, 0, 4 + cases[i].calls / 50);
    }
    (void)state;
}

static void
a_worker_s_part_is_what_it_got_of_all_permits(void **state)
{
    struct pace_local nothing = {0}, quarter = shared_pace(25, 100, 10),
                      all = shared_pace(9, 9, 10);

    assert_true(pace_local_share(&nothing) == 1);
    assert_true(pace_local_share(&all) == 1);
    assert_true(pace_local_share(&quarter) > 0.25 && pace_local_share(&quarter) < 0.27);
    (void)state;
}

static void
it_may_begin_with_a_burst_of_a_few_calls_only(void **state)
{
    struct pace_local local = shared_pace(10, 10, 10);

    assert_int_equal(calls_between(&local, HEARD_MS, HEARD_MS + 1), 3);
    assert_in_range(pace_local_wait_ms(&local, HEARD_MS), 100, 120);
    (void)state;
}

static void
each_throttle_takes_a_tenth_of_its_rate_and_time_gives_it_back(void **state)
{
    struct pace_local local = shared_pace(10, 10, 100);
    double before = pace_local_rate(&local, HEARD_MS);

    pace_local_throttled(&local, HEARD_MS);
    assert_rate(&local, HEARD_MS, 0.9 * before);
    pace_local_throttled(&local, HEARD_MS);
    assert_rate(&local, HEARD_MS, 0.81 * before);
    assert_rate(&local, HEARD_MS + 10000, 0.81 * 1.0305 * before);
    (void)state;
}

static void
what_was_heard_is_worth_nothing_after_half_a_minute(void **state)
{
    struct pace_local local = shared_pace(10, 10, 10);

    assert_true(pace_local_holds(&local, HEARD_MS + 30000));
    assert_false(pace_local_holds(&local, HEARD_MS + 30001));
    (void)state;
}

static void
without_a_limit_there_is_nothing_to_keep_to(void **state)
{
    struct pace_local silent = {0}, open = shared_pace(10, 10, -1);

    assert_false(pace_local_holds(&silent, HEARD_MS));
    assert_false(pace_local_holds(&open, HEARD_MS));
    (void)state;
}

static void
a_worker_that_was_given_none_yet_is_not_shut_out(void **state)
{
    struct pace_local local = shared_pace(0, 10, 100);

    assert_true(pace_local_rate(&local, HEARD_MS) > 0);
    assert_true(pace_local_rate(&local, HEARD_MS) < 1);
    (void)state;
}

static void
numbers_that_begin_anew_are_no_negative_share(void **state)
{
    struct pace_local local = shared_pace(5, 10, 10);

    pace_local_hear(&local, 3, 3, 10, HEARD_MS);
    assert_true(pace_local_rate(&local, HEARD_MS) > 4 && pace_local_rate(&local, HEARD_MS) < 5);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_alone_keeps_to_its_share_of_the_last_rate),
        cmocka_unit_test(a_worker_s_part_is_what_it_got_of_all_permits),
        cmocka_unit_test(it_may_begin_with_a_burst_of_a_few_calls_only),
        cmocka_unit_test(each_throttle_takes_a_tenth_of_its_rate_and_time_gives_it_back),
        cmocka_unit_test(what_was_heard_is_worth_nothing_after_half_a_minute),
        cmocka_unit_test(without_a_limit_there_is_nothing_to_keep_to),
        cmocka_unit_test(a_worker_that_was_given_none_yet_is_not_shut_out),
        cmocka_unit_test(numbers_that_begin_anew_are_no_negative_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
