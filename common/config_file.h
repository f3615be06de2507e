/*
 * config_file.h - the configuration file: JSON with comments, as parts that know where they stand.
 *
 * The file is read and checked once: size, grammar, names that stand twice at any depth. Each room
 * then reads its own section with a table of fields: what is not in the table, or not of its type
 * and range, is ERROR_CONFIG: "HEADGATE_CONFIG=/etc/headgate.json: line 7: models[1].rpm is -1: it
 * must be a number from 0 to 1000000000". Nothing but comments (both kinds) is lenient.
 */
#ifndef COMMON_CONFIG_FILE_H
#define COMMON_CONFIG_FILE_H

#include "common/error.h"
#include "common/json/json.h"

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_FILE_BYTES_MAX (1024 * 1024)
#define CONFIG_NAMES_MAX      10000 /* in one object of the file */

struct config_file;

/* A value of the file. */
struct config_part {
    const struct config_file *file; /* borrowed; NULL: there is no file */
    struct json_slice value;        /* JSON_ABSENT: it is not there */
    bool is_hidden;                 /* may be a secret: messages do not show it */
    char path[128];                 /* "models[1].rpm"; cut when longer */
};

/* Reads the file at `path` (blocks). `sections`: the names that its outermost object may have,
 * ending with NULL. NULL with ERROR_CONFIG. */
struct config_file *config_file_read(const char *path, const char *const *sections,
                                     struct error *err);
/* The same of text[0..len), which `path` is only the name of. */
struct config_file *config_file_parse(const char *path, const char *text, size_t len,
                                      const char *const *sections, struct error *err);
void config_file_free(struct config_file *file);
/* The section of this name; absent when it, or the whole file (NULL), is not there. */
struct config_part config_file_section(const struct config_file *file, const char *name);
/* The outermost object; absent without a file. */
struct config_part config_file_root(const struct config_file *file);
/* A member of an object; absent when it is not there. */
struct config_part config_part_member(const struct config_part *object, const char *name);

/* Fails, and says where, what stands there and what it must be. */
int config_part_refuse(const struct config_part *part, struct error *err, const char *must_be, ...)
    __attribute__((format(printf, 3, 4)));
/* Fails, and says where and what: "is not supported". */
int config_part_fail(const struct config_part *part, struct error *err, const char *what);

/* Walks an object (its members' names are `name`) or an array (name is JSON_ABSENT):
 *     for (struct config_iter it = config_iter(&whole); config_next(&it, &name, &part);)
 * An absent part has nothing to walk. */
struct config_iter {
    const struct config_part *whole;
    struct json_iter json;
    int index;
};
struct config_iter config_iter(const struct config_part *whole);
bool config_next(struct config_iter *it, struct json_slice *name, struct config_part *part);
/* Is it an object (JSON_OBJECT) or an array? An absent part is fine. */
int config_part_expect(const struct config_part *part, enum json_type type,
                       struct error *err) WARN_UNUSED;

/* One member that an object may have. */
struct config_field;
typedef int config_field_fn(const struct config_field *field, const struct config_part *part,
                            void *member, struct error *err);
struct config_field {
    const char *name;
    config_field_fn *read; /* the part is there */
    size_t offset;         /* of its member in what is read into */
    double low, high;      /* numbers: the range; seconds: in seconds; text: 1 to `high` bytes */
    const char *const *choices; /* ends with NULL */
    bool is_needed;
    bool is_hidden;
};
/* Reads an object by its table, which ends with a row without a name. Members of `into` that the
 * file does not have stay as they are; owned ones are released by the caller, also on failure. */
int config_part_read(const struct config_part *object, const struct config_field *fields,
                     void *into, struct error *err) WARN_UNUSED;

config_field_fn config_field_text;    /* char *, owned; what was there is freed; no control bytes
                                       * but tab and newline */
config_field_fn config_field_number;  /* double */
config_field_fn config_field_whole;   /* int64_t */
config_field_fn config_field_seconds; /* int64_t milliseconds */
config_field_fn config_field_bool;    /* bool */
config_field_fn config_field_choice;  /* an enum, in the order of the choices */

/* The unescaped string, 1 to `most` bytes without NUL. NULL: it is no such string. Owned. */
char *config_part_text(const struct config_part *part, size_t most);

#endif
