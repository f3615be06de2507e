#include "worker/celery/meta.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

static struct celery_message message = {.id = "i-1"};
static struct job job = {.id = "i-1"};

static void
expect_document(const struct result *result, const char *children, const char *expected)
{
    struct evbuffer *out = xevbuffer();

    celery_meta_print(&message, result, children, out);
    evbuffer_add(out, "", 1);
    assert_string_equal((char *)evbuffer_pullup(out, -1), expected);
    evbuffer_free(out);
}

static void
a_success_holds_the_value_as_it_is(void **state)
{
    struct evbuffer *output = xevbuffer();
    const struct result result = {
        .state = STATE_SUCCEEDED, .job = &job, .output = output, .finished_at_ms = 1795642285123};

    (void)state;
    evbuffer_add_printf(output, "{\"n\":12345678901234567890}");
    expect_document(&result, "[[[\"c\", null], null]]",
                    "{\"status\":\"SUCCESS\",\"result\":{\"n\":12345678901234567890},\"traceback\":"
                    "null,\"children\":[[[\"c\", null], null]],\"date_done\":"
                    "\"2026-11-25T21:31:25.123000+00:00\",\"task_id\":\"i-1\"}");
    evbuffer_free(output);
}

static void
a_value_that_clients_would_take_for_a_typed_one_gets_a_third_name(void **state)
{
    struct evbuffer *output = xevbuffer();
    const struct result result = {.state = STATE_SUCCEEDED, .job = &job, .output = output};

    (void)state;
    evbuffer_add_printf(output, "[{\"__type__\":\"x\",\"\\u005f_value__\":1},{\"__type__\":1}]");
    expect_document(&result, "",
                    "{\"status\":\"SUCCESS\",\"result\":[{\"__type__\":\"x\",\"\\u005f_value__\":1,"
                    "\"__escaped__\":true},{\"__type__\":1}],\"traceback\":null,\"children\":[],"
                    "\"date_done\":null,\"task_id\":\"i-1\"}");
    evbuffer_free(output);
}

static void
a_failure_is_an_exception_that_python_builds_again(void **state)
{
    const struct result result = {.state = STATE_FAILED,
                                  .job = &job,
                                  .worker = "w",
                                  .attempt = 2,
                                  .error_kind = "unavailable",
                                  .error_message = "down \"now\"",
                                  .finished_at_ms = 1000};

    (void)state;
    expect_document(&result, "",
                    "{\"status\":\"FAILURE\",\"result\":{\"exc_type\":\"ConnectionError\","
                    "\"exc_message\":[\"down \\\"now\\\"\"],\"exc_module\":\"builtins\"},"
                    "\"traceback\":\"Traceback (most recent call last):\\n  headgate w, execution "
                    "2\\nConnectionError: down \\\"now\\\"\\n\",\"children\":[],\"date_done\":"
                    "\"1970-01-01T00:00:01.000000+00:00\",\"task_id\":\"i-1\"}");
}

static void
what_was_not_to_run_is_revoked(void **state)
{
    struct result result = {.state = STATE_EXPIRED, .job = &job, .error_kind = "expired"};
    static const char *const words[] = {"expired", "revoked", "terminated"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        char *expected =
            xasprintf("{\"status\":\"REVOKED\",\"result\":{\"exc_type\":\"TaskRevokedError\","
                      "\"exc_message\":[\"%s\"],\"exc_module\":\"celery.exceptions\"},"
                      "\"traceback\":null,\"children\":[],\"date_done\":null,\"task_id\":"
                      "\"i-1\"}",
                      words[i]);

        expect_document(&result, "", expected);
        free(expected);
        result.state = STATE_CANCELLED;
        result.error_kind = "cancelled";
        result.started_at_ms = i; /* 0, then 1: while it ran */
    }
}

static void
a_time_limit_is_told_as_celery_tells_it(void **state)
{
    struct result result = {
        .state = STATE_FAILED, .job = &job, .worker = "w", .error_kind = "timeout"};
    struct evbuffer *out = xevbuffer();

    (void)state;
    message.hard_ms = 30000;
    celery_meta_print(&message, &result, "", out);
    assert_non_null(strstr((char *)evbuffer_pullup(out, -1),
                           "{\"exc_type\":\"TimeLimitExceeded\",\"exc_message\":[30.000],"
                           "\"exc_module\":\"billiard.exceptions\"}"));
    evbuffer_drain(out, evbuffer_get_length(out));
    message.soft_ms = 20000;
    celery_meta_print(&message, &result, "", out);
    assert_non_null(strstr((char *)evbuffer_pullup(out, -1),
                           "{\"exc_type\":\"SoftTimeLimitExceeded\",\"exc_message\":[],"));
    message.hard_ms = message.soft_ms = 0;
    evbuffer_free(out);
}

static void
progress_says_how_far_it_is_and_retry_why(void **state)
{
    struct result result = {.state = STATE_RUNNING, .job = &job, .worker = "w"};
    struct evbuffer *out = xevbuffer();

    (void)state;
    expect_document(&result, "",
                    "{\"status\":\"PROGRESS\",\"result\":{\"status\":\"Analyzing section...\","
                    "\"progress\":10},\"traceback\":null,\"children\":[],\"date_done\":null,"
                    "\"task_id\":\"i-1\"}");
    result.error_kind = "throttled";
    celery_meta_print(&message, &result, "", out);
    assert_memory_equal(evbuffer_pullup(out, -1),
                        "{\"status\":\"RETRY\",\"result\":{\"exc_type\":\"RuntimeError\"", 53);
    evbuffer_free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_holds_the_value_as_it_is),
        cmocka_unit_test(a_value_that_clients_would_take_for_a_typed_one_gets_a_third_name),
        cmocka_unit_test(a_failure_is_an_exception_that_python_builds_again),
        cmocka_unit_test(what_was_not_to_run_is_revoked),
        cmocka_unit_test(a_time_limit_is_told_as_celery_tells_it),
        cmocka_unit_test(progress_says_how_far_it_is_and_retry_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
