#include "worker/attempt_metrics.h"

#include "worker/job/call.h"

#include <stddef.h>

#define LABELS_MAX 2304 /* a model's name has up to 2048 bytes */

/* From a refusal in 50 ms to a reasoning model in minutes. */
static const double seconds[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 0};

static const struct metric_family calls_total = {
    "headgate_calls_total", "Calls to models that are over, by how they ended.", METRIC_COUNTER,
    NULL};
static const struct metric_family call_seconds = {
    "headgate_call_duration_seconds", "How long calls to a model took.", METRIC_HISTOGRAM, seconds};
static const struct metric_family tokens_total = {
    "headgate_tokens_total", "Tokens that providers reported.", METRIC_COUNTER, NULL};
static const struct metric_family cost_total = {"headgate_cost_usd_total",
                                                "US dollars, for models whose price is configured.",
                                                METRIC_COUNTER, NULL};
static const struct metric_family jobs_total = {
    "headgate_jobs_total", "Jobs that this worker made final, by state.", METRIC_COUNTER, NULL};
static const struct metric_family job_seconds = {
    "headgate_job_duration_seconds", "From the start of the last execution to the result.",
    METRIC_HISTOGRAM, seconds};
static const struct metric_family job_wait_seconds = {
    "headgate_job_wait_seconds", "From enqueued_at to the start, where producers tell it.",
    METRIC_HISTOGRAM, seconds};
static const struct metric_family delays_total = {
    "headgate_jobs_delayed_total", "Jobs put off: retried, waited for a model, or scheduled.",
    METRIC_COUNTER, NULL};
static const struct metric_family drops_total = {
    "headgate_claims_dropped_total", "Claims that were duplicates, or another worker's by then.",
    METRIC_COUNTER, NULL};

void
attempt_metrics_call(struct metrics *metrics, const struct call *call)
{
    char labels[LABELS_MAX] = "", tokens[LABELS_MAX] = "";

    metrics_label(tokens, sizeof(tokens), "direction", "input");
    metrics_label(tokens, sizeof(tokens), "model", call->model);
    metrics_add(metrics, &tokens_total, tokens, (double)call->input_tokens);
    tokens[0] = '\0';
    metrics_label(tokens, sizeof(tokens), "direction", "output");
    metrics_label(tokens, sizeof(tokens), "model", call->model);
    metrics_add(metrics, &tokens_total, tokens, (double)call->output_tokens);

    metrics_label(labels, sizeof(labels), "model", call->model);
    metrics_observe(metrics, &call_seconds, labels, (double)call->duration_ms / 1000.0);
    metrics_label(labels, sizeof(labels), "outcome", outcome_name(call->outcome));
    metrics_add(metrics, &calls_total, labels, 1);
}

void
attempt_metrics_cost(struct metrics *metrics, const struct call *call, double input_price,
                     double output_price)
{
    char labels[LABELS_MAX] = "";
    double cost = (double)call->input_tokens * input_price;

    if (input_price < 0 || output_price < 0)
        return;
    cost += (double)call->output_tokens * output_price;
    metrics_label(labels, sizeof(labels), "model", call->model);
    metrics_add(metrics, &cost_total, labels, cost / 1e6);
}

void
attempt_metrics_job(struct metrics *metrics, const char *queue, const char *state,
                    double duration_s, double waited_s)
{
    char labels[LABELS_MAX] = "";

    metrics_label(labels, sizeof(labels), "queue", queue);
    if (duration_s >= 0)
        metrics_observe(metrics, &job_seconds, labels, duration_s);
    if (waited_s >= 0)
        metrics_observe(metrics, &job_wait_seconds, labels, waited_s);
    metrics_label(labels, sizeof(labels), "state", state);
    metrics_add(metrics, &jobs_total, labels, 1);
}

static void
add_one(struct metrics *metrics, const struct metric_family *family, const char *queue,
        const char *name, const char *value)
{
    char labels[LABELS_MAX] = "";

    metrics_label(labels, sizeof(labels), "queue", queue);
    metrics_label(labels, sizeof(labels), name, value);
    metrics_add(metrics, family, labels, 1);
}

void
attempt_metrics_delay(struct metrics *metrics, const char *queue, const char *why)
{
    add_one(metrics, &delays_total, queue, "why", why);
}

void
attempt_metrics_drop(struct metrics *metrics, const char *queue, const char *why)
{
    add_one(metrics, &drops_total, queue, "why", why);
}
