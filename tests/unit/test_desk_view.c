#include "worker/queue/desk_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A reply of desk_status. */
static struct job_view
view_of(const char *document, int is_running, int is_delayed, int is_cancelled)
{
    char text[128] = "";
    redisReply result = {.type = REDIS_REPLY_NIL};
    redisReply running = {.type = REDIS_REPLY_INTEGER, .integer = is_running};
    redisReply delayed = {.type = REDIS_REPLY_INTEGER, .integer = is_delayed};
    redisReply cancelled = {.type = REDIS_REPLY_INTEGER, .integer = is_cancelled};
    redisReply *elements[] = {&result, &running, &delayed, &cancelled};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 4, .element = elements};

    if (document != NULL) {
        strncpy(text, document, sizeof(text) - 1);
        result.type = REDIS_REPLY_STRING;
        result.str = text;
        result.len = strlen(text);
    }
    return job_view_read(&reply);
}

static void
a_job_nobody_knows_of_is_waiting(void **state)
{
    assert_int_equal(view_of(NULL, 0, 0, 0).standing, STANDING_WAITING);
    (void)state;
}

static void
a_final_result_decides_over_everything_else(void **state)
{
    struct job_view view = view_of("{\"id\":\"1\",\"state\":\"expired\"}", 1, 1, 1);

    assert_int_equal(view.standing, STANDING_FINAL);
    assert_int_equal(view.state, STATE_EXPIRED);
    (void)state;
}

static void
a_running_job_runs_even_when_its_cancel_is_under_way(void **state)
{
    assert_int_equal(view_of(NULL, 1, 0, 1).standing, STANDING_RUNNING);
    assert_int_equal(view_of("{\"id\":\"1\",\"state\":\"running\"}", 1, 0, 0).standing,
                     STANDING_RUNNING);
    (void)state;
}

static void
a_delayed_job_that_was_cancelled_will_not_run(void **state)
{
    assert_int_equal(view_of(NULL, 0, 1, 0).standing, STANDING_DELAYED);
    assert_int_equal(view_of(NULL, 0, 1, 1).standing, STANDING_CANCELLED);
    (void)state;
}

static void
a_running_document_of_an_earlier_attempt_does_not_hide_that_the_job_waits(void **state)
{
    assert_int_equal(view_of("{\"id\":\"1\",\"state\":\"running\"}", 0, 1, 0).standing,
                     STANDING_DELAYED);
    (void)state;
}

static void
a_reply_of_another_shape_tells_nothing(void **state)
{
    redisReply reply = {.type = REDIS_REPLY_STATUS};

    assert_int_equal(job_view_read(&reply).standing, STANDING_WAITING);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_nobody_knows_of_is_waiting),
        cmocka_unit_test(a_final_result_decides_over_everything_else),
        cmocka_unit_test(a_running_job_runs_even_when_its_cancel_is_under_way),
        cmocka_unit_test(a_delayed_job_that_was_cancelled_will_not_run),
        cmocka_unit_test(a_running_document_of_an_earlier_attempt_does_not_hide_that_the_job_waits),
        cmocka_unit_test(a_reply_of_another_shape_tells_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
