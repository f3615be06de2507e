/*
 * script_server.h - a server that answers each request by the next step of a script.
 *
 * Raw bytes over TCP or TLS, on the caller's event loop: what a step says goes out exactly so,
 * right or wrong. The last step is repeated.
 */
#ifndef TESTS_SUPPORT_SCRIPT_SERVER_H
#define TESTS_SUPPORT_SCRIPT_SERVER_H

#include <event2/event.h>
#include <stddef.h>

enum script_end { SCRIPT_KEEP, SCRIPT_CLOSE, SCRIPT_RESET };

struct script_step {
    const char *bytes; /* NULL: none */
    size_t len;        /* 0: strlen(bytes) */
    enum script_end end;
    int drip_ms;      /* 0: all at once; otherwise a byte each, and never an end */
    size_t drip_from; /* what comes before goes at once */
};

struct script_server {
    const struct script_step *steps; /* borrowed; may be changed at any time */
    int step_count;
    int port;
    int accepted;            /* connections, in all */
    int open;                /* connections, now */
    int requests;            /* whole ones */
    char last_request[8192]; /* head and body, cut */
    /* the rest is its own */
    struct event_base *base;
    struct evconnlistener *listener;
    struct script_connection *connections;
    struct ssl_ctx_st *tls;
};

void script_server_start(struct script_server *server, struct event_base *base);
/* The same with TLS; its certificate for 127.0.0.1, made now, is written to `ca_file`. */
void script_server_start_tls(struct script_server *server, struct event_base *base,
                             const char *ca_file);
void script_server_stop(struct script_server *server);
/* Closes all connections, as a server does with idle ones. */
void script_server_drop(struct script_server *server);

#endif
