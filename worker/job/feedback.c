#include "worker/job/feedback.h"

#include "common/memory.h"
#include "worker/job/answer.h"
#include "worker/job/feedback_item.h"
#include "worker/job/put.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* An answer of some megabytes could hold a million tiny items: these are read, the best kept. */
#define ITEMS_READ_MAX 1000
#define ITEMS_KEPT_MAX 200

/* Equal confidence: as the model had them. */
static int
compare_items(const void *a, const void *b)
{
    const struct feedback_item *left = a, *right = b;

    if (left->confidence != right->confidence)
        return left->confidence > right->confidence ? -1 : 1;
    return left->position < right->position ? -1 : 1;
}

static size_t
count_entries(struct json_slice list)
{
    struct json_slice key, value;
    size_t count = 0;

    for (struct json_iter it = json_iter(list);
         count < ITEMS_READ_MAX && json_next(&it, &key, &value);)
        count++;
    return count;
}

static int
collect_items(struct json_slice list, double min_confidence, struct feedback_item *items)
{
    struct json_slice key, value;
    int count = 0, position = 0;

    for (struct json_iter it = json_iter(list);
         position < ITEMS_READ_MAX && json_next(&it, &key, &value);) {
        if (feedback_item_init(&items[count], value, ++position) &&
            items[count].confidence >= min_confidence)
            count++;
    }
    return count;
}

static bool
is_duplicate(const struct feedback_item *items, int count, const struct feedback_item *item)
{
    for (int i = 0; i < count; i++)
        if (items[i].fingerprint == item->fingerprint)
            return true;
    return false;
}

/* Of sorted items, so the most confident of the same stays. */
static int
drop_duplicates(struct feedback_item *items, int count)
{
    int kept = 0;

    for (int i = 0; i < count && kept < ITEMS_KEPT_MAX; i++)
        if (!is_duplicate(items, kept, &items[i]))
            items[kept++] = items[i];
    return kept;
}

static void
put_call(const struct feedback_context *context, struct evbuffer *out)
{
    put_raw(out, ",\"model_used\":");
    put_text(out, context->model_used);
    put_format(out,
               ",\"tokens\":{\"input\":%" PRId64 ",\"output\":%" PRId64 ",\"total\":%" PRId64
               "},\"duration\":",
               context->input_tokens, context->output_tokens,
               context->input_tokens + context->output_tokens);
    put_seconds(out, context->duration_ms);
    put_raw(out, "}");
}

static void
put_section(const struct job *job, struct evbuffer *out)
{
    struct json_slice name = json_get(job->root, "section_name");

    put_raw(out, "{\"success\":true,\"section\":");
    if (name.type == JSON_STRING)
        json_put_slice(out, name);
    else
        put_raw(out, "\"\"");
}

static int
print_items(const struct job *job, const char *answer, size_t len,
            const struct feedback_context *context, struct evbuffer *out, struct error *err)
{
    struct feedback_item *items;
    struct json_slice list;
    int count;

    if (!answer_find_items(answer, len, &list))
        return error_set(err, ERROR_INPUT,
                         "the answer has no JSON object with a feedback_items array");
    items = xcalloc(count_entries(list) + 1, sizeof(*items));
    count = collect_items(list, job->min_confidence, items);
    qsort(items, (size_t)count, sizeof(*items), compare_items);
    count = drop_duplicates(items, count);

    put_section(job, out);
    put_raw(out, ",\"feedback_items\":[");
    for (int i = 0; i < count; i++) {
        put_raw(out, i == 0 ? "" : ",");
        feedback_item_print(&items[i], out);
    }
    put_format(out, "],\"feedback_count\":%d", count);
    put_call(context, out);
    free(items);
    return 0;
}

static int
print_text(const char *answer, size_t len, const struct feedback_context *context,
           struct evbuffer *out, struct error *err)
{
    answer_trim(&answer, &len);
    if (len == 0)
        return error_set(err, ERROR_INPUT, "the answer is empty");
    put_raw(out, "{\"success\":true,\"response\":");
    json_put_string(out, answer, len);
    put_call(context, out);
    return 0;
}

static unsigned
wanted_json(const struct json_schema *schema)
{
    unsigned wanted = 0;

    if (schema == NULL)
        return ANSWER_OBJECT | ANSWER_ARRAY;
    wanted |= json_schema_takes(schema, JSON_OBJECT) ? ANSWER_OBJECT : 0;
    wanted |= json_schema_takes(schema, JSON_ARRAY) ? ANSWER_ARRAY : 0;
    return wanted;
}

/* Without the blanks between its parts: a result is one line. */
static void
put_compact(struct json_slice json, struct evbuffer *out)
{
    const char *at = json.text, *end = json.text + json.len, *from = at;
    bool in_string = false;

    for (; at < end; at++) {
        if (in_string && *at == '\\') {
            at++;
        } else if (*at == '"') {
            in_string = !in_string;
        } else if (!in_string && strchr(" \t\r\n", *at) != NULL) {
            evbuffer_add(out, from, (size_t)(at - from));
            from = at + 1;
        }
    }
    evbuffer_add(out, from, (size_t)(end - from));
}

static int
print_json(const struct job *job, const char *answer, size_t len,
           const struct feedback_context *context, struct evbuffer *out, struct error *err)
{
    const struct json_schema *schema = job->type->schema;
    struct json_slice json;

    if (!answer_find_json(answer, len, wanted_json(schema), &json))
        return error_set(err, ERROR_INPUT, "the answer has no JSON %s",
                         wanted_json(schema) == ANSWER_OBJECT  ? "object"
                         : wanted_json(schema) == ANSWER_ARRAY ? "array"
                                                               : "object or array");
    if (schema != NULL && json_schema_check(schema, json, err) != 0)
        return -1;
    put_raw(out, "{\"success\":true,\"data\":");
    put_compact(json, out);
    put_call(context, out);
    return 0;
}

int
feedback_print(const struct job *job, const char *answer, size_t len,
               const struct feedback_context *context, struct evbuffer *out, struct error *err)
{
    switch (job->type->output) {
    case JOB_OUTPUT_FEEDBACK: return print_items(job, answer, len, context, out, err);
    case JOB_OUTPUT_JSON: return print_json(job, answer, len, context, out, err);
    case JOB_OUTPUT_TEXT: return print_text(answer, len, context, out, err);
    }
    return error_set(err, ERROR_INTERNAL, "an unknown output of job type %s", job->type->name);
}
