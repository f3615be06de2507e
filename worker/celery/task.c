#include "worker/celery/task.h"

#include "common/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Beyond the arguments, what the job says of its own. */
#define JOB_SPARE_BYTES 4096
/* A job's timeout; a task's limit is no longer. */
#define TIMEOUT_LEAST_MS 1000
#define TIMEOUT_MOST_MS  3600000

/* A type's arguments in their order. */
struct signature {
    const char *type;
    const char *parameters[CELERY_PARAMETERS_MAX + 1]; /* ends with NULL */
};

static const struct signature signatures[] = {
    {"analyze", {"section_name", "content", "doc_type", "session_id", "user_id"}},
    {"chat", {"query", "context", "session_id", "user_id", "content"}},
};

static const char *const reserved[] = {"id",      "type",        "run_at",   "expires_at",
                                       "timeout", "enqueued_at", "reply_to", "track_started"};

bool
celery_task_decides(const char *field)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (strcmp(field, reserved[i]) == 0)
            return true;
    return false;
}

/* ---- arguments ---- */

static struct signature
signature_of(const struct celery_task *task, const struct job_type *type)
{
    struct signature signature = {type->name, {NULL}};
    bool has_own = task->parameters[0] != NULL;

    for (size_t i = 0; !has_own && i < sizeof(signatures) / sizeof(signatures[0]); i++)
        if (strcmp(signatures[i].type, type->name) == 0)
            return signatures[i];
    for (int i = 0; i < CELERY_PARAMETERS_MAX; i++)
        signature.parameters[i] = has_own ? task->parameters[i] : type->required[i];
    return signature;
}

static int
count_parameters(const struct signature *signature)
{
    int count = 0;

    while (signature->parameters[count] != NULL)
        count++;
    return count;
}

/* The last part of a dotted name, as Python's messages have it. */
static const char *
short_name(const char *task)
{
    const char *dot = strrchr(task, '.');

    return dot == NULL ? task : dot + 1;
}

static int
refuse_call(struct celery_message *message, struct error *err, const char *why, const char *what)
{
    return celery_refuse(message, "TypeError", "builtins", err, "%.100s() %s%s",
                         short_name(message->task), why, what);
}

static int
count_values(struct json_slice list)
{
    struct json_slice key, value;
    int count = 0;

    for (struct json_iter it = json_iter(list); json_next(&it, &key, &value);)
        count++;
    return count;
}

/* Is it one of the first `given` arguments? */
static bool
is_given(const struct signature *signature, int given, const char *name)
{
    for (int i = 0; i < given; i++)
        if (strcmp(signature->parameters[i], name) == 0)
            return true;
    return false;
}

/* Those that the type needs are parameters without a default. */
static int
check_required(struct celery_message *message, const struct job_type *type,
               const struct signature *signature, int given, struct error *err)
{
    char text[64];

    for (const char *const *needed = type->required; *needed != NULL; needed++) {
        if (is_given(signature, given, *needed) ||
            json_get(message->kwargs, *needed).type != JSON_ABSENT)
            continue;
        snprintf(text, sizeof(text), "'%.60s'", *needed);
        return refuse_call(message, err, "missing 1 required positional argument: ", text);
    }
    return 0;
}

static int
check_call(struct celery_message *message, const struct job_type *type,
           const struct signature *signature, struct error *err)
{
    int given = count_values(message->args), most = count_parameters(signature);
    char text[96];

    if (given > most) {
        snprintf(text, sizeof(text), "%d positional arguments but %d were given", most, given);
        return refuse_call(message, err, "takes ", text);
    }
    for (int i = 0; i < given; i++)
        if (json_get(message->kwargs, signature->parameters[i]).type != JSON_ABSENT)
            return refuse_call(message, err, "got multiple values for argument ",
                               signature->parameters[i]);
    return check_required(message, type, signature, given, err);
}

/* ---- the job ---- */

static bool
is_reserved(struct json_slice name)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (json_equals(name, reserved[i]))
            return true;
    return false;
}

/* {"__type__":"uuid","__value__":...}: what stands for it as text; the value itself otherwise. */
static struct json_slice
plain_value(struct json_slice value)
{
    struct json_slice inner = json_get(value, "__value__");

    if (json_get(value, "__type__").type != JSON_STRING || inner.type == JSON_ABSENT)
        return value;
    if (json_get(inner, "hex").type == JSON_STRING)
        return json_get(inner, "hex");
    return inner;
}

