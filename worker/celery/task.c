#include "worker/celery/task.h"

#include "common/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUILTIN_MODULE "celery_tasks_enhanced."
#define PARAMETERS_MAX 8
/* Beyond the arguments, what the job says of its own. */
#define JOB_SPARE_BYTES 4096
/* A job's timeout; a task's limit is no longer. */
#define TIMEOUT_LEAST_MS 1000
#define TIMEOUT_MOST_MS  3600000

/* A type's arguments in their order. */
struct signature {
    const char *type;
    const char *parameters[PARAMETERS_MAX]; /* ends with NULL */
};

static const struct signature signatures[] = {
    {"analyze", {"section_name", "content", "doc_type", "session_id", "user_id"}},
    {"chat", {"query", "context", "session_id", "user_id", "content"}},
};

/* Fields of a job that the message itself decides: an argument of such a name is not passed on. */
static const char *const reserved[] = {"id",      "type",        "run_at",   "expires_at",
                                       "timeout", "enqueued_at", "reply_to", "track_started"};

/* ---- names ---- */

static int
add_task(struct celery_tasks *tasks, const char *name, const char *type,
         const struct job_types *types, struct error *err)
{
    if (job_type_find(types, type) == NULL)
        return error_set(err, ERROR_CONFIG, "must name a job type behind each task: name=analyze");
    for (int i = 0; i < tasks->count; i++) {
        if (strcmp(tasks->tasks[i].name, name) != 0)
            continue;
        free(tasks->tasks[i].type);
        tasks->tasks[i].type = xstrdup(type);
        return 0;
    }
    if (tasks->count == CELERY_TASKS_MAX)
        return error_set(err, ERROR_CONFIG, "must be at most %d tasks", CELERY_TASKS_MAX - 2);
    tasks->tasks[tasks->count++] =
        (struct celery_task){.name = xstrdup(name), .type = xstrdup(type)};
    return 0;
}

/* "name=type", blanks around either. */
static int
add_pair(struct celery_tasks *tasks, char *pair, const struct job_types *types, struct error *err)
{
    char *name = pair + strspn(pair, " "), *cut = strchr(name, '='), *type;

    if (cut == NULL || cut == name)
        return error_set(err, ERROR_CONFIG, "must be a list of name=type");
    type = cut + 1 + strspn(cut + 1, " ");
    *cut = '\0';
    for (char *end = cut; end > name && end[-1] == ' ';)
        *--end = '\0';
    for (char *end = type + strlen(type); end > type && end[-1] == ' ';)
        *--end = '\0';
    return add_task(tasks, name, type, types, err);
}

int
celery_tasks_init(struct celery_tasks *tasks, const char *more, const struct job_types *types,
                  struct error *err)
{
    char *list = xstrdup(more == NULL ? "" : more), *rest = NULL;
    int result;

    *tasks = (struct celery_tasks){0};
    result = add_task(tasks, BUILTIN_MODULE "analyze_section_task", "analyze", types, err);
    if (result == 0)
        result = add_task(tasks, BUILTIN_MODULE "process_chat_task", "chat", types, err);
    for (char *pair = strtok_r(list, ",", &rest); pair != NULL && result == 0;
         pair = strtok_r(NULL, ",", &rest))
        result = add_pair(tasks, pair, types, err);
    free(list);
    if (result != 0)
        celery_tasks_release(tasks);
    return result;
}

void
celery_tasks_release(struct celery_tasks *tasks)
{
    for (int i = 0; i < tasks->count; i++) {
        free(tasks->tasks[i].name);
        free(tasks->tasks[i].type);
    }
    *tasks = (struct celery_tasks){0};
}

const struct celery_task *
celery_tasks_find(const struct celery_tasks *tasks, const char *name)
{
    for (int i = 0; i < tasks->count; i++)
        if (strcmp(tasks->tasks[i].name, name) == 0)
            return &tasks->tasks[i];
    return NULL;
}

/* ---- arguments ---- */

static struct signature
signature_of(const struct job_type *type)
{
    struct signature signature = {type->name, {NULL}};

    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
        if (strcmp(signatures[i].type, type->name) == 0)
            return signatures[i];
    for (int i = 0; i < PARAMETERS_MAX && type->required[i] != NULL; i++)
        signature.parameters[i] = type->required[i];
    return signature;
}

static int
count_parameters(const struct signature *signature)
{
    int count = 0;

    while (count < PARAMETERS_MAX && signature->parameters[count] != NULL)
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

/* Those that the type needs are parameters without a default. */
static int
check_required(struct celery_message *message, const struct job_type *type,
               const struct signature *signature, int given, struct error *err)
{
    for (int i = given; i < count_parameters(signature); i++) {
        const char *name = signature->parameters[i];
        char text[64];

        if (json_get(message->kwargs, name).type != JSON_ABSENT)
            continue;
        for (const char *const *needed = type->required; *needed != NULL; needed++) {
            if (strcmp(*needed, name) != 0)
                continue;
            snprintf(text, sizeof(text), "'%.60s'", name);
            return refuse_call(message, err, "missing 1 required positional argument: ", text);
        }
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
put_member(struct evbuffer *out, const char *name, size_t len, struct json_slice value)
{
    evbuffer_add(out, ",\"", 2);
    evbuffer_add(out, name, len);
    evbuffer_add(out, "\":", 2);
    json_put_slice(out, plain_value(value));
}

static void
put_arguments(const struct celery_message *message, const struct signature *signature,
              struct evbuffer *out)
{
    struct json_slice key, value;
    int position = 0;

    for (struct json_iter it = json_iter(message->args); json_next(&it, &key, &value); position++)
        put_member(out, signature->parameters[position], strlen(signature->parameters[position]),
                   value);
    for (struct json_iter it = json_iter(message->kwargs); json_next(&it, &key, &value);)
        if (!is_reserved(key))
            put_member(out, json_inner(key).text, json_inner(key).len, value);
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
    evbuffer_add_printf(out, ",\"type\":\"%s\"", type->name);
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
        signature = signature_of(type);
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
