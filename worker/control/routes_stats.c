/*
 * routes_stats.c - what the cluster looks like: models, queues, and whether this worker works.
 */
#include "common/memory.h"
#include "worker/control/request.h"
#include "worker/model/model_view.h"
#include "worker/queue/desk_view.h"
#include "worker/waiting.h"

/* ---- GET /model_stats, POST /reset_model_cooldowns ---- */

static int
cooldowns_of(const struct hints_figures *figures, int count)
{
    int cooldowns = 0;

    for (int i = 0; i < count; i++)
        cooldowns += figures[i].cooldown_ms > 0;
    return cooldowns;
}

static struct evbuffer *
model_stats(const struct control_options *options, const struct hints_figures *figures)
{
    const struct model_list *models = options->models;
    struct evbuffer *body = xevbuffer();

    evbuffer_add_printf(body,
                        "{\"success\":true,\"version\":\"V2 (Per-Request Isolation)\","
                        "\"multi_model_enabled\":%s,\"stats\":{\"total_models\":%d,",
                        models->count > 1 ? "true" : "false", models->count);
    evbuffer_add_printf(body, "\"active_cooldowns\":%d,\"primary_share\":%.1f,\"models\":[",
                        cooldowns_of(figures, models->count),
                        primary_share(figures, models->count));
    for (int i = 0; i < models->count; i++) {
        evbuffer_add(body, ",", i > 0);
        model_put_json(&models->models[i], &figures[i], i + 1,
                       pacer_waiting(options->pacer, models->models[i].name), body);
    }
    evbuffer_add_printf(body, "]}}");
    return body;
}

static void
on_model_figures(struct request *request)
{
    if (request->figures == NULL)
        request_answer_failure(request);
    else
        request_answer_json(request, 200,
                            model_stats(&request->control->options, request->figures));
}

void
route_model_stats(struct control *control, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    request_ask_hints(request_new(control, exchange, sizeof(struct request), on_model_figures),
                      hints_read);
}

static struct evbuffer *
reset_message(void)
{
    struct evbuffer *body = xevbuffer();

    evbuffer_add_printf(body, "{\"success\":true,"
                              "\"message\":\"All model cooldowns have been reset\"}");
    return body;
}

static void
on_reset(struct request *request)
{
    if (request->failure.kind != ERROR_NONE)
        request_answer_failure(request);
    else
        request_answer_json(request, 200, reset_message());
}

void
route_reset(struct control *control, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    request_ask_hints(request_new(control, exchange, sizeof(struct request), on_reset),
                      hints_reset);
}

/* ---- GET /queue_stats ---- */

struct queue_request {
    struct request request; /* first: request_new makes the whole */
    struct queue_view views[CONFIG_QUEUES_MAX];
    int view_count; /* that are read */
};

static struct redis_call *
ask_queue(struct request *request, const char *queue, redis_reply_fn *fn, void *arg)
{
    return desk_stats(request->control->options.desk, queue, fn, arg);
}

static void
on_queue(struct request *request, int queue, const redisReply *reply)
{
    struct queue_request *stats = (struct queue_request *)request;

    stats->views[queue] = queue_view_read(reply);
    stats->view_count++;
}

static void
on_queues(struct request *request)
{
    const struct queue_request *stats = (const struct queue_request *)request;
    int models = request->control->options.models->count;
    struct evbuffer *body;

    /* Without the models' figures only the reason is less exact. */
    if (stats->view_count < request->queue_count) {
        request_answer_failure(request);
        return;
    }
    body = xevbuffer();
    evbuffer_add_printf(body, "{\"success\":true,\"queues\":[");
    for (int i = 0; i < request->queue_count; i++) {
        struct waiting waiting = waiting_explain(&stats->views[i], request->figures, models);

        evbuffer_add(body, ",", i > 0);
        queue_put_json(request->queues[i], &stats->views[i], waiting.why, waiting.left_ms, body);
    }
    evbuffer_add_printf(body, "]}");
    request_answer_json(request, 200, body);
}

void
route_queue_stats(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct request *request =
        request_new(control, exchange, sizeof(struct queue_request), on_queues);

    (void)rest;
    request_ask(request, ask_queue, on_queue);
    request_ask_hints(request, hints_read);
}

/* ---- GET /healthz, /readyz ---- */

void
route_healthz(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct evbuffer *body = xevbuffer();

    (void)control;
    (void)rest; /* that we answer is the answer: the loop turns */
    evbuffer_add_printf(body, "{\"status\":\"ok\"}");
    answer_json(exchange, 200, body);
}

void
route_readyz(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct evbuffer *body = xevbuffer();
    char why[256] = "";

    (void)rest;
    if (control->options.is_ready(why, sizeof(why), control->options.arg)) {
        evbuffer_add_printf(body, "{\"status\":\"ok\"}");
        answer_json(exchange, 200, body);
        return;
    }
    evbuffer_add_printf(body, "{\"status\":\"not ready\",");
    put_text_member(body, "reason", why);
    evbuffer_add(body, "}", 1);
    answer_json(exchange, 503, body);
}
