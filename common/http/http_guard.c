#include "common/http/http_guard.h"

#include <string.h>
#include <strings.h>

struct field {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

static bool
refuse(struct http_guard *guard, int status, const char *reason)
{
    guard->state = HTTP_GUARD_REFUSED;
    guard->status = status;
    guard->reason = reason;
    return false;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static int
hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 9110, 5.6.2 */
static bool
is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(text[i]) && memchr("!#$%&'*+-.^_`|~", text[i], 15) == NULL)
            return false;
    return len > 0;
}

static bool
is_escape(const char *text, size_t len)
{
    return len >= 3 && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0 &&
           hex_value(text[1]) + hex_value(text[2]) > 0;
}

static bool
check_target(struct http_guard *guard, const char *target, size_t len)
{
    if (len == 0 || target[0] != '/')
        return refuse(guard, 400, "the request target must begin with a slash");
    for (size_t i = 0; i < len; i++) {
        if (target[i] <= ' ' || target[i] > '~' || target[i] == '#')
            return refuse(guard, 400, "the request target holds a byte that must be escaped");
        if (target[i] == '%' && !is_escape(target + i, len - i))
            return refuse(guard, 400, "the request target holds a bad percent escape");
    }
    return true;
}

static bool
check_request_line(struct http_guard *guard, const char *line, size_t len)
{
    const char *first = memchr(line, ' ', len);
    const char *last = memrchr(line, ' ', len);

    if (first == last || !is_token(line, (size_t)(first - line)))
        return refuse(guard, 400, "the request line is not METHOD /target HTTP/1.1");
    if (len - (size_t)(last + 1 - line) != 8 ||
        (memcmp(last + 1, "HTTP/1.1", 8) != 0 && memcmp(last + 1, "HTTP/1.0", 8) != 0))
        return refuse(guard, 400, "only versions 1.0 and 1.1 of HTTP are spoken here");
    return check_target(guard, first + 1, (size_t)(last - first) - 1);
}

/* The length of the host in front of ":port": a name, an IPv4 or a bracketed IPv6 address. */
static size_t
host_len(const char *text, size_t len)
{
    size_t n = 0;

    if (len > 0 && text[0] == '[') {
        for (n = 1; n < len && (hex_value(text[n]) >= 0 || text[n] == ':' || text[n] == '.'); n++)
            ;
        return n > 1 && n < len && text[n] == ']' ? n + 1 : 0;
    }
    while (n < len && (is_alnum(text[n]) || memchr("-._~", text[n], 4) != NULL))
        n++;
    return n;
}

static bool
check_host(struct http_guard *guard, const struct field *field)
{
    size_t len = field->value_len;
    size_t at = host_len(field->value, len);
    bool is_good = at > 0 && (at == len || field->value[at] == ':');

    if (at < len && len - at > 6)
        is_good = false;
    for (at++; at < len; at++)
        is_good = is_good && is_digit(field->value[at]);
    return is_good || refuse(guard, 400, "the Host header is not a host with an optional port");
}

static bool
check_content_length(struct http_guard *guard, const struct field *field)
{
    size_t body_len = 0;
    bool is_over = false;

    for (size_t i = 0; i < field->value_len; i++) {
        if (!is_digit(field->value[i]))
            return refuse(guard, 400, "Content-Length must be digits only");
        if (!is_over)
            body_len = body_len * 10 + (size_t)(field->value[i] - '0');
        is_over = is_over || body_len > guard->max_body_bytes;
    }
    if (field->value_len == 0)
        return refuse(guard, 400, "Content-Length is empty");
    if (is_over)
        return refuse(guard, 413, "the body is larger than what is taken here");
    guard->body_len = body_len;
    return true;
}

static bool
refuse_transfer_encoding(struct http_guard *guard, const struct field *field)
{
    (void)field;
    return refuse(guard, 411, "Transfer-Encoding is not taken here: send a Content-Length");
}

