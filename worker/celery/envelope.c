#include "worker/celery/envelope.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/body.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASK_BYTES_MAX 512
/* An envelope is its body in base64, and headers. A larger one is not even read for its id. */
#define ENVELOPE_FACTOR 4
#define HEADERS_SPARE   (1024 * 1024)
/* Seconds that a task may be given; more counts as this. */
#define LIMIT_SECONDS_MAX 3600.0

int
celery_refuse(struct celery_message *message, const char *type, const char *module,
              struct error *err, const char *format, ...)
{
    char text[sizeof(err->message)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    message->problem = (struct celery_exception){.type = type, .module = module};
    return error_set(err, ERROR_INPUT, "%s", text);
}

static int
refuse_body(struct celery_message *message, const char *why, struct error *err)
{
    return celery_refuse(message, "DecodeError", "kombu.exceptions", err, "%s", why);
}

/* ---- body ---- */

static int
check_content(struct celery_message *message, struct json_slice root, struct error *err)
{
    char *type = celery_text_string(json_get(root, "content-type"), 128);
    bool is_json = type != NULL && strncmp(type, "application/json", 16) == 0;

    if (!is_json)
        celery_refuse(message, "ContentDisallowed", "kombu.exceptions", err,
                      "Refusing to deserialize content of type %s: only application/json is taken",
                      type == NULL ? "(none)" : type);
    free(type);
    return is_json ? 0 : -1;
}

/* Takes `bytes`; gives what they were before they were compressed. */
static char *
decompress(struct celery_message *message, char *bytes, size_t *len, size_t most, struct error *err)
{
    struct json_slice name = celery_get(message->headers.root, "compression");
    struct error why = {0};
    char *inflated;

    if (name.type == JSON_ABSENT)
        return bytes;
    if (!json_equals(name, "application/x-gzip")) {
        celery_refuse(message, "DecodeError", "kombu.exceptions", err,
                      "compression %.*s is not available: zlib (application/x-gzip) is",
                      name.len < 64 ? (int)name.len : 64, name.text);
        free(bytes);
        return NULL;
    }
    inflated = celery_inflate(bytes, *len, most, len, &why);
    free(bytes);
    if (inflated == NULL)
        refuse_body(message, why.message, err);
    return inflated;
}

/* The body's bytes as they were serialised, malloced. */
static char *
open_body(struct celery_message *message, struct json_slice root, size_t most, size_t *len,
          struct error *err)
{
    struct json_slice properties = json_get(root, "properties");
    struct json_slice encoding = celery_get(properties, "body_encoding");
    char *text = json_string(json_get(root, "body"), len), *bytes = text;

    if (text == NULL) {
        refuse_body(message, "the body is no string", err);
        return NULL;
    }
    if (encoding.type != JSON_ABSENT && !json_equals(encoding, "base64")) {
        refuse_body(message, "body_encoding is not base64", err);
        free(text);
        return NULL;
    }
    if (encoding.type != JSON_ABSENT) {
        bytes = celery_base64(text, *len, len);
        free(text);
    }
    if (bytes == NULL) {
        refuse_body(message, "the body is not base64", err);
        return NULL;
    }
    return decompress(message, bytes, len, most, err);
}

static int
read_body(struct celery_message *message, struct json_slice root, size_t most, struct error *err)
{
    struct error why = {0};
    size_t len = 0;
    char *bytes;

    if (check_content(message, root, err) != 0)
        return -1;
    bytes = open_body(message, root, most, &len, err);
    if (bytes == NULL)
        return -1;
    if (len > most) {
        free(bytes);
        return celery_refuse(message, "ValueError", "builtins", err,
                             "the body has %zu bytes: at most %zu are taken", len, most);
    }
    if (celery_text_init(&message->body, bytes, len, &why) != 0)
        return refuse_body(message, why.message, err);
    return 0;
}

/* ---- fields ---- */

static int
read_date(struct celery_message *message, struct json_slice value, const char *name, int64_t *ms,
          struct error *err)
{
    char *text = celery_text_string(value, 64), zoned[80];
    bool is_date;

