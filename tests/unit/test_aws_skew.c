#include "common/aws/aws_skew.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

static int64_t
date_ms(const char *text)
{
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static int64_t
skew_ms_of(const cJSON *object, const char *name)
{
    return (int64_t)(cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, name)) * 1000);
}

static void
check_attempt(struct aws_skew *skew, const cJSON *attempt)
{
    const cJSON *headers = cJSON_GetObjectItemCaseSensitive(attempt, "headers");
    int64_t sent = date_ms(golden_text(attempt, "sent"));
    int64_t received = date_ms(golden_text(attempt, "received"));
    char amz_date[17];
    time_t signing_s;
    struct tm tm;

    assert_int_equal(skew->skew_ms, skew_ms_of(attempt, "skew_before_s"));
    signing_s = (time_t)((sent + skew->skew_ms) / 1000);
    strftime(amz_date, sizeof(amz_date), "%Y%m%dT%H%M%SZ", gmtime_r(&signing_s, &tm));
    assert_string_equal(amz_date, golden_text(attempt, "signing_amz_date"));
    assert_int_equal(
        aws_skew_learn(skew, sent, received, golden_text(headers, "Date"),
                       golden_text(headers, "Age"), golden_text(attempt, "error_code")),
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(attempt, "retry_as_clock_skew")));
    assert_int_equal(skew->skew_ms, skew_ms_of(attempt, "skew_after_s"));
}

static void
a_wrong_clock_is_measured_and_healed_as_the_sdks_do(void **state)
{
    cJSON *golden = golden_load("clock_skew.json");
    const cJSON *scenario, *attempt;
    const cJSON *scenarios = cJSON_GetObjectItemCaseSensitive(golden, "scenarios");

    cJSON_ArrayForEach(scenario, scenarios)
    {
        struct aws_skew skew = {skew_ms_of(scenario, "initial_skew_s")};

        cJSON_ArrayForEach(attempt, cJSON_GetObjectItemCaseSensitive(scenario, "attempts"))
            check_attempt(&skew, attempt);
        assert_int_equal(skew.skew_ms, skew_ms_of(scenario, "final_skew_s"));
    }
    assert_int_equal(cJSON_GetArraySize(scenarios), 11);
    cJSON_Delete(golden);
    (void)state;
}

static void
a_date_that_no_clock_can_show_is_not_believed(void **state)
{
    const char *dates[] = {"Sat, 01 Jan 0000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
                           "Thu, 01 Jan 1970 00:00:00 GMT"};
    struct aws_skew skew = {.skew_ms = 7};
    int64_t now = date_ms("2026-01-15T12:00:00Z");

    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        assert_false(aws_skew_learn(&skew, now, now, dates[i], NULL, "RequestTimeTooSkewed"));
        assert_int_equal(skew.skew_ms, 7);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_clock_is_measured_and_healed_as_the_sdks_do),
        cmocka_unit_test(a_date_that_no_clock_can_show_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
