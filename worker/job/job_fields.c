#include "worker/job/job_fields.h"

#include "common/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATE_MAX           253402300799.0 /* 9999-12-31T23:59:59Z: "never" in many a program */
#define MODEL_BYTES_MAX    2048
#define REPLY_TO_BYTES_MAX 512
#define TRACE_BYTES_MAX    256
#define STOP_SEQUENCES_MAX 16
#define SHOWN_BYTES_MAX    42

struct field {
    const char *name;
    /* Keeps the value in the job, if it is what it must be. Never gets a null. */
    bool (*read)(struct job *job, const struct field *field, struct json_slice value);
    const char *must_be;
    size_t slice_at; /* the member of struct job that keeps the slice; 0: none (payload is there) */
    double low, high;
};

static bool
is_low_surrogate(const char *at, const char *end)
{
    return end - at >= 4 && at[0] == '\\' && at[1] == 'u' && (at[2] | 0x20) == 'd' &&
           strchr("cdefCDEF", at[3]) != NULL;
}

static bool
is_high_surrogate(const char *at)
{
    return at[1] == 'u' && (at[2] | 0x20) == 'd' && strchr("89abAB", at[3]) != NULL;
}

/* json_string reads a lone surrogate as U+FFFD: two different names would become one. */
static bool
has_lone_surrogate(struct json_slice string)
{
    struct json_slice inner = json_inner(string);
    const char *at = inner.text, *end = at + inner.len;

    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        bool is_high = is_high_surrogate(at);

        if (is_low_surrogate(at, end) || (is_high && !is_low_surrogate(at + 6, end)))
            return true;
        at += is_high ? 12 : 2;
    }
    return false;
}

/* The unescaped text of 1 to `most` bytes in a new block. NULL for anything else, for NUL in
 * the text, and when two texts could look the same in it. */
static char *
exact_text(struct json_slice value, size_t most)
{
    char *text;
    size_t len;

    /* At most six bytes are written for one. */
    if (value.type != JSON_STRING || value.len > 6 * most + 2 || has_lone_surrogate(value))
        return NULL;
    text = json_string(value, &len);
    if (text != NULL && (len == 0 || len > most || strlen(text) != len)) {
        free(text);
        return NULL;
    }
    return text;
}

static bool
is_within(const char *text, char low, char high)
{
    for (; *text != '\0'; text++)
        if (*text < low || *text > high)
            return false;
    return true;
}

static bool
real_within(struct json_slice value, double low, double high, double *real)
{
    return json_double(value, real) && *real >= low && *real <= high;
}

static bool
read_text(struct job *job, const struct field *field, struct json_slice value)
{
    (void)job, (void)field;
    return value.type == JSON_STRING;
}

static bool
read_object(struct job *job, const struct field *field, struct json_slice value)
{
    (void)job, (void)field;
    return value.type == JSON_OBJECT;
}

static bool
read_real(struct job *job, const struct field *field, struct json_slice value)
{
    double real;

    (void)job;
    return real_within(value, field->low, field->high, &real);
}

static bool
read_whole(struct job *job, const struct field *field, struct json_slice value)
{
    int64_t whole;

    (void)job;
    return json_int(value, (int64_t)field->low, (int64_t)field->high, &whole);
}

static bool
read_id(struct job *job, const struct field *field, struct json_slice value)
{
    char *id = exact_text(value, JOB_ID_MAX);

    (void)field;
    if (id == NULL)
        return false;
    job->has_own_id = job_id_is_valid(id, strlen(id));
    if (job->has_own_id)
        snprintf(job->id, sizeof(job->id), "%s", id);
    free(id);
    return job->has_own_id;
}

static bool
read_type(struct job *job, const struct field *field, struct json_slice value)
{
    char *name = exact_text(value, 64);

    (void)field;
    job->type = name == NULL ? NULL : job_type_find(job->types, name);
    free(name);
    return job->type != NULL;
}

