#include "worker/celery/body.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FIRST_BYTES 4096

/* clang-format off */

/* What a digit stands for, plus one: the rest are none. */
static const unsigned char values[256] = {
    ['A'] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
            14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
            40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['+'] = 63,
    ['/'] = 64,
};
/* clang-format on */

static uint32_t
value_of(char digit)
{
    return values[(unsigned char)digit];
}

/* Four digits as 24 bits; false when one is none. */
static bool
take_group(const char digits[4], uint32_t *group)
{
    uint32_t a = value_of(digits[0]), b = value_of(digits[1]);
    uint32_t c = value_of(digits[2]), d = value_of(digits[3]);

    *group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
    return a != 0 && b != 0 && c != 0 && d != 0;
}

static size_t
padding(const char *text, size_t len)
{
    if (len < 4 || text[len - 1] != '=')
        return 0;
    return text[len - 2] == '=' ? 2 : 1;
}

char *
celery_base64(const char *text, size_t len, size_t *out_len)
{
    size_t pad = padding(text, len), written = 0;
    char *out = len % 4 != 0 ? NULL : malloc(len / 4 * 3 + 1);

    for (size_t at = 0; out != NULL && at < len; at += 4) {
        char digits[4];
        uint32_t group;

        memcpy(digits, text + at, 4);
        if (at + 4 == len && pad > 0)
            memset(digits + 4 - pad, 'A', pad);
        if (!take_group(digits, &group)) {
            free(out);
            return NULL;
        }
        out[written++] = (char)(group >> 16);
        out[written++] = (char)(group >> 8);
        out[written++] = (char)group;
    }
    if (out != NULL) {
        *out_len = written - pad;
        out[*out_len] = '\0';
    }
    return out;
}

static char *
grow(char *out, size_t *size, size_t most)
{
    char *larger;

    *size = *size * 4 < most ? *size * 4 : most;
    larger = realloc(out, *size + 1);
    if (larger == NULL)
        free(out);
    return larger;
}

char *
celery_inflate(const char *bytes, size_t len, size_t most, size_t *out_len, struct error *err)
{
    z_stream stream = {.avail_in = (uInt)len};
    size_t size = most < FIRST_BYTES ? most : FIRST_BYTES;
    char *out = malloc(size + 1);
    int state = Z_OK;

    memcpy(&stream.next_in, &bytes, sizeof(bytes)); /* zlib's is not const, and not written to */
    if (out == NULL || len > UINT32_MAX || inflateInit2(&stream, 15 + 32) != Z_OK) {
        error_set(err, ERROR_INTERNAL, "the compressed body can't be read");
        free(out);
        return NULL;
    }
    while (out != NULL && state == Z_OK && stream.total_out < most) {
        if (stream.total_out == size)
            out = grow(out, &size, most);
        if (out == NULL)
            break;
        stream.next_out = (Bytef *)out + stream.total_out;
        stream.avail_out = (uInt)(size - stream.total_out);
        state = inflate(&stream, Z_NO_FLUSH);
    }
    *out_len = stream.total_out;
    inflateEnd(&stream);
    if (out != NULL && state == Z_STREAM_END) {
        out[*out_len] = '\0';
        return out;
    }
    if (state == Z_OK)
        error_set(err, ERROR_INPUT, "the compressed body is cut off, or larger than %zu bytes",
                  most);
    else
        error_set(err, ERROR_INPUT, "the compressed body is no zlib stream");
    free(out);
    return NULL;
}
