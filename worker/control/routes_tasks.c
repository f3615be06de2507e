/*
 * routes_tasks.c - GET /task_status/<id> and POST /cancel_task/<id>, in Celery's words.
 */
#include "common/memory.h"
#include "worker/control/request.h"
#include "worker/job/job.h"
#include "worker/queue/desk_view.h"

#include <stdio.h>
#include <string.h>

/* How a job's standing is called here. */
struct task_face {
    const char *state;
    const char *status; /* for people */
    int progress;       /* percent */
    bool is_ready;
};

static const struct task_face unfinished[] = {
    [STANDING_WAITING] = {"PENDING", "waiting in the queue, or not known", 0, false},
    [STANDING_CANCELLED] = {"REVOKED", "cancelled before it started", 100, true},
    [STANDING_DELAYED] = {"PENDING", "waiting for its date or its next attempt", 0, false},
    [STANDING_RUNNING] = {"PROGRESS", "a worker is on it", 50, false},
};

static const struct task_face finished[] = {
    [STATE_SUCCEEDED] = {"SUCCESS", "done", 100, true},
    [STATE_FAILED] = {"FAILURE", "failed", 100, true},
    [STATE_EXPIRED] = {"FAILURE", "expired before it could start", 100, true},
    [STATE_CANCELLED] = {"REVOKED", "cancelled", 100, true},
};

static const struct task_face *
face_of(const struct job_view *view)
{
    return view->standing == STANDING_FINAL ? &finished[view->state] : &unfinished[view->standing];
}

struct task {
    struct request request; /* first: request_new makes the whole */
    char id[JOB_ID_MAX + 1];
    enum standing standing; /* the most telling one of all queues */
    int queue;              /* where that is */
    const struct task_face *face;
    struct evbuffer *answer; /* for that standing; NULL: none heard */
};

static struct task *
task_of(struct request *request)
{
    return (struct task *)request;
}

static void
task_release(struct request *request)
{
    struct task *task = task_of(request);

    if (task->answer != NULL)
        evbuffer_free(task->answer);
}

static struct evbuffer *
take_answer(struct task *task)
{
    struct evbuffer *answer = task->answer;

    task->answer = NULL;
    return answer;
}

static struct redis_call *
ask_status(struct request *request, const char *queue, redis_reply_fn *fn, void *arg)
{
    return desk_status(request->control->options.desk, queue, task_of(request)->id, fn, arg);
}

/* Starts the request of a task: its id and its queue are checked. NULL: refused. */
static struct task *
task_new(struct control *control, struct http_exchange *exchange, const char *id,
         request_fn *complete)
{
    const char *queue = http_query(exchange, "queue");
    struct task *task;

    if (id[0] == '\0') {
        answer_error(exchange, 404, "not_found", "the id of a job is missing behind the last '/'");
        return NULL;
    }
    if (!job_id_is_valid(id, strlen(id))) {
        answer_error(exchange, 400, "bad_request", "this is no id of a job");
        return NULL;
    }
    task = request_new(control, exchange, sizeof(*task), complete);
    task->request.release = task_release;
    snprintf(task->id, sizeof(task->id), "%s", id);
    if (queue != NULL && request_choose_queue(&task->request, queue) != 0) {
        request_answer_error(&task->request, 400, "bad_request", "queue is no name of a queue");
        return NULL;
    }
    return task;
}

/* ---- GET /task_status/<id> ---- */

static void
put_status(const struct task *task, const struct job_view *view, struct evbuffer *out)
{
    const struct task_face *face = task->face;
    bool is_success = view->standing == STANDING_FINAL && view->state == STATE_SUCCEEDED;
    struct json_slice final =
        view->standing == STANDING_FINAL ? view->root : (struct json_slice){0};

    evbuffer_add(out, "{", 1);
    put_text_member(out, "task_id", task->id);
    evbuffer_add_printf(out, ",\"state\":\"%s\",\"status\":\"%s\",\"progress\":%d", face->state,
                        face->status, face->progress);
    evbuffer_add_printf(out, ",\"ready\":%s,\"successful\":%s,", face->is_ready ? "true" : "false",
                        is_success ? "true" : "false");
    put_slice_member(out, "result", json_get(final, "result"));
    evbuffer_add(out, ",", 1);
    put_slice_member(out, "error", json_get(final, "error"));
    evbuffer_add(out, "}", 1);
}

static void
on_status(struct request *request, int queue, const redisReply *reply)
{
    struct task *task = task_of(request);
    struct job_view view = job_view_read(reply);

    if (task->answer != NULL && view.standing <= task->standing)
        return;
    if (task->answer != NULL)
        evbuffer_free(task->answer);
    task->standing = view.standing;
    task->queue = queue;
    task->face = face_of(&view);
    task->answer = xevbuffer();
    put_status(task, &view, task->answer);
}

/* A queue that did not answer may be the one that knows the job. */
static bool
is_known(const struct task *task)
{
    return task->answer != NULL && task->standing != STANDING_WAITING;
}

static void
on_status_known(struct request *request)
{
    struct task *task = task_of(request);

    if (request->failure.kind != ERROR_NONE && !is_known(task))
        request_answer_failure(request);
    else
        request_answer_json(request, 200, take_answer(task));
}

void
route_task_status(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct task *task = task_new(control, exchange, rest, on_status_known);

    if (task != NULL)
        request_ask(&task->request, ask_status, on_status);
}

/* ---- POST /cancel_task/<id> ---- */

static struct redis_call *
ask_cancel(struct request *request, const char *queue, redis_reply_fn *fn, void *arg)
{
    return desk_cancel(request->control->options.desk, queue, task_of(request)->id, fn, arg);
}

static void
on_cancel(struct request *request, int queue, const redisReply *reply)
{
    struct task *task = task_of(request);
    const redisReply *document = redis_at(reply, 1);
    struct job_view view;

    (void)queue;
    if (strcmp(redis_str(redis_at(reply, 0), ""), "final") != 0 || document == NULL ||
        document->type != REDIS_REPLY_STRING)
        return;
    view = job_view_of(document->str, document->len);
    task->standing = STANDING_FINAL;
    task->face = face_of(&view);
}

static void
on_cancel_over(struct request *request)
{
    struct task *task = task_of(request);
    bool is_final = task->standing == STANDING_FINAL;
    struct evbuffer *body;

    if (request->failure.kind != ERROR_NONE) {
        request_answer_failure(request);
        return;
    }
    body = xevbuffer();
    evbuffer_add_printf(body, "{\"success\":%s,", is_final ? "false" : "true");
    put_text_member(body, "task_id", task->id);
    evbuffer_add_printf(body, ",\"state\":\"%s\"}", is_final ? task->face->state : "REVOKED");
    request_answer_json(request, 200, body);
}

/* The queue that knows the job is told; when none does, it waits in one of the lists, and all
 * are told. */
static void
on_found(struct request *request)
{
    struct task *task = task_of(request);

    if (request->failure.kind != ERROR_NONE && !is_known(task)) {
        request_answer_failure(request);
        return;
    }
    if (is_known(task)) {
        request->queues[0] = request->queues[task->queue];
        request->queue_count = 1;
    }
    task->standing = STANDING_WAITING; /* what the cancel finds counts, not what we saw before */
    request->complete = on_cancel_over;
    request_ask(request, ask_cancel, on_cancel);
}

void
route_cancel(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct task *task = task_new(control, exchange, rest, on_found);

    if (task != NULL)
        request_ask(&task->request, ask_status, on_status);
}
