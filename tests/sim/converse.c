#include "tests/sim/converse.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define INVALID       "ValidationException"
#define MAX_TOKENS    INT32_MAX
#define MAX_SEQUENCES 2500

static const char *
type_name(enum json_type type)
{
    switch (type) {
    case JSON_ABSENT: return "Nothing";
    case JSON_NULL: return "Null";
    case JSON_BOOL: return "Boolean";
    case JSON_NUMBER: return "Number";
    case JSON_STRING: return "String";
    case JSON_ARRAY: return "JSONArray";
    case JSON_OBJECT: return "JSONObject";
    }
    return "Nothing";
}

static int
wrong_type(struct refusal *refusal, const char *where, enum json_type wanted, enum json_type found)
{
    return refusal_set(refusal, 400, INVALID,
                       "Malformed input request: #/%s: expected type: %s, found: %s, please "
                       "reformat your input and try again.",
                       where, type_name(wanted), type_name(found));
}

static bool
is_blank(struct json_slice text)
{
    struct json_slice inner = json_inner(text);

    for (size_t at = 0; at < inner.len; at++) {
        if (inner.text[at] == '\\' && strchr("nrtbf", inner.text[at + 1]) != NULL)
            at++;
        else if (inner.text[at] != ' ')
            return false;
    }
    return true;
}

/* A block with text must have some; other kinds of block are taken as they are. */
static int
check_block(struct json_slice block, const char *kind, const char *where, struct refusal *refusal)
{
    struct json_slice text = json_get(block, "text");

    if (block.type != JSON_OBJECT)
        return wrong_type(refusal, where, JSON_OBJECT, block.type);
    if (text.type == JSON_ABSENT)
        return 0;
    if (text.type != JSON_STRING)
        return wrong_type(refusal, where, JSON_STRING, text.type);
    if (is_blank(text))
        return refusal_set(refusal, 400, INVALID,
                           "The text field in the %s object at %s is blank. Add text to the text "
                           "field, and try again.",
                           kind, where);
    return 0;
}

static int
check_content(struct json_slice content, int index, struct converse_request *request,
              struct refusal *refusal)
{
    struct json_slice key, block;
    char where[64];
    int count = 0;

    if (content.type != JSON_ARRAY)
        return wrong_type(refusal, "messages/content", JSON_ARRAY, content.type);
    for (struct json_iter it = json_iter(content); json_next(&it, &key, &block); count++) {
        snprintf(where, sizeof(where), "messages.%d.content.%d", index, count);
        if (check_block(block, "ContentBlock", where, refusal) != 0)
            return -1;
        if (json_get(block, "text").type == JSON_STRING)
            request->prompt = json_get(block, "text");
    }
    if (count > 0)
        return 0;
    return refusal_set(refusal, 400, INVALID,
                       "The content field in the Message object at messages.%d is empty. Add a "
                       "ContentBlock object to the content field and try again.",
                       index);
}

static int
check_role(struct json_slice role, int index, struct refusal *refusal)
{
    bool is_user = json_equals(role, "user");

    if (!is_user && !json_equals(role, "assistant"))
        return refusal_set(refusal, 400, INVALID,
                           "1 validation error detected: Value at 'messages.%d.member.role' failed "
                           "to satisfy constraint: Member must satisfy enum value set: [user, "
                           "assistant]",
                           index + 1);
    if (is_user == (index % 2 == 0))
        return 0;
    if (index == 0)
        return refusal_set(refusal, 400, INVALID,
                           "A conversation must start with a user message. Try again with a "
                           "conversation that starts with a user message.");
    return refusal_set(refusal, 400, INVALID,
                       "A conversation must alternate between user and assistant roles. Make sure "
                       "the conversation alternates between user and assistant roles and try "
                       "again.");
}

static int
check_messages(struct json_slice messages, struct converse_request *request,
               struct refusal *refusal)
{
    struct json_slice key, message;
    int index = 0;

    if (messages.type != JSON_ARRAY)
        return wrong_type(refusal, "messages", JSON_ARRAY, messages.type);
    for (struct json_iter it = json_iter(messages); json_next(&it, &key, &message); index++)
        if (check_role(json_get(message, "role"), index, refusal) != 0 ||
            check_content(json_get(message, "content"), index, request, refusal) != 0)
            return -1;
    if (index > 0)
        return 0;
    return refusal_set(refusal, 400, INVALID,
                       "A conversation must start with a user message. Try again with a "
                       "conversation that starts with a user message.");
}

static int
check_system(struct json_slice system, struct refusal *refusal)
{
    struct json_slice key, block;
    char where[32];
    int index = 0;

    if (system.type == JSON_ABSENT)
        return 0;
    if (system.type != JSON_ARRAY)
        return wrong_type(refusal, "system", JSON_ARRAY, system.type);
    for (struct json_iter it = json_iter(system); json_next(&it, &key, &block); index++) {
        snprintf(where, sizeof(where), "system.%d", index);
        if (check_block(block, "SystemContentBlock", where, refusal) != 0)
            return -1;
    }
    return 0;
}

