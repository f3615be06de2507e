/* bedrock: an answer as a hostile server may send it: status, headers, body.
 * Input: a byte for the status, header lines, an empty line, the body. */
#include "common/http/http_answer.h"
#include "common/http/http_client.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/job/feedback.h"
#include "worker/job/result.h"
#include "worker/provider/bedrock.h"
#include "worker/provider/bedrock_answer.h"
#include "worker/provider/retry_after.h"

#define ACCESS_KEY "AKIDFUZZFUZZFUZZFUZZ"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYFUZZFUZZFUZ"
#define BODY_MAX   65536

static const char *
environment(const char *name, void *arg)
{
    (void)arg;
    if (strcmp(name, "AWS_ACCESS_KEY_ID") == 0)
        return ACCESS_KEY;
    if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0)
        return SECRET_KEY;
    return strcmp(name, "AWS_REGION") == 0 ? "us-east-1" : NULL;
}

static bool
read_head(struct http_answer *answer, struct input *input)
{
    bool goes_on = true;

    while (goes_on && input->len > 0 && !answer->has_head) {
        char *line = input_text(input, '\n');
        size_t len = strlen(line);

        line[len] = '\n'; /* in place of its end: libcurl does not end a line with NUL */
        goes_on = http_answer_add_header(answer, line, len + 1);
        free(line);
    }
    MUST(answer->headers.count <= HTTP_ANSWER_HEADERS_MAX);
    MUST(answer->headers.len <= HTTP_ANSWER_HEADERS_BYTES);
    return goes_on && http_answer_add_body(answer, input->at, input->len);
}

static void
check_call(const struct call *call, struct evbuffer *text)
{
    struct evbuffer *out = evbuffer_new();
    struct job job = {.id = "x"};
    const struct result result = {.job = &job,
                                  .queue = "q",
                                  .worker = "w",
                                  .calls = call,
                                  .call_count = 1,
                                  .input_price = 1,
                                  .output_price = 1};
    const struct job_limits limits = {.max_bytes = 4096};
    const struct feedback_context context = {.model_used = "m",
                                             .input_tokens = call->input_tokens,
                                             .output_tokens = call->output_tokens};
    struct job chat;

    MUST(call->retry_after_ms >= 0 && call->retry_after_ms <= RETRY_AFTER_MAX_MS);
    MUST(call->outcome == OUTCOME_OK || call->error[0] != '\0');
    MUST(call->outcome == OUTCOME_OK || call->message[0] != '\0');
    MUST(call->input_tokens >= 0 && call->output_tokens >= 0);
    MUST(utf8_is_valid(call->message, strlen(call->message)));
    MUST(utf8_is_valid(call->error, strlen(call->error)));
    MUST(strstr(call->message, SECRET_KEY) == NULL && strstr(call->message, ACCESS_KEY) == NULL);
    MUST(strstr(call->error, SECRET_KEY) == NULL && strstr(call->request_id, SECRET_KEY) == NULL);
    result_print(&result, out);
    must_be_json(out);
    MUST(job_init(&chat, strdup("{\"type\":\"chat\",\"query\":\"x\"}"), 27, &limits, NULL) == 0);
    if (feedback_print(&chat, (char *)evbuffer_pullup(text, -1), evbuffer_get_length(text),
                       &context, out, NULL) == 0)
        must_be_json(out);
    job_release(&chat);
    evbuffer_free(out);
}

/* Whatever an answer said of the time, the next request can be signed. */
static void
check_next_request(const struct provider *provider)
{
    struct provider_request request;
    const struct job_limits limits = {.max_bytes = 4096};
    struct error err = {0};
    struct job job;

    MUST(job_init(&job, strdup("{\"type\":\"chat\",\"query\":\"x\"}"), 27, &limits, NULL) == 0);
    MUST(provider->build(provider->self, &(struct model){.id = "m"}, &job, &request, &err) == 0);
    provider_request_release(&request);
    job_release(&job);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const int statuses[] = {200, 400, 403, 404, 408, 424, 429, 500, 503, 302, 401, 100};
    struct input input = {(const char *)data, size};
    unsigned chosen = input_byte(&input);
    struct http_answer answer = {.max_body_bytes = BODY_MAX};
    struct http_response response = {.status = statuses[chosen % 12],
                                     .headers = &answer.headers,
                                     .sent_wall_ms = INT64_C(1768478400000),
                                     .received_wall_ms = INT64_C(1768478401000)};
    struct evbuffer *text = evbuffer_new();
    struct error err = {0};
    struct call call = {.model = "m"};
    struct bedrock *bedrock = bedrock_new(environment, NULL, &err);
    struct provider provider = bedrock_provider(bedrock);

    MUST(bedrock != NULL);
    if (read_head(&answer, &input)) {
        response.body = answer.body != NULL ? answer.body : "";
        response.body_len = answer.body_len;
        provider.read(provider.self, &response, NULL, true, &call, text);
        check_call(&call, text);
        check_next_request(&provider);
    } else {
        MUST(answer.failure == ERROR_TOO_LARGE);
    }
    http_answer_release(&answer);
    bedrock_free(bedrock);
    evbuffer_free(text);
    return 0;
}
