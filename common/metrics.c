#include "common/metrics.h"

#include "common/memory.h"
#include "common/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SERIES_MAX 4096

struct series {
    char *labels;      /* owned; the key within its family */
    double value;      /* counter, gauge; a histogram's sum */
    uint64_t *buckets; /* owned; a histogram's own counts, +Inf last; NULL otherwise */
    UT_hash_handle hh;
};

struct family {
    char *name; /* owned; the key */
    char *help; /* owned */
    enum metric_type type;
    double *bounds; /* owned; NULL unless a histogram */
    size_t bound_count;
    struct series *series; /* sorted by labels */
    UT_hash_handle hh;
};

struct metrics {
    struct family *families; /* sorted by name */
    size_t series_count;
    struct series *dropped;
};

static const struct metric_family dropped_family = {
    .name = "headgate_metrics_dropped_total",
    .help = "Observations dropped because this worker keeps no more series",
    .type = METRIC_COUNTER,
};

static int
by_name(const struct family *a, const struct family *b)
{
    return strcmp(a->name, b->name);
}

static int
by_labels(const struct series *a, const struct series *b)
{
    return strcmp(a->labels, b->labels);
}

static size_t
count_bounds(const double *bounds)
{
    size_t count = 0;

    while (bounds[count] != 0)
        count++;
    return count;
}

static struct family *
family_get(struct metrics *metrics, const struct metric_family *wanted)
{
    struct family *family;

    HASH_FIND_STR(metrics->families, wanted->name, family);
    if (family != NULL)
        return family;
    family = xcalloc(1, sizeof(*family));
    family->name = xstrdup(wanted->name);
    family->help = xstrdup(wanted->help);
    family->type = wanted->type;
    if (wanted->type == METRIC_HISTOGRAM) {
        family->bound_count = count_bounds(wanted->bounds);
        family->bounds = xcalloc(family->bound_count + 1, sizeof(double));
        memcpy(family->bounds, wanted->bounds, family->bound_count * sizeof(double));
    }
    HASH_ADD_KEYPTR_INORDER(hh, metrics->families, family->name, strlen(family->name), family,
                            by_name);
    return family;
}

static struct series *
series_new(struct family *family, const char *labels)
{
    struct series *series = xcalloc(1, sizeof(*series));

    series->labels = xstrdup(labels);
    if (family->type == METRIC_HISTOGRAM)
        series->buckets = xcalloc(family->bound_count + 1, sizeof(uint64_t));
    HASH_ADD_KEYPTR_INORDER(hh, family->series, series->labels, strlen(series->labels), series,
                            by_labels);
    return series;
}

/* NULL when there is no room for another one. */
static struct series *
series_get(struct metrics *metrics, struct family *family, const char *labels)
{
    struct series *series;

    if (labels == NULL)
        labels = "";
    HASH_FIND_STR(family->series, labels, series);
    if (series != NULL)
        return series;
    if (metrics->series_count == SERIES_MAX) {
        metrics->dropped->value++;
        return NULL;
    }
    metrics->series_count++;
    return series_new(family, labels);
}

struct metrics *
metrics_new(void)
{
    struct metrics *metrics = xcalloc(1, sizeof(*metrics));

    metrics->dropped = series_new(family_get(metrics, &dropped_family), "");
    return metrics;
}

static void
family_free(struct family *family)
{
    struct series *series, *next;

    HASH_ITER(hh, family->series, series, next)
    {
        HASH_DEL(family->series, series);
        free(series->labels);
        free(series->buckets);
        free(series);
    }
    free(family->name);
    free(family->help);
    free(family->bounds);
    free(family);
}

void
metrics_free(struct metrics *metrics)
{
    struct family *family, *next;

    if (metrics == NULL)
        return;
    HASH_ITER(hh, metrics->families, family, next)
    {
        HASH_DEL(metrics->families, family);
        family_free(family);
    }
    free(metrics);
}

void
metrics_add(struct metrics *metrics, const struct metric_family *wanted, const char *labels,
            double value)
{
    struct series *series = series_get(metrics, family_get(metrics, wanted), labels);

    if (series != NULL)
        series->value += value;
}

void
metrics_set(struct metrics *metrics, const struct metric_family *wanted, const char *labels,
            double value)
{
    struct series *series = series_get(metrics, family_get(metrics, wanted), labels);

    if (series != NULL)
        series->value = value;
}

