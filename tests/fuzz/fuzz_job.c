/* job: a payload from a list, what the worker writes of it, and the doors for producers. */
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/job/prompt.h"
#include "worker/job/result.h"
#include "worker/job/stamp.h"

#define LIMIT 4096

static const struct job_limits limits = {.max_bytes = LIMIT};

static void
check_read(const struct job *job)
{
    MUST(job_id_is_valid(job->id, strlen(job->id)));
    MUST(job->payload_len <= LIMIT && job->model_count <= JOB_MODELS_MAX);
    MUST(job->run_at_ms >= 0 && job->run_at_ms <= INT64_C(253402300799999));
    MUST(job->expires_at_ms >= 0 && job->expires_at_ms <= INT64_C(253402300799999));
    MUST(job->timeout_ms >= 0 && job->timeout_ms <= 3600000);
    MUST(job->max_attempts >= 0 && job->max_attempts <= 100);
    MUST(job->min_confidence >= 0 && job->min_confidence <= 1);
    for (int i = 0; i < job->model_count; i++)
        MUST(strlen(job->models[i]) > 0 && strlen(job->models[i]) <= 2048);
}

static void
check_prompt(const struct job *job, struct evbuffer *out)
{
    evbuffer_add(out, "\"", 1);
    prompt_put_system(job, out);
    prompt_put_user(job, out);
    evbuffer_add(out, "\"", 1);
    must_be_json(out);
}

static void
check_documents(const struct job *job, const struct error *err, struct evbuffer *out)
{
    const struct call call = {.model = "m", .outcome = OUTCOME_TRANSIENT, .error = "x"};
    const struct result result = {
        .state = STATE_FAILED,
        .job = job,
        .queue = "q",
        .worker = "w",
        .calls = &call,
        .call_count = 1,
        .error_kind = "bad_job",
        .error_message = err->message,
    };
    const struct dead_letter letter = {
        .id = job->id,
        .queue = "q",
        .kind = "bad_job",
        .message = err->message,
        .worker = "w",
        .payload = job->payload,
        .payload_len = job->payload_len,
    };

    MUST(job->id[0] == '\0' || job_id_is_valid(job->id, strlen(job->id)));
    result_print(&result, out);
    must_be_json(out);
    dead_letter_print(&letter, out);
    must_be_json(out);
}

/* What a door lets pass, a worker takes. */
static void
check_stamp(const char *text, size_t size)
{
    const struct stamp stamp = {.type = "analyze", .track_started = true, .now_ms = 1};
    struct error err = {0};
    struct job job, again = {0};

    if (stamp_job(text, size, &stamp, &limits, &job, &err) == 0) {
        MUST(job.has_own_id);
        MUST(job_init(&again, input_copy(job.payload, job.payload_len), job.payload_len, &limits,
                      &err) == 0);
        MUST(strcmp(again.id, job.id) == 0);
    } else {
        MUST(err.kind == ERROR_INPUT && err.message[0] != '\0');
    }
    job_release(&again);
    job_release(&job);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct evbuffer *out = evbuffer_new();
    struct error err = {0};
    struct job job;

    if (job_init(&job, input_copy(data, size), size, &limits, &err) == 0) {
        check_read(&job);
        check_prompt(&job, out);
    } else {
        MUST(err.kind == ERROR_INPUT && err.message[0] != '\0');
        MUST(utf8_is_valid(err.message, strlen(err.message)));
    }
    check_documents(&job, &err, out);
    job_release(&job);
    check_stamp((const char *)data, size);
    evbuffer_free(out);
    return 0;
}
