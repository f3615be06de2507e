/*
 * redis.h - one connection to one Redis server, on the event loop.
 *
 * A libevent bufferevent carries the bytes, hiredis formats commands and reads
 * replies. Calls are pipelined: what is called within one turn of the loop goes
 * out in one write. The room reconnects by itself, with jittered backoff (50 ms
 * to 1 s), logs in (AUTH, SELECT, CLIENT SETNAME) and tells its owner.
 *
 * Promises of every call: its callback runs exactly once, or never after
 * redis_cancel; never before the starting function has returned; every failure
 * comes through it; what it receives is borrowed until it returns; it has a
 * deadline. A call made while the connection is not ready fails at the next turn with
 * ERROR_UNREACHABLE: nothing was sent. A call whose connection dies fails with
 * ERROR_LOST: Redis may have run it. Callbacks may call every function here, redis_free
 * of this very room included. The process ignores SIGPIPE.
 *
 * With Redis Cluster a connection follows the slot of one key wherever it lives: it is ready when
 * that slot's node takes commands on it. A command that is told MOVED was not run: it, and what is
 * called meanwhile, goes to the new node as soon as that is ready. Calls made before the first
 * connect has ended wait for it.
 *
 * With Sentinel a connection goes to the primary that the sentinels name, and at once to the next
 * one. A server that says it is a replica is not it.
 */
#ifndef COMMON_REDIS_H
#define COMMON_REDIS_H

#include "common/error.h"
#include "common/redis/redis_cluster.h"
#include "common/redis/redis_url.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis;
struct redis_call;
struct redis_sentinel;

/* A Lua script; fill it with redis_script_init. It outlives the calls that use it. */
struct redis_script {
    const char *name;   /* for people; borrowed */
    const char *source; /* borrowed */
    char sha1[41];      /* lower-case hex, as EVALSHA wants it */
};
void redis_script_init(struct redis_script *script, const char *name, const char *source);

/* A command under construction: a list of binary-safe arguments. The bytes are
 * borrowed until redis_send returns. */
#define REDIS_ARGS_MAX 72
struct redis_args {
    int count;
    const char *value[REDIS_ARGS_MAX];
    size_t len[REDIS_ARGS_MAX];
    char number[REDIS_ARGS_MAX][24]; /* where redis_arg_int keeps its text */
};
void redis_arg(struct redis_args *args, const char *text);
void redis_arg_bytes(struct redis_args *args, const void *bytes, size_t len);
void redis_arg_int(struct redis_args *args, int64_t value);

/* `reply` is NULL exactly when `error` is not. A reply of type REDIS_REPLY_ERROR
 * never arrives as a reply: it becomes an error whose kind tells what to do
 * (LOADING, OOM, MISCONF, NOREPLICAS, BUSY, MASTERDOWN, READONLY, TRYAGAIN,
 * CLUSTERDOWN, UNBLOCKED: TRANSIENT; NOAUTH, WRONGPASS, NOPERM: REFUSED; else INTERNAL) and
 * whose message is Redis' own. Errors nested in an array stay in it. READONLY also
 * ends the connection, so that the next one may find the new primary. */
typedef void redis_reply_fn(const redisReply *reply, const struct error *error, void *arg);
/* is_ready: logged in, not LOADING, and a listener's channels are in force. `why` is NULL
 * then, else the last failure. While it is not ready, every new reason is told once. */
typedef void redis_state_fn(bool is_ready, const struct error *why, void *arg);
/* A message of a subscribed channel. */
typedef void redis_push_fn(const char *channel, const char *message, size_t len, void *arg);

struct redis_options {
    struct event_base *base;       /* borrowed for the life of the room */
    const struct redis_url *url;   /* copied */
    const char *client_name;       /* CLIENT SETNAME, copied; "headgate-cmd:host:123:9f2c" */
    int64_t connect_timeout_ms;    /* for the name, each address, each step of the login; 0: 2000 */
    int64_t call_timeout_ms;       /* deadline of a call that names none; 0: 5000 */
    int64_t ping_every_ms;         /* of a listener; 0: 5000 */
    struct redis_cluster *cluster; /* borrowed; NULL: no cluster, the server is the URL's */
    const char *key; /* whose slot it follows, copied; NULL: any node will do. Only with cluster */
    struct redis_sentinel *sentinel; /* borrowed; NULL: none; it knows where the server is */
    bool goes_aside; /* a command that is told ASK is asked of the node it names, behind ASKING;
                        else it fails with ERROR_TRANSIENT, as a blocking pop should */
    redis_state_fn *on_state; /* may be NULL; runs on every change */
    redis_push_fn *on_push;   /* may be NULL */
    void *arg;                /* for both */
};

/* Starts to connect. Host names are resolved off the loop. */
struct redis *redis_new(const struct redis_options *options);
/* Open calls get no callback any more. */
void redis_free(struct redis *redis);

bool redis_is_ready(const struct redis *redis);
/* No call waits for anything. */
bool redis_is_idle(const struct redis *redis);
/* Why it is not ready. Never NULL; kind ERROR_NONE when it is. */
const struct error *redis_last_error(const struct redis *redis);

/* Sends a command. timeout_ms 0: the default. `fn` may be NULL: nobody wants the answer.
 * Returns a handle for redis_cancel, valid until the callback. With more than 256 MiB
 * unsent it fails with ERROR_TRANSIENT. A call that misses its deadline ends the connection:
 * replies come in order, so one that hangs hangs all behind it. */
struct redis_call *redis_send(struct redis *redis, const struct redis_args *args,
                              int64_t timeout_ms, redis_reply_fn *fn, void *arg);
/* EVALSHA; on NOSCRIPT the same call is sent again as EVAL, at once. `args` holds the
 * number of keys, the keys and the arguments: what follows the SHA1. */
struct redis_call *redis_eval(struct redis *redis, const struct redis_script *script,
                              const struct redis_args *args, int64_t timeout_ms, redis_reply_fn *fn,
                              void *arg);
/* The callback does not run; the command does, and its answer is eaten. NULL is fine. */
void redis_cancel(struct redis_call *call);

/* Makes this connection a listener: SUBSCRIBE now and again after every reconnect.
 * Such a connection takes no other calls; it is pinged, with a deadline of 2 s, so that
 * a half-open link is found. Unsubscribe of the last channel is fine. */
void redis_subscribe(struct redis *redis, const char *channel);
void redis_unsubscribe(struct redis *redis, const char *channel);

/* Drops the connection and starts anew at once (a blocked pop that is no longer wanted). */
void redis_reconnect(struct redis *redis);

/* Replies' helpers: the type is checked, nothing is assumed. */
/* An integer or a numeric string within +-2^53: scripts compute in doubles, so that more is never
 * meant, and sums with a time stay far from overflow. */
#define REDIS_INT_MAX (INT64_C(1) << 53)
int64_t redis_int(const redisReply *reply, int64_t otherwise);
const char *redis_str(const redisReply *reply, const char *otherwise); /* string or status */
const redisReply *redis_at(const redisReply *reply, size_t index);     /* NULL when not there */

#endif
