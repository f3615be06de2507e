/*
 * redis_desk.h - for tests of common/redis: a loop, a connection, and what came of it.
 */
#ifndef TESTS_SUPPORT_REDIS_DESK_H
#define TESTS_SUPPORT_REDIS_DESK_H

#include "common/redis/redis.h"
#include "tests/support/redis_server.h"

#define LIMIT_MS 10000 /* for what must happen: only a failing test waits so long */

struct redis_desk {
    struct event_base *base;
    struct redis_server *server; /* NULL: the test has another one */
    struct redis_url url;
    struct redis *redis;
    bool is_ready; /* as told by on_state */
    int states;    /* how often it was told */
    struct error why;
    int pushes;
    char pushed[64]; /* "channel=message" of the last one */
};

/* Setup and teardown of cmocka: *state is a desk with a server, not connected yet. */
int redis_desk_setup(void **state);
int redis_desk_teardown(void **state);
/* The same without a server. */
int redis_desk_setup_alone(void **state);

/* Fills desk->url with the server's TCP port. Before, it is the unix socket. */
void redis_desk_use_tcp(struct redis_desk *desk, int port);
/* Connects with short timeouts. */
void redis_desk_open(struct redis_desk *desk);
/* ... and waits until it is ready. */
void redis_desk_connect(struct redis_desk *desk);
/* Waits until on_state has told of ready, or of a failure. */
void redis_desk_wait_ready(struct redis_desk *desk);
void redis_desk_wait_failure(struct redis_desk *desk, enum error_kind kind, const char *part);

/* What became of one call. */
struct answer {
    int count; /* callbacks that ran */
    int type;  /* of the reply; 0: an error */
    int64_t number;
    size_t len;
    char text[512]; /* of a string, status or error; its beginning */
    enum error_kind kind;
};
/* A redis_reply_fn; arg: struct answer */
void take_answer(const redisReply *reply, const struct error *error, void *arg);

/* Sends the words of a line ("SET key value"). */
struct redis_call *redis_desk_send(struct redis_desk *desk, const char *line,
                                   struct answer *answer);
/* Sends and waits for the answer. */
struct answer redis_desk_ask(struct redis_desk *desk, const char *line);

#endif
