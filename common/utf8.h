/*
 * utf8.h - UTF-8 as the Unicode standard has it (table 3-7): nothing overlong, no
 * surrogates, nothing above U+10FFFF. Pure.
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length, 1-4, of the well-formed character at text[0..len), or 0 when there is none. */
size_t utf8_char(const char *text, size_t len);
bool utf8_is_valid(const char *text, size_t len);
/* Does the well-formed character at text[0..len) steer what shows it, or forge a line? Control
 * characters (U+0080 to U+009F too), line and paragraph separators (U+2028, U+2029), marks that
 * turn the direction of writing (U+202A to U+202E, U+2066 to U+2069). */
bool utf8_steers(const char *text, size_t len);
/* The code point of the well-formed character at text[0..len). */
uint32_t utf8_decode(const char *text, size_t len);
/* Makes a text fit for people, in place: what steers and bytes that are not UTF-8 become '?', and
 * a character that was cut at the end goes. */
void utf8_clean(char *text);
/* Writes one code point, at most 0x10ffff, and returns its length, 1-4. */
size_t utf8_encode(uint32_t code_point, char out[4]);

#endif
