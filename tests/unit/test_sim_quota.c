#include "tests/sim/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct quota_limit TEN_A_SECOND = {.kind = QUOTA_BUCKET, .per_minute = 600, .most = 5};
static const struct quota_limit THREE_A_MINUTE = {
    .kind = QUOTA_WINDOW, .per_minute = 3, .most = 3, .window_ms = 60000};

static bool
take(struct quota *quota, int64_t units, int64_t now_ms)
{
    bool has_room = quota_has_room(quota, units, now_ms);

    if (has_room)
        quota_take(quota, units);
    return has_room;
}

static int
take_all(struct quota *quota, int64_t now_ms)
{
    int taken = 0;

    while (taken < 1000 && take(quota, 1, now_ms))
        taken++;
    return taken;
}

static void
without_a_limit_there_is_always_room(void **state)
{
    struct quota quota = {0};

    assert_int_equal(take_all(&quota, 0), 1000);
    assert_true(take(&quota, INT64_MAX, 0));
    quota_give_back(&quota, INT64_MAX, 0);
    (void)state;
}

static void
a_bucket_starts_full_and_refills_to_the_millisecond(void **state)
{
    struct quota quota = {0};

    quota_set(&quota, &TEN_A_SECOND, 1000);
    assert_int_equal(take_all(&quota, 1000), 5);
    assert_false(take(&quota, 1, 1099));
    assert_true(take(&quota, 1, 1100));
    assert_false(take(&quota, 1, 1100));
    (void)state;
}

static void
a_bucket_lets_exactly_its_rate_through_in_the_long_run(void **state)
{
    struct quota quota = {0};
    int taken = 0;

    quota_set(&quota, &TEN_A_SECOND, 0);
    for (int64_t now_ms = 0; now_ms < 60000; now_ms += 7)
        taken += take(&quota, 1, now_ms) ? 1 : 0;
    assert_in_range(taken, 604, 605); /* a minute's 600 and the burst */
    (void)state;
}

static void
a_bucket_never_holds_more_than_its_burst_however_long_it_rests(void **state)
{
    struct quota_limit huge = {
        .kind = QUOTA_BUCKET, .per_minute = QUOTA_UNITS_MAX, .most = QUOTA_UNITS_MAX};
    struct quota quota = {0};

    quota_set(&quota, &TEN_A_SECOND, 0);
    assert_int_equal(take_all(&quota, INT64_MAX / 2), 5);
    quota_set(&quota, &huge, 0);
    assert_true(take(&quota, QUOTA_UNITS_MAX, 0));
    assert_true(take(&quota, QUOTA_UNITS_MAX, INT64_MAX / 2));
    assert_false(take(&quota, 1, INT64_MAX / 2));
    (void)state;
}

static void
more_than_the_burst_never_fits_and_a_refusal_takes_nothing(void **state)
{
    struct quota quota = {0};

    quota_set(&quota, &TEN_A_SECOND, 0);
    assert_false(take(&quota, 6, 0));
    assert_true(take(&quota, 5, 0));
    (void)state;
}

static void
what_a_reservation_did_not_use_comes_back_at_once(void **state)
{
    struct quota quota = {0};

    quota_set(&quota, &TEN_A_SECOND, 0);
    assert_true(take(&quota, 5, 0));
    quota_give_back(&quota, 3, 0);
    assert_int_equal(take_all(&quota, 0), 3);
    quota_give_back(&quota, 1000, 0);
    assert_int_equal(take_all(&quota, 0), 5);
    quota_give_back(&quota, -2, 0);
    assert_int_equal(take_all(&quota, 0), 0);
    (void)state;
}

static void
an_empty_rate_lets_the_burst_through_and_nothing_more(void **state)
{
    struct quota_limit once = {.kind = QUOTA_BUCKET, .per_minute = 0, .most = 1};
    struct quota quota = {0};

    quota_set(&quota, &once, 0);
    assert_int_equal(take_all(&quota, 0), 1);
    assert_int_equal(take_all(&quota, 86400000), 0);
    (void)state;
}

static void
a_window_opens_with_the_first_call_and_renews_at_its_end(void **state)
{
    struct quota quota = {0};

    quota_set(&quota, &THREE_A_MINUTE, 0);
    assert_int_equal(take_all(&quota, 5000), 3);
    assert_int_equal(take_all(&quota, 64999), 0);
    assert_int_equal(take_all(&quota, 65000), 3);
    /* Windows follow each other without a gap, used or not. */
    assert_int_equal(take_all(&quota, 244999), 3);
    assert_int_equal(take_all(&quota, 245000), 3);
    (void)state;
}

static void
the_same_limit_keeps_the_level_and_a_new_one_starts_full(void **state)
{
    struct quota_limit other = TEN_A_SECOND;
    struct quota quota = {0};

    quota_set(&quota, &TEN_A_SECOND, 0);
    assert_int_equal(take_all(&quota, 0), 5);
    quota_set(&quota, &TEN_A_SECOND, 0);
    assert_int_equal(take_all(&quota, 0), 0);
    other.most = 7;
    quota_set(&quota, &other, 0);
    assert_int_equal(take_all(&quota, 0), 7);
    quota_fill(&quota, 0);
    assert_int_equal(take_all(&quota, 0), 7);
    (void)state;
}

static void
a_bucket_whose_rate_alone_changes_keeps_its_level(void **state)
{
    struct quota_limit half = TEN_A_SECOND;
    struct quota quota = {0};

    half.per_minute = 300;
    quota_set(&quota, &TEN_A_SECOND, 0);
    assert_int_equal(take_all(&quota, 0), 5);
    quota_set(&quota, &half, 200); /* two have come by the old rate */
    assert_int_equal(take_all(&quota, 200), 2);
    assert_int_equal(take_all(&quota, 1000), 4);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_there_is_always_room),
        cmocka_unit_test(a_bucket_starts_full_and_refills_to_the_millisecond),
        cmocka_unit_test(a_bucket_lets_exactly_its_rate_through_in_the_long_run),
        cmocka_unit_test(a_bucket_never_holds_more_than_its_burst_however_long_it_rests),
        cmocka_unit_test(more_than_the_burst_never_fits_and_a_refusal_takes_nothing),
        cmocka_unit_test(what_a_reservation_did_not_use_comes_back_at_once),
        cmocka_unit_test(an_empty_rate_lets_the_burst_through_and_nothing_more),
        cmocka_unit_test(a_window_opens_with_the_first_call_and_renews_at_its_end),
        cmocka_unit_test(the_same_limit_keeps_the_level_and_a_new_one_starts_full),
        cmocka_unit_test(a_bucket_whose_rate_alone_changes_keeps_its_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
