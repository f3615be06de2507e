#include "worker/job/feedback_item.h"

#include "worker/job/put.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For a model that gives none: it was asked to give only items it is sure of. */
#define CONFIDENCE_DEFAULT 0.80

/* FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
#define FNV_BASIS UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

struct item_row;
typedef void item_put_fn(const struct feedback_item *item, const struct item_row *row,
                         struct json_slice value, struct evbuffer *out);

struct item_row {
    const char *name;
    item_put_fn *put;
    const char *fallback;         /* JSON for a missing value or one of a wrong type */
    const char *const *canonical; /* how known values are spelt; ends with NULL */
};

static void
put_string(const struct feedback_item *item, const struct item_row *row, struct json_slice value,
           struct evbuffer *out)
{
    (void)item;
    if (value.type == JSON_STRING)
        json_put_slice(out, value);
    else
        put_raw(out, row->fallback);
}

/* Models number their items: 1 becomes "1". */
static void
put_id(const struct feedback_item *item, const struct item_row *row, struct json_slice value,
       struct evbuffer *out)
{
    (void)row;
    if (value.type == JSON_STRING && value.len > 2)
        json_put_slice(out, value);
    else if (value.type == JSON_NUMBER)
        json_put_string(out, value.text, value.len);
    else
        put_format(out, "\"%d\"", item->position);
}

/* "high" becomes "High"; a word of the model's own stays. */
static void
put_word(const struct feedback_item *item, const struct item_row *row, struct json_slice value,
         struct evbuffer *out)
{
    struct json_slice inner = json_inner(value);

    (void)item;
    for (const char *const *word = row->canonical; *word != NULL; word++) {
        if (inner.len == strlen(*word) && strncasecmp(inner.text, *word, inner.len) == 0) {
            put_text(out, *word);
            return;
        }
    }
    if (inner.len > 0)
        json_put_slice(out, value);
    else
        put_raw(out, row->fallback);
}

/* One question without its brackets is a list of one. */
static void
put_list(const struct feedback_item *item, const struct item_row *row, struct json_slice value,
         struct evbuffer *out)
{
    (void)item;
    if (value.type == JSON_ARRAY) {
        json_put_slice(out, value);
    } else if (json_inner(value).len > 0) {
        put_raw(out, "[");
        json_put_slice(out, value);
        put_raw(out, "]");
    } else {
        put_raw(out, row->fallback);
    }
}

static void
put_confidence(const struct feedback_item *item, const struct item_row *row,
               struct json_slice value, struct evbuffer *out)
{
    (void)row, (void)value;
    put_format(out, "%.6g", item->confidence < 1e-4 ? 0.0 : item->confidence);
}

static const char *const type_words[] = {"critical", "important", "suggestion", "positive", NULL};
static const char *const risk_words[] = {"High", "Medium", "Low", NULL};
static const char *const any_word[] = {NULL};

static const struct item_row rows[ITEM_FIELD_COUNT] = {
    [ITEM_ID] = {"id", put_id, NULL, NULL},
    [ITEM_TYPE] = {"type", put_word, "\"suggestion\"", type_words},
    [ITEM_CATEGORY] = {"category", put_word, "\"General\"", any_word},
    [ITEM_DESCRIPTION] = {"description", put_string, "\"\"", NULL},
    [ITEM_SUGGESTION] = {"suggestion", put_string, "\"\"", NULL},
    [ITEM_EXAMPLE] = {"example", put_string, "\"\"", NULL},
    [ITEM_QUESTIONS] = {"questions", put_list, "[]", NULL},
    [ITEM_REFS] = {"refs", put_list, "[]", NULL},
    [ITEM_RISK_LEVEL] = {"risk_level", put_word, "\"Low\"", risk_words},
    [ITEM_CONFIDENCE] = {"confidence", put_confidence, NULL, NULL},
};

static int
known_field(struct json_slice key)
{
    for (int i = 0; i < ITEM_FIELD_COUNT; i++)
        if (json_equals(key, rows[i].name))
            return i;
    return -1;
}

static double
clamp(double share)
{
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* 0.9, "0.9", 90, "90", "90%": models have all of them. */
static double
read_confidence(struct json_slice value)
{
    bool is_string = value.type == JSON_STRING;
    struct json_slice inner = is_string ? json_inner(value) : value;
    char text[32], *behind;
    double share;

    if ((!is_string && value.type != JSON_NUMBER) || inner.len >= sizeof(text))
        return CONFIDENCE_DEFAULT;
    memcpy(text, inner.text, inner.len);
    text[inner.len] = '\0';
    share = strtod(text, &behind);
    if (behind == text || !isfinite(share))
        return CONFIDENCE_DEFAULT;
    behind += strspn(behind, " ");
    if (strcmp(behind, "%") == 0 || (*behind == '\0' && share > 1 && share <= 100))
        return clamp(share / 100);
    return *behind == '\0' ? clamp(share) : CONFIDENCE_DEFAULT;
}

/* Letters without their case, runs of blanks as one. */
static uint64_t
fingerprint(const char *text, size_t len)
{
    uint64_t hash = FNV_BASIS;
    bool in_blanks = true;

    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool is_blank = byte == ' ' || (byte >= '\t' && byte <= '\r');

        if (is_blank) {
            in_blanks = true;
            continue;
        }
        if (in_blanks)
            hash = (hash ^ ' ') * FNV_PRIME;
        in_blanks = false;
        hash = (hash ^ (unsigned char)tolower(byte)) * FNV_PRIME;
    }
    return hash;
}

/* The fingerprint of a string; false when it is missing or holds blanks only. */
static bool
take_fingerprint(struct json_slice string, uint64_t *print)
{
    size_t len = 0;
    char *text = json_string(string, &len);

    if (text != NULL)
        *print = fingerprint(text, len);
    free(text);
    return text != NULL && *print != FNV_BASIS;
}

bool
feedback_item_init(struct feedback_item *item, struct json_slice value, int position)
{
    struct json_slice key, field;
    int known;

    if (value.type != JSON_OBJECT)
        return false;
    *item = (struct feedback_item){.object = value, .position = position};
    for (struct json_iter it = json_iter(value); json_next(&it, &key, &field);)
        if ((known = known_field(key)) < 0)
            item->has_unknown = true;
        else if (field.type != JSON_NULL)
            item->fields[known] = field;
    item->confidence = read_confidence(item->fields[ITEM_CONFIDENCE]);
    return take_fingerprint(item->fields[ITEM_DESCRIPTION], &item->fingerprint) ||
           take_fingerprint(item->fields[ITEM_SUGGESTION], &item->fingerprint);
}

static void
put_unknown_fields(const struct feedback_item *item, struct evbuffer *out)
{
    struct json_slice key, value;

    for (struct json_iter it = json_iter(item->object); json_next(&it, &key, &value);) {
        if (known_field(key) >= 0)
            continue;
        put_raw(out, ",");
        json_put_slice(out, key);
        put_raw(out, ":");
        json_put_slice(out, value);
    }
}

void
feedback_item_print(const struct feedback_item *item, struct evbuffer *out)
{
    for (int i = 0; i < ITEM_FIELD_COUNT; i++) {
        put_raw(out, i == 0 ? "{\"" : ",\"");
        put_raw(out, rows[i].name);
        put_raw(out, "\":");
        rows[i].put(item, &rows[i], item->fields[i], out);
    }
    if (item->has_unknown)
        put_unknown_fields(item, out);
    put_raw(out, "}");
}
