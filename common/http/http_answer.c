#include "common/http/http_answer.h"

#include "common/http/http_client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_BLOCK 1024

/* Makes *block at least `needed` bytes large, by doubling. */
static bool
grow(char **block, size_t *size, size_t needed)
{
    size_t wanted = *size > 0 ? *size : FIRST_BLOCK;
    char *bigger;

    if (needed <= *size)
        return true;
    while (wanted < needed)
        wanted *= 2;
    bigger = realloc(*block, wanted);
    if (bigger == NULL)
        return false;
    *block = bigger;
    *size = wanted;
    return true;
}

/* Small ones are in what any job is charged. */
static bool
charge(struct http_answer *answer, size_t body_len)
{
    int64_t due = BUDGET_ANSWER_COPIES * (int64_t)body_len - BUDGET_JOB_BYTES;

    if (answer->budget == NULL || due <= answer->charged)
        return true;
    if (!budget_take(answer->budget, due - answer->charged))
        return false;
    answer->charged = due;
    return true;
}

static bool
fail(struct http_answer *answer, enum error_kind kind)
{
    answer->failure = kind;
    return false;
}

bool
http_answer_add_body(struct http_answer *answer, const char *data, size_t len)
{
    if (len > answer->max_body_bytes - answer->body_len)
        return fail(answer, ERROR_TOO_LARGE);
    if (!charge(answer, answer->body_len + len))
        return fail(answer, ERROR_TRANSIENT);
    if (!grow(&answer->body, &answer->body_size, answer->body_len + len + 1))
        return fail(answer, ERROR_INTERNAL);
    memcpy(answer->body + answer->body_len, data, len);
    answer->body_len += len;
    answer->body[answer->body_len] = '\0';
    return true;
}

static void
append_string(struct http_headers *headers, const char *text, size_t len)
{
    memcpy(headers->text + headers->len, text, len);
    headers->len += len;
    headers->text[headers->len++] = '\0';
}

static size_t
trimmed_len(const char *text, size_t len)
{
    while (len > 0 && memchr(" \t\r\n", text[len - 1], 4) != NULL)
        len--;
    return len;
}

static bool
keep_header(struct http_answer *answer, const char *line, size_t len)
{
    struct http_headers *headers = &answer->headers;
    const char *colon = memchr(line, ':', len);
    const char *value;

    if (colon == NULL || memchr(line, '\0', len) != NULL ||
        headers->count == HTTP_ANSWER_HEADERS_MAX ||
        headers->len + len + 1 > HTTP_ANSWER_HEADERS_BYTES)
        return true;
    if (!grow(&headers->text, &headers->size, headers->len + len + 1))
        return fail(answer, ERROR_INTERNAL);
    for (value = colon + 1; value < line + len && (*value == ' ' || *value == '\t'); value++)
        ;
    append_string(headers, line, (size_t)(colon - line));
    append_string(headers, value, (size_t)(line + len - value));
    headers->count++;
    return true;
}

bool
http_answer_add_header(struct http_answer *answer, const char *line, size_t len)
{
    struct http_headers *headers = &answer->headers;

    headers->seen_bytes += len;
    if (headers->seen_bytes > HTTP_ANSWER_HEADERS_REFUSED)
        return fail(answer, ERROR_TOO_LARGE);
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* those before were of a 1xx */
        headers->len = 0;
        headers->count = 0;
        answer->has_head = false;
        return true;
    }
    len = trimmed_len(line, len);
    answer->has_head = answer->has_head || len == 0;
    return keep_header(answer, line, len);
}

void
http_answer_release(struct http_answer *answer)
{
    if (answer->budget != NULL)
        budget_charge(answer->budget, -answer->charged);
    free(answer->body);
    free(answer->headers.text);
    *answer = (struct http_answer){0};
}

const char *
http_header(const struct http_response *response, const char *name)
{
    const struct http_headers *headers = response->headers;
    const char *at = headers->text;
    const char *found = NULL;

    for (int i = 0; i < headers->count; i++) {
        const char *value = at + strlen(at) + 1;

        if (strcasecmp(at, name) == 0)
            found = value;
        at = value + strlen(value) + 1;
    }
    return found;
}
