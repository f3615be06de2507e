/*
 * json_write.c - putting JSON text together, and taking comments out of it.
 */
#include "common/json/json.h"
#include "common/json/json_text.h"
#include "common/log.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

#define EXIT_SOFTWARE 70 /* as memory.c does: half a result must not be written */

static void
append(struct evbuffer *out, const char *bytes, size_t len)
{
    if (len > 0 && evbuffer_add(out, bytes, len) != 0) {
        log_error("out of memory: this worker stops, its jobs go to the others");
        exit(EXIT_SOFTWARE);
    }
}

/* The first byte that does not stand for itself. */
static const char *
skip_unescaped(const char *at, const char *end)
{
    for (;;) {
        size_t wide;

        at = json_skip_plain(at, end);
        wide = at < end && (unsigned char)*at >= 0x80 ? utf8_char(at, (size_t)(end - at)) : 0;
        if (wide == 0)
            return at;
        at += wide;
    }
}

void
json_put_escaped(struct evbuffer *out, const char *text, size_t len)
{
    const char *at = text, *end = len == 0 ? text : text + len;
    char escaped[JSON_ESCAPED_MAX + 1];

    while (at < end) {
        const char *run = at;

        at = skip_unescaped(at, end);
        append(out, run, (size_t)(at - run));
        if (at < end)
            append(out, escaped, json_escape_char(&at, end, escaped));
    }
}

void
json_put_string(struct evbuffer *out, const char *text, size_t len)
{
    append(out, "\"", 1);
    json_put_escaped(out, text, len);
    append(out, "\"", 1);
}

void
json_put_slice(struct evbuffer *out, struct json_slice slice)
{
    append(out, slice.text, slice.len);
}

/* Lines stay lines, so that an editor's line numbers remain true. */
static void
blank(char *from, const char *to)
{
    for (; from < to; from++)
        if (*from != '\n')
            *from = ' ';
}

static char *
string_behind(char *at, char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return end;
}

static bool
starts(const char *at, const char *end, char first, char second)
{
    return end - at >= 2 && at[0] == first && at[1] == second;
}

static char *
comment_behind(char *at, char *end, bool is_line)
{
    for (; at < end; at++) {
        if (is_line ? *at == '\n' : starts(at, end, '*', '/'))
            return is_line ? at : at + 2;
    }
    return end;
}

/* The byte behind the comment, the string or the single byte at `at`. */
static char *
token_behind(char *at, char *end)
{
    if (starts(at, end, '/', '/') || starts(at, end, '/', '*'))
        return comment_behind(at + 2, end, at[1] == '/');
    return *at == '"' ? string_behind(at, end) : at + 1;
}

void
json_blank_comments(char *text, size_t len)
{
    char *end = text + len, *comma = NULL;
    char before = '[';

    for (char *at = text, *behind; at < end; at = behind) {
        behind = token_behind(at, end);
        if (*at == '/') {
            blank(at, behind - at > 1 ? behind : at);
        } else if (json_skip_blanks(at, end) == at) {
            if (comma != NULL && (*at == ']' || *at == '}'))
                *comma = ' ';
            /* "[,]" stays wrong: there is no value that this comma could follow. */
            comma = *at == ',' && strchr("[{,", before) == NULL ? at : NULL;
            before = *at;
        }
    }
}
