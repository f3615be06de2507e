/*
 * script.h - faults to come: a queue of what the next calls shall suffer. Pure.
 */
#ifndef SIM_SCRIPT_H
#define SIM_SCRIPT_H

#include "common/error.h"
#include "common/json/json.h"

enum fault_kind {
    FAULT_THROTTLE,
    FAULT_STATUS,
    FAULT_BODY,
    FAULT_HTML,
    FAULT_REDIRECT,
    FAULT_GARBAGE,
    FAULT_CLOSE,
    FAULT_RESET,
    FAULT_HANG,
    FAULT_CUT,
    FAULT_DRIP,
    FAULT_OVERSIZED,
    FAULT_CUT_OFF,
    FAULT_EMPTY,
    FAULT_TEXT,
    FAULT_GUARDRAIL,
    FAULT_DELAY,
    FAULT_KINDS,
};

struct fault {
    enum fault_kind kind;
    int64_t times_left;
    double retry_after_s; /* throttle; < 0: none */
    int64_t status;       /* status, body */
    int64_t ms;           /* drip: of one byte; delay */
    int64_t bytes;        /* oversized */
    bool is_chunked;      /* oversized */
    char *code;           /* owned; status; NULL: no x-amzn-ErrorType */
    char *text;           /* owned; message, body, text or location; NULL: not given */
    char *lines;          /* owned; status: header lines with CRLF; NULL: none */
    struct fault *prev, *next;
};

/* Zero it to start. */
struct script {
    struct fault *queue;
    struct fault *spent; /* the one script_next gave out last, when it was for the last time */
};

/* Appends {"faults":[...]} of `root`, or nothing and ERROR_INPUT. */
int script_append(struct script *script, struct json_slice root, struct error *err) WARN_UNUSED;
/* The fault of the next call, or NULL. Borrowed until the script is used again. */
const struct fault *script_next(struct script *script);
void script_clear(struct script *script);

/* "throttle", ...: as in README.md. Static. */
const char *fault_name(enum fault_kind kind);

#endif
