/*
 * redis_server.h - for tests: a private redis-server in a directory of its own.
 *
 * It listens on a unix socket and on a free port of 127.0.0.1, keeps nothing on disk unless
 * its arguments say so, and dies with the test process. What goes wrong here ends the test
 * with a message: there is nothing to test then.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <sys/types.h>

#define REDIS_SERVER_ARGUMENTS_MAX 32

struct redis_server {
    pid_t pid; /* 0: not running */
    int port;
    char dir[64];
    char socket[96];
    const char *extra[REDIS_SERVER_ARGUMENTS_MAX]; /* borrowed */
};

/* Starts one and waits until it answers. `extra` are arguments like "--appendonly", "yes",
 * NULL-terminated; NULL: none. */
struct redis_server *redis_server_new(const char *const *extra);
/* Ends it (SIGTERM, after 5 s SIGKILL) and removes its directory. NULL is fine. */
void redis_server_free(struct redis_server *server);

/* kill -9, and waits until it is gone. */
void redis_server_kill(struct redis_server *server);
/* SIGTERM, after 5 s SIGKILL, and waits until it is gone. */
void redis_server_stop(struct redis_server *server);
/* Starts it again with the same directory, port and arguments. */
void redis_server_restart(struct redis_server *server);
void redis_server_signal(struct redis_server *server, int number);

/* Asks it over the unix socket, printf-like as redisCommand. The reply is the caller's
 * (freeReplyObject), never NULL. */
redisReply *redis_server_ask(struct redis_server *server, const char *format, ...);
/* The same for commands whose reply does not matter, except that it may be no error. */
void redis_server_do(struct redis_server *server, const char *format, ...);

#endif
