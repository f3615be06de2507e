#include "tests/sim/wire_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Cuts the line at its CRLF and returns the next one, or NULL when there is no CRLF. */
static char *
cut_line(char *line)
{
    char *end = strstr(line, "\r\n");

    if (end == NULL)
        return NULL;
    *end = '\0';
    return end + 2;
}

static int
parse_request_line(char *line, struct wire_head *head)
{
    char *target = strchr(line, ' ');
    char *version = target == NULL ? NULL : strchr(target + 1, ' ');
    char *query;

    if (version == NULL || target[1] != '/')
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return 505;
    head->is_kept_alive = strcmp(version, "HTTP/1.1") == 0;
    head->method = line;
    head->path = target;
    query = strchr(target, '?');
    head->query = query == NULL ? "" : query + 1;
    if (query != NULL)
        *query = '\0';
    return 0;
}

static int
parse_header(char *line, struct wire_head *head)
{
    char *colon = strchr(line, ':');
    char *end = line + strlen(line);

    if (head->header_count == WIRE_HEADERS_MAX)
        return 431;
    if (colon == NULL || colon == line || strcspn(line, " \t") < (size_t)(colon - line))
        return 400;
    *colon++ = '\0';
    colon += strspn(colon, " \t");
    while (end > colon && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    head->headers[head->header_count++] = (struct aws_header){.name = line, .value = colon};
    return 0;
}

const char *
wire_head_find(const struct wire_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

static int
parse_length(struct wire_head *head)
{
    const char *text = wire_head_find(head, "content-length");
    size_t digits;

    if (wire_head_find(head, "transfer-encoding") != NULL)
        return 411;
    if (text == NULL)
        return 0;
    digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] != '\0')
        return 400;
    if (digits > 9)
        return 413;
    head->body_len = (size_t)strtoul(text, NULL, 10);
    return head->body_len > WIRE_BODY_BYTES ? 413 : 0;
}

static int
parse_connection(struct wire_head *head)
{
    const char *connection = wire_head_find(head, "connection");
    const char *expect = wire_head_find(head, "expect");

    if (connection != NULL && strcasecmp(connection, "close") == 0)
        head->is_kept_alive = false;
    head->wants_continue = expect != NULL && strcasecmp(expect, "100-continue") == 0;
    return wire_head_find(head, "host") == NULL && head->is_kept_alive ? 400 : 0;
}

int
wire_head_parse(char *text, struct wire_head *head)
{
    char *next = cut_line(text);
    int status;

    memset(head, 0, sizeof(*head));
    status = next == NULL ? 400 : parse_request_line(text, head);
    while (status == 0) {
        char *line = next;

        next = cut_line(line);
        if (next == NULL)
            return 400;
        if (*line == '\0')
            break;
        status = parse_header(line, head);
    }
    if (status == 0)
        status = parse_connection(head);
    return status == 0 ? parse_length(head) : status;
}
