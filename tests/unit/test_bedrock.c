#include "common/clock.h"
#include "tests/support/bedrock_bench.h"
#include "tests/support/golden.h"
#include "worker/provider/bedrock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The program's clocks run this much ahead: ten seconds pass without waiting. */
static time_t ahead_s;

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += ahead_s;
    return result;
}

static void
a_key_that_the_provider_echoes_is_hidden_also_where_the_message_is_cut(void **state)
{
    char body[400], blanks[240];

    memset(blanks, ' ', sizeof(blanks) - 1);
    blanks[sizeof(blanks) - 1] = '\0';
    snprintf(body, sizeof(body), "{\"message\":\"key %s and %s\"}", BENCH_ACCESS_KEY,
             BENCH_SECRET_KEY);
    assert_string_equal(bedrock_bench_call(401, NULL, body).message,
                        "key *********** and ****************************************");
    snprintf(body, sizeof(body), "{\"message\":\"%s%s\"}", blanks, BENCH_SECRET_KEY);
    assert_null(strstr(bedrock_bench_call(401, NULL, body).message, "wJal"));
    (void)state;
}

static void
no_text_of_an_answer_carries_a_key_or_steers_a_terminal(void **state)
{
    struct call call = bedrock_bench_call(401,
                                          "x-amzn-ErrorType: " BENCH_ACCESS_KEY "\n"
                                          "x-amzn-RequestId: a\x1b[2J" BENCH_ACCESS_KEY "\n",
                                          "{\"message\":\"\\u001b[31mred\"}");

    assert_string_equal(call.error, "***********");
    assert_string_equal(call.request_id, "a?[2J***********");
    assert_string_equal(call.message, "?[31mred");
    (void)state;
}

static bool
is_signed_by(struct bedrock_bench *bench, const char *access_key)
{
    struct job job = bedrock_bench_job("{\"content\":\"x\"}", &bench_plain_type);
    struct provider_request request;
    struct error err = {0};
    bool is_so = false;

    if (bench->provider.build(bench->bedrock, &(struct model){.id = "m"}, &job, &request, &err) ==
        0)
        is_so = strstr(bedrock_bench_header(&request, "Authorization: "), access_key) != NULL;
    else
        assert_int_equal(err.kind, ERROR_CONFIG);
    provider_request_release(&request);
    job_release(&job);
    return is_so;
}

static void
expired_credentials_are_read_again_at_most_every_two_seconds(void **state)
{
    static const struct bedrock_reply expired = {
        .status = 403,
        .headers = "x-amzn-ErrorType: ExpiredTokenException\n",
        .body = "{\"message\":\"expired\"}",
    };
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct call call;

    cJSON_DeleteItemFromObjectCaseSensitive(bench.env, "AWS_ACCESS_KEY_ID");
    cJSON_AddStringToObject(bench.env, "AWS_ACCESS_KEY_ID", "AKSECOND");
    assert_true(bedrock_bench_read(&bench, &expired, false, &call, NULL));
    assert_true(is_signed_by(&bench, BENCH_ACCESS_KEY));
    ahead_s += 3;
    assert_true(bedrock_bench_read(&bench, &expired, false, &call, NULL));
    assert_true(is_signed_by(&bench, "AKSECOND"));
    bedrock_bench_close(&bench);
    (void)state;
}

static void
refused_credentials_are_read_again_before_the_next_call(void **state)
{
    static const struct bedrock_reply refused = {
        .status = 403,
        .headers = "x-amzn-ErrorType: UnrecognizedClientException\n",
        .body = "{\"message\":\"The security token included in the request is invalid.\"}",
    };
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct call call;

    cJSON_DeleteItemFromObjectCaseSensitive(bench.env, "AWS_ACCESS_KEY_ID");
    cJSON_AddStringToObject(bench.env, "AWS_ACCESS_KEY_ID", "AKSECOND");
    ahead_s += 3;
    assert_true(is_signed_by(&bench, BENCH_ACCESS_KEY));
    assert_false(bedrock_bench_read(&bench, &refused, false, &call, NULL));
    assert_true(is_signed_by(&bench, "AKSECOND"));
    bedrock_bench_close(&bench);
    (void)state;
}

