/* Control requests: whom they are for, and what is answered. */
#include "common/log.h"
#include "common/memory.h"
#include "worker/celery/body.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/text.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES (1024 * 1024)
#define REPEATS_MAX   8 /* of '+' in a pattern */

/* Does the list of destinations name us? No list names everybody. */
static bool
is_destination(const struct celery_node *node, struct json_slice destination)
{
    struct json_slice key, name;

    if (json_equals(destination, node->name))
        return true;
    for (struct json_iter it = json_iter(destination); json_next(&it, &key, &name);)
        if (json_equals(name, node->name))
            return true;
    return false;
}

/* Some of what a pattern may say costs time and memory without bound: repeats within repeats are
 * written out as often, and what refers back is tried in every way. */
static bool
is_cheap(const char *pattern)
{
    int repeats = 0;

    for (const char *at = pattern; *at != '\0'; at++) {
        repeats += *at == '+';
        if (*at == '{' || (*at == '\\' && at[1] >= '0' && at[1] <= '9'))
            return false;
    }
    return repeats <= REPEATS_MAX;
}

static bool
matches(const char *name, const char *pattern, bool is_glob)
{
    char *anchored;
    regex_t regex;
    bool is_match;

    if (is_glob)
        return fnmatch(pattern, name, 0) == 0;
    if (!is_cheap(pattern))
        return false;
    anchored = xasprintf("^(%s)", pattern);
    is_match = regcomp(&regex, anchored, REG_EXTENDED | REG_NOSUB) == 0;
    free(anchored);
    if (!is_match)
        return false;
    is_match = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return is_match;
}

static bool
is_for_us(const struct celery_node *node, struct json_slice request)
{
    struct json_slice destination = celery_get(request, "destination");
    char *pattern = celery_text_string(celery_get(request, "pattern"), 256);
    bool is_glob = json_equals(celery_get(request, "matcher"), "glob");
    bool is_ours = destination.type == JSON_ABSENT && pattern == NULL;

    if (destination.type != JSON_ABSENT)
        is_ours = is_destination(node, destination);
    if (pattern != NULL && !is_ours)
        is_ours = matches(node->name, pattern, is_glob);
    free(pattern);
    return is_ours;
}

/* Of those whose answer comes from Redis; nothing for another one without an answer. */
static void
ask_redis(struct celery_node *node, const char *method, const char *oid, struct json_slice ticket)
{
    bool is_hello = strcmp(method, "hello") == 0, is_scheduled = strcmp(method, "scheduled") == 0;
    struct celery_question *question;

    if (!is_hello && !is_scheduled && strcmp(method, "revoked") != 0)
        return;
    question = celery_question_new(node, oid, ticket);
    question->is_hello = is_hello;
    if (is_scheduled)
        celery_node_answer_scheduled(question);
    else
        celery_node_answer_revoked(question);
}

static void
carry_out(struct celery_node *node, struct json_slice request)
{
    char *method = celery_text_string(celery_get(request, "method"), 64);
    char *oid = celery_text_string(json_get(celery_get(request, "reply_to"), "routing_key"), 256);
    struct json_slice ticket = celery_get(request, "ticket");
    struct evbuffer *reply = xevbuffer();
    bool is_told;

    if (method != NULL && is_for_us(node, request)) {
        log_debug("control request", LOG_STR("method", method));
        is_told = celery_command_answer(node, method, json_get(request, "arguments"), reply);
        if (oid != NULL && is_told)
            celery_node_reply(node, oid, ticket, reply);
        else if (oid != NULL)
            ask_redis(node, method, oid, ticket);
    }
    evbuffer_free(reply);
    free(method);
    free(oid);
}

static void
follow_clock(struct celery_node *node, struct json_slice envelope)
{
    int64_t clock;

    if (json_int(json_get(json_get(envelope, "headers"), "clock"), 0, INT64_C(1) << 52, &clock) &&
        clock > node->clock)
        node->clock = clock;
    node->clock++;
}

static bool
is_our_channel(const struct celery_node *node, const char *channel)
{
    const char *const *ours = celery_node_channels(node);

    while (*ours != NULL && strcmp(*ours, channel) != 0)
        ours++;
    return *ours != NULL;
}

/* Those who know both channels of Sentinel send a request on each. */
static bool
was_heard(struct celery_node *node, struct json_slice envelope)
{
    struct json_slice tag = json_get(json_get(envelope, "properties"), "delivery_tag");
    char *text = celery_text_string(tag, sizeof(node->heard[0]) - 1);
    bool is_known = false;

    for (int i = 0; text != NULL && i < CELERY_HEARD_MAX; i++)
        is_known |= strcmp(node->heard[i], text) == 0;
    if (text != NULL && !is_known)
        snprintf(node->heard[node->heard_count++ % CELERY_HEARD_MAX], sizeof(node->heard[0]), "%s",
                 text);
    free(text);
    return is_known;
}

void
celery_node_hear(struct celery_node *node, const char *channel, const char *message, size_t len)
{
    struct json_slice envelope, request;
    size_t text_len = 0, body_len = 0;
    char *text, *body;

    if (node->has_left || !is_our_channel(node, channel) || len > REQUEST_BYTES ||
        json_check(message, len, &envelope, NULL) != 0 || envelope.type != JSON_OBJECT ||
        was_heard(node, envelope))
        return;
    follow_clock(node, envelope);
    text = json_string(json_get(envelope, "body"), &text_len);
    body = text == NULL ? NULL : celery_base64(text, text_len, &body_len);
    if (body != NULL && json_check(body, body_len, &request, NULL) == 0)
        carry_out(node, request);
    free(text);
    free(body);
}
