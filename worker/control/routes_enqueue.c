/*
 * routes_enqueue.c - POST /analyze_section, /chat and /enqueue: push a job, and wait for it when
 * asked.
 */
#include "common/clock.h"
#include "common/memory.h"
#include "worker/control/request.h"
#include "worker/job/stamp.h"
#include "worker/queue/desk_view.h"
#include "worker/queue/keys.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_SECONDS 60.0
#define WAITS_MAX        1000
/* A call to a model takes seconds: who waits for one asks soon at first, then less often. */
#define POLL_FIRST_MS 50
#define POLL_LAST_MS  250

struct enqueue {
    struct request request; /* first: request_new makes the whole */
    struct job job;
    int64_t wait_ms;     /* 0: nobody waits */
    int64_t deadline_ms; /* monotonic; of the wait */
    int64_t poll_ms;
    struct event *timer;     /* NULL: not waiting yet */
    struct evbuffer *answer; /* the job is final; NULL: not yet */
};

static struct enqueue *
enqueue_of(struct request *request)
{
    return (struct enqueue *)request;
}

static void
enqueue_release(struct request *request)
{
    struct enqueue *e = enqueue_of(request);

    if (e->wait_ms > 0)
        request->control->wait_count--;
    if (e->timer != NULL)
        event_free(e->timer);
    if (e->answer != NULL)
        evbuffer_free(e->answer);
    job_release(&e->job);
}

static void
answer_accepted(struct enqueue *e)
{
    struct evbuffer *body = xevbuffer();

    evbuffer_add_printf(body, "{\"success\":true,");
    put_text_member(body, "task_id", e->job.id);
    evbuffer_add_printf(body, ",\"status\":\"processing\",\"async\":true}");
    request_answer_json(&e->request, 202, body);
}

/* ---- waiting for the end ---- */

static struct redis_call *
ask_status(struct request *request, const char *queue, redis_reply_fn *fn, void *arg)
{
    return desk_status(request->control->options.desk, queue, enqueue_of(request)->job.id, fn, arg);
}

static void
on_status(struct request *request, int queue, const redisReply *reply)
{
    struct enqueue *e = enqueue_of(request);
    struct job_view view = job_view_read(reply);
    bool is_success = view.state == STATE_SUCCEEDED;

    (void)queue;
    if (view.standing != STANDING_FINAL)
        return;
    e->answer = xevbuffer();
    evbuffer_add_printf(e->answer, "{\"success\":%s,", is_success ? "true" : "false");
    put_text_member(e->answer, "task_id", e->job.id);
    evbuffer_add_printf(e->answer, ",\"status\":\"%s\",\"async\":false,",
                        is_success ? "completed" : "failed");
    put_slice_member(e->answer, "result", json_get(view.root, "result"));
    evbuffer_add(e->answer, ",", 1);
    put_slice_member(e->answer, "error", json_get(view.root, "error"));
    evbuffer_add(e->answer, "}", 1);
}

static void
sleep_a_while(struct enqueue *e)
{
    int64_t left_ms = e->deadline_ms - clock_mono_ms();
    struct timeval pause;

    if (left_ms <= 0) {
        answer_accepted(e);
        return;
    }
    pause = clock_timeval(e->poll_ms < left_ms ? e->poll_ms : left_ms);
    e->poll_ms = e->poll_ms * 3 / 2 < POLL_LAST_MS ? e->poll_ms * 3 / 2 : POLL_LAST_MS;
    event_add(e->timer, &pause);
}

/* A failed question is asked again: the job is safe, and the wait has its end. */
static void
on_asked(struct request *request)
{
    struct enqueue *e = enqueue_of(request);
    struct evbuffer *answer = e->answer;

    e->answer = NULL;
    if (answer != NULL)
        request_answer_json(request, 200, answer);
    else
        sleep_a_while(e);
}

static void
on_poll(evutil_socket_t fd, short what, void *arg)
{
    struct request *request = arg;

    (void)fd;
    (void)what;
    request->complete = on_asked;
    request_ask(request, ask_status, on_status);
}

static void
begin_wait(struct enqueue *e)
{
    e->timer = evtimer_new(e->request.control->options.base, on_poll, &e->request);
    e->deadline_ms = clock_mono_ms() + e->wait_ms;
    e->poll_ms = POLL_FIRST_MS;
    sleep_a_while(e);
}

/* ---- pushing ---- */