static void
put_value(struct evbuffer *out, struct json_slice value)
{
    evbuffer_add(out, ":", 1);
    json_put_slice(out, plain_value(value));
}

static void
put_arguments(const struct celery_message *message, const struct signature *signature,
              struct evbuffer *out)
{
    struct json_slice key, value;
    int position = 0;

    for (struct json_iter it = json_iter(message->args); json_next(&it, &key, &value);) {
        const char *name = signature->parameters[position++];

        evbuffer_add(out, ",", 1);
        json_put_string(out, name, strlen(name));
        put_value(out, value);
    }
    for (struct json_iter it = json_iter(message->kwargs); json_next(&it, &key, &value);) {
        if (is_reserved(key))
            continue;
        evbuffer_add(out, ",", 1);
        json_put_slice(out, key);
        put_value(out, value);
    }
}

static void
put_seconds(struct evbuffer *out, const char *name, int64_t ms)
{
    if (ms > 0)
        evbuffer_add_printf(out, ",\"%s\":%" PRId64 ".%03d", name, ms / 1000, (int)(ms % 1000));
}

static int64_t
timeout_ms(const struct celery_message *message)
{
    int64_t limit = message->soft_ms > 0 ? message->soft_ms : message->hard_ms;

    if (message->hard_ms > 0 && message->hard_ms < limit)
        limit = message->hard_ms;
    if (limit > 0 && limit < TIMEOUT_LEAST_MS)
        return TIMEOUT_LEAST_MS;
    return limit < TIMEOUT_MOST_MS ? limit : TIMEOUT_MOST_MS;
}

static void
put_job(const struct celery_message *message, const struct job_type *type,
        const struct signature *signature, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{\"id\":");
    json_put_string(out, message->id, strlen(message->id));
    evbuffer_add_printf(out, ",\"type\":");
    json_put_string(out, type->name, strlen(type->name));
    put_arguments(message, signature, out);
    put_seconds(out, "run_at", message->eta_ms);
    put_seconds(out, "expires_at", message->expires_ms);
    put_seconds(out, "timeout", timeout_ms(message));
    if (!message->ignore_result)
        evbuffer_add_printf(out, ",\"track_started\":true");
    evbuffer_add(out, "}", 1);
}

/* The bytes of a buffer, malloced; NULL: no memory. */
static char *
take_bytes(struct evbuffer *buffer, size_t *len)
{
    char *bytes;

    *len = evbuffer_get_length(buffer);
    bytes = malloc(*len + 1);
    if (bytes == NULL)
        return NULL;
    evbuffer_remove(buffer, bytes, *len);
    bytes[*len] = '\0';
    return bytes;
}

static int
read_job(struct celery_message *message, const struct job_type *type,
         const struct signature *signature, const struct job_limits *limits, struct job *job,
         struct error *err)
{
    struct job_limits widened = {.max_bytes = limits->max_bytes + JOB_SPARE_BYTES,
                                 .types = limits->types};
    struct evbuffer *text = xevbuffer();
    struct error why = {0};
    size_t len;
    char *bytes;

    put_job(message, type, signature, text);
    bytes = take_bytes(text, &len);
    evbuffer_free(text);
    if (bytes == NULL)
        return error_set(err, ERROR_INTERNAL, "no memory for a job of %zu bytes", len);
    if (job_init(job, bytes, len, &widened, &why) == 0)
        return 0;
    return refuse_call(message, err, "got a wrong argument: ", why.message);
}

int
celery_task_job(const struct celery_tasks *tasks, struct celery_message *message,
                const struct job_limits *limits, struct job *job, struct error *err)
{
    const struct celery_task *task = celery_tasks_find(tasks, message->task);
    const struct job_type *type = task == NULL ? NULL : job_type_find(limits->types, task->type);
    struct signature signature;
    int result;

    *job = (struct job){.types = job_types_hold(limits->types), .type = type};
    if (type == NULL) {
        result =
            celery_refuse(message, "NotRegistered", "celery.exceptions", err, "%s", message->task);
    } else {
        signature = signature_of(task, type);
        result = check_call(message, type, &signature, err);
        if (result == 0) {
            job_types_drop(job->types);
            result = read_job(message, type, &signature, limits, job, err);
        }
    }
    snprintf(job->id, sizeof(job->id), "%s", message->id);
    job->has_own_id = true;
    return result;
}
