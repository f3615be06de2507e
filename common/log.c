#include "common/log.h"

#include "common/clock.h"
#include "common/json/json_text.h"
#include "common/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIELD_MAX 1024

/* One line: a pipe takes it whole or not at all, because it is no longer than PIPE_BUF.
 * `limit` leaves room for the bytes that end a line, so that a full one is still closed. */
struct line {
    char text[4096];
    size_t len;
    size_t limit;
};
_Static_assert(sizeof(((struct line *)0)->text) <= PIPE_BUF, "a line is written in one piece");

#define LINE_END_MAX 3 /* quote, brace, newline */

static struct {
    enum log_level least;
    bool json;
    uint64_t dropped;
} process_log = {.least = LOG_LEVEL_INFO};

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

void
log_setup(enum log_level least, bool json)
{
    process_log.least = least;
    process_log.json = json;
}

uint64_t
log_dropped(void)
{
    return process_log.dropped;
}

/* All of it or nothing. */
static bool
put(struct line *line, const char *bytes, size_t len)
{
    if (line->len + len > line->limit)
        return false;
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
    return true;
}

static bool
put_text(struct line *line, const char *text)
{
    return put(line, text, strlen(text));
}

/* The bytes that end something: `limit` keeps their place free. */
static void
put_end(struct line *line, char end)
{
    line->text[line->len++] = end;
}

static bool
is_bare(const char *text)
{
    static const char marks[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "._:/@+-,%";

    return *text != '\0' && text[strspn(text, marks)] == '\0';
}

/* Takes one character, or one bad byte, off *at and writes it as it stands in a quoted
 * logfmt value. */
static size_t
escape_char(const char **at, const char *end, char *out, size_t out_size)
{
    const char *from = *at;
    size_t len = utf8_char(from, (size_t)(end - from));

    if (len == 0 || utf8_steers(from, len)) {
        *at += 1;
        return (size_t)snprintf(out, out_size, *from == '\n' ? "\\n" : "\\x%02x",
                                (unsigned char)*from);
    }
    *at += len;
    if (*from == '"' || *from == '\\')
        *out++ = '\\';
    memcpy(out, from, len);
    return len + (*from == '"' || *from == '\\');
}

/* The same for JSON, which itself would let DEL and what steers beyond ASCII stand. */
static size_t
escape_json(const char **at, const char *end, char out[JSON_ESCAPED_MAX + 1])
{
    const char *from = *at;
    size_t len = utf8_char(from, (size_t)(end - from));

    if (len == 0 || (unsigned char)*from < 0x7f || !utf8_steers(from, len))
        return json_escape_char(at, end, out);
    *at += len;
    return (size_t)snprintf(out, JSON_ESCAPED_MAX + 1, "\\u%04x", (unsigned)utf8_decode(from, len));
}

/* A quoted value, cut at FIELD_MAX bytes or where the line is full. */
static void
put_quoted(struct line *line, const char *text)
{
    const char *at = text, *end = text + strlen(text);
    size_t last = line->len + FIELD_MAX;
    char piece[JSON_ESCAPED_MAX + 1];

    put(line, "\"", 1); /* put_name left room for it */
    while (at < end) {
        size_t len = process_log.json ? escape_json(&at, end, piece)
                                      : escape_char(&at, end, piece, sizeof(piece));

        if (line->len + len > last || !put(line, piece, len))
            break;
    }
    put_end(line, '"');
}

static void
put_value(struct line *line, const char *text)
{
    if (!process_log.json && strlen(text) < FIELD_MAX && is_bare(text) && put_text(line, text))
        return;
    put_quoted(line, text);
}

/* Room for a name and at least an empty value, or nothing is written. */
static bool
put_name(struct line *line, const char *name)
{
    static const char *const befores[2][2] = {{" ", ""}, {",\"", "\""}};
    bool is_first = line->len <= 1; /* nothing, or the brace */
    const char *before = befores[process_log.json][is_first];
    const char *behind = process_log.json ? "\":" : "=";

    if (line->len + strlen(before) + strlen(name) + strlen(behind) + 1 > line->limit)
        return false;
    return put_text(line, before) && put_text(line, name) && put_text(line, behind);
}

static void
put_string(struct line *line, const char *name, const char *text)
{
    if (text != NULL && put_name(line, name))
        put_value(line, text);
}

static void
put_number(struct line *line, const char *name, int64_t number)
{
    size_t before = line->len;
    char digits[24];

    snprintf(digits, sizeof(digits), "%" PRId64, number);
    if (put_name(line, name) && !put_text(line, digits))
        line->len = before;
}

static void
put_time(struct line *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    char text[40];
    struct tm date;
    size_t len;

    gmtime_r(&seconds, &date);
    len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(now_ms % 1000));
    put_string(line, "time", text);
}

/* Is there room for a whole line? POLLOUT of a pipe means PIPE_BUF bytes; POLLERR that its
 * reader is gone. */
static bool
takes_bytes(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

    return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents == POLLOUT;
}

/* The program ignores SIGPIPE from its start: here it could only come from a reader that
 * closes a pipe between poll and write. O_NONBLOCK would be simpler, but it belongs to
 * the open file, which the parent and its other children share. */
static bool
write_line(const struct line *line)
{
    ssize_t written;

    if (!takes_bytes(STDERR_FILENO))
        return false;
    written = send(STDERR_FILENO, line->text, line->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK)
        written = write(STDERR_FILENO, line->text, line->len);
    return written == (ssize_t)line->len;
}

void
log_write(enum log_level level, const char *message, ...)
{
    struct line line = {.limit = sizeof(line.text) - LINE_END_MAX};
    int errno_before = errno;
    struct log_field field;
    va_list fields;

    if (level < process_log.least)
        return;
    if (process_log.json)
        put_text(&line, "{");
    put_time(&line);
    put_string(&line, "level", level_names[level]);
    put_string(&line, "msg", message);
    va_start(fields, message);
    while (field = va_arg(fields, struct log_field), field.key != NULL) {
        if (field.is_number)
            put_number(&line, field.key, field.number);
        else
            put_string(&line, field.key, field.text);
    }
    va_end(fields);
    if (process_log.json)
        put_end(&line, '}');
    put_end(&line, '\n');
    if (!write_line(&line))
        process_log.dropped++;
    errno = errno_before;
}
