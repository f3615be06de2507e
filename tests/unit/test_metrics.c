#include "common/memory.h"
#include "common/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

static const double seconds[] = {0.1, 0.5, 2.5, 0};
static const struct metric_family jobs = {"headgate_jobs_total", "Jobs, by\nend \\", METRIC_COUNTER,
                                          NULL};
static const struct metric_family running = {"headgate_running_jobs", "Jobs running now",
                                             METRIC_GAUGE, NULL};
static const struct metric_family calls = {"headgate_call_seconds", "Length of a call",
                                           METRIC_HISTOGRAM, seconds};

#define DROPPED                                                                                    \
    "# HELP headgate_metrics_dropped_total Observations dropped because this worker keeps no "     \
    "more series\n"                                                                                \
    "# TYPE headgate_metrics_dropped_total counter\n"                                              \
    "headgate_metrics_dropped_total "

/* The whole text, owned by the caller. */
static char *
printed(const struct metrics *metrics)
{
    struct evbuffer *out = xevbuffer();
    char *text;

    metrics_print(metrics, out);
    evbuffer_add(out, "", 1);
    text = xstrdup((const char *)evbuffer_pullup(out, -1));
    evbuffer_free(out);
    return text;
}

static struct metrics *
sample(void)
{
    struct metrics *metrics = metrics_new();

    metrics_set(metrics, &running, NULL, 7);
    metrics_set(metrics, &running, NULL, 3.5);
    metrics_add(metrics, &jobs, "queue=\"b\"", 1);
    metrics_add(metrics, &jobs, "queue=\"a\"", 1);
    metrics_add(metrics, &jobs, "queue=\"b\"", 41);
    metrics_observe(metrics, &calls, "model=\"m\"", 0.1);
    metrics_observe(metrics, &calls, "model=\"m\"", 0.2);
    metrics_observe(metrics, &calls, "model=\"m\"", 99);
    return metrics;
}

static void
families_and_series_are_printed_in_order(void **state)
{
    struct metrics *metrics = sample();
    char *text = printed(metrics);

    assert_string_equal(text, "# HELP headgate_call_seconds Length of a call\n"
                              "# TYPE headgate_call_seconds histogram\n"
                              "headgate_call_seconds_bucket{model=\"m\",le=\"0.1\"} 1\n"
                              "headgate_call_seconds_bucket{model=\"m\",le=\"0.5\"} 2\n"
                              "headgate_call_seconds_bucket{model=\"m\",le=\"2.5\"} 2\n"
                              "headgate_call_seconds_bucket{model=\"m\",le=\"+Inf\"} 3\n"
                              "headgate_call_seconds_sum{model=\"m\"} 99.3\n"
                              "headgate_call_seconds_count{model=\"m\"} 3\n"
                              "# HELP headgate_jobs_total Jobs, by\\nend \\\\\n"
                              "# TYPE headgate_jobs_total counter\n"
                              "headgate_jobs_total{queue=\"a\"} 1\n"
                              "headgate_jobs_total{queue=\"b\"} 42\n" DROPPED "0\n"
                              "# HELP headgate_running_jobs Jobs running now\n"
                              "# TYPE headgate_running_jobs gauge\n"
                              "headgate_running_jobs 3.5\n");
    free(text);
    metrics_free(metrics);
    (void)state;
}

static void
a_histogram_needs_no_labels(void **state)
{
    struct metrics *metrics = metrics_new();
    char *text;

    metrics_observe(metrics, &calls, NULL, -1);
    text = printed(metrics);
    assert_non_null(strstr(text, "headgate_call_seconds_bucket{le=\"0.1\"} 1\n"));
    assert_non_null(strstr(text, "headgate_call_seconds_bucket{le=\"+Inf\"} 1\n"));
    assert_non_null(strstr(text, "headgate_call_seconds_sum -1\n"));
    assert_non_null(strstr(text, "headgate_call_seconds_count 1\n"));
    free(text);
    metrics_free(metrics);
    (void)state;
}

static void
a_number_reads_back_as_the_same(void **state)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {1e21, "1e+21"},
        {1795428000.123, "1795428000.123"},
        {9007199254740991, "9007199254740991"},
        {0.1 + 0.2, "0.30000000000000004"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
        {NAN, "NaN"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *line = xasprintf("\nheadgate_running_jobs %s\n", rows[i].text);
        struct metrics *metrics = metrics_new();
        char *text;

        metrics_set(metrics, &running, NULL, rows[i].value);
        text = printed(metrics);
        assert_non_null(strstr(text, line));
        free(text);
        free(line);
        metrics_free(metrics);
    }
    (void)state;
}

