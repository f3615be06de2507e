/*
 * metrics.h - counters, gauges and histograms, printed as Prometheus text.
 *
 * Process-wide figures of this worker, made for `promtool check metrics`. What is
 * cluster-wide lives in Redis and is printed by its own room. Source of the format:
 * Prometheus exposition formats, text version 0.0.4.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <event2/buffer.h>
#include <stddef.h>
#include <stdint.h>

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_UNTYPED, /* a gauge whose name must end in _total, which the linter wants for counters
                       only */
    METRIC_HISTOGRAM,
};

struct metrics;
struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* Adds to a counter, sets a gauge, observes a histogram. `labels` is the finished label
 * text, e.g. "queue=\"analyze\",state=\"succeeded\"" (see metrics_label), or NULL. The
 * family (name, help, type) is created at first use; series are found by hash. At most 4096
 * series are kept; later ones are dropped and counted in headgate_metrics_dropped_total. */
struct metric_family {
    const char *name; /* "headgate_jobs_total" */
    const char *help;
    enum metric_type type;
    const double *bounds; /* histogram: upper bounds, ascending; ends with 0 */
};
void metrics_add(struct metrics *metrics, const struct metric_family *family, const char *labels,
                 double value);
void metrics_set(struct metrics *metrics, const struct metric_family *family, const char *labels,
                 double value);
void metrics_observe(struct metrics *metrics, const struct metric_family *family,
                     const char *labels, double value);
/* Appends name="value" to `out` (a comma first unless empty), escaped by the format's
 * rules. What does not fit is left out whole. */
void metrics_label(char *out, size_t out_size, const char *name, const char *value);
/* Appends the whole text, families sorted by name. */
void metrics_print(const struct metrics *metrics, struct evbuffer *out);

#endif
