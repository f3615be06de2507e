#include "tests/support/bedrock_bench.h"
#include "tests/support/golden.h"
#include "worker/provider/bedrock_answer.h"
#include "worker/provider/retry_after.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* [name, value] pairs as lines (free). */
static char *
header_lines(const cJSON *headers)
{
    char *lines = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&lines, &size);
    const cJSON *header;

    assert_non_null(stream);
    cJSON_ArrayForEach(header, headers)
        fprintf(stream, "%s: %s\n", cJSON_GetStringValue(cJSON_GetArrayItem(header, 0)),
                cJSON_GetStringValue(cJSON_GetArrayItem(header, 1)));
    fclose(stream);
    return lines;
}

static const struct {
    const char *name;
    enum outcome outcome;
} successes[] = {
    {"text", OUTCOME_OK},
    {"cache_tokens_and_tier", OUTCOME_OK},
    {"tool_use", OUTCOME_OK},
    {"reasoning_then_text", OUTCOME_OK},
    {"max_tokens_truncated", OUTCOME_BAD_OUTPUT},
    {"empty_content", OUTCOME_BAD_OUTPUT},
    {"guardrail_intervened", OUTCOME_REJECTED},
    {"unknown_members_and_stop_reason", OUTCOME_OK},
};

static double
usage_of(const cJSON *golden, const char *name)
{
    const cJSON *parsed = cJSON_GetObjectItemCaseSensitive(golden, "sdk_parsed");

    return cJSON_GetNumberValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(parsed, "usage"), name));
}

static void
check_success(struct bedrock_bench *bench, const cJSON *golden, enum outcome expected)
{
    char *headers = header_lines(cJSON_GetObjectItemCaseSensitive(golden, "headers"));
    struct bedrock_reply reply = {
        .status = 200, .headers = headers, .body = golden_text(golden, "body_utf8")};
    struct evbuffer *text = evbuffer_new();
    struct call call;

    assert_false(bedrock_bench_read(bench, &reply, false, &call, text));
    assert_int_equal(call.outcome, expected);
    assert_string_equal(call.request_id, "0f1e2d3c-0000-4000-8000-000000000001");
    assert_int_equal(call.input_tokens, (int64_t)usage_of(golden, "inputTokens"));
    assert_int_equal(call.output_tokens, (int64_t)usage_of(golden, "outputTokens"));
    evbuffer_add(text, "", 1);
    assert_string_equal(evbuffer_pullup(text, -1),
                        expected == OUTCOME_OK ? golden_text(golden, "joined_text") : "");
    assert_int_equal(call.message[0] == '\0', expected == OUTCOME_OK);
    evbuffer_free(text);
    free(headers);
}

static void
every_recorded_answer_is_read_as_text_or_as_what_is_wrong_with_it(void **state)
{
    cJSON *golden = golden_load("bedrock_responses.json");
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(golden, "success");
    struct bedrock_bench bench = bedrock_bench_with_keys();

    assert_int_equal(cJSON_GetArraySize(all), COUNT(successes));
    for (size_t i = 0; i < COUNT(successes); i++) {
        const cJSON *each = cJSON_GetArrayItem(all, (int)i);

        assert_string_equal(golden_text(each, "name"), successes[i].name);
        check_success(&bench, each, successes[i].outcome);
    }
    bedrock_bench_close(&bench);
    cJSON_Delete(golden);
    (void)state;
}

static const struct action {
    const char *name;
    enum outcome outcome;
    bool is_repeated;
    int64_t retry_after_ms;
} actions[] = {
    {"throttle", OUTCOME_THROTTLED, false, 0},
    {"throttle_long", OUTCOME_THROTTLED, false, 300000},
    {"model_warming", OUTCOME_TRANSIENT, false, 0},
    {"transient", OUTCOME_TRANSIENT, false, 0},
    {"model_fault", OUTCOME_TRANSIENT, false, 0},
    {"model_fault_config", OUTCOME_MODEL_CONFIG, false, 0},
    {"model_access", OUTCOME_MODEL_CONFIG, false, 0},
    {"model_specific", OUTCOME_UNSUITED, false, 0},
    {"caller_fault", OUTCOME_REJECTED, false, 0},
    {"auth", OUTCOME_AUTH, false, 0},
    {"auth_or_endpoint", OUTCOME_AUTH, false, 0},
    {"auth_refresh_once", OUTCOME_AUTH, true, 0},
    {"clock_skew", OUTCOME_AUTH, true, 0},
};

