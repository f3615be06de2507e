#include "worker/job/result.h"

#include "worker/job/put.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#define BASE64_STEP 3072 /* bytes a time, a multiple of 3: no padding in the middle */

const char *
result_state_name(enum result_state state)
{
    switch (state) {
    case STATE_RUNNING: return "running";
    case STATE_SUCCEEDED: return "succeeded";
    case STATE_FAILED: return "failed";
    case STATE_EXPIRED: return "expired";
    case STATE_CANCELLED: return "cancelled";
    }
    return "failed";
}

static void
put_name(struct evbuffer *out, const char *name)
{
    put_raw(out, ",\"");
    put_raw(out, name);
    put_raw(out, "\":");
}

/* ,"name":"text" */
static void
put_member(struct evbuffer *out, const char *name, const char *text)
{
    put_name(out, name);
    put_text(out, text);
}

/* ,"name":1763900000.123 or null */
static void
put_time(struct evbuffer *out, const char *name, int64_t ms)
{
    put_name(out, name);
    if (ms > 0)
        put_seconds(out, ms);
    else
        put_raw(out, "null");
}

static void
put_id_and_state(const char *id, enum result_state state, struct evbuffer *out)
{
    put_raw(out, "{\"id\":");
    put_text(out, id);
    put_member(out, "state", result_state_name(state));
}

void
result_put_running_prefix(const char *id, struct evbuffer *out)
{
    put_id_and_state(id, STATE_RUNNING, out);
}

static void
put_call(const struct call *call, struct evbuffer *out)
{
    put_raw(out, "{\"model\":");
    put_text(out, call->model);
    put_member(out, "outcome", outcome_name(call->outcome));
    if (call->status != 0)
        put_format(out, ",\"status\":%d", call->status);
    else
        put_raw(out, ",\"status\":null");
    if (call->outcome != OUTCOME_OK)
        put_member(out, "error", call->error);
    put_format(out, ",\"ms\":%" PRId64 "}", call->duration_ms);
}

static void
put_calls(const struct result *result, struct evbuffer *out)
{
    put_raw(out, ",\"calls\":[");
    for (int i = 0; i < result->call_count; i++) {
        put_raw(out, i == 0 ? "" : ",");
        put_call(&result->calls[i], out);
    }
    put_raw(out, "]");
}

/* US dollars, to the millionth: a token of the cheapest model is about that. */
static void
put_cost(const struct result *result, int64_t input, int64_t output, struct evbuffer *out)
{
    double cost =
        ((double)input * result->input_price + (double)output * result->output_price) / 1e6;

    if (result->model == NULL || result->input_price < 0 || result->output_price < 0)
        put_raw(out, ",\"cost_usd\":null");
    else
        put_format(out, ",\"cost_usd\":%.6f", cost);
}

static void
put_usage(const struct result *result, struct evbuffer *out)
{
    int64_t input = 0, output = 0;

    for (int i = 0; i < result->call_count; i++) {
        if (result->calls[i].outcome != OUTCOME_OK)
            continue;
        input += result->calls[i].input_tokens;
        output += result->calls[i].output_tokens;
    }
    put_format(out, ",\"usage\":{\"input_tokens\":%" PRId64 ",\"output_tokens\":%" PRId64 "}",
               input, output);
    put_cost(result, input, output, out);
}

static void
put_output(const struct result *result, struct evbuffer *out)
{
    put_raw(out, ",\"result\":");
    if (result->output == NULL || evbuffer_add_buffer(out, result->output) != 0)
        put_raw(out, "null");
    if (result->error_kind == NULL)
        return;
    put_raw(out, ",\"error\":{\"kind\":");
    put_text(out, result->error_kind);
    put_member(out, "message", result->error_message == NULL ? "" : result->error_message);
    put_raw(out, "}");
}

/* What the producer sent along for whoever reads the result. */
static void
put_echo(const struct job *job, struct evbuffer *out)
{
    put_raw(out, ",\"metadata\":");
    if (job->metadata.type == JSON_ABSENT)
        put_raw(out, "{}");
    else
        json_put_slice(out, job->metadata);
    if (job->traceparent.type == JSON_STRING) {
        put_raw(out, ",\"traceparent\":");
        json_put_slice(out, job->traceparent);
    }
}

void
result_print(const struct result *result, struct evbuffer *out)
{
    const struct job *job = result->job;

    put_id_and_state(job->id, result->state, out);
    put_member(out, "type", job->type == NULL ? NULL : job->type->name);
    put_member(out, "queue", result->queue);
    put_output(result, out);
    put_member(out, "model", result->model);
    put_format(out, ",\"primary\":%s,\"attempt\":%d", result->is_primary ? "true" : "false",
               result->attempt);
    put_calls(result, out);
    put_usage(result, out);
    put_time(out, "enqueued_at", llround(job->enqueued_at * 1000));
    put_time(out, "started_at", result->started_at_ms);
    put_time(out, "finished_at", result->finished_at_ms);
    put_member(out, "worker", result->worker);
    put_echo(job, out);
    put_raw(out, "}");
}

static void
put_base64(const char *bytes, size_t len, struct evbuffer *out)
{
    unsigned char text[BASE64_STEP / 3 * 4 + 1];

    for (size_t at = 0; at < len; at += BASE64_STEP) {
        size_t step = len - at < BASE64_STEP ? len - at : BASE64_STEP;
        int written = EVP_EncodeBlock(text, (const unsigned char *)bytes + at, (int)step);

        json_put_slice(out, (struct json_slice){.text = (char *)text, .len = (size_t)written});
    }
}

void
dead_letter_print(const struct dead_letter *letter, struct evbuffer *out)
{
    bool has_id = letter->id != NULL && letter->id[0] != '\0';

    put_raw(out, "{\"id\":");
    put_text(out, has_id ? letter->id : NULL);
    put_member(out, "queue", letter->queue);
    put_member(out, "kind", letter->kind);
    put_member(out, "message", letter->message);
    put_time(out, "at", letter->at_ms);
    put_member(out, "worker", letter->worker);
    put_format(out, ",\"attempt\":%d,\"payload_base64\":\"", letter->attempt);
    put_base64(letter->payload, letter->payload_len, out);
    put_raw(out, "\"}");
}
