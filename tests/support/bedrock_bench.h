/*
 * bedrock_bench.h - a Bedrock provider with an environment of its own, its requests and answers.
 */
#ifndef TESTS_SUPPORT_BEDROCK_BENCH_H
#define TESTS_SUPPORT_BEDROCK_BENCH_H

#include "worker/provider/bedrock.h"

#include <cjson/cJSON.h>

#define BENCH_ACCESS_KEY "AKIDEXAMPLE"
#define BENCH_SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

struct bedrock_bench {
    cJSON *env; /* owned; names and strings */
    struct bedrock *bedrock;
    struct provider provider;
};

/* AWS_REGION alone; NULL: nothing. */
cJSON *bedrock_bench_env(const char *region);
void bedrock_bench_add_keys(cJSON *env);
/* Starts the provider in bench->env, which must do. */
void bedrock_bench_open(struct bedrock_bench *bench);
/* The usual one: us-east-1 and the keys above. */
struct bedrock_bench bedrock_bench_with_keys(void);
void bedrock_bench_close(struct bedrock_bench *bench);

/* The prompt is the job's content: without system prompt and temperature, and with both. */
extern const struct job_type bench_plain_type;
extern const struct job_type bench_warm_type;
/* A good payload as a job of this type (job_release). */
struct job bedrock_bench_job(const char *payload, const struct job_type *type);
/* The rest of the header line that begins so, or NULL. */
const char *bedrock_bench_header(const struct provider_request *request, const char *prefix);
/* "20260115T120000Z" as Unix milliseconds. */
int64_t bedrock_bench_date_ms(const char *text);

struct bedrock_reply {
    int status;
    const char *headers; /* lines; NULL: none */
    const char *body;
    int64_t sent_ms;
    int64_t took_ms;
};
/* Lets the provider read it; returns whether it wants the call repeated. */
bool bedrock_bench_read(struct bedrock_bench *bench, const struct bedrock_reply *reply,
                        bool is_retry, struct call *call, struct evbuffer *text);
/* Reads one reply alone. */
struct call bedrock_bench_call(int status, const char *headers, const char *body);

#endif
