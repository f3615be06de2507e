/*
 * routes_metrics.c - GET /metrics: this worker's figures, then the cluster's from Redis.
 *
 * The cluster's are the same at every worker, so dashboards take their maximum. Without
 * Redis they are left out: old figures would look like new ones.
 */
#include "common/memory.h"
#include "worker/control/request.h"
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
};
#define MODEL_COLUMNS ((int)(sizeof(model_columns) / sizeof(model_columns[0])))

/* In the order of model_columns. */
static double
model_value(const struct hints_figures *model, int column)
{
    const double values[MODEL_COLUMNS] = {
        (double)model->calls,  (double)model->successes,     (double)model->throttles,
        (double)model->errors, (double)model->throttles_60s, (double)model->cooldown_ms / 1000,
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

static void
put_models(const struct model_list *models, const struct hints_figures *figures,
           struct evbuffer *out)
{
    for (int c = 0; c < MODEL_COLUMNS; c++) {
        put_head(&model_columns[c], out);
        for (int i = 0; i < models->count; i++)
            put_sample(&model_columns[c], "model", models->models[i].name,
                       model_value(&figures[i], c), out);
    }
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