static bool
check_expect(struct http_guard *guard, const struct field *field)
{
    if (field->value_len != 12 || strncasecmp(field->value, "100-continue", 12) != 0)
        return refuse(guard, 400, "nothing but 100-continue can be expected");
    guard->wants_continue = true;
    return true;
}

/* The headers that decide something: each may come once. */
static const struct rule {
    const char *name;
    bool (*check)(struct http_guard *guard, const struct field *field);
} rules[] = {
    {"host", check_host}, /* the first: its bit is asked for at the end of the head */
    {"content-length", check_content_length},
    {"transfer-encoding", refuse_transfer_encoding},
    {"expect", check_expect},
    {"content-type", NULL},
    {"authorization", NULL},
    {"origin", NULL},
};
#define SEEN_HOST 1U

static bool
apply_rule(struct http_guard *guard, size_t index, const struct field *field)
{
    unsigned bit = 1U << index;

    if (guard->seen & bit)
        return refuse(guard, 400, "a header that may come once came twice");
    guard->seen |= bit;
    return rules[index].check == NULL || rules[index].check(guard, field);
}

static bool
check_rules(struct http_guard *guard, const struct field *field)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strlen(rules[i].name) == field->name_len &&
            strncasecmp(rules[i].name, field->name, field->name_len) == 0)
            return apply_rule(guard, i, field);
    return true;
}

static bool
check_field(struct http_guard *guard, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    struct field field = {.name = line};

    if (guard->lines > HTTP_GUARD_HEADERS_MAX)
        return refuse(guard, 413, "the head has too many headers");
    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return refuse(guard, 400, "a header line is not \"Name: value\"");
    field.name_len = (size_t)(colon - line);
    field.value = colon + 1;
    field.value_len = len - field.name_len - 1;
    for (; field.value_len > 0 && *field.value == ' '; field.value_len--)
        field.value++;
    while (field.value_len > 0 && field.value[field.value_len - 1] == ' ')
        field.value_len--;
    return check_rules(guard, &field);
}

static bool
finish_head(struct http_guard *guard)
{
    if (!(guard->seen & SEEN_HOST))
        return refuse(guard, 400, "the Host header is missing");
    guard->head_len = guard->scanned;
    guard->state = HTTP_GUARD_PASSED;
    return true;
}

/* One line up to its LF, which is not counted in `len`. */
static bool
check_line(struct http_guard *guard, const char *line, size_t len)
{
    if (len == 0 || memchr(line, '\r', len) != line + len - 1)
        return refuse(guard, 400, "a line of the head does not end with CR LF");
    len--;
    if (guard->lines == 0)
        return check_request_line(guard, line, len);
    return len == 0 ? finish_head(guard) : check_field(guard, line, len);
}

static void
check_byte(struct http_guard *guard, const char *data)
{
    unsigned char c = (unsigned char)data[guard->scanned++];

    if (c == '\n') {
        check_line(guard, data + guard->line_start, guard->scanned - 1 - guard->line_start);
        guard->line_start = guard->scanned;
        guard->lines++;
    } else if ((c < 0x20 && c != '\r') || c == 0x7f) {
        refuse(guard, 400, "the head holds a control byte");
    } else if (guard->scanned - guard->line_start > HTTP_GUARD_LINE_MAX) {
        refuse(guard, 413, "a line of the head is too long");
    }
}

void
http_guard_init(struct http_guard *guard, size_t max_head_bytes, size_t max_body_bytes)
{
    *guard = (struct http_guard){
        .max_head_bytes = max_head_bytes,
        .max_body_bytes = max_body_bytes,
    };
}

enum http_guard_state
http_guard_check(struct http_guard *guard, const char *data, size_t len)
{
    while (guard->state == HTTP_GUARD_MORE && guard->scanned < len) {
        if (guard->scanned == guard->max_head_bytes)
            refuse(guard, 413, "the head is larger than what is taken here");
        else
            check_byte(guard, data);
    }
    return guard->state;
}
