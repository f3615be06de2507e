/*
 * wire_exchange.h - inside wire: a connection and the one exchange on it.
 *
 * wire.c accepts and reads, wire_reply.c answers; both move `state`.
 */
#ifndef SIM_WIRE_EXCHANGE_H
#define SIM_WIRE_EXCHANGE_H

#include "tests/sim/wire.h"

#include <event2/bufferevent.h>

enum exchange_state {
    EXCHANGE_HEAD,    /* reading a head, or idle */
    EXCHANGE_BODY,    /* reading head.body_len bytes */
    EXCHANGE_WAITING, /* the answer is due when the timer fires */
    EXCHANGE_SENDING, /* bit by bit: drip or padding */
    EXCHANGE_ENDING,  /* closes as soon as the output is flushed */
};

struct exchange {
    struct wire *wire;
    struct bufferevent *link;
    struct event *timer;
    enum exchange_state state;
    char *head_text; /* owned; until the request was handed out */
    struct wire_head head;
    bool is_kept_alive;
    struct wire_reply reply;   /* WAITING, SENDING */
    struct evbuffer *leftover; /* owned; WIRE_DRIP: what is still to be sent */
    int64_t pad_left;          /* WIRE_PADDED */
    wire_end_fn *on_end;
    void *on_end_arg;
    struct exchange *prev, *next;
};

/* Ready for the next request, or closing when the client wants no other. */
void exchange_next(struct exchange *exchange);
/* Closes once everything is flushed. The exchange may be gone afterwards. */
void exchange_close_flushed(struct exchange *exchange);
void exchange_free(struct exchange *exchange);

/* The timer fired: starts the answer, or sends its next byte. */
void exchange_on_timer(evutil_socket_t fd, short what, void *arg);
/* The output is empty while SENDING: more of the padding. */
void exchange_pour(struct exchange *exchange);
/* Tells on_end, once, and frees what the reply owns. */
void exchange_end(struct exchange *exchange, bool was_sent);

#endif
