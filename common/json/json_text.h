/*
 * json_text.h - JSON byte by byte: what the scanner, the reader and the writers share.
 *
 * Not for other rooms: they use json.h.
 */
#ifndef COMMON_JSON_TEXT_H
#define COMMON_JSON_TEXT_H

#include "common/json/json.h"

/* The first byte that is no blank, or `end`. */
static inline const char *
json_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* The first byte that is not printable ASCII, is a quote or is a backslash, or `end`. Eight
 * bytes a step: most of a payload is such text. */
const char *json_skip_plain(const char *at, const char *end);
/* Which type of value begins with this byte; JSON_ABSENT: none. */
static inline enum json_type
json_type_of(char first)
{
    switch (first) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 'n': return JSON_NULL;
    case 't':
    case 'f': return JSON_BOOL;
    default: return first == '-' || (first >= '0' && first <= '9') ? JSON_NUMBER : JSON_ABSENT;
    }
}

/* Four hexadecimal digits as a number, or -1. */
int32_t json_hex4(const char *digits);

/* The longest escaped form of one character: "\u001f". */
#define JSON_ESCAPED_MAX 6
/* Takes one character (or one bad byte, as U+FFFD) off *at and writes it as it stands in a
 * JSON string. Returns the bytes written. *at must be below `end`. */
size_t json_escape_char(const char **at, const char *end, char out[JSON_ESCAPED_MAX + 1]);

#endif
