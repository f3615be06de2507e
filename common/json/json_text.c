#include "common/json/json_text.h"

#include "common/utf8.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Non-zero when a byte of `word` is below `limit` (at most 0x80); bytes from 0x80 up do not
 * count. "Determine if a word has a byte less than n", Bit Twiddling Hacks. */
static uint64_t
any_below(uint64_t word, unsigned char limit)
{
    return (word - EACH(limit)) & ~word & EACH(0x80);
}

/* Bytes that are not plain have their highest bit set. Those behind the first may have it
 * wrongly. */
static uint64_t
not_plain(uint64_t word)
{
    return (word & EACH(0x80)) | any_below(word, 0x20) | any_below(word ^ EACH('"'), 1) |
           any_below(word ^ EACH('\\'), 1);
}

static bool
is_plain(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

const char *
json_skip_plain(const char *at, const char *end)
{
    uint64_t word;

    while ((size_t)(end - at) >= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        word = not_plain(le64toh(word));
        if (word != 0)
            return at + __builtin_ctzll(word) / 8;
        at += sizeof(word);
    }
    while (at < end && is_plain(*at))
        at++;
    return at;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int32_t
json_hex4(const char *digits)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(digits[i]);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t
escape_ascii(char c, char *out)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c == '\0' ? NULL : strchr(plain, c);

    if (found == NULL && c >= 0x20) {
        out[0] = c;
        return 1;
    }
    if (found == NULL)
        return (size_t)snprintf(out, JSON_ESCAPED_MAX + 1, "\\u%04x", (unsigned)c);
    out[0] = '\\';
    out[1] = letters[found - plain];
    return 2;
}

size_t
json_escape_char(const char **at, const char *end, char out[JSON_ESCAPED_MAX + 1])
{
    const char *from = *at;
    size_t length;

    if ((unsigned char)*from < 0x80)
        return escape_ascii(*(*at)++, out);
    length = utf8_char(from, (size_t)(end - from));
    *at += length == 0 ? 1 : length;
    if (length == 0)
        return utf8_encode(0xfffd, out);
    memcpy(out, from, length);
    return length;
}
