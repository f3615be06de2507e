/*
 * routes_metrics.c - GET /metrics: this worker's figures, then the cluster's from Redis.
 *
 * The cluster's are the same at every worker, so dashboards take their maximum. Without
 * Redis they are left out: old figures would look like new ones.
 */
#include "common/memory.h"
#include "worker/control/request.h"
#include "worker/model/model_view.h"
#include "worker/queue/desk_view.h"

#include <string.h>

#define LABELS_MAX 2304 /* a model's name has up to 2048 bytes */

struct scrape {
    struct request request; /* first: request_new makes the whole */
    struct queue_view views[CONFIG_QUEUES_MAX];
    bool has_view[CONFIG_QUEUES_MAX];
};

struct column {
    const char *name;
    const char *type;
    const char *help;
};

static const struct column queue_columns[] = {
    {"headgate_queue_paused", "gauge", "1 while the queue is paused."},
    {"headgate_queue_waiting", "gauge", "Jobs that could start now."},
    {"headgate_queue_in_flight", "gauge", "Jobs that workers hold."},
    {"headgate_queue_delayed", "gauge", "Jobs that wait for their date."},
    {"headgate_queue_dead", "gauge", "Dead letters kept."},
    {"headgate_queue_workers", "gauge", "Workers that live."},
    {"headgate_queue_oldest_seconds", "gauge", "How long the first waiting job has waited."},
};
#define QUEUE_COLUMNS ((int)(sizeof(queue_columns) / sizeof(queue_columns[0])))

/* In the order of queue_columns; below 0: not known. */
static double
queue_value(const struct scrape *scrape, int queue, int column)
{
    const struct queue_view *view = &scrape->views[queue];
    const double values[QUEUE_COLUMNS] = {
        view->is_paused,    (double)view->waiting, (double)view->in_flight, (double)view->delayed,
        (double)view->dead, (double)view->workers, view->oldest_seconds,
    };

    return scrape->has_view[queue] ? values[column] : -1;
}

static const struct column model_columns[] = {
    {"headgate_model_calls_total", "counter", "Calls of all workers to the model."},
    {"headgate_model_successes_total", "counter", "Calls of all workers that succeeded."},
    {"headgate_model_throttles_total", "counter", "Calls of all workers that were throttled."},
    {"headgate_model_errors_total", "counter", "Calls of all workers that failed otherwise."},
    {"headgate_model_recent_throttles", "gauge", "Throttles of the last 60 s."},
    {"headgate_model_cooldown_seconds", "gauge", "What is left of the cooldown."},
    {"headgate_model_learned_rpm", "gauge", "Calls a minute that its quota takes, as learned."},
    {"headgate_model_learned_tpm", "gauge", "Tokens a minute that its quota takes, as learned."},
    {"headgate_model_configured_rpm", "gauge", "Calls a minute, as configured."},
    {"headgate_model_configured_tpm", "gauge", "Tokens a minute, as configured."},
    {"headgate_model_permits_per_minute", "gauge", "Permits given to all workers."},
    {"headgate_model_refused_ratio", "gauge", "Refusals by calls, of about the last minute."},
    {"headgate_model_utilisation_ratio", "gauge",
     "Permits by what the quota would have taken, of about the last minute."},
    {"headgate_model_next_permit_seconds", "gauge", "Until the next permit is due."},
};
#define MODEL_COLUMNS ((int)(sizeof(model_columns) / sizeof(model_columns[0])))

static double
ratio_of(double value, double whole)
{
    return value < 0 ? -1 : value / whole;
}