/* temperature and topP */
static int
check_share(struct json_slice config, const char *name, struct refusal *refusal)
{
    struct json_slice member = json_get(config, name);
    double value;

    if (member.type == JSON_ABSENT)
        return 0;
    if (!json_double(member, &value))
        return wrong_type(refusal, name, JSON_NUMBER, member.type);
    if (value >= 0 && value <= 1)
        return 0;
    return refusal_set(refusal, 400, INVALID,
                       "1 validation error detected: Value at 'inferenceConfig.%s' failed to "
                       "satisfy constraint: Member must have value %s",
                       name, value < 0 ? "greater than or equal to 0" : "less than or equal to 1");
}

static int
check_max_tokens(struct json_slice config, struct converse_request *request,
                 struct refusal *refusal)
{
    struct json_slice member = json_get(config, "maxTokens");
    int64_t value;

    if (member.type == JSON_ABSENT)
        return 0;
    if (!json_int(member, INT32_MIN, MAX_TOKENS, &value))
        return wrong_type(refusal, "inferenceConfig/maxTokens", JSON_NUMBER, member.type);
    request->max_tokens = value;
    if (value >= 1)
        return 0;
    return refusal_set(refusal, 400, INVALID,
                       "1 validation error detected: Value at 'inferenceConfig.maxTokens' failed "
                       "to satisfy constraint: Member must have value greater than or equal to 1");
}

static int
check_sequences(struct json_slice config, struct refusal *refusal)
{
    struct json_slice sequences = json_get(config, "stopSequences");
    struct json_slice key, value;
    int count = 0;

    if (sequences.type == JSON_ABSENT)
        return 0;
    if (sequences.type != JSON_ARRAY)
        return wrong_type(refusal, "inferenceConfig/stopSequences", JSON_ARRAY, sequences.type);
    for (struct json_iter it = json_iter(sequences); json_next(&it, &key, &value); count++)
        if (value.type != JSON_STRING)
            return wrong_type(refusal, "inferenceConfig/stopSequences", JSON_STRING, value.type);
    if (count <= MAX_SEQUENCES)
        return 0;
    return refusal_set(refusal, 400, INVALID,
                       "1 validation error detected: Value at 'inferenceConfig.stopSequences' "
                       "failed to satisfy constraint: Member must have length less than or equal "
                       "to %d",
                       MAX_SEQUENCES);
}

static int
check_inference(struct json_slice config, struct converse_request *request, struct refusal *refusal)
{
    if (config.type == JSON_ABSENT)
        return 0;
    if (config.type != JSON_OBJECT)
        return wrong_type(refusal, "inferenceConfig", JSON_OBJECT, config.type);
    if (check_max_tokens(config, request, refusal) != 0 ||
        check_share(config, "temperature", refusal) != 0 ||
        check_share(config, "topP", refusal) != 0)
        return -1;
    return check_sequences(config, refusal);
}

int64_t
converse_tokens(size_t bytes)
{
    return (int64_t)(bytes + 3) / 4;
}

int
converse_read(const char *body, size_t len, struct converse_request *request,
              struct refusal *refusal)
{
    struct json_slice root;
    struct error err;

    *request = (struct converse_request){.input_tokens = converse_tokens(len)};
    if (json_check(body, len, &root, &err) != 0)
        return refusal_set(refusal, 400, INVALID,
                           "Malformed input request: %s, please reformat your input and try again.",
                           err.message);
    if (root.type != JSON_OBJECT)
        return wrong_type(refusal, "", JSON_OBJECT, root.type);
    if (check_messages(json_get(root, "messages"), request, refusal) != 0 ||
        check_system(json_get(root, "system"), refusal) != 0)
        return -1;
    return check_inference(json_get(root, "inferenceConfig"), request, refusal);
}

void
converse_print(const struct converse_answer *answer, struct evbuffer *out)
{
    evbuffer_add_printf(out,
                        "{\"metrics\":{\"latencyMs\":%lld},\"output\":{\"message\":{\"content\":[",
                        (long long)answer->latency_ms);
    if (answer->text != NULL) {
        evbuffer_add_printf(out, "{\"text\":");
        json_put_string(out, answer->text, answer->text_len);
        evbuffer_add_printf(out, "}");
    }
    evbuffer_add_printf(out, "],\"role\":\"assistant\"}},\"stopReason\":");
    json_put_string(out, answer->stop_reason, strlen(answer->stop_reason));
    evbuffer_add_printf(
        out, ",\"usage\":{\"inputTokens\":%lld,\"outputTokens\":%lld,\"totalTokens\":%lld}}",
        (long long)answer->input_tokens, (long long)answer->output_tokens,
        (long long)(answer->input_tokens + answer->output_tokens));
}
