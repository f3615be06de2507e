#include "worker/provider/bedrock_answer.h"

#include "common/json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No model has a window of a billion: more is no figure, and sums of them could overflow. */
#define TOKENS_MAX 1000000000

/* Why a model stopped. Those not listed, also future ones, are a normal end. */
static const struct {
    const char *reason;
    enum outcome outcome;
    const char *message;
} stops[] = {
    {"max_tokens", OUTCOME_BAD_OUTPUT, "the answer was cut off at max_tokens"},
    {"model_context_window_exceeded", OUTCOME_BAD_OUTPUT,
     "the answer was cut off at the end of the model's context window"},
    {"malformed_model_output", OUTCOME_BAD_OUTPUT, "the model's output was malformed"},
    {"malformed_tool_use", OUTCOME_BAD_OUTPUT, "the model's tool use was malformed"},
    {"guardrail_intervened", OUTCOME_REJECTED, "a guardrail refused the request or the answer"},
    {"content_filtered", OUTCOME_REJECTED, "the answer was blocked by content filtering"},
};

static void
fail(struct call *call, enum outcome outcome, const char *error, const char *message)
{
    call->outcome = outcome;
    snprintf(call->error, sizeof(call->error), "%s", error);
    snprintf(call->message, sizeof(call->message), "%s", message);
}

static void
read_usage(struct json_slice usage, struct call *call)
{
    if (!json_int(json_get(usage, "inputTokens"), 0, TOKENS_MAX, &call->input_tokens))
        call->input_tokens = 0;
    if (!json_int(json_get(usage, "outputTokens"), 0, TOKENS_MAX, &call->output_tokens))
        call->output_tokens = 0;
}

/* The texts of all blocks in a row; blocks of other kinds (reasoning, tool use) are passed over. */
static void
append_text(struct json_slice content, struct evbuffer *text)
{
    struct json_slice key, block;

    for (struct json_iter it = json_iter(content); json_next(&it, &key, &block);) {
        size_t len = 0;
        char *part = json_string(json_get(block, "text"), &len);

        if (part != NULL)
            evbuffer_add(text, part, len);
        free(part);
    }
}

static bool
stopped_well(struct json_slice reason, struct call *call)
{
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        if (!json_equals(reason, stops[i].reason))
            continue;
        fail(call, stops[i].outcome, stops[i].reason, stops[i].message);
        return false;
    }
    return true;
}

void
bedrock_read_answer(const char *body, size_t len, struct call *call, struct evbuffer *text)
{
    static const char *const names[] = {"output", "usage", "stopReason"};
    struct json_slice root, content, members[3];
    size_t before = evbuffer_get_length(text);

    if (json_check(body, len, &root, NULL) < 0) {
        fail(call, OUTCOME_TRANSIENT, "not_json", "status 200, but the answer is no JSON");
        return;
    }
    json_get_each(root, 3, names, members);
    content = json_get(json_get(members[0], "message"), "content");
    if (content.type != JSON_ARRAY) {
        fail(call, OUTCOME_TRANSIENT, "not_converse",
             "status 200, but the answer is none of Converse: output.message.content is missing");
        return;
    }
    read_usage(members[1], call);
    if (!stopped_well(members[2], call))
        return;
    append_text(content, text);
    if (evbuffer_get_length(text) == before)
        fail(call, OUTCOME_BAD_OUTPUT, "empty", "the model answered without any text");
    else
        call->outcome = OUTCOME_OK;
}