static const struct action *
action_of(const cJSON *golden)
{
    for (size_t i = 0; i < COUNT(actions); i++)
        if (strcmp(golden_text(golden, "worker_action"), actions[i].name) == 0)
            return &actions[i];
    fail_msg("no outcome for the action of %s", golden_text(golden, "name"));
    return NULL;
}

static void
check_error(const cJSON *golden)
{
    const struct action *action = action_of(golden);
    const cJSON *sdk = cJSON_GetObjectItemCaseSensitive(golden, "sdk");
    char *headers = header_lines(cJSON_GetObjectItemCaseSensitive(golden, "headers"));
    struct bedrock_reply reply = {
        .status = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(golden, "status")),
        .headers = headers,
        .body = golden_text(golden, "body_utf8"),
        .sent_ms = 1768478400000, /* 2026-01-15T12:00:00Z, as the SDK's clock stood */
    };
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct evbuffer *text = evbuffer_new();

    for (int is_retry = 0; is_retry < 2; is_retry++) {
        struct call call;
        bool again = bedrock_bench_read(&bench, &reply, is_retry, &call, text);

        if (call.outcome != action->outcome || again != (action->is_repeated && !is_retry))
            fail_msg("%s: %s", golden_text(golden, "name"), outcome_name(call.outcome));
        assert_int_equal(call.retry_after_ms, action->retry_after_ms);
        assert_true(call.error[0] != '\0' && call.message[0] != '\0');
        if (golden_text(sdk, "code") != NULL && strcspn(golden_text(sdk, "code"), "0123456789") > 0)
            assert_string_equal(call.error, golden_text(sdk, "code"));
    }
    assert_int_equal(evbuffer_get_length(text), 0);
    evbuffer_free(text);
    bedrock_bench_close(&bench);
    free(headers);
}

static void
every_recorded_error_has_its_outcome_and_is_repeated_at_most_once(void **state)
{
    cJSON *golden = golden_load("bedrock_responses.json");
    const cJSON *each, *all = cJSON_GetObjectItemCaseSensitive(golden, "errors");

    cJSON_ArrayForEach(each, all) check_error(each);
    assert_int_equal(cJSON_GetArraySize(all), 45);
    cJSON_Delete(golden);
    (void)state;
}

static void
an_answer_without_a_code_is_judged_by_its_status(void **state)
{
    static const struct {
        int status;
        enum outcome outcome;
    } cases[] = {
        {204, OUTCOME_TRANSIENT},    {301, OUTCOME_TRANSIENT}, {307, OUTCOME_TRANSIENT},
        {400, OUTCOME_REJECTED},     {401, OUTCOME_AUTH},      {403, OUTCOME_AUTH},
        {404, OUTCOME_MODEL_CONFIG}, {405, OUTCOME_REJECTED},  {408, OUTCOME_TRANSIENT},
        {413, OUTCOME_REJECTED},     {424, OUTCOME_TRANSIENT}, {429, OUTCOME_THROTTLED},
        {500, OUTCOME_TRANSIENT},    {502, OUTCOME_TRANSIENT}, {503, OUTCOME_TRANSIENT},
        {599, OUTCOME_TRANSIENT},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call = bedrock_bench_call(cases[i].status, NULL, "<html>");
        char code[64];

        snprintf(code, sizeof(code), "http_%d", cases[i].status);
        assert_int_equal(call.outcome, cases[i].outcome);
        assert_string_equal(call.error, code);
        assert_true(call.message[0] != '\0');
    }
    assert_non_null(
        strstr(bedrock_bench_call(302, "Location: https://evil\n", "").message, "redirect"));
    (void)state;
}

