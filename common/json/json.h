/*
 * json.h - strict JSON: check once, then walk slices of the checked text.
 *
 * json_check is the door for everything from outside (RFC 8259, UTF-8, bounded
 * depth, no duplicate top-level names). After it, json_get and the iterators
 * point into the text instead of building a tree, and never fail on grammar.
 * cJSON, which is no validator, is used behind json_check only, where a tree is
 * really changed (json_tree).
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "common/error.h"

#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 64

enum json_type {
    JSON_ABSENT = 0, /* json_get found nothing; text is NULL */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* A value inside checked text, borrowed from it: as long as the text lives. A
 * string's slice includes its quotes; escapes are as they were written. */
struct json_slice {
    const char *text;
    size_t len;
    enum json_type type;
};

/* Checks that text[0..len) is exactly one JSON value, blanks around it allowed,
 * and sets *root. Refuses (ERROR_INPUT): bad UTF-8, a BOM, raw control bytes,
 * leading zeros, trailing bytes, nesting deeper than JSON_MAX_DEPTH and two
 * equal names (after unescaping) in the outermost object. ERROR_INTERNAL: out of memory. */
int json_check(const char *text, size_t len, struct json_slice *root,
               struct error *err) WARN_UNUSED;

/* The member of `object` with exactly this name, or type JSON_ABSENT; also when
 * `object` is no object. */
struct json_slice json_get(struct json_slice object, const char *name);
/* Several members in one walk: values[i] becomes what json_get gives for names[i]. */
void json_get_each(struct json_slice object, int count, const char *const names[],
                   struct json_slice values[]);

/* Walks an object (key set) or an array (key->type is JSON_ABSENT):
 *     for (struct json_iter it = json_iter(v); json_next(&it, &key, &value);)
 */
struct json_iter {
    const char *at, *end;
    bool is_object;
};
struct json_iter json_iter(struct json_slice container);
bool json_next(struct json_iter *it, struct json_slice *key, struct json_slice *value);

/* Does the string slice, unescaped, equal `text`? */
bool json_equals(struct json_slice string, const char *text);
/* The unescaped string, NUL-terminated, in a new block (owned by the caller, free);
 * *len (may be NULL) excludes the NUL. A lone surrogate becomes U+FFFD. NULL when
 * the slice is no string. The text itself may hold NUL (from \u0000). */
char *json_string(struct json_slice string, size_t *len);
/* The written bytes between the quotes: what may stand inside another JSON string. No value
 * by itself, so its type is JSON_ABSENT; the text is NULL when the slice is no string. */
struct json_slice json_inner(struct json_slice string);
/* true when it is a number that a double holds as a finite value. */
bool json_double(struct json_slice number, double *value);
/* true when it is a number with an integral value in [low, high] ("3", "3.0", "3e0"). */
bool json_int(struct json_slice number, int64_t low, int64_t high, int64_t *value);
bool json_bool(struct json_slice value, bool *is_true);

/* Appends `len` bytes as a JSON string with its quotes. Bad UTF-8 becomes U+FFFD, so
 * that what we write is always valid. */
void json_put_string(struct evbuffer *out, const char *text, size_t len);
/* The same without the quotes, for a text put together from pieces. */
void json_put_escaped(struct evbuffer *out, const char *text, size_t len);
/* Appends a slice as it stands. */
void json_put_slice(struct evbuffer *out, struct json_slice slice);

/* A cJSON tree of a checked slice (cJSON_Delete), or NULL when out of memory; unpatched
 * cJSON 1.7 also fails on numbers of more than 63 bytes. A string with \u0000 is cut there
 * by cJSON: never take an id from a tree. */
cJSON *json_tree(struct json_slice slice);

/* Takes comments of both kinds out of text[0..len), in place and without moving a byte: they
 * become blanks. One that is not closed stays, for json_check to refuse. For configuration files
 * only. */
void json_blank_comments(char *text, size_t len);

#endif
