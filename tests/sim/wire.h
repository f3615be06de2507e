/*
 * wire.h - raw HTTP/1.1 on bufferevents: a server that is able to misbehave.
 *
 * evhttp can only answer properly; here an answer may also be half an answer, a drip,
 * noise or a reset. One request at a time on a connection, kept alive between them.
 */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "common/error.h"
#include "tests/sim/wire_head.h"

#include <event2/buffer.h>
#include <event2/event.h>

struct wire;     /* the listener and its connections */
struct exchange; /* one request and its answer */

struct wire_request {
    const struct wire_head *head;
    const char *body; /* body_len bytes, not terminated */
    size_t body_len;
};

/* A whole request came. It is borrowed until this returns; answer with wire_reply, once,
 * before returning: wire_reply has the delays. */
typedef void wire_request_fn(struct exchange *exchange, const struct wire_request *request,
                             void *arg);

/* How an answer is brought. */
enum wire_manner {
    WIRE_WHOLE,
    WIRE_HALF,   /* the full Content-Length, half of the body, FIN */
    WIRE_DRIP,   /* a byte at a time, head included */
    WIRE_PADDED, /* leading blanks up to pad_bytes in all */
    WIRE_RAW,    /* the body alone, no head, then FIN */
    WIRE_FIN,    /* nothing but FIN */
    WIRE_RST,    /* nothing but RST */
    WIRE_NEVER,  /* nothing at all */
};

struct wire_reply {
    enum wire_manner manner;
    int status;
    const char *content_type; /* static */
    struct evbuffer *lines;   /* owned; more header lines, each with CRLF */
    struct evbuffer *body;    /* owned */
    int64_t after_ms;         /* from now until it starts */
    int64_t date_offset_ms;   /* how wrong the Date header is */
    int64_t byte_ms;          /* WIRE_DRIP: between two bytes */
    int64_t pad_bytes;        /* WIRE_PADDED */
    bool is_chunked;          /* WIRE_PADDED */
};

/* An answer of WIRE_WHOLE with empty buffers. */
void wire_reply_init(struct wire_reply *reply, int status);

/* The answer is over: `was_sent`, all of it, or the client closed before. */
typedef void wire_end_fn(bool was_sent, void *arg);

/* Takes what the reply owns. `on_end` (may be NULL) runs once, never before this has returned. */
void wire_reply(struct exchange *exchange, struct wire_reply *reply, wire_end_fn *on_end,
                void *arg);

/* Listens on 127.0.0.1; port 0: any free one. NULL and ERROR_UNREACHABLE when it can't. */
struct wire *wire_new(struct event_base *base, int port, wire_request_fn *on_request, void *arg,
                      struct error *err);
int wire_port(const struct wire *wire);
/* Closes every connection: answers that are still due end unsent. */
void wire_free(struct wire *wire);

#endif
