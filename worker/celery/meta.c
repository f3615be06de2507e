#include "worker/celery/meta.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A failure's kind (docs/jobs.md) as Python's own. One-string classes only: Python calls the class
 * with what stands in exc_message. */
static const struct {
    const char *kind;
    struct celery_exception exception;
} exceptions[] = {
    {"bad_job", {"ValueError", "builtins"}},
    {"throttled", {"RuntimeError", "builtins"}},
    {"timeout", {"TimeoutError", "builtins"}},
    {"unavailable", {"ConnectionError", "builtins"}},
    {"auth", {"PermissionError", "builtins"}},
    {"rejected", {"ValueError", "builtins"}},
    {"bad_output", {"ValueError", "builtins"}},
    {"crashed", {"WorkerLostError", "billiard.exceptions"}},
    {"cancelled", {"TaskRevokedError", "celery.exceptions"}},
    {"expired", {"TaskRevokedError", "celery.exceptions"}},
};

/* ---- exceptions ---- */

static bool
is_limit(const struct celery_message *message, const struct result *result)
{
    return message->hard_ms + message->soft_ms > 0 && strcmp(result->error_kind, "timeout") == 0;
}

static bool
is_soft(const struct celery_message *message)
{
    return message->soft_ms > 0 && (message->hard_ms == 0 || message->soft_ms < message->hard_ms);
}

struct celery_exception
celery_exception_of(const struct celery_message *message, const struct result *result)
{
    struct celery_exception exception = {"RuntimeError", "builtins"};

    if (result->error_kind == NULL)
        return (struct celery_exception){0};
    if (message->problem.type != NULL && strcmp(result->error_kind, "bad_job") == 0)
        return message->problem;
    if (is_limit(message, result))
        return (struct celery_exception){is_soft(message) ? "SoftTimeLimitExceeded"
                                                          : "TimeLimitExceeded",
                                         "billiard.exceptions"};
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
        if (strcmp(exceptions[i].kind, result->error_kind) == 0)
            exception = exceptions[i].exception;
    return exception;
}

/* Celery's own words for a task that was not to run, ours for all else. */
static const char *
said(const struct result *result)
{
    if (result->state == STATE_EXPIRED)
        return "expired";
    if (result->state == STATE_CANCELLED)
        return result->started_at_ms > 0 ? "terminated" : "revoked";
    return result->error_message == NULL ? "" : result->error_message;
}

void
celery_meta_put_repr(const struct celery_message *message, const struct result *result,
                     struct evbuffer *out)
{
    celery_put(out, celery_exception_of(message, result).type);
    celery_put(out, "('");
    celery_put(out, said(result));
    celery_put(out, "')");
}

static void
put_exception(const struct celery_message *message, const struct result *result,
              struct evbuffer *out)
{
    struct celery_exception exception = celery_exception_of(message, result);

    evbuffer_add_printf(out, "{\"exc_type\":\"%s\",\"exc_message\":[", exception.type);
    if (is_limit(message, result)) {
        if (!is_soft(message))
            evbuffer_add_printf(out, "%.3f", (double)message->hard_ms / 1000.0);
    } else {
        celery_put_text(out, said(result));
    }
    evbuffer_add_printf(out, "],\"exc_module\":\"%s\"}", exception.module);
}

static bool
has_traceback(const struct result *result)
{
    return result->state == STATE_FAILED ||
           (result->state == STATE_RUNNING && result->error_kind != NULL);
}

/* What people look at in Flower: which calls there were. */
void
celery_meta_put_traceback(const struct celery_message *message, const struct result *result,
                          struct evbuffer *out)
{
    if (!has_traceback(result))
        return;
    evbuffer_add_printf(out, "Traceback (most recent call last):\n  headgate %s, execution %d\n",
                        result->worker, result->attempt);
    for (int i = 0; i < result->call_count; i++)
        evbuffer_add_printf(out, "  model %s: %s, status %d, %" PRId64 " ms\n",
                            result->calls[i].model, outcome_name(result->calls[i].outcome),
                            result->calls[i].status, result->calls[i].duration_ms);
    evbuffer_add_printf(out, "%s: %s\n", celery_exception_of(message, result).type, said(result));
}

/* The same as a JSON string, or null. */
void
celery_meta_put_traceback_json(const struct celery_message *message, const struct result *result,
                               struct evbuffer *out)
{
    struct evbuffer *text = xevbuffer();
    size_t len;

    celery_meta_put_traceback(message, result, text);
    len = evbuffer_get_length(text);
    if (len == 0)
        celery_put(out, "null");
    else
        json_put_string(out, (const char *)evbuffer_pullup(text, -1), len);
    evbuffer_free(text);
}

