/*
 * json_schema.h - a subset of JSON Schema 2020-12, for the answers of models. Pure.
 *
 * type (one or an array of them), enum (of scalars), properties, required, additionalProperties
 * (true, false or a schema), items (one schema), minimum, maximum, minLength, maxLength (in
 * characters), minItems, maxItems; title, description, default, examples, $schema, $id and $comment
 * are read over. Any other keyword is an error when the schema is read: a rule that is
 * not checked must not look as if it were.
 */
#ifndef WORKER_JOB_JSON_SCHEMA_H
#define WORKER_JOB_JSON_SCHEMA_H

#include "common/config_file.h"

struct json_schema;

/* Reads a schema; NULL with ERROR_CONFIG, which says where it is wrong. */
struct json_schema *json_schema_new(const struct config_part *part, struct error *err);
void json_schema_free(struct json_schema *schema);
/* May an object (JSON_OBJECT) or an array fit? */
bool json_schema_takes(const struct json_schema *schema, enum json_type type);
/* ERROR_INPUT names the first misfit: "items[2].name is 7: it must be a string". */
int json_schema_check(const struct json_schema *schema, struct json_slice value,
                      struct error *err) WARN_UNUSED;

#endif
