#include "worker/job/job.h"

#include "worker/job/job_fields.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TYPE "analyze"

/* A body beyond the limit is refused, yet read for its id up to this many times the limit:
 * whoever waits for its result should hear of it. */
#define OVERSIZE_READ_FACTOR 4

static bool
is_blank(struct json_slice string)
{
    struct json_slice inner = json_inner(string);

    for (size_t i = 0; i < inner.len; i++) {
        if (inner.text[i] == '\\' && strchr("nrtf", inner.text[i + 1]) != NULL)
            i++;
        else if (inner.text[i] != ' ')
            return false;
    }
    return true;
}

static int
check_required(const struct job *job, struct error *err)
{
    for (const char *const *name = job->type->required; *name != NULL; name++) {
        struct json_slice value = json_get(job->root, *name);

        if (value.type == JSON_ABSENT || value.type == JSON_NULL)
            return error_set(err, ERROR_INPUT, "%s is missing: a job of type %s needs it", *name,
                             job->type->name);
        if (value.type == JSON_STRING && is_blank(value))
            return error_set(err, ERROR_INPUT, "%s is blank: a job of type %s needs it", *name,
                             job->type->name);
    }
    return 0;
}

static void
choose_tenant(struct job *job)
{
    const struct json_slice *named[] = {&job->tenant, &job->user_id, &job->session_id};
    struct json_slice tenant = {0};

    for (size_t i = 0; i < 3 && tenant.len == 0; i++)
        if (json_inner(*named[i]).len > 0)
            tenant = *named[i];
    job->tenant = tenant;
}

/* A prompt that repeats a field makes a request of so many times the job. */
static int
check_prompt_size(const struct job *job, size_t most, struct error *err)
{
    size_t copies = (size_t)job_type_copies(job->type);

    if (copies == 1 || job->payload_len <= most / copies)
        return 0;
    return error_set(
        err, ERROR_INPUT,
        "the job has %zu bytes: of type %s, whose prompts repeat a field %zu times, at "
        "most %zu are taken",
        job->payload_len, job->type->name, copies, most / copies);
}

static int
check_size(size_t len, size_t most, struct error *err)
{
    if (len <= most)
        return 0;
    return error_set(err, ERROR_INPUT, "the job has %zu bytes: at most %zu are taken", len, most);
}

static int
read_payload(struct job *job, const struct job_limits *limits, struct error *err)
{
    int result = check_size(job->payload_len, limits->max_bytes, err);

    if (result != 0 && job->payload_len / OVERSIZE_READ_FACTOR > limits->max_bytes)
        return -1;
    if (json_check(job->payload, job->payload_len, &job->root, result == 0 ? err : NULL) != 0)
        return -1;
    if (job->root.type != JSON_OBJECT)
        return error_set(result == 0 ? err : NULL, ERROR_INPUT, "a job must be a JSON object");
    job->type = job_type_find(job->types, DEFAULT_TYPE);
    if (job_read_fields(job, result == 0 ? err : NULL) != 0)
        result = -1;
    if (result == 0)
        result = check_prompt_size(job, limits->max_bytes, err);
    return result == 0 ? check_required(job, err) : -1;
}

int
job_init(struct job *job, char *payload, size_t len, const struct job_limits *limits,
         struct error *err)
{
    *job = (struct job){.payload = payload,
                        .payload_len = len,
                        .types = job_types_hold(limits->types),
                        .min_confidence = -1};
    if (read_payload(job, limits, err) != 0)
        return -1;
    choose_tenant(job);
    if (job->min_confidence < 0)
        job->min_confidence = job->type->min_confidence;
    if (!job->has_own_id)
        job_new_id(job->id);
    return 0;
}

void
job_forget_payload(struct job *job)
{
    static const struct json_slice absent;

    free(job->payload);
    job->payload = NULL;
    job->payload_len = 0;
    job->root = job->tenant = job->user_id = job->session_id = absent;
    job->metadata = job->traceparent = absent;
    job->max_tokens = job->temperature = job->top_p = job->stop_sequences = absent;
}

void
job_release(struct job *job)
{
    for (int i = 0; i < job->model_count; i++)
        free(job->models[i]);
    free(job->reply_to);
    free(job->payload);
    job_types_drop(job->types);
    *job = (struct job){0};
}