static void
messages_are_known_in_either_case_and_with_either_apostrophe(void **state)
{
    static const struct {
        int status;
        const char *code, *message;
        enum outcome outcome;
    } cases[] = {
        {400, "ValidationException", "ON-DEMAND THROUGHPUT isn't supported", OUTCOME_MODEL_CONFIG},
        {400, "ValidationException", "This model doesn\xe2\x80\x99t support tool use",
         OUTCOME_UNSUITED},
        {400, "ValidationException", "This model does not support images", OUTCOME_UNSUITED},
        {400, "ValidationException", "something new", OUTCOME_REJECTED},
        {403, "AccessDeniedException", "Bearer Token has expired", OUTCOME_AUTH},
        {403, "AccessDeniedException", "something new", OUTCOME_MODEL_CONFIG},
        {403, "SomethingNewException", "x", OUTCOME_AUTH},
        {503, "SlowDown", "Too many connections", OUTCOME_THROTTLED},
        {400, "ns#ThrottlingException", "x", OUTCOME_THROTTLED},
        {429, "ThrottlingException:http://h/#ValidationException", "x", OUTCOME_THROTTLED},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char header[200], body[200];

        snprintf(header, sizeof(header), "x-amzn-ErrorType: %s\n", cases[i].code);
        snprintf(body, sizeof(body), "{\"message\":\"%s\"}", cases[i].message);
        assert_int_equal(bedrock_bench_call(cases[i].status, header, body).outcome,
                         cases[i].outcome);
    }
    (void)state;
}

static void
a_throttle_tells_which_quota_it_names(void **state)
{
    static const struct {
        const char *message;
        enum call_limit limit;
    } cases[] = {
        {"Too many tokens, please wait before trying again.", LIMIT_TOKENS},
        {"Too many tokens per day", LIMIT_TOKENS},
        {"Too many requests, please wait before trying again.", LIMIT_REQUESTS},
        {"Your request rate is too high", LIMIT_REQUESTS},
        {"Rate exceeded", LIMIT_UNKNOWN},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[200];

        snprintf(body, sizeof(body), "{\"message\":\"%s\"}", cases[i].message);
        assert_int_equal(
            bedrock_bench_call(429, "x-amzn-ErrorType: ThrottlingException\n", body).limit,
            cases[i].limit);
    }
    (void)state;
}

static void
a_status_200_that_is_no_converse_answer_may_work_later(void **state)
{
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"output\":{}}",
        "{\"output\":{\"message\":null}}",
        "{\"output\":{\"message\":{\"content\":{}}}}",
        "{\"output\":{\"message\":{\"content\":[]}}",
        "{\"output\":{\"message\":{\"content\":[{\"text\":\"\xff\"}]}}}",
        "<html>",
    };

    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call = bedrock_bench_call(200, NULL, bodies[i]);

        assert_int_equal(call.outcome, OUTCOME_TRANSIENT);
        assert_true(call.error[0] != '\0' && call.message[0] != '\0');
    }
    (void)state;
}

static void
a_stop_that_spoils_the_answer_is_told(void **state)
{
    static const struct {
        const char *reason;
        enum outcome outcome;
    } cases[] = {
        {"end_turn", OUTCOME_OK},
        {"some_future_reason", OUTCOME_OK},
        {"max_tokens", OUTCOME_BAD_OUTPUT},
        {"model_context_window_exceeded", OUTCOME_BAD_OUTPUT},
        {"malformed_model_output", OUTCOME_BAD_OUTPUT},
        {"malformed_tool_use", OUTCOME_BAD_OUTPUT},
        {"guardrail_intervened", OUTCOME_REJECTED},
        {"content_filtered", OUTCOME_REJECTED},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[300];

        snprintf(body, sizeof(body),
                 "{\"output\":{\"message\":{\"content\":[{\"text\":\"x\"}]}},\"stopReason\":\"%s\","
                 "\"usage\":{\"inputTokens\":-1,\"outputTokens\":\"7\"}}",
                 cases[i].reason);
        assert_int_equal(bedrock_bench_call(200, NULL, body).outcome, cases[i].outcome);
        assert_int_equal(bedrock_bench_call(200, NULL, body).input_tokens, 0);
    }
    (void)state;
}

