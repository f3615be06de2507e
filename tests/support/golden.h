/*
 * golden.h - recorded facts in tests/golden, read by unit tests. A test runs from the
 * project's root; a file that is missing or no JSON fails it.
 */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* The bytes of tests/golden/`path`, NUL-terminated (free). */
char *golden_read(const char *path, size_t *len);
/* The same as JSON (cJSON_Delete). */
cJSON *golden_load(const char *path);
/* A member's string; NULL when it is absent or null. Borrowed. */
const char *golden_text(const cJSON *object, const char *name);
/* Plays getenv: `arg` is an object of names and strings. */
const char *golden_getenv(const char *name, void *arg);
/* Is this text one of the names? NULL ends the list. */
int golden_is_one_of(const char *text, const char *const *names);

#endif
