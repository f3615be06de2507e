/*
 * json_write.c - putting JSON text together, and taking comments out of it.
 */
#include "common/json/json.h"
#include "common/json/json_text.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Half a result must not be written. */
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

/* Short pieces, on their way out together. */
struct gather {
    struct evbuffer *out;
    size_t len;
    char bytes[256];
};

static void
gather_flush(struct gather *gather)
{
    append(gather->out, gather->bytes, gather->len);
    gather->len = 0;
}

static void
gather_add(struct gather *gather, const char *bytes, size_t len)
{
    if (len > sizeof(gather->bytes) - gather->len)
        gather_flush(gather);
    if (len > sizeof(gather->bytes)) {
        append(gather->out, bytes, len);
        return;
    }
    memcpy(gather->bytes + gather->len, bytes, len);
    gather->len += len;
}

static void
gather_escaped(struct gather *gather, const char *text, size_t len)
{
    const char *at = text, *end = len == 0 ? text : text + len;

    while (at < end) {
        const char *run = at;

        at = skip_unescaped(at, end);
        gather_add(gather, run, (size_t)(at - run));
        if (sizeof(gather->bytes) - gather->len <= JSON_ESCAPED_MAX)
            gather_flush(gather);
        if (at < end)
            gather->len += json_escape_char(&at, end, gather->bytes + gather->len);
    }
}

void
json_put_escaped(struct evbuffer *out, const char *text, size_t len)
{
    struct gather gather = {.out = out};

    gather_escaped(&gather, text, len);
    gather_flush(&gather);
}

void
json_put_string(struct evbuffer *out, const char *text, size_t len)
{
    struct gather gather = {.out = out};

    gather_add(&gather, "\"", 1);
    gather_escaped(&gather, text, len);
    gather_add(&gather, "\"", 1);
    gather_flush(&gather);
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

/* The byte behind the comment that opens at `at`, or NULL when it is not closed. */
static char *
comment_behind(char *at, char *end)
{
    bool is_line = at[1] == '/';
    char *closer = memmem(at + 2, (size_t)(end - at - 2), is_line ? "\n" : "*/", is_line ? 1 : 2);

    if (closer == NULL)
        return is_line ? end : NULL;
    return is_line ? closer : closer + 2;
}

void
json_blank_comments(char *text, size_t len)
{
    char *end = text + len;

    for (char *at = text, *behind; at < end; at = behind) {
        bool opens = starts(at, end, '/', '/') || starts(at, end, '/', '*');

        behind = opens ? comment_behind(at, end) : *at == '"' ? string_behind(at, end) : at + 1;
        if (behind == NULL)
            return;
        if (opens)
            blank(at, behind);
    }
}