    if (value.type == JSON_ABSENT)
        return 0;
    snprintf(zoned, sizeof(zoned), "%sZ", text == NULL ? "" : text);
    is_date =
        text != NULL && (clock_parse_rfc3339(text, ms) == 0 || clock_parse_rfc3339(zoned, ms) == 0);
    free(text);
    if (!is_date)
        return celery_refuse(message, "ValueError", "builtins", err, "%s is no ISO 8601 date: %.*s",
                             name, value.len < 64 ? (int)value.len : 64, value.text);
    if (*ms <= 0) /* 0 would mean none */
        *ms = 1;
    return 0;
}

static int64_t
limit_ms(struct json_slice value)
{
    double seconds;

    if (!json_double(value, &seconds) || seconds <= 0)
        return 0;
    return llround((seconds < LIMIT_SECONDS_MAX ? seconds : LIMIT_SECONDS_MAX) * 1000);
}

/* [hard, soft] */
static void
read_limits(struct celery_message *message, struct json_slice pair)
{
    struct json_slice key, value;
    struct json_iter it = json_iter(pair);

    if (pair.type != JSON_ARRAY)
        return;
    if (json_next(&it, &key, &value))
        message->hard_ms = limit_ms(value);
    if (json_next(&it, &key, &value))
        message->soft_ms = limit_ms(value);
}

static void
read_id(struct celery_message *message, struct json_slice value)
{
    char *id = celery_text_string(value, JOB_ID_MAX);

    if (id != NULL && job_id_is_valid(id, strlen(id)))
        snprintf(message->id, sizeof(message->id), "%s", id);
    free(id);
}

/* Of protocol 2's headers or protocol 1's body: their names are the same. */
static void
read_names(struct celery_message *message, struct json_slice fields)
{
    enum { ID, TASK, GROUP, GROUP_INDEX, ROOT_ID, PARENT_ID, IGNORE, RETRIES, LIMITS, COUNT };
    static const char *const names[COUNT] = {
        "id",        "task",          "group",   "group_index", "root_id",
        "parent_id", "ignore_result", "retries", "timelimit"};
    struct json_slice values[COUNT];

    celery_get_each(fields, COUNT, names, values);
    read_id(message, values[ID]);
    message->task = celery_text_string(values[TASK], TASK_BYTES_MAX);
    message->group = values[GROUP];
    message->group_index = values[GROUP_INDEX];
    message->root_id = values[ROOT_ID];
    message->parent_id = values[PARENT_ID];
    json_bool(values[IGNORE], &message->ignore_result);
    if (!json_int(values[RETRIES], 0, 1000000, &message->retries))
        message->retries = 0;
    read_limits(message, values[LIMITS]);
}

static int
read_dates(struct celery_message *message, struct json_slice fields, struct error *err)
{
    static const char *const names[] = {"eta", "expires"};
    struct json_slice dates[2];

    celery_get_each(fields, 2, names, dates);
    if (read_date(message, dates[0], names[0], &message->eta_ms, err) != 0)
        return -1;
    return read_date(message, dates[1], names[1], &message->expires_ms, err);
}

static int
check_names(struct celery_message *message, struct error *err)
{
    if (message->id[0] == '\0')
        return celery_refuse(message, "ValueError", "builtins", err,
                             "the message has no id that can be used");
    if (message->task == NULL)
        return celery_refuse(message, "ValueError", "builtins", err, "the message names no task");
    return 0;
}

static int
keep_embed(struct celery_message *message, struct json_slice embed, struct error *err)
{
    static const char *const names[] = {"callbacks", "errbacks", "chain", "chord"};
    struct json_slice values[4];

    if (embed.type != JSON_OBJECT)
        return 0;
    if (celery_text_copy(&message->embed, &message->body, embed, err) != 0)
        return refuse_body(message, "the options beside the arguments can't be read", err);
    celery_get_each(message->embed.root, 4, names, values);
    message->callbacks = values[0];
    message->errbacks = values[1];
    message->chain = values[2];
    message->chord = values[3];
    return 0;
}

/* ---- protocols ---- */

static int
check_arguments(struct celery_message *message, struct error *err)
{
    if (message->args.type != JSON_ABSENT && message->args.type != JSON_ARRAY)
        return celery_refuse(message, "TypeError", "builtins", err, "args is no list");
    if (message->kwargs.type != JSON_ABSENT && message->kwargs.type != JSON_OBJECT)
        return celery_refuse(message, "TypeError", "builtins", err, "kwargs is no mapping");
    return 0;
}

/* [args, kwargs, embed] */
static int
read_triple(struct celery_message *message, struct error *err)
{
    static const struct json_slice absent;
    struct json_slice key, parts[4] = {0};
    int count = 0;

    for (struct json_iter it = json_iter(message->body.root);
         count < 4 && json_next(&it, &key, &parts[count]);)
        count++;
    if (message->body.root.type != JSON_ARRAY || count != 3)
        return refuse_body(message, "the body is not [args, kwargs, embed]", err);
    message->args = parts[0].type == JSON_NULL ? absent : parts[0];
    message->kwargs = parts[1].type == JSON_NULL ? absent : parts[1];
    if (keep_embed(message, parts[2], err) != 0)
        return -1;
    return check_arguments(message, err);
}

static int
read_protocol_2(struct celery_message *message, struct json_slice root, size_t most,
                struct error *err)
{
    read_names(message, message->headers.root);
    if (check_names(message, err) != 0 || read_body(message, root, most, err) != 0 ||
        read_triple(message, err) != 0)
        return -1;
    return read_dates(message, message->headers.root, err);
}

/* All is in the body. What stands in headers with protocol 2 is copied out of it. */
static int
read_protocol_1(struct celery_message *message, struct json_slice root, size_t most,
                struct error *err)
{
    struct json_slice fields;

