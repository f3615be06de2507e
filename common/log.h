/*
 * log.h - one line per event on stderr: logfmt for people, JSON for collectors.
 *
 *     log_info("job settled", LOG_STR("job", id), LOG_INT("ms", duration_ms));
 *
 * prints  time=2026-11-23T10:00:00.123Z level=info msg="job settled" job=42 ms=12
 * or the same as one JSON object. Bytes that could forge a line or a field are
 * escaped, a field is cut at 1 KiB. Writing never blocks and never raises
 * SIGPIPE: what the reader does not take is dropped and counted.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* One field of a line. One whose text is NULL is left out. */
struct log_field {
    const char *key; /* NULL ends the list */
    const char *text;
    int64_t number;
    bool is_number;
};
#define LOG_STR(name, value) ((struct log_field){.key = (name), .text = (value)})
#define LOG_INT(name, value)                                                                       \
    ((struct log_field){.key = (name), .number = (value), .is_number = true})
#define LOG_END ((struct log_field){.key = 0})

/* One log for the whole process: the one piece of process-wide state, because
 * a line must be possible from anywhere. Before the call: info and worse, as text. */
void log_setup(enum log_level least, bool json);
/* Lines dropped because stderr did not take them, since the start. */
uint64_t log_dropped(void);

/* Use the macros. The fields are `struct log_field` values, LOG_END last. */
void log_write(enum log_level level, const char *message, ...);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_END)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__, LOG_END)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__, LOG_END)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__, LOG_END)

#endif
