#include "tests/sim/model_settings.h"

#include "common/memory.h"
#include "tests/sim/field.h"

#include <stdlib.h>

#define LATENCY_MAX_MS 1e9
#define DAY_S          86400.0

void
model_settings_init(struct model_settings *model)
{
    *model = (struct model_settings){.retry_after_s = -1, .stop_reason = xstrdup("end_turn")};
}

void
model_settings_copy(struct model_settings *copy, const struct model_settings *model)
{
    *copy = *model;
    copy->stop_reason = xstrdup(model->stop_reason);
    if (model->reply_text != NULL)
        copy->reply_text = xstrdup(model->reply_text);
}

void
model_settings_release(struct model_settings *model)
{
    free(model->stop_reason);
    free(model->reply_text);
}

static int
merge_latency(struct model_settings *model, struct json_slice value, struct error *err)
{
    struct json_slice latency = json_get(value, "latency_ms");

    if (latency.type == JSON_ABSENT)
        return 0;
    model->latency_sigma = 0;
    if (latency.type != JSON_OBJECT)
        return field_double(value, "latency_ms", 0, LATENCY_MAX_MS, &model->latency_ms, err);
    if (field_double(latency, "median", 0, LATENCY_MAX_MS, &model->latency_ms, err) != 0)
        return -1;
    return field_double(latency, "sigma", 0, 5, &model->latency_sigma, err);
}

static int
read_bucket(struct json_slice value, struct quota_limit *limit, struct error *err)
{
    limit->kind = QUOTA_BUCKET;
    if (field_int(value, "per_minute", 0, QUOTA_UNITS_MAX, &limit->per_minute, err) != 0)
        return -1;
    limit->most = limit->per_minute;
    return field_int(value, "burst", 0, QUOTA_UNITS_MAX, &limit->most, err);
}

static int
read_window(struct json_slice value, struct quota_limit *limit, struct error *err)
{
    double window_s = 60;

    limit->kind = QUOTA_WINDOW;
    if (field_int(value, "per_minute", 0, QUOTA_UNITS_MAX, &limit->per_minute, err) != 0 ||
        field_double(value, "window_s", 0.001, DAY_S, &window_s, err) != 0)
        return -1;
    limit->window_ms = (int64_t)(window_s * 1000.0);
    limit->most = (int64_t)((double)limit->per_minute * window_s / 60.0);
    return 0;
}

static int
read_limit(struct json_slice value, struct quota_limit *limit, struct error *err)
{
    struct json_slice kind = json_get(value, "kind");

    if (value.type != JSON_OBJECT || json_get(value, "per_minute").type == JSON_ABSENT)
        return error_set(err, ERROR_INPUT, "a quota must be null or an object with per_minute");
    if (kind.type == JSON_ABSENT || json_equals(kind, "bucket"))
        return read_bucket(value, limit, err);
    if (json_equals(kind, "window"))
        return read_window(value, limit, err);
    return error_set(err, ERROR_INPUT, "the kind of a quota must be bucket or window");
}

static int
merge_limit(struct json_slice value, const char *name, struct quota_limit *limit, struct error *err)
{
    struct json_slice member = json_get(value, name);
    struct quota_limit read = {.kind = QUOTA_NONE};

    if (member.type == JSON_ABSENT)
        return 0;
    if (member.type != JSON_NULL && read_limit(member, &read, err) != 0)
        return -1;
    *limit = read;
    return 0;
}

static int
merge_retry_after(struct model_settings *model, struct json_slice value, struct error *err)
{
    if (json_get(value, "retry_after_s").type != JSON_NULL)
        return field_double(value, "retry_after_s", 0, DAY_S, &model->retry_after_s, err);
    model->retry_after_s = -1;
    return 0;
}

static int
merge_reply(struct model_settings *model, struct json_slice value, struct error *err)
{
    struct json_slice reply = json_get(value, "reply");

    if (reply.type == JSON_ABSENT)
        return 0;
    if (reply.type == JSON_NULL)
        model->reply = REPLY_AUTO;
    else if (json_equals(reply, "feedback"))
        model->reply = REPLY_FEEDBACK;
    else if (json_equals(reply, "text"))
        model->reply = REPLY_TEXT;
    else if (json_get(reply, "text").type == JSON_STRING)
        model->reply = REPLY_LITERAL;
    else
        return error_set(err, ERROR_INPUT, "reply must be feedback, text or {\"text\":\"...\"}");
    return field_text(reply, "text", &model->reply_text, err);
}

static int
merge_stop_reason(struct model_settings *model, struct json_slice value, struct error *err)
{
    if (json_get(value, "stop_reason").type == JSON_NULL)
        return error_set(err, ERROR_INPUT, "stop_reason must be a string");
    return field_text(value, "stop_reason", &model->stop_reason, err);
}

int
model_settings_merge(struct model_settings *model, struct json_slice value, struct error *err)
{
    if (value.type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a model must be an object");
    if (merge_latency(model, value, err) != 0 ||
        field_int(value, "reject_latency_ms", 0, (int64_t)LATENCY_MAX_MS, &model->reject_latency_ms,
                  err) != 0 ||
        merge_limit(value, "rpm", &model->rpm, err) != 0 ||
        merge_limit(value, "tpm", &model->tpm, err) != 0 ||
        merge_retry_after(model, value, err) != 0 ||
        field_double(value, "error_rate", 0, 1, &model->error_rate, err) != 0 ||
        merge_stop_reason(model, value, err) != 0)
        return -1;
    return merge_reply(model, value, err);
}
