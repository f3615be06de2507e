#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NONE         INT64_MIN

struct row {
    const char *text;
    int64_t ms; /* NONE: refused */
};

static void
check_rows(int (*parse)(const char *, int64_t *), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t ms = NONE;
        int result = parse(rows[i].text, &ms);

        if (ms != rows[i].ms || (result == 0) != (rows[i].ms != NONE))
            fail_msg("%s gives %d, %lld", rows[i].text, result, (long long)ms);
    }
}

static void
an_rfc3339_date_is_read_strictly(void **state)
{
    static const struct row rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-23T10:00:00Z", 1795428000000},
        {"2026-11-23T10:00:00.5+01:00", 1795424400500},
        {"2026-11-23t10:00:00z", 1795428000000},
        {"2026-11-23 10:00:00+00:00", 1795428000000},
        {"2026-11-23T10:00:00-00:00", 1795428000000},
        {"2026-11-23T00:30:00+23:59", 1795307460000},
        {"2026-11-23T10:00:00.123999999Z", 1795428000123},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"1969-12-31T23:59:59Z", -1000},
        {"1969-12-31T23:59:59.25Z", -750},
        {"9999-12-31T23:59:59Z", 253402300799000},
        {"", NONE},
        {"2026-11-23", NONE},
        {"2026-11-23T10:00:00", NONE},
        {"2026-11-23T10:00Z", NONE},
        {"2026-11-23T10:00:00.Z", NONE},
        {"2026-11-23T10:00:00,5Z", NONE},
        {"2026-11-23T10:00:00+0100", NONE},
        {"2026-11-23T10:00:00+24:00", NONE},
        {"2026-11-23T10:00:00+01:60", NONE},
        {"2026-11-23T10:00:00Z ", NONE},
        {" 2026-11-23T10:00:00Z", NONE},
        {"2026-11-23T24:00:00Z", NONE},
        {"2026-11-23T10:60:00Z", NONE},
        {"2026-11-23T10:00:61Z", NONE},
        {"2026-00-23T10:00:00Z", NONE},
        {"2026-13-23T10:00:00Z", NONE},
        {"2026-11-00T10:00:00Z", NONE},
        {"2026-11-31T10:00:00Z", NONE},
        {"2023-02-29T00:00:00Z", NONE},
        {"1900-02-29T00:00:00Z", NONE},
        {"+026-11-23T10:00:00Z", NONE},
        {"2026-1-23T10:00:00Z", NONE},
        {"02026-11-23T10:00:00Z", NONE},
        {"2026-11-23T1e:00:00Z", NONE},
        {"tomorrow", NONE},
    };

    check_rows(clock_parse_rfc3339, rows, COUNT(rows));
    (void)state;
}

static void
an_http_date_is_read_strictly(void **state)
{
    static const struct row rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199000},
        {"", NONE},
        {"Mon, 06 Nov 1994 08:49:37 GMT", NONE},
        {"Sunday, 06-Nov-94 08:49:37 GMT", NONE},
        {"Sun Nov  6 08:49:37 1994", NONE},
        {"Sun, 6 Nov 1994 08:49:37 GMT", NONE},
        {"sun, 06 nov 1994 08:49:37 GMT", NONE},
        {"Sun, 06 Nov 1994 08:49:37 UTC", NONE},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", NONE},
        {"Sun, 06 Nov 1994 08:49:37", NONE},
        {"Sun, 31 Nov 1994 08:49:37 GMT", NONE},
        {"Sun, 06 Nov 1994 25:49:37 GMT", NONE},
        {"Sun, 06 Xyz 1994 08:49:37 GMT", NONE},
        {"120", NONE},
    };

    check_rows(clock_parse_http_date, rows, COUNT(rows));
    (void)state;
}

static void
jitter_stays_within_its_bounds_and_reaches_both(void **state)
{
    int seen[3] = {0};

    for (int i = 0; i < 1000; i++) {
        int64_t value = clock_jitter(-1, 1);

        assert_in_range(value + 1, 0, 2);
        seen[value + 1]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 200, 500);
    assert_int_equal(clock_jitter(7, 7), 7);
    assert_int_equal(clock_jitter(INT64_MAX, INT64_MAX), INT64_MAX);
    clock_jitter(INT64_MIN, INT64_MAX);
    (void)state;
}

static void
a_timeval_is_never_negative(void **state)
{
    assert_int_equal(clock_timeval(1234).tv_sec, 1);
    assert_int_equal(clock_timeval(1234).tv_usec, 234000);
    assert_int_equal(clock_timeval(-5).tv_sec, 0);
    assert_int_equal(clock_timeval(-5).tv_usec, 0);
    (void)state;
}

static void
the_monotonic_clock_does_not_go_back(void **state)
{
    int64_t before = clock_mono_ms();

    assert_true(clock_mono_ms() >= before);
    assert_true(clock_wall_ms() > 1700000000000);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_rfc3339_date_is_read_strictly),
        cmocka_unit_test(an_http_date_is_read_strictly),
        cmocka_unit_test(jitter_stays_within_its_bounds_and_reaches_both),
        cmocka_unit_test(a_timeval_is_never_negative),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