static void
settings_that_went_wrong_leave_those_that_worked(void **state)
{
    static const struct bedrock_reply expired = {
        .status = 403, .headers = "x-amzn-ErrorType: ExpiredTokenException\n", .body = ""};
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct call call;

    cJSON_DeleteItemFromObjectCaseSensitive(bench.env, "AWS_REGION");
    ahead_s += 11;
    bedrock_bench_read(&bench, &expired, false, &call, NULL);
    assert_int_equal(call.outcome, OUTCOME_AUTH);
    assert_true(is_signed_by(&bench, BENCH_ACCESS_KEY));
    assert_string_equal(bedrock_region(bench.bedrock), "us-east-1");
    bedrock_bench_close(&bench);
    (void)state;
}

static void
without_credentials_nothing_is_built_until_some_are_found(void **state)
{
    struct bedrock_bench bench = {.env = bedrock_bench_env("us-east-1")};

    bedrock_bench_open(&bench);
    assert_int_equal(bedrock_credentials(bench.bedrock)->auth, AWS_AUTH_NONE);
    assert_false(is_signed_by(&bench, BENCH_ACCESS_KEY));
    bedrock_bench_add_keys(bench.env);
    ahead_s += 11;
    assert_true(is_signed_by(&bench, BENCH_ACCESS_KEY));
    bedrock_bench_close(&bench);
    (void)state;
}

static void
a_wrong_clock_is_put_right_for_the_next_request(void **state)
{
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct bedrock_reply skewed = {
        .status = 403,
        .headers = "x-amzn-ErrorType: InvalidSignatureException\nDate: "
                   "Thu, 15 Jan 2026 12:20:01 GMT\n",
        .body = "{\"message\":\"Signature expired\"}",
        .sent_ms = 1768478400000,
        .took_ms = 2000,
    };
    struct job job = bedrock_bench_job("{\"content\":\"x\"}", &bench_plain_type);
    struct provider_request request;
    struct error err;
    struct call call;
    int64_t ahead_ms;

    assert_true(bedrock_bench_read(&bench, &skewed, false, &call, NULL));
    assert_int_equal(
        bench.provider.build(bench.bedrock, &(struct model){.id = "m"}, &job, &request, &err), 0);
    ahead_ms =
        bedrock_bench_date_ms(bedrock_bench_header(&request, "X-Amz-Date: ")) - clock_wall_ms();
    assert_in_range(ahead_ms, 1195000, 1200000);
    provider_request_release(&request);
    job_release(&job);
    bedrock_bench_close(&bench);
    (void)state;
}

static void
expect_no_start(cJSON *env, const char *must_say)
{
    struct error err = {0};

    assert_null(bedrock_new(golden_getenv, env, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.message, must_say));
    cJSON_Delete(env);
}

static void
a_start_without_region_or_with_an_api_key_in_clear_is_refused(void **state)
{
    static const char *const urls[] = {"http://10.0.0.1", "http://127.0.0.1.evil.example",
                                       "http://localhost.evil.example"};
    struct bedrock_bench bench = {.env = bedrock_bench_env("us-east-1")};

    expect_no_start(bedrock_bench_env(NULL), "AWS_REGION");
    for (size_t i = 0; i < COUNT(urls); i++) {
        cJSON *env = bedrock_bench_env("us-east-1");

        cJSON_AddStringToObject(env, "AWS_BEARER_TOKEN_BEDROCK", "hush");
        cJSON_AddStringToObject(env, "AWS_ENDPOINT_URL", urls[i]);
        expect_no_start(env, "AWS_BEARER_TOKEN_BEDROCK");
    }
    cJSON_AddStringToObject(bench.env, "AWS_BEARER_TOKEN_BEDROCK", "hush");
    cJSON_AddStringToObject(bench.env, "AWS_ENDPOINT_URL", "http://127.0.0.1:8000");
    bedrock_bench_open(&bench);
    assert_string_equal(bedrock_endpoint(bench.bedrock), "http://127.0.0.1:8000");
    bedrock_bench_close(&bench);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_the_provider_echoes_is_hidden_also_where_the_message_is_cut),
        cmocka_unit_test(expired_credentials_are_read_again_at_most_every_two_seconds),
        cmocka_unit_test(refused_credentials_are_read_again_before_the_next_call),
        cmocka_unit_test(no_text_of_an_answer_carries_a_key_or_steers_a_terminal),
        cmocka_unit_test(settings_that_went_wrong_leave_those_that_worked),
        cmocka_unit_test(without_credentials_nothing_is_built_until_some_are_found),
        cmocka_unit_test(a_wrong_clock_is_put_right_for_the_next_request),
        cmocka_unit_test(a_start_without_region_or_with_an_api_key_in_clear_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
