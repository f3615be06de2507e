#include "tests/support/bedrock_bench.h"

#include "common/http/http_answer.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

void
bedrock_bench_open(struct bedrock_bench *bench)
{
    struct error err = {0};

    bench->bedrock = bedrock_new(golden_getenv, bench->env, &err);
    if (bench->bedrock == NULL)
        fail_msg("%s", err.message);
    bench->provider = bedrock_provider(bench->bedrock);
}

cJSON *
bedrock_bench_env(const char *region)
{
    cJSON *env = cJSON_CreateObject();

    if (region != NULL)
        cJSON_AddStringToObject(env, "AWS_REGION", region);
    return env;
}

void
bedrock_bench_add_keys(cJSON *env)
{
    cJSON_AddStringToObject(env, "AWS_ACCESS_KEY_ID", BENCH_ACCESS_KEY);
    cJSON_AddStringToObject(env, "AWS_SECRET_ACCESS_KEY", BENCH_SECRET_KEY);
}

struct bedrock_bench
bedrock_bench_with_keys(void)
{
    struct bedrock_bench bench = {.env = bedrock_bench_env("us-east-1")};

    bedrock_bench_add_keys(bench.env);
    bedrock_bench_open(&bench);
    return bench;
}

void
bedrock_bench_close(struct bedrock_bench *bench)
{
    bedrock_free(bench->bedrock);
    cJSON_Delete(bench->env);
}

const struct job_type bench_plain_type = {
    .name = "plain", .prompt = "{{content}}", .max_tokens = 77, .temperature = -1};
const struct job_type bench_warm_type = {.name = "warm",
                                         .system = "You are terse.",
                                         .prompt = "{{content}}",
                                         .max_tokens = 77,
                                         .temperature = 0.25};

struct job
bedrock_bench_job(const char *payload, const struct job_type *type)
{
    struct job_limits limits = {.max_bytes = 1 << 20};
    struct error err = {0};
    struct job job;

    if (job_init(&job, strdup(payload), strlen(payload), &limits, &err) < 0)
        fail_msg("%s", err.message);
    job.type = type;
    return job;
}

const char *
bedrock_bench_header(const struct provider_request *request, const char *prefix)
{
    for (int i = 0; request->http.headers[i] != NULL; i++)
        if (strncmp(request->http.headers[i], prefix, strlen(prefix)) == 0)
            return request->http.headers[i] + strlen(prefix);
    return NULL;
}

int64_t
bedrock_bench_date_ms(const char *text)
{
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y%m%dT%H%M%SZ", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

bool
bedrock_bench_read(struct bedrock_bench *bench, const struct bedrock_reply *reply, bool is_retry,
                   struct call *call, struct evbuffer *text)
{
    struct http_answer answer = {0};
    const char *line = reply->headers;
    struct http_response response = {
        .status = reply->status,
        .body = reply->body,
        .body_len = strlen(reply->body),
        .sent_wall_ms = reply->sent_ms,
        .received_wall_ms = reply->sent_ms + reply->took_ms,
    };
    bool again;

    for (size_t len; line != NULL && *line != '\0'; line += len + (line[len] == '\n')) {
        len = strcspn(line, "\n");
        assert_true(http_answer_add_header(&answer, line, len));
    }
    response.headers = &answer.headers;
    memset(call, 0, sizeof(*call));
    again = bench->provider.read(bench->bedrock, &response, NULL, is_retry, call, text);
    http_answer_release(&answer);
    return again;
}

struct call
bedrock_bench_call(int status, const char *headers, const char *body)
{
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct bedrock_reply reply = {.status = status, .headers = headers, .body = body};
    struct evbuffer *text = evbuffer_new();
    struct call call;

    bedrock_bench_read(&bench, &reply, false, &call, text);
    assert_int_equal(call.status, status);
    evbuffer_free(text);
    bedrock_bench_close(&bench);
    return call;
}
