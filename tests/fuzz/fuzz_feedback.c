/* feedback: what a model said becomes the result of a job. */
#include "tests/fuzz/fuzz.h"
#include "worker/job/answer.h"
#include "worker/job/feedback.h"

static void
check_items(struct json_slice root, double least)
{
    struct json_slice key, item, items = json_get(root, "feedback_items");
    int64_t count = -1, seen = 0;
    double confidence, before = 1;

    MUST(json_int(json_get(root, "feedback_count"), 0, 200, &count));
    for (struct json_iter it = json_iter(items); json_next(&it, &key, &item); seen++) {
        MUST(json_get(item, "id").type == JSON_STRING && json_get(item, "refs").type == JSON_ARRAY);
        MUST(json_double(json_get(item, "confidence"), &confidence));
        MUST(confidence <= before && confidence > least - 1e-5);
        before = confidence;
    }
    MUST(seen == count);
}

static void
read_answer(const char *type, const char *text, size_t size)
{
    const struct feedback_context context = {.model_used = "m", .duration_ms = 1};
    const struct job_limits limits = {.max_bytes = 4096};
    struct evbuffer *out = evbuffer_new();
    struct error err = {0};
    struct json_slice root;
    struct job job;

    MUST(job_init(&job, input_copy(type, strlen(type)), strlen(type), &limits, &err) == 0);
    if (feedback_print(&job, text, size, &context, out, &err) == 0) {
        MUST(json_check((char *)evbuffer_pullup(out, -1), evbuffer_get_length(out), &root, NULL) ==
             0);
        if (job.type->output == JOB_OUTPUT_FEEDBACK)
            check_items(root, job.min_confidence);
    } else {
        MUST(err.kind == ERROR_INPUT && evbuffer_get_length(out) == 0);
    }
    job_release(&job);
    evbuffer_free(out);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *text = input_copy(data, size);

    read_answer("{\"content\":\"x\",\"section_name\":\"s\"}", text, size);
    read_answer("{\"content\":\"x\",\"min_confidence\":0}", text, size);
    read_answer("{\"type\":\"chat\",\"query\":\"x\"}", text, size);
    free(text);
    return 0;
}