    if (read_body(message, root, most, err) != 0)
        return -1;
    fields = message->body.root;
    if (fields.type != JSON_OBJECT)
        return celery_refuse(message, "ValueError", "builtins", err, "the message names no task");
    celery_text_release(&message->headers);
    if (celery_text_copy(&message->headers, &message->body, fields, err) != 0)
        return -1;
    read_names(message, message->headers.root);
    message->args = celery_get(fields, "args");
    message->kwargs = celery_get(fields, "kwargs");
    if (check_names(message, err) != 0 || keep_embed(message, fields, err) != 0 ||
        check_arguments(message, err) != 0)
        return -1;
    return read_dates(message, fields, err);
}

static int
read_envelope(struct celery_message *message, const struct celery_text *envelope, size_t most,
              struct error *err)
{
    struct json_slice headers = json_get(envelope->root, "headers");
    int64_t priority;

    if (envelope->root.type != JSON_OBJECT)
        return refuse_body(message, "a message is a JSON object", err);
    if (json_int(json_get(json_get(envelope->root, "properties"), "priority"), 0, 255, &priority))
        message->priority = (int)priority;
    if (headers.type == JSON_OBJECT &&
        celery_text_copy(&message->headers, envelope, headers, err) != 0)
        return refuse_body(message, "the headers can't be read", err);
    if (celery_get(message->headers.root, "task").type != JSON_ABSENT ||
        celery_get(message->headers.root, "id").type != JSON_ABSENT)
        return read_protocol_2(message, envelope->root, most, err);
    return read_protocol_1(message, envelope->root, most, err);
}

int
celery_message_init(struct celery_message *message, char *payload, size_t len, size_t most_bytes,
                    struct error *err)
{
    struct celery_text envelope;
    struct error why = {0};
    int result;

    *message = (struct celery_message){.payload = payload, .payload_len = len};
    if (len > most_bytes * ENVELOPE_FACTOR + HEADERS_SPARE)
        return celery_refuse(message, "ValueError", "builtins", err,
                             "the message has %zu bytes: more than is taken", len);
    if (celery_text_init(&envelope, payload, len, &why) == 0)
        result = read_envelope(message, &envelope, most_bytes, err);
    else
        result = refuse_body(message, why.message, err);
    if (envelope.checked != envelope.raw)
        free(envelope.checked);
    return result;
}

bool
celery_message_continues(const struct celery_message *message)
{
    return message->callbacks.type != JSON_ABSENT || message->errbacks.type != JSON_ABSENT ||
           message->chain.type != JSON_ABSENT || message->chord.type != JSON_ABSENT;
}

void
celery_message_forget(struct celery_message *message)
{
    free(message->payload);
    message->payload = NULL;
    message->payload_len = 0;
    celery_text_release(&message->body);
    message->args = message->kwargs = (struct json_slice){0};
}

void
celery_message_release(struct celery_message *message)
{
    celery_message_forget(message);
    celery_text_release(&message->headers);
    celery_text_release(&message->embed);
    free(message->task);
    *message = (struct celery_message){0};
}