static void
a_call_that_got_no_answer_says_why(void **state)
{
    static const struct {
        enum error_kind kind;
        enum outcome outcome;
    } cases[] = {
        {ERROR_UNREACHABLE, OUTCOME_UNREACHABLE}, {ERROR_TIMEOUT, OUTCOME_TIMEOUT},
        {ERROR_LOST, OUTCOME_TRANSIENT},          {ERROR_TOO_LARGE, OUTCOME_TRANSIENT},
        {ERROR_INTERNAL, OUTCOME_TRANSIENT},
    };
    struct bedrock_bench bench = bedrock_bench_with_keys();

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call = {0};
        struct error error;

        error_set(&error, cases[i].kind, "because");
        assert_false(bench.provider.read(bench.bedrock, NULL, &error, false, &call, NULL));
        assert_int_equal(call.outcome, cases[i].outcome);
        assert_int_equal(call.status, 0);
        assert_string_equal(call.error, error_kind_name(cases[i].kind));
        assert_string_equal(call.message, "because");
    }
    bedrock_bench_close(&bench);
    (void)state;
}

static void
a_wait_that_was_asked_for_is_read_in_every_form_and_bounded(void **state)
{
    static const int64_t now_ms = 1768478400000; /* Thu, 15 Jan 2026 12:00:00 GMT */
    static const struct {
        const char *standard, *amz;
        int64_t wait_ms;
    } cases[] = {
        {NULL, NULL, 0},
        {"7", NULL, 7000},
        {"0.5", NULL, 500},
        {NULL, "1500", 1500},
        {"1", "1500", 1500},
        {"2", "1500", 2000},
        {"Thu, 15 Jan 2026 12:01:00 GMT", NULL, 60000},
        {"Thu, 15 Jan 2026 11:00:00 GMT", NULL, 0},
        {"Tue, 15 Jan 2036 12:00:00 GMT", NULL, RETRY_AFTER_MAX_MS},
        {"99999999999999999999", "99999999999999999999", RETRY_AFTER_MAX_MS},
        {"-1", "-1", 0},
        {"nan", "inf", 0},
        {"", "soon", 0},
        {"0x10", "1e9", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(retry_after_ms(cases[i].standard, cases[i].amz, now_ms), cases[i].wait_ms);
    assert_int_equal(bedrock_bench_call(429, "Retry-After: 9\n", "").retry_after_ms, 9000);
    assert_int_equal(bedrock_bench_call(429,
                                        "x-amzn-ErrorType: ThrottlingException\nRetry-After: 9\n",
                                        "{\"message\":\"Too many tokens per day\"}")
                         .retry_after_ms,
                     BEDROCK_LONG_THROTTLE_MS);
    (void)state;
}

static void
counts_of_tokens_that_nobody_can_mean_are_no_counts(void **state)
{
    struct call call = bedrock_bench_call(
        200, NULL,
        "{\"output\":{\"message\":{\"content\":[{\"text\":\"x\"}]}},"
        "\"usage\":{\"inputTokens\":9223372036854775807,\"outputTokens\":1000000000}}");

    assert_int_equal(call.outcome, OUTCOME_OK);
    assert_int_equal(call.input_tokens, 0);
    assert_int_equal(call.output_tokens, 1000000000);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_answer_is_read_as_text_or_as_what_is_wrong_with_it),
        cmocka_unit_test(every_recorded_error_has_its_outcome_and_is_repeated_at_most_once),
        cmocka_unit_test(an_answer_without_a_code_is_judged_by_its_status),
        cmocka_unit_test(messages_are_known_in_either_case_and_with_either_apostrophe),
        cmocka_unit_test(a_throttle_tells_which_quota_it_names),
        cmocka_unit_test(a_status_200_that_is_no_converse_answer_may_work_later),
        cmocka_unit_test(a_stop_that_spoils_the_answer_is_told),
        cmocka_unit_test(a_call_that_got_no_answer_says_why),
        cmocka_unit_test(counts_of_tokens_that_nobody_can_mean_are_no_counts),
        cmocka_unit_test(a_wait_that_was_asked_for_is_read_in_every_form_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
