/*
 * error.h - how a function says what went wrong, and what that means.
 *
 * A fallible function returns 0 or -1 and takes `struct error *err` last. The
 * kind is the only part that code decides upon; the message is for people and
 * holds no secret. Every room translates its library's codes (CURLcode, Redis
 * reply, HTTP status) into a kind once, at its door.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

enum error_kind {
    ERROR_NONE = 0,
    ERROR_INPUT,       /* what the caller gave is wrong: trying again is useless */
    ERROR_CONFIG,      /* a setting is wrong: name it, its value and what is allowed */
    ERROR_REFUSED,     /* the other side said no for good (NOPERM, WRONGPASS, most 4xx) */
    ERROR_TRANSIENT,   /* the other side can't now (LOADING, OOM, 5xx): back off, then retry */
    ERROR_UNREACHABLE, /* nothing was sent: no connection, no name, no TLS */
    ERROR_LOST,        /* the connection died under an open call: its outcome is unknown */
    ERROR_TIMEOUT,     /* a deadline passed: its outcome is unknown */
    ERROR_TOO_LARGE,   /* more bytes than the stated bound */
    ERROR_INTERNAL,    /* our bug */
};

struct error {
    enum error_kind kind;
    char message[256];
};

/* Fills *err (may be NULL) and returns -1, so that failing is one line. What
 * came in with the arguments and is no printable UTF-8 is replaced by '?'. */
int error_set(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A short lower-case name: "input", "timeout", ... Never NULL. */
const char *error_kind_name(enum error_kind kind);

#define WARN_UNUSED __attribute__((warn_unused_result))

#endif
