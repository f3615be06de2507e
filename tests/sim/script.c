#include "tests/sim/script.h"

#include "common/memory.h"
#include "tests/sim/field.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define TIMES_MAX 1000000000
#define MS_MAX    86400000
#define BYTES_MAX INT64_C(1000000000000)

/* The name of a fault, and of the one member that is its text. */
static const struct {
    const char *name;
    const char *text_member;
} FAULTS[FAULT_KINDS] = {
    [FAULT_THROTTLE] = {"throttle", "message"},
    [FAULT_STATUS] = {"status", "message"},
    [FAULT_BODY] = {"body", "body"},
    [FAULT_HTML] = {"html", NULL},
    [FAULT_REDIRECT] = {"redirect", "location"},
    [FAULT_GARBAGE] = {"garbage", NULL},
    [FAULT_CLOSE] = {"close", NULL},
    [FAULT_RESET] = {"reset", NULL},
    [FAULT_HANG] = {"hang", NULL},
    [FAULT_CUT] = {"cut", NULL},
    [FAULT_DRIP] = {"drip", NULL},
    [FAULT_OVERSIZED] = {"oversized", NULL},
    [FAULT_CUT_OFF] = {"cut_off", NULL},
    [FAULT_EMPTY] = {"empty", NULL},
    [FAULT_TEXT] = {"text", "text"},
    [FAULT_GUARDRAIL] = {"guardrail", "message"},
    [FAULT_DELAY] = {"delay", NULL},
};

const char *
fault_name(enum fault_kind kind)
{
    return FAULTS[kind].name;
}

static void
fault_free(struct fault *fault)
{
    if (fault == NULL)
        return;
    free(fault->code);
    free(fault->text);
    free(fault->lines);
    free(fault);
}

static int
read_kind(struct json_slice value, struct fault *fault, struct error *err)
{
    struct json_slice name = json_get(value, "do");

    for (int kind = 0; kind < FAULT_KINDS; kind++)
        if (json_equals(name, FAULTS[kind].name)) {
            fault->kind = (enum fault_kind)kind;
            return 0;
        }
    return error_set(err, ERROR_INPUT, "unknown fault %.*s", (int)name.len, name.text);
}

/* A test may send a blank where none belongs, but a line stays a line. */
static int
append_line(struct evbuffer *lines, struct json_slice name, struct json_slice value,
            struct error *err)
{
    char *name_text = json_string(name, NULL);
    char *value_text = json_string(value, NULL);
    int result = 0;

    if (name_text == NULL || value_text == NULL || strpbrk(name_text, "\r\n") != NULL ||
        strpbrk(value_text, "\r\n") != NULL)
        result = error_set(err, ERROR_INPUT, "headers must be an object of one-line strings");
    else
        evbuffer_add_printf(lines, "%s: %s\r\n", name_text, value_text);
    free(name_text);
    free(value_text);
    return result;
}

static int
read_headers(struct json_slice value, struct fault *fault, struct error *err)
{
    struct json_slice name, member;
    struct evbuffer *lines;
    int result = 0;

    value = json_get(value, "headers");
    if (value.type != JSON_OBJECT)
        return 0;
    lines = xevbuffer();
    for (struct json_iter it = json_iter(value); result == 0 && json_next(&it, &name, &member);)
        result = append_line(lines, name, member, err);
    evbuffer_add(lines, "", 1);
    fault->lines = xstrdup((const char *)evbuffer_pullup(lines, -1));
    evbuffer_free(lines);
    return result;
}

static int
read_text(struct json_slice value, struct fault *fault, struct error *err)
{
    const char *member = FAULTS[fault->kind].text_member;

    if (member != NULL && field_text(value, member, &fault->text, err) != 0)
        return -1;
    if (fault->kind == FAULT_STATUS && json_get(value, "code").type == JSON_ABSENT)
        fault->code = xstrdup("InternalServerException");
    return field_text(value, "code", &fault->code, err);
}

static int
read_numbers(struct json_slice value, struct fault *fault, struct error *err)
{
    const char *ms = fault->kind == FAULT_DRIP ? "byte_ms" : "ms";

    if (field_int(value, "times", 1, TIMES_MAX, &fault->times_left, err) != 0 ||
        field_double(value, "retry_after", 0, MS_MAX, &fault->retry_after_s, err) != 0 ||
        field_int(value, "status", 100, 599, &fault->status, err) != 0 ||
        field_int(value, ms, 0, MS_MAX, &fault->ms, err) != 0 ||
        field_int(value, "bytes", 0, BYTES_MAX, &fault->bytes, err) != 0)
        return -1;
    return field_bool(value, "chunked", &fault->is_chunked, err);
}

static struct fault *
fault_read(struct json_slice value, struct error *err)
{
    struct fault *fault = xcalloc(1, sizeof(*fault));

    fault->times_left = 1;
    fault->retry_after_s = -1;
    if (read_kind(value, fault, err) == 0) {
        fault->status = fault->kind == FAULT_STATUS ? 500 : 200;
        if (read_text(value, fault, err) == 0 && read_numbers(value, fault, err) == 0 &&
            read_headers(value, fault, err) == 0)
            return fault;
    }
    fault_free(fault);
    return NULL;
}

static void
free_all(struct fault *queue)
{
    struct fault *fault, *next;

    DL_FOREACH_SAFE(queue, fault, next)
    fault_free(fault);
}

int
script_append(struct script *script, struct json_slice root, struct error *err)
{
    struct json_slice faults = json_get(root, "faults");
    struct json_slice key, value;
    struct fault *read = NULL;

    if (faults.type != JSON_ARRAY)
        return error_set(err, ERROR_INPUT, "faults must be an array");
    for (struct json_iter it = json_iter(faults); json_next(&it, &key, &value);) {
        struct fault *fault = fault_read(value, err);

        if (fault == NULL) {
            free_all(read);
            return -1;
        }
        DL_APPEND(read, fault);
    }
    DL_CONCAT(script->queue, read);
    return 0;
}

const struct fault *
script_next(struct script *script)
{
    struct fault *fault = script->queue;

    fault_free(script->spent);
    script->spent = NULL;
    if (fault != NULL && --fault->times_left == 0) {
        DL_DELETE(script->queue, fault);
        script->spent = fault;
    }
    return fault;
}

void
script_clear(struct script *script)
{
    free_all(script->queue);
    fault_free(script->spent);
    *script = (struct script){0};
}
