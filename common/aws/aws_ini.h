/*
 * aws_ini.h - the format of ~/.aws/config and ~/.aws/credentials. Pure.
 *
 * A file is a list of (section, key, value); keys lower-cased; nested keys are
 * "outer.inner". Where the AWS SDKs differ, the forgiving reading is taken: a byte order
 * mark is skipped, sections and keys may come twice (the last one counts), " # text" behind
 * a value is a comment. Source: "Format of the shared config and credentials files" in
 * the AWS SDKs and Tools Reference Guide; botocore's reading is in tests/golden.
 */
#ifndef COMMON_AWS_INI_H
#define COMMON_AWS_INI_H

#include <stdbool.h>
#include <stddef.h>

/* More keys than these in one file are skipped and counted as bad lines. */
#define AWS_INI_KEYS_MAX 10000
/* So are lines that go on with a value longer than this: each copies it. */
#define AWS_INI_VALUE_MAX 16384

struct aws_ini;
/* Section names are kept as the file has them, blanks squeezed and quotes taken off:
 * "default", "profile dev". Never fails: lines that make no sense are skipped and
 * counted in *bad_lines (may be NULL). */
struct aws_ini *aws_ini_parse(const char *text, size_t len, int *bad_lines);
/* NULL when there is none. Borrowed. */
const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *key);
bool aws_ini_has_section(const struct aws_ini *ini, const char *section);
/* Wipes what it held. */
void aws_ini_free(struct aws_ini *ini);

#endif