/* ---- values ---- */

static bool
looks_typed(struct json_slice object)
{
    struct json_slice key, value;
    int count = 0;

    for (struct json_iter it = json_iter(object); count < 3 && json_next(&it, &key, &value);)
        count++;
    return count == 2 && json_get(object, "__type__").type != JSON_ABSENT &&
           json_get(object, "__value__").type != JSON_ABSENT;
}

void
celery_meta_put_value(struct json_slice value, struct evbuffer *out)
{
    bool is_object = value.type == JSON_OBJECT, is_first = true;
    struct json_slice key, member;

    if (!is_object && value.type != JSON_ARRAY) {
        json_put_slice(out, value);
        return;
    }
    celery_put(out, is_object ? "{" : "[");
    for (struct json_iter it = json_iter(value); json_next(&it, &key, &member);) {
        celery_put(out, is_first ? "" : ",");
        is_first = false;
        if (is_object) {
            json_put_slice(out, key);
            celery_put(out, ":");
        }
        celery_meta_put_value(member, out); /* as deep as json_check lets it be */
    }
    if (is_object && looks_typed(value))
        celery_put(out, ",\"__escaped__\":true");
    celery_put(out, is_object ? "}" : "]");
}

/* Most values are passed on as they stand. */
static bool
may_look_typed(const char *text, size_t len)
{
    return memmem(text, len, "__type__", 8) != NULL || memmem(text, len, "\\u00", 4) != NULL;
}

static void
put_output(struct evbuffer *output, struct evbuffer *out)
{
    size_t len = output == NULL ? 0 : evbuffer_get_length(output);
    const char *text = len == 0 ? NULL : (const char *)evbuffer_pullup(output, -1);
    struct json_slice root;

    if (text == NULL) {
        celery_put(out, "null");
    } else if (may_look_typed(text, len) && json_check(text, len, &root, NULL) == 0) {
        celery_meta_put_value(root, out);
        evbuffer_drain(output, len);
    } else {
        evbuffer_add_buffer(out, output);
    }
}

/* {status, section, progress}: the form in which the tasks report how far they are. */
static void
put_progress(const struct result *result, struct evbuffer *out)
{
    const struct job *job = result->job;
    bool is_chat = job->type != NULL && job->type->output == JOB_OUTPUT_TEXT;
    struct json_slice section = json_get(job->root, "section_name");

    celery_put(out, is_chat ? "{\"status\":\"Processing query...\""
                            : "{\"status\":\"Analyzing section...\"");
    if (section.type == JSON_STRING) {
        celery_put(out, ",\"section\":");
        json_put_slice(out, section);
    }
    celery_put(out, ",\"progress\":10}");
}

void
celery_meta_put_value_of(const struct celery_message *message, const struct result *result,
                         struct evbuffer *out)
{
    if (result->error_kind != NULL)
        put_exception(message, result, out);
    else if (result->state == STATE_RUNNING)
        put_progress(result, out);
    else
        put_output(result->output, out);
}

/* ---- documents ---- */

static const char *
status_of(const struct result *result)
{
    switch (result->state) {
    case STATE_RUNNING: return result->error_kind == NULL ? "PROGRESS" : "RETRY";
    case STATE_SUCCEEDED: return "SUCCESS";
    case STATE_FAILED: return "FAILURE";
    case STATE_EXPIRED:
    case STATE_CANCELLED: return "REVOKED";
    }
    return "FAILURE";
}

static void
put_if_there(struct evbuffer *out, const char *name, struct json_slice value)
{
    if (value.type == JSON_ABSENT)
        return;
    evbuffer_add_printf(out, ",\"%s\":", name);
    json_put_slice(out, value);
}

void
celery_meta_print(const struct celery_message *message, const struct result *result,
                  const char *children, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{\"status\":\"%s\",\"result\":", status_of(result));
    celery_meta_put_value_of(message, result, out);
    celery_put(out, ",\"traceback\":");
    celery_meta_put_traceback_json(message, result, out);
    evbuffer_add_printf(out,
                        ",\"children\":%s,\"date_done\":", children[0] == '\0' ? "[]" : children);
    if (result->finished_at_ms == 0)
        celery_put(out, "null");
    else
        celery_put_date(result->finished_at_ms, out);
    put_if_there(out, "group_id", message->group);
    put_if_there(out, "parent_id", message->parent_id);
    celery_put(out, ",\"task_id\":");
    celery_put_text(out, message->id);
    celery_put(out, "}");
}
