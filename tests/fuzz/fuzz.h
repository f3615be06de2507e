/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput: it gives the bytes to a parser and checks
 * what must hold of the outcome. libFuzzer looks for inputs (make fuzz); replay.c runs the
 * ones that are kept (make test).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "common/json/json.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* A property: it holds for every input, or the input is a finding. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input, read from the front. */
struct input {
    const char *at;
    size_t len;
};

static inline unsigned
input_byte(struct input *input)
{
    if (input->len == 0)
        return 0;
    input->len--;
    return (unsigned char)*input->at++;
}

/* The bytes up to the next `mark`, which is left out, or all that is left: a new string (free). A
 * NUL in it ends what most readers see; the block is exactly as long as it must be, so that a
 * sanitizer sees a step beyond it. */
static inline char *
input_text(struct input *input, char mark)
{
    const char *end = input->len == 0 ? NULL : memchr(input->at, mark, input->len);
    size_t len = end == NULL ? input->len : (size_t)(end - input->at);
    char *text = malloc(len + 1);

    MUST(text != NULL);
    if (len > 0)
        memcpy(text, input->at, len);
    text[len] = '\0';
    input->at += end == NULL ? len : len + 1;
    input->len -= end == NULL ? len : len + 1;
    return text;
}

/* A copy without a byte behind it (free). */
static inline char *
input_copy(const void *data, size_t size)
{
    char *copy = calloc(1, size == 0 ? 1 : size);

    MUST(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* What we wrote is JSON by our own rules. Drains `out`. */
static inline void
must_be_json(struct evbuffer *out)
{
    struct json_slice root;
    size_t len = evbuffer_get_length(out);
    const char *text = (const char *)evbuffer_pullup(out, -1);

    MUST(json_check(text, len, &root, NULL) == 0);
    evbuffer_drain(out, len);
}

#endif
