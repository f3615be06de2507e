#include "worker/control/access.h"
#include "worker/control/control_internal.h"
#include "worker/job/stamp.h"
#include "worker/queue/desk_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after those four */
#include <cmocka.h>

static const struct access_rules loopback = {.address = "127.0.0.1", .port = 8080};
static const struct access_rules everywhere = {
    .address = "0.0.0.0", .port = 8080, .token = "s3cret"};

static bool
is_refused(const struct access_rules *rules, const char *host, const char *origin,
           const char *fetch_site)
{
    const struct access_claims claims = {.host = host, .origin = origin, .fetch_site = fetch_site};

    return access_refuses_site(rules, &claims) != NULL;
}

static void
a_loopback_port_is_called_by_its_own_names_only(void **state)
{
    static const char *const ours[] = {"localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080",
                                       "[::1]:8080"};
    static const char *const foreign[] = {
        "",          "evil.example:8080",       "localhost",      "localhost:8081",
        "127.0.0.1", "localhost:8080.evil.org", "127.0.0.2:8080", "localhost:80800"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        assert_false(is_refused(&loopback, ours[i], NULL, NULL));
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        assert_true(is_refused(&loopback, foreign[i], NULL, NULL));
    assert_true(is_refused(&loopback, NULL, NULL, NULL));
    (void)state;
}

static void
port_80_may_be_left_out_of_the_host(void **state)
{
    const struct access_rules rules = {.address = "::1", .port = 80};

    assert_false(is_refused(&rules, "localhost", NULL, NULL));
    assert_false(is_refused(&rules, "[::1]", NULL, NULL));
    assert_false(is_refused(&rules, "localhost:80", NULL, NULL));
    (void)state;
}

static void
another_address_takes_any_name_because_the_token_guards_it(void **state)
{
    assert_false(is_refused(&everywhere, "headgate.internal", NULL, NULL));
    assert_true(is_refused(&everywhere, NULL, NULL, NULL));
    (void)state;
}

static void
a_page_of_another_site_is_refused(void **state)
{
    assert_true(is_refused(&loopback, "localhost:8080", "https://evil.example", NULL));
    assert_true(is_refused(&loopback, "localhost:8080", "http://localhost:3000", NULL));
    assert_true(is_refused(&loopback, "localhost:8080", "null", NULL));
    assert_true(is_refused(&loopback, "localhost:8080", NULL, "cross-site"));
    assert_true(is_refused(&everywhere, "a.example", "https://b.example", NULL));
    (void)state;
}

static void
our_own_pages_and_tools_are_not_refused(void **state)
{
    assert_false(is_refused(&loopback, "localhost:8080", "http://localhost:8080", "same-origin"));
    assert_false(is_refused(&loopback, "localhost:8080", NULL, "none"));
    assert_false(is_refused(&everywhere, "a.example", "https://a.example", NULL));
    (void)state;
}

static bool
bears(const struct access_rules *rules, const char *authorization)
{
    const struct access_claims claims = {.authorization = authorization};

    return access_has_token(rules, &claims);
}

static void
only_the_whole_token_opens(void **state)
{
    assert_true(bears(&everywhere, "Bearer s3cret"));
    assert_true(bears(&everywhere, "bearer  s3cret"));
    assert_false(bears(&everywhere, NULL));
    assert_false(bears(&everywhere, ""));
    assert_false(bears(&everywhere, "Bearer "));
    assert_false(bears(&everywhere, "Bearer s3cre"));
    assert_false(bears(&everywhere, "Bearer s3cret2"));
    assert_false(bears(&everywhere, "Basic s3cret"));
    assert_false(bears(&everywhere, "s3cret"));
    assert_true(bears(&loopback, NULL));
    (void)state;
}

static void
a_path_and_its_method_find_their_route(void **state)
{
    const char *rest = NULL, *allowed = NULL;
    const struct route *route =
        route_find(control_routes, "POST", "/analyze_section", &rest, &allowed);

    assert_non_null(route);
    assert_ptr_equal(route->handle, route_analyze);
    assert_non_null(route_find(control_routes, "GET", "/", &rest, &allowed));
    assert_non_null(route_find(control_routes, "HEAD", "/", &rest, &allowed));
    assert_null(route_find(control_routes, "HEAD", "/chat", &rest, &allowed));
    assert_true(route_find(control_routes, "GET", "/readyz", &rest, &allowed)->is_open);
    (void)state;
}

static void
all_behind_task_status_is_the_id(void **state)
{
    const char *rest = NULL, *allowed = NULL;

    assert_non_null(route_find(control_routes, "GET", "/task_status/a/b%", &rest, &allowed));
    assert_string_equal(rest, "a/b%");
    assert_non_null(route_find(control_routes, "GET", "/task_status/", &rest, &allowed));
    assert_string_equal(rest, "");
    (void)state;
}

static void
a_wrong_method_names_the_right_one_and_a_wrong_path_none(void **state)
{
    const char *rest = NULL, *allowed = NULL;

    assert_null(route_find(control_routes, "GET", "/chat", &rest, &allowed));
    assert_string_equal(allowed, "POST");
    assert_null(route_find(control_routes, "GET", "/chat/", &rest, &allowed));
    assert_null(allowed);
    assert_null(route_find(control_routes, "GET", "/task_status", &rest, &allowed));
    assert_null(allowed);
    assert_null(route_find(control_routes, "get", "/healthz", &rest, &allowed));
    assert_string_equal(allowed, "GET");
    (void)state;
}

/* ---- stamp ---- */

static const struct job_limits limits = {.max_bytes = 1 << 20};
static const struct stamp stamp = {
    .id = "j1", .type = "analyze", .track_started = true, .now_ms = 1763900000005};

static void
assert_stamped(const char *text, const char *expected)
{
    struct job job;
    struct error err;

    assert_int_equal(stamp_job(text, strlen(text), &stamp, &limits, &job, &err), 0);
    assert_int_equal(job.payload_len, strlen(expected));
    assert_memory_equal(job.payload, expected, job.payload_len);
    job_release(&job);
}

static void
what_a_job_lacks_is_put_in_front_and_the_rest_stays(void **state)
{
    assert_stamped(" { \"content\" : \"\\u0041\", \"x\":1.50}",
                   "{\"id\":\"j1\",\"type\":\"analyze\",\"track_started\":true,"
                   "\"enqueued_at\":1763900000.005, \"content\" : \"\\u0041\", \"x\":1.50}");
    (void)state;
}

static void
what_a_job_has_is_left_alone(void **state)
{
    static const char whole[] = "{\"id\":\"own\",\"type\":\"chat\",\"track_started\":false,"
                                "\"enqueued_at\":1,\"query\":\"q\"}";

    assert_stamped(whole, whole);
    assert_stamped("{\"id\":\"own\",\"enqueued_at\":1,\"track_started\":true,\"content\":\"c\"}",
                   "{\"type\":\"analyze\",\"id\":\"own\",\"enqueued_at\":1,"
                   "\"track_started\":true,\"content\":\"c\"}");
    (void)state;
}

static void
what_is_no_job_is_refused_before_it_is_pushed(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{",
                                      "{\"content\":5}",
                                      "{\"content\":\"c\",\"id\":null}",
                                      "null",
                                      "{\"content\":\"c\",\"id\":\"a\",\"id\":\"b\"}"};
    struct job job;
    struct error err;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(stamp_job(bad[i], strlen(bad[i]), &stamp, &limits, &job, &err), -1);
        assert_int_equal(err.kind, ERROR_INPUT);
        job_release(&job);
    }
    (void)state;
}

