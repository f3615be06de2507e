/*
 * wire_head.h - the head of an HTTP/1.1 request, taken apart. Pure.
 *
 * Strict where a client could be wrong (RFC 9112): what a real front end would refuse is
 * refused here, so that a faulty client shows in tests.
 */
#ifndef SIM_WIRE_HEAD_H
#define SIM_WIRE_HEAD_H

#include "common/aws/aws_sign.h"

#include <stdbool.h>
#include <stddef.h>

#define WIRE_HEAD_BYTES  65536
#define WIRE_BODY_BYTES  25000000 /* Bedrock's own limit of a request */
#define WIRE_HEADERS_MAX 64

/* All text points into the bytes given to wire_head_parse. */
struct wire_head {
    const char *method;
    const char *path;  /* as on the wire */
    const char *query; /* as on the wire, without '?'; "" for none */
    struct aws_header headers[WIRE_HEADERS_MAX];
    size_t header_count;
    size_t body_len;
    bool is_kept_alive;
    bool wants_continue; /* the client waits for "100 Continue" before its body */
};

/* Splits `text`, a head with its last blank line, in place. Returns 0, or the HTTP status to
 * refuse it with. */
int wire_head_parse(char *text, struct wire_head *head);
/* The value of the first header of that name, in any case, or NULL. */
const char *wire_head_find(const struct wire_head *head, const char *name);

#endif