void
metrics_observe(struct metrics *metrics, const struct metric_family *wanted, const char *labels,
                double value)
{
    struct family *family = family_get(metrics, wanted);
    struct series *series = series_get(metrics, family, labels);
    size_t bucket = 0;

    assert(family->type == METRIC_HISTOGRAM);
    if (series == NULL)
        return;
    while (bucket < family->bound_count && value > family->bounds[bucket])
        bucket++;
    series->buckets[bucket]++;
    series->value += value;
}

/* Appends what stands for itself: most labels are nothing else. */
static void
append_plain(char **to, const char *end, const char **from)
{
    while (*to < end && (unsigned char)**from >= ' ' && (unsigned char)**from < 0x7f &&
           **from != '"' && **from != '\\')
        *(*to)++ = *(*from)++;
}

/* Appends one character, escaped; false: it does not fit. Bad UTF-8, which would make
 * Prometheus refuse the whole page, becomes '?'. */
static bool
append_escaped(char **to, const char *end, const char **from)
{
    size_t len = utf8_char(*from, strnlen(*from, 4));
    bool is_escaped = strchr("\\\"\n", **from) != NULL;

    if ((size_t)(end - *to) < len + is_escaped + (len == 0))
        return false;
    if (is_escaped)
        *(*to)++ = '\\';
    if (len == 0)
        *(*to)++ = '?';
    else if (**from == '\n')
        *(*to)++ = 'n';
    else
        *to = mempcpy(*to, *from, len);
    *from += len == 0 ? 1 : len;
    return true;
}

void
metrics_label(char *out, size_t out_size, const char *name, const char *value)
{
    char *start = out + strlen(out), *to, *stop;
    size_t room = out_size - strlen(out);
    int head = snprintf(start, room, "%s%s=\"", start == out ? "" : ",", name);

    if ((size_t)head + sizeof("\"") > room) {
        *start = '\0';
        return;
    }
    to = start + head;
    stop = start + room - sizeof("\"");
    append_plain(&to, stop, &value);
    while (*value != '\0' && append_escaped(&to, stop, &value))
        append_plain(&to, stop, &value);
    memcpy(to, "\"", sizeof("\""));
    if (*value != '\0')
        *start = '\0';
}

/* The shortest text that reads back as the same number. */
static const char *
number_text(double value, char out[32])
{
    if (isnan(value))
        return "NaN";
    if (isinf(value))
        return value > 0 ? "+Inf" : "-Inf";
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

/* One sample: `extra` is one more label, or empty. */
static void
print_sample(struct evbuffer *out, const char *name, const char *suffix,
             const struct series *series, const char *extra, double value)
{
    bool has_both = series->labels[0] != '\0' && extra[0] != '\0';
    bool has_any = series->labels[0] != '\0' || extra[0] != '\0';
    char number[32];

    evbuffer_add_printf(out, "%s%s%s%s%s%s%s %s\n", name, suffix, has_any ? "{" : "",
                        series->labels, has_both ? "," : "", extra, has_any ? "}" : "",
                        number_text(value, number));
}

static void
print_histogram(struct evbuffer *out, const struct family *family, const struct series *series)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= family->bound_count; i++) {
        double bound = i < family->bound_count ? family->bounds[i] : INFINITY;
        char number[32], le[48];

        count += series->buckets[i];
        snprintf(le, sizeof(le), "le=\"%s\"", number_text(bound, number));
        print_sample(out, family->name, "_bucket", series, le, (double)count);
    }
    print_sample(out, family->name, "_sum", series, "", series->value);
    print_sample(out, family->name, "_count", series, "", (double)count);
}

static void
print_help(struct evbuffer *out, const struct family *family)
{
    evbuffer_add_printf(out, "# HELP %s ", family->name);
    for (const char *at = family->help; *at != '\0'; at++) {
        if (*at == '\\' || *at == '\n')
            evbuffer_add_printf(out, *at == '\n' ? "\\n" : "\\\\");
        else
            evbuffer_add(out, at, 1);
    }
    evbuffer_add_printf(out, "\n");
}

static void
print_family(struct evbuffer *out, const struct family *family)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_UNTYPED] = "untyped",
        [METRIC_HISTOGRAM] = "histogram",
    };

    print_help(out, family);
    evbuffer_add_printf(out, "# TYPE %s %s\n", family->name, types[family->type]);
    for (const struct series *series = family->series; series != NULL; series = series->hh.next) {
        if (family->type == METRIC_HISTOGRAM)
            print_histogram(out, family, series);
        else
            print_sample(out, family->name, "", series, "", series->value);
    }
}

void
metrics_print(const struct metrics *metrics, struct evbuffer *out)
{
    for (const struct family *family = metrics->families; family != NULL; family = family->hh.next)
        print_family(out, family);
}
