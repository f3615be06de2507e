#include "common/json/json.h"

#include "common/json/json_text.h"
#include "common/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xfffd

static bool
is_escaped(const char *open, const char *at)
{
    const char *before = at;

    while (before - 1 > open && before[-1] == '\\')
        before--;
    return (at - before) % 2 == 1;
}

/* The byte behind the string that opens at `open`. */
static const char *
string_end(const char *open, const char *end)
{
    const char *quote = open;

    while ((quote = memchr(quote + 1, '"', (size_t)(end - quote - 1))) != NULL)
        if (!is_escaped(open, quote))
            return quote + 1;
    return end;
}

static const char *
container_end(const char *at, const char *end)
{
    int depth = 0;

    while (at < end) {
        if (*at == '"') {
            at = string_end(at, end);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if ((*at == '}' || *at == ']') && --depth == 0)
            return at + 1;
        at++;
    }
    return end;
}

static const char *
word_end(const char *at, const char *end)
{
    while (at < end && strchr(",]} \t\r\n", *at) == NULL)
        at++;
    return at;
}

/* The value that begins at `at`, which is below `end`. */
static struct json_slice
value_at(const char *at, const char *end)
{
    struct json_slice value = {.text = at, .type = json_type_of(*at)};
    const char *behind;

    if (value.type == JSON_STRING)
        behind = string_end(at, end);
    else if (value.type == JSON_OBJECT || value.type == JSON_ARRAY)
        behind = container_end(at, end);
    else
        behind = word_end(at, end);
    value.len = (size_t)(behind - at);
    return value;
}

struct json_iter
json_iter(struct json_slice container)
{
    if (container.type != JSON_OBJECT && container.type != JSON_ARRAY)
        return (struct json_iter){0};
    return (struct json_iter){
        .at = container.text + 1,
        .end = container.text + container.len - 1,
        .is_object = container.type == JSON_OBJECT,
    };
}

/* Takes the next value, past blanks and the one byte of punctuation before it. */
static bool
take_value(struct json_iter *it, char punctuation, struct json_slice *value)
{
    it->at = json_skip_blanks(it->at, it->end);
    if (it->at < it->end && *it->at == punctuation)
        it->at = json_skip_blanks(it->at + 1, it->end);
    if (it->at >= it->end)
        return false;
    *value = value_at(it->at, it->end);
    it->at += value->len;
    return true;
}

bool
json_next(struct json_iter *it, struct json_slice *key, struct json_slice *value)
{
    *key = *value = (struct json_slice){0};
    if (it->is_object && !take_value(it, ',', key))
        return false;
    return take_value(it, it->is_object ? ':' : ',', value);
}

struct json_slice
json_get(struct json_slice object, const char *name)
{
    struct json_slice key, value;

    if (object.type == JSON_OBJECT)
        for (struct json_iter it = json_iter(object); json_next(&it, &key, &value);)
            if (json_equals(key, name))
                return value;
    return (struct json_slice){0};
}

void
json_get_each(struct json_slice object, int count, const char *const names[],
              struct json_slice values[])
{
    struct json_slice key, value;

    for (int i = 0; i < count; i++)
        values[i] = (struct json_slice){0};
    if (object.type != JSON_OBJECT)
        return;
    for (struct json_iter it = json_iter(object); json_next(&it, &key, &value);)
        for (int i = 0; i < count; i++)
            if (values[i].type == JSON_ABSENT && json_equals(key, names[i]))
                values[i] = value;
}

static bool
is_surrogate(int32_t unit, int32_t first)
{
    return unit >= first && unit < first + 0x400;
}

/* Reads \uXXXX, and the second half of a pair behind it, from *at. */
static uint32_t
take_code_point(const char **at, const char *end)
{
    int32_t high = json_hex4(*at + 2), low;

    *at += 6;
    if (is_surrogate(high, 0xd800) && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        low = json_hex4(*at + 2);
        if (is_surrogate(low, 0xdc00)) {
            *at += 6;
            return 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
        }
    }
    return high >= 0xd800 && high < 0xe000 ? REPLACEMENT : (uint32_t)high;
}

/* Takes the escape at *at and writes what it means; returns its length, 1-4. */
static size_t
take_escape(const char **at, const char *end, char out[4])
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *letter;

    if ((*at)[1] == 'u')
        return utf8_encode(take_code_point(at, end), out);
    letter = strchr(letters, (*at)[1]);
    out[0] = letter == NULL ? (*at)[1] : meanings[letter - letters];
    *at += 2;
    return 1;
}

