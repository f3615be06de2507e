/*
 * config_value.h - what a row of the table of settings is, and how each type is read.
 *
 * Not for other rooms: they use config.h.
 */
#ifndef COMMON_CONFIG_VALUE_H
#define COMMON_CONFIG_VALUE_H

#include "common/config.h"

struct config_setting;
/* Reads `text` into `member`. A failure's message is what is allowed, without name and value:
 * "must be a whole number from 1 to 100000". It shows no part of the text. */
typedef int config_read_fn(const struct config_setting *setting, const char *text, void *member,
                           struct error *err);

/* How a value is shown to people: config_shown_text. */
enum config_shown {
    CONFIG_PLAIN,
    CONFIG_SECRET, /* "***" */
    CONFIG_KEY_ID, /* the first four characters */
    CONFIG_URL,    /* without its password */
};

struct config_setting {
    const char *name;
    const char *otherwise;      /* the default, as one would write it; NULL: unset */
    config_read_fn *read;       /* NULL: only shown here, read by another room */
    size_t offset;              /* of its member in struct config; 0: it reads into all of it */
    int64_t low, high;          /* numbers: the range; milliseconds for seconds */
    const char *const *choices; /* choices: what is allowed, in the enum's order; ends with NULL */
    enum config_shown shown;
    const char *help;
};

/* The whole table; ends with a row without a name. */
extern const struct config_setting config_settings[];
/* What the environment says, or NULL when it is unset or empty. */
const char *config_given(const struct config *config, const char *name);

config_read_fn config_read_text;          /* char *, owned */
config_read_fn config_read_prefix;        /* char *, owned */
config_read_fn config_read_token;         /* char *, owned */
config_read_fn config_read_int;           /* int */
config_read_fn config_read_int64;         /* int64_t */
config_read_fn config_read_size;          /* int64_t bytes */
config_read_fn config_read_seconds;       /* int64_t milliseconds */
config_read_fn config_read_choice;        /* an enum */
config_read_fn config_read_either;        /* bool: the second of two choices */
config_read_fn config_read_celery;        /* bool */
config_read_fn config_read_redis;         /* struct redis_url */
config_read_fn config_read_bounded;       /* char[high + 1] */
config_read_fn config_read_queues;        /* struct config */
config_read_fn config_read_celery_queues; /* struct config, when use_celery is set already */
config_read_fn config_read_http;          /* struct config */

/* Can it be the name of a queue? */
bool config_is_queue_name(const char *name);
/* Reads HEADGATE_CONFIG into a config whose other settings are read. */
int config_load_file(struct config *config, struct error *err) WARN_UNUSED;

/* Copies "a, b,,c" without blanks around the names and without empty ones, behind what
 * `list` holds. `list` has room for it and one comma. */
void config_append_names(char *list, const char *text);

/* `text` as people may see it, secrets hidden. A new string (free). */
char *config_shown_text(enum config_shown shown, const char *text);

#endif
