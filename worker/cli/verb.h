/*
 * verb.h - what a verb of the command line is, and all of them.
 *
 * The help texts stand with the verbs; docs/cli.md is made of them.
 */
#ifndef WORKER_CLI_VERB_H
#define WORKER_CLI_VERB_H

#include "common/error.h"
#include "worker/exit_code.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verb {
    const char *name;
    const char *operands; /* "ID [options]": what stands behind the name in a usage line */
    const char *summary;  /* one line */
    const char *help;     /* options and exit codes; lines end with a newline */
    /* argv[0] is the verb's name. */
    int (*run)(const struct verb *verb, int argc, char **argv);
};

extern const struct verb verb_worker;
extern const struct verb verb_enqueue;
extern const struct verb verb_result;
extern const struct verb verb_cancel;
extern const struct verb verb_stats;
extern const struct verb verb_reset_cooldowns;
extern const struct verb verb_dead;
extern const struct verb verb_pause;
extern const struct verb verb_resume;
extern const struct verb verb_config;
extern const struct verb verb_doctor;
extern const struct verb verb_version;

/* Says what is wrong on stderr, with the verb's name. Returns EXIT_USAGE. */
int usage_error(const struct verb *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says an error of another room. Returns the exit code that its kind stands for. */
int verb_error(const struct error *error);

/* ---- options: all are long ones ---- */

enum flag_type {
    FLAG_END = 0,
    FLAG_BOOL,    /* --json: sets a bool */
    FLAG_TEXT,    /* --queue Q: points a const char * into argv */
    FLAG_SECONDS, /* --timeout S: an int64_t of milliseconds, from 1 */
    FLAG_EACH,    /* --field k=v, many times: calls `each`, which says itself what is wrong */
};

typedef int flag_each_fn(const struct verb *verb, const char *value, void *arg);

struct flag {
    const char *name; /* without dashes */
    enum flag_type type;
    void *target; /* of the type's own type; the argument of `each` */
    flag_each_fn *each;
};

/* Reads the options (`flags` ends with FLAG_END) and leaves `least` to `most` operands, which
 * begin at argv[*first]. Returns 0, or -1 when the verb ends here with *exit_code: something was
 * wrong, or --help was asked for. */
int flags_read(const struct verb *verb, int argc, char **argv, const struct flag *flags, int least,
               int most, int *first, int *exit_code) WARN_UNUSED;

/* ---- output ---- */

/* Prints a buffer (taken) on stdout; print_line adds a newline. */
void print_buffer(struct evbuffer *text);
void print_line(struct evbuffer *line);
/* Text from outside may not steer the terminal nor forge a line: what could becomes '?'.
 * print_text keeps line ends and tabs and adds a line end; put_words is for a part of a line. */
void print_text(const char *text, size_t len);
void put_words(struct evbuffer *out, const char *text);
/* The same as a new string (free), for stderr. */
char *harmless_text(const char *text);
/* JSON from outside, on one line; what could steer is escaped. False: it is none, nothing is
 * printed. */
bool print_json(const char *text, size_t len);

#endif