static void
labels_are_escaped_and_joined(void **state)
{
    char labels[100] = "";

    metrics_label(labels, sizeof(labels), "queue", "a\"b\\c\nd");
    metrics_label(labels, sizeof(labels), "model", "caf\xc3\xa9 \xff\xc3");
    metrics_label(labels, sizeof(labels), "none", "");
    assert_string_equal(labels, "queue=\"a\\\"b\\\\c\\nd\",model=\"caf\xc3\xa9 ??\",none=\"\"");
    (void)state;
}

static void
a_label_that_does_not_fit_is_left_out_whole(void **state)
{
    static const char *const values[] = {"12345678901", "1234567890\n", "123456789\xc3\xa9"};

    for (size_t size = 1; size <= 16; size++) {
        for (size_t i = 0; i < 3; i++) {
            char *labels = xcalloc(size, 1); /* its own block: writing beyond it shows */

            metrics_label(labels, size, "a", "1");
            assert_string_equal(labels, size >= sizeof("a=\"1\"") ? "a=\"1\"" : "");
            metrics_label(labels, size, "b", values[i]);
            assert_string_equal(labels, size >= sizeof("a=\"1\"") ? "a=\"1\"" : "");
            free(labels);
        }
    }
    (void)state;
}

static void
a_label_may_fill_the_room_to_the_last_byte(void **state)
{
    char labels[sizeof("a=\"1\",b=\"\xc3\xa9\\n\"")] = "";

    metrics_label(labels, sizeof(labels), "a", "1");
    metrics_label(labels, sizeof(labels), "b", "\xc3\xa9\n");
    assert_string_equal(labels, "a=\"1\",b=\"\xc3\xa9\\n\"");
    (void)state;
}

static void
the_number_of_series_has_a_bound(void **state)
{
    struct metrics *metrics = metrics_new();
    char *text;

    for (int i = 0; i < 5000; i++) {
        char labels[40];

        snprintf(labels, sizeof(labels), "n=\"%d\"", i);
        metrics_add(metrics, &jobs, labels, 1);
    }
    metrics_add(metrics, &jobs, "n=\"0\"", 1);
    metrics_observe(metrics, &calls, NULL, 1);
    metrics_set(metrics, &running, NULL, 1);
    text = printed(metrics);
    assert_non_null(strstr(text, "headgate_jobs_total{n=\"0\"} 2\n"));
    assert_non_null(strstr(text, "headgate_jobs_total{n=\"4095\"} 1\n"));
    assert_null(strstr(text, "headgate_jobs_total{n=\"4096\"}"));
    assert_non_null(strstr(text, "headgate_metrics_dropped_total 906\n"));
    free(text);
    metrics_free(metrics);
    (void)state;
}

static void
promtool_has_nothing_to_say(void **state)
{
    struct metrics *metrics = sample();
    char labels[100] = "", file[] = "/tmp/headgate-metrics-XXXXXX";
    int fd = mkstemp(file);
    char *text, *command = xasprintf("promtool check metrics < %s 2>&1", file), said[500];
    FILE *promtool;
    size_t len;

    if (system("command -v promtool > /dev/null") != 0) {
        close(fd);
        unlink(file);
        metrics_free(metrics);
        free(command);
        skip();
    }
    metrics_label(labels, sizeof(labels), "queue", "\"\\\n\xff \xc3\xa9\x01");
    metrics_add(metrics, &jobs, labels, NAN);
    text = printed(metrics);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    promtool = popen(command, "re");
    len = fread(said, 1, sizeof(said) - 1, promtool);
    said[len] = '\0';
    assert_string_equal(said, "");
    assert_int_equal(pclose(promtool), 0);
    unlink(file);
    free(command);
    free(text);
    metrics_free(metrics);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_and_series_are_printed_in_order),
        cmocka_unit_test(a_histogram_needs_no_labels),
        cmocka_unit_test(a_number_reads_back_as_the_same),
        cmocka_unit_test(labels_are_escaped_and_joined),
        cmocka_unit_test(a_label_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(a_label_may_fill_the_room_to_the_last_byte),
        cmocka_unit_test(the_number_of_series_has_a_bound),
        cmocka_unit_test(promtool_has_nothing_to_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
