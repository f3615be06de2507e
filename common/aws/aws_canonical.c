#include "common/aws/aws_canonical.h"

#include "common/memory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Proxies and clients change these on the way. The list of botocore. */
static const char *const never_signed[] = {
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "baggage",
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- percent encoding ---- */

static bool
is_unreserved(unsigned char c)
{
    return (c < 0x80 && isalnum(c)) || (c != '\0' && strchr("-._~", c) != NULL);
}

/* A new string. The bytes of `kept` stay beside the unreserved ones. */
static char *
percent_encode(const char *text, const char *kept)
{
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = xcalloc(strlen(text) + 1, 3), *to = encoded;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (is_unreserved(c) || strchr(kept, c) != NULL) {
            *to++ = *text;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return encoded;
}

char *
aws_encode_segment(const char *text)
{
    return percent_encode(text, "");
}

static void
put_text(struct evbuffer *out, const char *text)
{
    evbuffer_add(out, text, strlen(text));
}

/* ---- path ---- */

/* Takes the last segment off path[0..len); returns what is left. */
static size_t
drop_segment(const char *path, size_t len)
{
    while (len > 0 && path[--len] != '/')
        ;
    return len;
}

/* A new string without dot segments (RFC 3986, 5.2.4) and doubled slashes. */
static char *
normalise(const char *path)
{
    char *normal = xcalloc(strlen(path) + 2, 1);
    size_t len = 0, segment_len;

    for (const char *at = path; *at != '\0'; at += segment_len) {
        at += strspn(at, "/");
        segment_len = strcspn(at, "/");
        if (segment_len == 0 || (segment_len == 1 && at[0] == '.'))
            continue;
        if (segment_len == 2 && at[0] == '.' && at[1] == '.') {
            len = drop_segment(normal, len);
            continue;
        }
        normal[len++] = '/';
        memcpy(normal + len, at, segment_len);
        len += segment_len;
    }
    if (len == 0 || path[strlen(path) - 1] == '/')
        normal[len++] = '/';
    normal[len] = '\0';
    return normal;
}

static void
put_path(const struct aws_sign_request *request, struct evbuffer *out)
{
    char *path = request->keep_path ? xstrdup(request->path) : normalise(request->path);
    char *encoded = percent_encode(path, "/");

    put_text(out, encoded);
    free(encoded);
    free(path);
}

/* ---- query ---- */

struct parameter {
    char *name; /* both owned */
    char *value;
};

/* By name and then by value: not as one text, where "a-b=" would stand before "a=". */
static int
compare_parameters(const void *a, const void *b)
{
    const struct parameter *one = a, *other = b;
    int order = strcmp(one->name, other->name);

    return order != 0 ? order : strcmp(one->value, other->value);
}

/* The wire has most bytes encoded: '%' begins what is encoded and stays. */
static struct parameter
read_parameter(char *text)
{
    char *name = strsep(&text, "=");

    return (struct parameter){
        .name = percent_encode(name, "%"),
        .value = percent_encode(text == NULL ? "" : text, "%"),
    };
}

static int
put_query(const char *query, struct evbuffer *out, struct error *err)
{
    struct parameter parameters[AWS_HEADERS_MAX] = {{NULL, NULL}};
    size_t count = 0;
    char *copy = xstrdup(query), *rest = copy, *text;

    while (count < AWS_HEADERS_MAX && (text = strsep(&rest, "&")) != NULL)
        if (*text != '\0')
            parameters[count++] = read_parameter(text);
    qsort(parameters, count, sizeof(parameters[0]), compare_parameters);
    for (size_t i = 0; i < count; i++) {
        evbuffer_add_printf(out, "%s%s=%s", i == 0 ? "" : "&", parameters[i].name,
                            parameters[i].value);
        free(parameters[i].name);
        free(parameters[i].value);
    }
    free(copy);
    if (rest != NULL)
        return error_set(err, ERROR_INPUT, "more than %d query parameters", AWS_HEADERS_MAX);
    return 0;
}

/* ---- headers ---- */

/* Sorted by name; equal names in the order they came. */
struct header_list {
    const struct aws_header *headers[AWS_HEADERS_MAX];
    size_t count;
};

static bool
is_signed(const char *name)
{
    for (size_t i = 0; i < COUNT(never_signed); i++)
        if (strcasecmp(name, never_signed[i]) == 0)
            return false;
    return true;
}

static bool
is_name(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text == 0x7f || *text == ':')
            return false;
    return true;
}

static bool
is_value(const char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

static int
list_headers(struct header_list *list, const struct aws_header *headers, size_t count,
             struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = list->count;

        if (!is_name(headers[i].name) || !is_value(headers[i].value))
            return error_set(err, ERROR_INPUT, "header %s can't be signed: control byte",
                             headers[i].name);
        if (!is_signed(headers[i].name))
            continue;
        if (list->count == AWS_HEADERS_MAX)
            return error_set(err, ERROR_INPUT, "more than %d headers", AWS_HEADERS_MAX);
        for (; at > 0 && strcasecmp(list->headers[at - 1]->name, headers[i].name) > 0; at--)
            list->headers[at] = list->headers[at - 1];
        list->headers[at] = &headers[i];
        list->count++;
    }
    return 0;
}

static void
put_lower(struct evbuffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        char lower = (char)tolower((unsigned char)*text);

        evbuffer_add(out, &lower, 1);
    }
}

/* Blanks at both ends go, blanks in a row become one. */
static void
put_value(struct evbuffer *out, const char *value)
{
    size_t len;

    value += strspn(value, " \t");
    while ((len = strcspn(value, " \t")) > 0) {
        evbuffer_add(out, value, len);
        value += len;
        value += strspn(value, " \t");
        if (*value != '\0')
            evbuffer_add(out, " ", 1);
    }
}

static void
put_headers(const struct header_list *list, struct evbuffer *out, struct evbuffer *names)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct aws_header *header = list->headers[i];

        if (i > 0 && strcasecmp(list->headers[i - 1]->name, header->name) == 0) {
            evbuffer_add(out, ",", 1);
        } else {
            if (i > 0) {
                evbuffer_add(out, "\n", 1);
                evbuffer_add(names, ";", 1);
            }
            put_lower(out, header->name);
            put_lower(names, header->name);
            evbuffer_add(out, ":", 1);
        }
        put_value(out, header->value);
    }
    evbuffer_add(out, "\n", 1);
}

int
aws_canonical_print(const struct aws_sign_request *request, const struct aws_header *added,
                    size_t added_count, const char *body_sha256, struct evbuffer *out,
                    struct evbuffer *names, struct error *err)
{
    struct header_list list = {.count = 0};

    if (list_headers(&list, request->headers, request->header_count, err) < 0 ||
        list_headers(&list, added, added_count, err) < 0)
        return -1;
    evbuffer_add_printf(out, "%s\n", request->method);
    put_path(request, out);
    evbuffer_add(out, "\n", 1);
    if (put_query(request->query == NULL ? "" : request->query, out, err) < 0)
        return -1;
    evbuffer_add(out, "\n", 1);
    put_headers(&list, out, names);
    evbuffer_add_printf(out, "\n%.*s\n%s", (int)evbuffer_get_length(names),
                        (const char *)evbuffer_pullup(names, -1), body_sha256);
    return 0;
}
