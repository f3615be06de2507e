/*
 * field.h - reads members of a checked JSON object into C values. Pure.
 *
 * One rule for all: a member that is absent leaves the value alone, a wrong one is
 * ERROR_INPUT and its message says what the member must be.
 */
#ifndef SIM_FIELD_H
#define SIM_FIELD_H

#include "common/error.h"
#include "common/json/json.h"

int field_double(struct json_slice object, const char *name, double low, double high, double *value,
                 struct error *err) WARN_UNUSED;
int field_int(struct json_slice object, const char *name, int64_t low, int64_t high, int64_t *value,
              struct error *err) WARN_UNUSED;
int field_bool(struct json_slice object, const char *name, bool *value,
               struct error *err) WARN_UNUSED;
/* A string replaces *text (owned, or NULL); null frees it and makes it NULL. */
int field_text(struct json_slice object, const char *name, char **text,
               struct error *err) WARN_UNUSED;

#endif