static bool
read_models(struct job *job, const struct field *field, struct json_slice value)
{
    struct json_slice key, model;

    (void)field;
    for (struct json_iter it = json_iter(value); json_next(&it, &key, &model);) {
        char *name = it.is_object ? NULL : exact_text(model, MODEL_BYTES_MAX);

        if (name == NULL || job->model_count == JOB_MODELS_MAX || !is_within(name, '!', '~')) {
            free(name);
            return false;
        }
        job->models[job->model_count++] = name;
    }
    return job->model_count > 0;
}

static bool
read_prefer(struct job *job, const struct field *field, struct json_slice value)
{
    static const char *const names[] = {
        [PREFER_LATENCY] = "latency", [PREFER_BALANCED] = "balanced", [PREFER_PRIMARY] = "primary"};

    (void)field;
    for (int i = PREFER_LATENCY; i <= PREFER_PRIMARY; i++)
        if (json_equals(value, names[i]))
            job->prefer = (enum job_prefer)i;
    return job->prefer != PREFER_UNSET;
}

static bool
date_ms(struct json_slice value, int64_t *ms)
{
    char *text = exact_text(value, 64);
    double seconds;
    bool is_date;

    if (text == NULL) {
        is_date = real_within(value, 0, DATE_MAX, &seconds);
        *ms = is_date ? llround(seconds * 1000) : 0;
        return is_date;
    }
    is_date = clock_parse_rfc3339(text, ms) == 0 && *ms >= 0;
    free(text);
    return is_date;
}

static bool
read_date(struct job *job, const struct field *field, struct json_slice value)
{
    bool is_run_at = strcmp(field->name, "run_at") == 0;
    int64_t *kept = is_run_at ? &job->run_at_ms : &job->expires_at_ms;
    int64_t ms;

    if (!date_ms(value, &ms))
        return false;
    /* 0 would mean "none"; the first of January 1970 is a date. */
    *kept = ms == 0 ? 1 : ms;
    return true;
}

static bool
read_timeout(struct job *job, const struct field *field, struct json_slice value)
{
    double seconds;

    if (!real_within(value, field->low, field->high, &seconds))
        return false;
    job->timeout_ms = llround(seconds * 1000);
    return true;
}

static bool
read_max_attempts(struct job *job, const struct field *field, struct json_slice value)
{
    int64_t count;

    if (!json_int(value, (int64_t)field->low, (int64_t)field->high, &count))
        return false;
    job->max_attempts = (int)count;
    return true;
}

static bool
read_min_confidence(struct job *job, const struct field *field, struct json_slice value)
{
    return real_within(value, field->low, field->high, &job->min_confidence);
}

static bool
read_enqueued_at(struct job *job, const struct field *field, struct json_slice value)
{
    return real_within(value, field->low, field->high, &job->enqueued_at);
}

static bool
read_reply_to(struct job *job, const struct field *field, struct json_slice value)
{
    (void)field;
    job->reply_to = exact_text(value, REPLY_TO_BYTES_MAX);
    return job->reply_to != NULL;
}

static bool
read_track_started(struct job *job, const struct field *field, struct json_slice value)
{
    (void)field;
    return json_bool(value, &job->track_started);
}

static bool
read_trace(struct job *job, const struct field *field, struct json_slice value)
{
    char *text = exact_text(value, TRACE_BYTES_MAX);
    bool is_printable = text != NULL && is_within(text, ' ', '~');

    (void)job, (void)field;
    free(text);
    return is_printable;
}

static bool
read_stop_sequences(struct job *job, const struct field *field, struct json_slice value)
{
    struct json_slice key, text;
    int count = 0;

    (void)job, (void)field;
    for (struct json_iter it = json_iter(value); json_next(&it, &key, &text);)
        if (++count > STOP_SEQUENCES_MAX || text.type != JSON_STRING || text.len <= 2)
            return false;
    return value.type == JSON_ARRAY;
}

#define SLICE(member) offsetof(struct job, member)

