#include "common/http/http_head.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Ends the string at `at` before the first `stop` and returns what follows it, or NULL. */
static char *
cut(char *at, const char *stop)
{
    char *end = strstr(at, stop);

    if (end == NULL)
        return NULL;
    *end = '\0';
    return end + strlen(stop);
}

static char
escaped_byte(const char *digits)
{
    const char text[3] = {digits[0], digits[1], '\0'};

    return (char)strtoul(text, NULL, 16);
}

/* In place. Every '%' has its two digits and none makes a NUL: the guard saw to it. */
static char *
decode(char *text, bool plus_is_blank)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '%') {
            *to++ = escaped_byte(from + 1);
            from += 2;
        } else {
            *to++ = *from == '+' && plus_is_blank ? ' ' : *from;
        }
    }
    *to = '\0';
    return text;
}

static void
take_params(struct http_head *head, char *query)
{
    while (query != NULL && head->param_count < HTTP_HEAD_PARAMS_MAX) {
        char *next = cut(query, "&");
        char *value = cut(query, "=");

        head->params[head->param_count].name = decode(query, true);
        head->params[head->param_count].value = value != NULL ? decode(value, true) : "";
        head->param_count++;
        query = next;
    }
}

static char *
trim(char *text)
{
    char *end;

    text += strspn(text, " ");
    for (end = text + strlen(text); end > text && end[-1] == ' '; end--)
        ;
    *end = '\0';
    return text;
}

static void
take_headers(struct http_head *head, char *line)
{
    while (line != NULL && head->header_count < HTTP_GUARD_HEADERS_MAX) {
        char *next = cut(line, "\r\n");
        char *value = cut(line, ":");

        if (value == NULL) /* the blank line */
            break;
        head->headers[head->header_count].name = line;
        head->headers[head->header_count].value = trim(value);
        head->header_count++;
        line = next;
    }
}

void
http_head_init(struct http_head *head, char *text)
{
    char *lines = cut(text, "\r\n");
    char *target = cut(text, " ");

    assert(lines != NULL && target != NULL); /* the guard saw them */
    cut(target, " ");
    *head = (struct http_head){.text = text, .method = text};
    take_params(head, cut(target, "?"));
    head->path = decode(target, false);
    take_headers(head, lines);
}

void
http_head_release(struct http_head *head)
{
    free(head->text);
    *head = (struct http_head){0};
}

const char *
http_head_header(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

const char *
http_head_param(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->param_count; i++)
        if (strcmp(head->params[i].name, name) == 0)
            return head->params[i].value;
    return NULL;
}
