/* celery: a list element, the job that is made of it, and the documents of its end. */
#include "tests/fuzz/fuzz.h"
#include "worker/celery/canvas.h"
#include "worker/celery/meta.h"
#include "worker/celery/task.h"

#define LIMIT 4096

static void
check_documents(const struct celery_message *message, const struct job *job, struct error *err)
{
    struct evbuffer *out = evbuffer_new();
    struct result result = {.state = STATE_RUNNING, .job = job, .queue = "q", .worker = "w"};

    celery_meta_print(message, &result, "", out);
    must_be_json(out);
    result.state = STATE_FAILED;
    result.error_kind = "bad_job";
    result.error_message = err->message;
    celery_meta_print(message, &result, "", out);
    must_be_json(out);
    evbuffer_free(out);
}

static void
check_canvas(struct canvas *canvas)
{
    size_t len = evbuffer_get_length(canvas->children);

    if (evbuffer_get_length(canvas->deeds) > 0)
        must_be_json(canvas->deeds);
    /* Its last byte is the NUL behind it. */
    MUST(json_check((const char *)evbuffer_pullup(canvas->children, -1), len - 1,
                    &(struct json_slice){0}, NULL) == 0);
    canvas_release(canvas);
}

static void
check_follow(const struct celery_message *message)
{
    static const struct canvas_context context = {
        .keyprefix = "p", .queue = "q", .worker = "w", .now_ms = 1};
    struct canvas canvas;

    canvas_succeed(&canvas, &context, message, "{\"a\":1}", 7);
    check_canvas(&canvas);
    canvas_fail(&canvas, &context, message, false, "{\"exc_type\":\"E\"}", "null");
    check_canvas(&canvas);
}

static void
check_value(const char *data, size_t size)
{
    struct evbuffer *out = evbuffer_new();
    struct json_slice root;

    if (json_check(data, size, &root, NULL) == 0) {
        celery_meta_put_value(root, out);
        must_be_json(out);
    }
    evbuffer_free(out);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct job_limits limits = {.max_bytes = LIMIT};
    struct celery_tasks tasks;
    struct celery_message message;
    struct error err = {0};
    struct job job = {0};

    MUST(celery_tasks_init(&tasks, NULL, "t=chat", NULL, &err) == 0);
    if (celery_message_init(&message, input_copy(data, size), size, LIMIT, &err) == 0 &&
        celery_task_job(&tasks, &message, &limits, &job, &err) == 0)
        MUST(strcmp(job.id, message.id) == 0);
    else
        MUST(message.problem.type != NULL && err.message[0] != '\0');
    celery_message_forget(&message);
    check_follow(&message);
    check_documents(&message, &job, &err);
    check_value((const char *)data, size);
    job_release(&job);
    celery_message_release(&message);
    celery_tasks_release(&tasks);
    return 0;
}