static struct redis_call *
ask_push(struct request *request, const char *queue, redis_reply_fn *fn, void *arg)
{
    const struct job *job = &enqueue_of(request)->job;

    return desk_push(request->control->options.desk, queue, job->payload, job->payload_len, fn,
                     arg);
}

static void
on_pushed(struct request *request, int queue, const redisReply *reply)
{
    (void)request;
    (void)queue;
    (void)reply; /* the new length of the list */
}

static void
on_push_over(struct request *request)
{
    struct enqueue *e = enqueue_of(request);

    if (request->failure.kind != ERROR_NONE)
        request_answer_failure(request);
    else if (e->wait_ms > 0)
        begin_wait(e);
    else
        answer_accepted(e);
}

/* ---- what was asked for ---- */

/* ?wait=SECONDS in milliseconds, 0 when nobody waits, -1 when it is no such number. */
static int64_t
wait_of(struct http_exchange *exchange)
{
    const char *text = http_query(exchange, "wait");
    double seconds;

    if (text == NULL)
        return 0;
    if (*text == '\0' || text[strspn(text, "0123456789.")] != '\0')
        return -1;
    seconds = strtod(text, NULL);
    return seconds >= 0.001 && seconds <= WAIT_MAX_SECONDS ? (int64_t)(seconds * 1000) : -1;
}

static int
read_job(struct enqueue *e, const char *type, struct error *err)
{
    const struct control_options *options = &e->request.control->options;
    const struct config *config = options->config;
    const struct job_limits limits = {
        .max_bytes = (size_t)config->max_job_bytes,
        .types = options->types == NULL ? NULL : options->types(options->arg)};
    const struct stamp stamp = {.type = type, .track_started = true, .now_ms = clock_wall_ms()};
    size_t len = 0;
    const char *body = http_body(e->request.exchange, &len);

    if (stamp_job(body, len, &stamp, &limits, &e->job, err) != 0)
        return -1;
    if (e->job.reply_to != NULL && queue_key_is_ours(config->prefix, e->job.reply_to))
        return error_set(err, ERROR_INPUT, "reply_to must not begin with \"%s:\"", config->prefix);
    if (type != NULL && strcmp(e->job.type->name, type) != 0)
        return error_set(err, ERROR_INPUT, "type is \"%s\", this route takes \"%s\" only",
                         e->job.type->name, type);
    return 0;
}

/* `queue` in the body, else the first configured one. */
static int
choose_queue(struct enqueue *e, struct error *err)
{
    struct json_slice value = json_get(e->job.root, "queue");
    const char *first = e->request.queues[0];
    char *named = value.type == JSON_ABSENT ? xstrdup(first) : json_string(value, NULL);
    int rc = named == NULL ? -1 : request_choose_queue(&e->request, named);

    free(named);
    return rc == 0 ? 0 : error_set(err, ERROR_INPUT, "queue is no name of a queue");
}

static void
enqueue(struct control *control, struct http_exchange *exchange, const char *type)
{
    int64_t wait_ms = wait_of(exchange);
    size_t body_len = 0;
    struct enqueue *e;
    struct error err;

    if (control->options.config->use_celery) {
        answer_error(exchange, 409, "celery",
                     "the queues are Celery's (USE_CELERY): send tasks with Celery's client");
        return;
    }
    if (wait_ms < 0) {
        answer_error(exchange, 400, "bad_request", "wait must be seconds, above 0 and up to 60");
        return;
    }
    if (http_body(exchange, &body_len) != NULL &&
        body_len > (size_t)control->options.config->max_job_bytes) {
        answer_error(exchange, 413, "too_large", "the job is larger than HEADGATE_MAX_JOB_BYTES");
        return;
    }
    if (wait_ms > 0 && control->wait_count >= WAITS_MAX) {
        answer_error(exchange, 429, "too_many_requests",
                     "too many requests wait for their job; push without wait");
        return;
    }
    e = request_new(control, exchange, sizeof(*e), on_push_over);
    e->request.release = enqueue_release;
    e->wait_ms = wait_ms;
    control->wait_count += wait_ms > 0;
    if (read_job(e, type, &err) != 0 || choose_queue(e, &err) != 0)
        request_answer_error(&e->request, 400, "bad_job", err.message);
    else
        request_ask(&e->request, ask_push, on_pushed);
}

void
route_analyze(struct control *control, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    enqueue(control, exchange, "analyze");
}

void
route_chat(struct control *control, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    enqueue(control, exchange, "chat");
}

void
route_enqueue(struct control *control, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    enqueue(control, exchange, NULL);
}
