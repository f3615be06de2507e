#include "worker/celery/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    const char *stands_for_it;
} words[] = {
    {"NaN", "0  "},
    {"Infinity", "0       "},
};

/* Puts numbers where Python's words stand outside of strings. Returns how many there were. */
static int
replace_words(char *text, size_t len)
{
    bool in_string = false;
    int count = 0;

    for (size_t at = 0; at < len; at++) {
        if (text[at] == '\\' && in_string)
            at++;
        else if (text[at] == '"')
            in_string = !in_string;
        for (size_t i = 0; !in_string && i < sizeof(words) / sizeof(words[0]); i++) {
            size_t word_len = strlen(words[i].name);

            if (at + word_len > len || memcmp(text + at, words[i].name, word_len) != 0)
                continue;
            memcpy(text + at, words[i].stands_for_it, word_len);
            count++;
        }
    }
    return count;
}

static char *
copy_of(const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

int
celery_text_init(struct celery_text *text, char *raw, size_t len, struct error *err)
{
    char *copy;

    *text = (struct celery_text){.raw = raw, .checked = raw, .len = len};
    if (raw == NULL)
        return error_set(err, ERROR_INTERNAL, "no memory for %zu bytes", len);
    if (json_check(raw, len, &text->root, err) == 0)
        return 0;
    copy = copy_of(raw, len);
    if (copy == NULL || replace_words(copy, len) == 0) {
        free(copy);
        return -1;
    }
    text->checked = copy;
    return json_check(copy, len, &text->root, err);
}

int
celery_text_copy(struct celery_text *text, const struct celery_text *from, struct json_slice slice,
                 struct error *err)
{
    struct json_slice raw = celery_text_raw(from, slice);

    return celery_text_init(text, copy_of(raw.text, raw.len), raw.len, err);
}

void
celery_text_release(struct celery_text *text)
{
    if (text->checked != text->raw)
        free(text->checked);
    free(text->raw);
    *text = (struct celery_text){0};
}

struct json_slice
celery_text_raw(const struct celery_text *text, struct json_slice slice)
{
    if (slice.text != NULL)
        slice.text = text->raw + (slice.text - text->checked);
    return slice;
}

char *
celery_text_string(struct json_slice slice, size_t most)
{
    size_t len;
    char *text;

    if (slice.type != JSON_STRING || slice.len > 6 * most + 2)
        return NULL;
    text = json_string(slice, &len);
    if (text != NULL && (len == 0 || len > most || strlen(text) != len)) {
        free(text);
        return NULL;
    }
    return text;
}

struct json_slice
celery_get(struct json_slice object, const char *name)
{
    static const struct json_slice absent;
    struct json_slice value = json_get(object, name);

    return value.type == JSON_NULL ? absent : value;
}

void
celery_put(struct evbuffer *out, const char *json)
{
    evbuffer_add(out, json, strlen(json));
}

void
celery_put_text(struct evbuffer *out, const char *text)
{
    json_put_string(out, text, strlen(text));
}

void
celery_put_date(int64_t ms, struct evbuffer *out)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm date;
    char text[32];

    gmtime_r(&seconds, &date);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &date);
    evbuffer_add_printf(out, "\"%s.%03d000+00:00\"", text, (int)(ms % 1000));
}

void
celery_get_each(struct json_slice object, int count, const char *const names[],
                struct json_slice values[])
{
    json_get_each(object, count, names, values);
    for (int i = 0; i < count; i++)
        if (values[i].type == JSON_NULL)
            values[i] = (struct json_slice){0};
}
