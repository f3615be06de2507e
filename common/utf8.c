#include "common/utf8.h"

#include <string.h>

struct lead {
    unsigned char low, high;               /* the first byte */
    unsigned char second_low, second_high; /* the second; all others are 80..bf */
    unsigned char length;
};

static const struct lead leads[] = {
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static bool
is_within(unsigned char byte, unsigned char low, unsigned char high)
{
    return byte >= low && byte <= high;
}

static bool
follows(const struct lead *lead, const unsigned char *bytes)
{
    if (!is_within(bytes[1], lead->second_low, lead->second_high))
        return false;
    for (size_t i = 2; i < lead->length; i++)
        if (!is_within(bytes[i], 0x80, 0xbf))
            return false;
    return true;
}

size_t
utf8_char(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (len == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
        if (is_within(bytes[0], leads[i].low, leads[i].high))
            return len >= leads[i].length && follows(&leads[i], bytes) ? leads[i].length : 0;
    return 0;
}

bool
utf8_is_valid(const char *text, size_t len)
{
    for (size_t at = 0, step; at < len; at += step)
        if ((step = utf8_char(text + at, len - at)) == 0)
            return false;
    return true;
}

/* Only part of a character stands at text[0..len), which are the last bytes. */
static bool
is_cut(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char whole[4] = {0, 0x80, 0x80, 0x80};

    if (len == 0 || len > 3)
        return false;
    memcpy(whole, bytes, len);
    if (len == 1 && (bytes[0] == 0xe0 || bytes[0] == 0xf0))
        whole[1] = bytes[0] == 0xe0 ? 0xa0 : 0x90; /* the least that these two take behind them */
    return utf8_char((const char *)whole, sizeof(whole)) > len;
}

uint32_t
utf8_decode(const char *text, size_t len)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t code_point = bytes[0] & masks[len];

    for (size_t i = 1; i < len; i++)
        code_point = code_point << 6 | (bytes[i] & 0x3f);
    return code_point;
}

bool
utf8_steers(const char *text, size_t len)
{
    uint32_t c = utf8_decode(text, len);

    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

void
utf8_clean(char *text)
{
    const char *end = text + strlen(text);
    size_t len;

    for (char *at = text; at < end; at += len) {
        len = utf8_char(at, (size_t)(end - at));
        if (len == 0 && is_cut(at, (size_t)(end - at))) {
            *at = '\0';
            return;
        }
        if (len == 0 || utf8_steers(at, len))
            memset(at, '?', len = len == 0 ? 1 : len);
    }
}

size_t
utf8_encode(uint32_t code_point, char out[4])
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;

    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    out[0] = (char)(marks[length] | code_point);
    return length;
}