/* The first wrong one, in this order, is the one that is named. */
static const struct field fields[] = {
    {"id", read_id, "a string of 1 to 256 bytes without control characters", 0, 0, 0},
    {"type", read_type, NULL, 0, 0, 0},
    {"section_name", read_text, "a string", 0, 0, 0},
    {"content", read_text, "a string", 0, 0, 0},
    {"doc_type", read_text, "a string", 0, 0, 0},
    {"query", read_text, "a string", 0, 0, 0},
    {"context", read_object, "an object", 0, 0, 0},
    {"session_id", read_text, "a string", SLICE(session_id), 0, 0},
    {"user_id", read_text, "a string", SLICE(user_id), 0, 0},
    {"tenant", read_text, "a string", SLICE(tenant), 0, 0},
    {"models", read_models, "an array of 1 to 10 model names", 0, 0, 0},
    {"prefer", read_prefer, "latency, balanced or primary", 0, 0, 0},
    {"max_tokens", read_whole, "a whole number from 1 to 1000000", SLICE(max_tokens), 1, 1e6},
    {"temperature", read_real, "a number from 0 to 2", SLICE(temperature), 0, 2},
    {"top_p", read_real, "a number from 0 to 1", SLICE(top_p), 0, 1},
    {"stop_sequences", read_stop_sequences, "an array of at most 16 strings, none empty",
     SLICE(stop_sequences), 0, 0},
    {"min_confidence", read_min_confidence, "a number from 0 to 1", 0, 0, 1},
    {"run_at", read_date, "Unix seconds or an RFC 3339 date", 0, 0, 0},
    {"expires_at", read_date, "Unix seconds or an RFC 3339 date", 0, 0, 0},
    {"timeout", read_timeout, "a number of seconds from 1 to 3600", 0, 1, 3600},
    {"max_attempts", read_max_attempts, "a whole number from 1 to 100", 0, 1, 100},
    {"reply_to", read_reply_to, "a string of 1 to 512 bytes without NUL", 0, 0, 0},
    {"track_started", read_track_started, "true or false", 0, 0, 0},
    {"enqueued_at", read_enqueued_at, "Unix seconds", 0, 0, DATE_MAX},
    {"metadata", read_object, "an object", SLICE(metadata), 0, 0},
    {"traceparent", read_trace, "a string of 1 to 256 printable ASCII characters",
     SLICE(traceparent), 0, 0},
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

/* What a wrong value is, for the message. Long ones are not shown: they may hold a document. */
static void
describe(struct json_slice value, char *text, size_t size)
{
    bool is_shown = value.len <= SHOWN_BYTES_MAX;

    if (value.type == JSON_ARRAY || value.type == JSON_OBJECT)
        snprintf(text, size, value.type == JSON_ARRAY ? "an array" : "an object");
    else if (is_shown)
        snprintf(text, size, "%.*s", (int)value.len, value.text);
    else if (value.type == JSON_STRING)
        snprintf(text, size, "a string of %zu bytes", value.len - 2);
    else
        snprintf(text, size, "a number of %zu characters", value.len);
}

static int
refuse(const struct job *job, const struct field *field, struct json_slice value, struct error *err)
{
    char is[64], names[128] = "one of ";

    describe(value, is, sizeof(is));
    if (field->must_be == NULL)
        job_type_names(job->types, names + strlen(names), sizeof(names) - strlen(names));
    return error_set(err, ERROR_INPUT, "%s is %s: it must be %s", field->name, is,
                     field->must_be == NULL ? names : field->must_be);
}

static int
read_field(struct job *job, const struct field *field, struct json_slice value, struct error *err)
{
    if (value.type == JSON_ABSENT || value.type == JSON_NULL)
        return 0;
    if (!field->read(job, field, value))
        return refuse(job, field, value, err);
    if (field->slice_at != 0)
        memcpy((char *)job + field->slice_at, &value, sizeof(value));
    return 0;
}

/* One walk for all of them: a body may have a hundred thousand fields. */
static void
find_fields(struct json_slice root, struct json_slice values[FIELD_COUNT])
{
    struct json_slice key, value;

    for (struct json_iter it = json_iter(root); json_next(&it, &key, &value);)
        for (size_t i = 0; i < FIELD_COUNT; i++)
            if (json_equals(key, fields[i].name))
                values[i] = value;
}

int
job_read_fields(struct job *job, struct error *err)
{
    struct json_slice values[FIELD_COUNT] = {0};
    int result = 0;

    find_fields(job->root, values);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (read_field(job, &fields[i], values[i], result == 0 ? err : NULL) != 0)
            result = -1;
    return result;
}