/* In the order of model_columns; below 0: not known. */
static double
model_value(const struct model *model, const struct hints_figures *figures, int column)
{
    const struct pace_view *pace = &figures->pace;
    const double values[MODEL_COLUMNS] = {
        (double)figures->calls,
        (double)figures->successes,
        (double)figures->throttles,
        (double)figures->errors,
        (double)figures->throttles_60s,
        (double)figures->cooldown_ms / 1000,
        pace->is_paced ? pace->per_minute : -1,
        pace->is_paced ? pace->tokens_per_minute : -1,
        model->rpm > 0 ? model->rpm : -1,
        model->tpm > 0 ? model->tpm : -1,
        pace->is_paced ? pace->permits : -1,
        pace->is_paced ? pace_refusals_per_1000(pace) / 1000 : -1,
        pace->is_paced ? ratio_of(pace_utilisation(pace), 100) : -1,
        pace->is_paced ? (double)pace->next_ms / 1000 : -1,
    };

    return values[column];
}

static void
put_head(const struct column *column, struct evbuffer *out)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", column->name, column->help,
                        column->name, column->type);
}

static void
put_sample(const struct column *column, const char *label, const char *name, double value,
           struct evbuffer *out)
{
    char labels[LABELS_MAX] = "";

    metrics_label(labels, sizeof(labels), label, name);
    evbuffer_add_printf(out, "%s{%s} %.15g\n", column->name, labels, value);
}

static void
put_queues(const struct scrape *scrape, struct evbuffer *out)
{
    for (int c = 0; c < QUEUE_COLUMNS; c++) {
        put_head(&queue_columns[c], out);
        for (int i = 0; i < scrape->request.queue_count; i++) {
            double value = queue_value(scrape, i, c);

            if (value >= 0)
                put_sample(&queue_columns[c], "queue", scrape->request.queues[i], value, out);
        }
    }
}

static const struct column limited = {
    "headgate_model_limited", "gauge",
    "1: in the last 10 s calls had to wait or to go elsewhere, for the reason."};

/* By its reasons, so that each can be summed and alerted on. */
static void
put_limited(const struct model *model, const struct hints_figures *figures, struct evbuffer *out)
{
    struct pace_view pace = model_pace(figures);

    for (int why = PACE_HAS_ROOM + 1; why < PACE_WHYS; why++) {
        char labels[LABELS_MAX] = "";

        metrics_label(labels, sizeof(labels), "model", model->name);
        metrics_label(labels, sizeof(labels), "reason", pace_why_name((enum pace_why)why));
        evbuffer_add_printf(out, "%s{%s} %d\n", limited.name, labels, (int)pace.why == why);
    }
}

static void
put_models(const struct model_list *list, const struct hints_figures *figures, struct evbuffer *out)
{
    for (int c = 0; c < MODEL_COLUMNS; c++) {
        put_head(&model_columns[c], out);
        for (int i = 0; i < list->count; i++) {
            double value = model_value(&list->models[i], &figures[i], c);

            if (value >= 0)
                put_sample(&model_columns[c], "model", list->models[i].name, value, out);
        }
    }
    put_head(&limited, out);
    for (int i = 0; i < list->count; i++)
        put_limited(&list->models[i], &figures[i], out);
}

static struct redis_call *
ask_queue(struct request *request, const char *queue, redis_reply_fn *fn, void *arg)
{
    return desk_stats(request->control->options.desk, queue, fn, arg);
}

static void
on_queue(struct request *request, int queue, const redisReply *reply)
{
    struct scrape *scrape = (struct scrape *)request;

    scrape->views[queue] = queue_view_read(reply);
    scrape->has_view[queue] = true;
}

static void
on_all_told(struct request *request)
{
    const struct control_options *options = &request->control->options;
    struct evbuffer *body = xevbuffer();

    options->set_gauges(options->metrics, options->arg);
    metrics_print(options->metrics, body);
    put_queues((struct scrape *)request, body);
    if (request->figures != NULL)
        put_models(options->models, request->figures, body);
    http_reply(request_take_exchange(request), 200, "text/plain; version=0.0.4; charset=utf-8",
               body, NULL);
    evbuffer_free(body);
}

void
route_metrics(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct request *request = request_new(control, exchange, sizeof(struct scrape), on_all_told);

    (void)rest;
    request_ask(request, ask_queue, on_queue);
    request_ask_hints(request, hints_read);
}
