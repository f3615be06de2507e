#include "worker/control/request.h"

#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static void
on_client_gone(struct http_exchange *exchange, void *arg)
{
    (void)exchange;
    request_end(arg);
}

void *
request_new(struct control *control, struct http_exchange *exchange, size_t size,
            request_fn *complete)
{
    const struct config *config = control->options.config;
    struct request *request = xcalloc(1, size);

    request->control = control;
    request->exchange = exchange;
    request->complete = complete;
    request->queue_count = config->queue_count;
    for (int i = 0; i < config->queue_count; i++)
        request->queues[i] = config->queues[i].name;
    DL_APPEND(control->requests, request);
    http_on_gone(exchange, on_client_gone, request);
    return request;
}

int
request_choose_queue(struct request *request, const char *queue)
{
    struct config_queue parsed[CONFIG_QUEUES_MAX];
    int count = 0;

    if (strlen(queue) >= sizeof(request->own_queue) ||
        config_parse_queues(queue, parsed, &count, NULL) != 0 || count != 1 ||
        strcmp(parsed[0].name, queue) != 0)
        return -1;
    snprintf(request->own_queue, sizeof(request->own_queue), "%s", queue);
    request->queues[0] = request->own_queue;
    request->queue_count = 1;
    return 0;
}

void
request_end(struct request *request)
{
    for (int i = 0; i < request->queue_count; i++)
        redis_cancel(request->calls[i].call);
    if (request->release != NULL)
        request->release(request);
    DL_DELETE(request->control->requests, request);
    hints_query_cancel(request->query);
    free(request->figures);
    free(request);
}

static void
note_failure(struct request *request, const struct error *error)
{
    if (error != NULL && request->failure.kind == ERROR_NONE)
        request->failure = *error;
}

static void
complete_when_answered(struct request *request)
{
    if (request->open_calls == 0 && request->query == NULL)
        request->complete(request);
}

static void
on_redis_reply(const redisReply *reply, const struct error *error, void *arg)
{
    struct request_call *call = arg;
    struct request *request = call->request;

    call->call = NULL;
    request->open_calls--;
    note_failure(request, error);
    if (reply != NULL)
        request->on_reply(request, call->queue, reply);
    complete_when_answered(request);
}

void
request_ask(struct request *request, request_ask_fn *ask, request_reply_fn *on_reply)
{
    request->failure = (struct error){0};
    request->on_reply = on_reply;
    for (int i = 0; i < request->queue_count; i++) {
        struct request_call *call = &request->calls[i];

        call->request = request;
        call->queue = i;
        call->call = ask(request, request->queues[i], on_redis_reply, call);
        request->open_calls++;
    }
}

static void
on_figures(const struct hints_figures *figures, int count, const struct error *error, void *arg)
{
    struct request *request = arg;

    request->query = NULL;
    note_failure(request, error);
    if (figures != NULL && count > 0) {
        request->figures = xcalloc((size_t)count, sizeof(*figures));
        memcpy(request->figures, figures, (size_t)count * sizeof(*figures));
    }
    complete_when_answered(request);
}

void
request_ask_hints(struct request *request, request_hints_fn *ask)
{
    request->query = ask(request->control->options.hints, on_figures, request);
}

struct http_exchange *
request_take_exchange(struct request *request)
{
    struct http_exchange *exchange = request->exchange;

    http_on_gone(exchange, NULL, NULL);
    request_end(request);
    return exchange;
}

void
request_answer_json(struct request *request, int status, struct evbuffer *body)
{
    answer_json(request_take_exchange(request), status, body);
}

void
request_answer_error(struct request *request, int status, const char *kind, const char *message)
{
    answer_error(request_take_exchange(request), status, kind, message);
}

void
request_answer_failure(struct request *request)
{
    char message[sizeof(request->failure.message) + 32];

    snprintf(message, sizeof(message), "Redis can't answer now: %s", request->failure.message);
    request_answer_error(request, 503, "unavailable", message);
}