struct json_slice
json_inner(struct json_slice string)
{
    if (string.type != JSON_STRING)
        return (struct json_slice){0};
    return (struct json_slice){.text = string.text + 1, .len = string.len - 2};
}

/* Takes one written byte or escape at *at and writes what it means; returns its length. */
static size_t
take_piece(const char **at, const char *end, char out[4])
{
    if (**at == '\\')
        return take_escape(at, end, out);
    out[0] = *(*at)++;
    return 1;
}

bool
json_equals(struct json_slice string, const char *text)
{
    struct json_slice inner = json_inner(string);
    const char *at = inner.text, *end;

    if (at == NULL)
        return false;
    end = at + inner.len;
    while (at < end && *at != '\\' && *at == *text)
        at++, text++;
    if (at < end && *at != '\\')
        return false;
    while (at < end) {
        char piece[4];
        size_t len = take_piece(&at, end, piece);

        for (size_t i = 0; i < len; i++, text++)
            if (*text == '\0' || *text != piece[i])
                return false;
    }
    return *text == '\0';
}

char *
json_string(struct json_slice string, size_t *len)
{
    struct json_slice inner = json_inner(string);
    const char *at = inner.text, *end;
    char *text, *to;

    /* Never longer than it is written: the shortest escape of n bytes takes 2n. */
    if (at == NULL || (text = malloc(inner.len + 1)) == NULL)
        return NULL;
    end = at + inner.len;
    to = text;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        size_t run = (size_t)((escape == NULL ? end : escape) - at);

        memcpy(to, at, run);
        to += run;
        at += run;
        if (at < end)
            to += take_escape(&at, end, to);
    }
    *to = '\0';
    if (len != NULL)
        *len = (size_t)(to - text);
    return text;
}

bool
json_double(struct json_slice number, double *value)
{
    char *copy;

    if (number.type != JSON_NUMBER || (copy = strndup(number.text, number.len)) == NULL)
        return false;
    *value = strtod(copy, NULL);
    free(copy);
    return isfinite(*value);
}

static bool
is_written_whole(struct json_slice number)
{
    for (size_t i = 0; i < number.len; i++)
        if (strchr(".eE", number.text[i]) != NULL)
            return false;
    return true;
}

/* Every 64-bit integer, exactly: a double would round beyond 2^53. */
static bool
whole_int64(struct json_slice number, int64_t *value)
{
    char digits[24]; /* "-9223372036854775808" */

    if (number.len >= sizeof(digits))
        return false;
    memcpy(digits, number.text, number.len);
    digits[number.len] = '\0';
    errno = 0;
    *value = strtoll(digits, NULL, 10);
    return errno == 0;
}

static bool
double_int64(struct json_slice number, int64_t *value)
{
    double real;

    if (!json_double(number, &real) || fabs(real) >= 9007199254740992.0 || real != trunc(real))
        return false;
    *value = (int64_t)real;
    return true;
}

bool
json_int(struct json_slice number, int64_t low, int64_t high, int64_t *value)
{
    int64_t found = 0;

    if (number.type != JSON_NUMBER)
        return false;
    if (!(is_written_whole(number) ? whole_int64(number, &found) : double_int64(number, &found)))
        return false;
    if (found < low || found > high)
        return false;
    *value = found;
    return true;
}

bool
json_bool(struct json_slice value, bool *is_true)
{
    if (value.type != JSON_BOOL)
        return false;
    *is_true = value.text[0] == 't';
    return true;
}

/* cJSON refuses a lone surrogate: it becomes U+FFFD, which is written as long. */
static void
replace_lone_surrogates(char *text, const char *end)
{
    char *at = text;

    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        const char *behind = at;
        char meaning[4];

        take_escape(&behind, end, meaning);
        if (at[1] == 'u' && is_surrogate(json_hex4(at + 2) & ~0x400, 0xd800) && behind - at == 6)
            memcpy(at, "\\ufffd", 6);
        at += behind - at;
    }
}

cJSON *
json_tree(struct json_slice slice)
{
    char *copy;
    cJSON *tree;

    if (slice.text == NULL || (copy = strndup(slice.text, slice.len)) == NULL)
        return NULL;
    replace_lone_surrogates(copy, copy + slice.len);
    tree = cJSON_ParseWithLengthOpts(copy, slice.len + 1, NULL, true);
    free(copy);
    return tree;
}