static void
a_job_above_the_limit_is_refused(void **state)
{
    const struct job_limits small = {.max_bytes = 10};
    struct job job;
    struct error err;

    assert_int_equal(stamp_job("{\"content\":\"c\"}", 15, &stamp, &small, &job, &err), -1);
    job_release(&job);
    (void)state;
}

/* ---- views ---- */

static void
a_result_document_tells_its_state(void **state)
{
    struct job_view done = job_view_of("{\"id\":\"1\",\"state\":\"succeeded\"}", 30);
    struct job_view runs = job_view_of("{\"id\":\"1\",\"state\":\"running\"}", 28);
    struct job_view odd = job_view_of("no JSON", 7);

    assert_int_equal(done.standing, STANDING_FINAL);
    assert_int_equal(done.state, STATE_SUCCEEDED);
    assert_int_equal(runs.standing, STANDING_RUNNING);
    assert_int_equal(odd.standing, STANDING_FINAL);
    assert_int_equal(odd.state, STATE_FAILED);
    assert_int_equal(odd.root.type, JSON_ABSENT);
    (void)state;
}

static void
the_waiting_time_is_found_in_a_cut_payload(void **state)
{
    static const char cut[] = "{\"id\":\"a,\\\"b\",\"enqueued_at\":12.5,\"x\":{\"a\":1,\"b\":\"...";
    static const char unlucky[] = "{\"content\":\"enqueued_at\",\"enqueued_at\":12.5";

    assert_true(enqueued_at_of(cut, strlen(cut)) == 12.5);
    assert_true(enqueued_at_of("{\"enqueued_at\":3}", 17) == 3);
    assert_true(enqueued_at_of(unlucky, strlen(unlucky)) == 0);
    assert_true(enqueued_at_of("{\"enqueued_at\":\"3\",", 19) == 0);
    assert_true(enqueued_at_of("", 0) == 0);
    assert_true(enqueued_at_of("]]],{", 5) == 0);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loopback_port_is_called_by_its_own_names_only),
        cmocka_unit_test(port_80_may_be_left_out_of_the_host),
        cmocka_unit_test(another_address_takes_any_name_because_the_token_guards_it),
        cmocka_unit_test(a_page_of_another_site_is_refused),
        cmocka_unit_test(our_own_pages_and_tools_are_not_refused),
        cmocka_unit_test(only_the_whole_token_opens),
        cmocka_unit_test(a_path_and_its_method_find_their_route),
        cmocka_unit_test(all_behind_task_status_is_the_id),
        cmocka_unit_test(a_wrong_method_names_the_right_one_and_a_wrong_path_none),
        cmocka_unit_test(what_a_job_lacks_is_put_in_front_and_the_rest_stays),
        cmocka_unit_test(what_a_job_has_is_left_alone),
        cmocka_unit_test(what_is_no_job_is_refused_before_it_is_pushed),
        cmocka_unit_test(a_job_above_the_limit_is_refused),
        cmocka_unit_test(a_result_document_tells_its_state),
        cmocka_unit_test(the_waiting_time_is_found_in_a_cut_payload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
