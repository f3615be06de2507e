/*
 * redis_calls.h - the calls of one connection that wait for their answers.
 *
 * Replies come in the order of the commands, so open calls are a queue. Deadlines need
 * not be in that order. Of two open calls the later one outlives the earlier one in the
 * queue; so a call whose deadline is not before that of a later one can never be the
 * next to miss it, and is left out of `due`. What stays in `due` is sorted by itself:
 * the earliest deadline is its head, at amortised O(1) for every call.
 *
 * Failed calls are told at the loop's next turn, from redis_calls_tell_next alone.
 */
#ifndef COMMON_REDIS_CALLS_H
#define COMMON_REDIS_CALLS_H

#include "common/redis/redis.h"
#include "common/redis/redis_command.h"

#include <stdbool.h>
#include <stdint.h>

struct redis_call {
    struct redis_call *prev, *next;         /* in open or failed */
    struct redis_call *prev_due, *next_due; /* in due, while is_due */
    bool is_due;
    bool is_ours;       /* of the login or a ping: nobody is told when the connection dies */
    redis_reply_fn *fn; /* NULL: cancelled, or nobody wants the answer */
    void *arg;
    int64_t deadline_ms;
    int64_t timeout_ms;                /* for the error's text */
    const struct redis_script *script; /* borrowed; NULL: no EVALSHA */
    bool is_eval;                      /* the script was sent as EVAL */
    int moves;                         /* how often it was told MOVED */
    struct redis_command command;      /* kept while it may have to be repeated */
    struct error *failure;             /* owned; set when it is in failed */
};

struct redis_calls {
    struct redis_call *open, *due, *held, *failed;
    int failed_count; /* not told yet */
};

/* A zeroed struct redis_calls is ready. Frees all calls; no callback runs any more. */
void redis_calls_release(struct redis_calls *calls);

/* A new call, in no list yet. */
struct redis_call *redis_call_new(redis_reply_fn *fn, void *arg, int64_t timeout_ms);
/* It was sent. The call is taken. */
void redis_calls_push(struct redis_calls *calls, struct redis_call *call);
/* Whose answer came: the caller owns it now. NULL: nobody waits. */
struct redis_call *redis_calls_pop(struct redis_calls *calls);
/* When the next open call misses its deadline; INT64_MAX: none is open. */
int64_t redis_calls_due_ms(const struct redis_calls *calls);

/* It can't be sent. The call is taken. */
void redis_calls_fail(struct redis_calls *calls, struct redis_call *call, const struct error *why);
/* It waits for a connection. The call is taken. */
void redis_calls_hold(struct redis_calls *calls, struct redis_call *call);
/* The one that waits longest: the caller owns it now. NULL: none. */
struct redis_call *redis_calls_pop_held(struct redis_calls *calls);
/* There is no connection to be had: those that wait fail with ERROR_UNREACHABLE. */
void redis_calls_fail_held(struct redis_calls *calls, const struct error *why);
/* The connection is gone: calls past their deadline fail with ERROR_TIMEOUT, the others with
 * ERROR_LOST. */
void redis_calls_fail_open(struct redis_calls *calls, const struct error *why, int64_t now_ms);

/* Frees a call that is in no list; nobody is told. */
void redis_call_drop(struct redis_call *call);
/* Frees a call that is in no list, then runs its callback, which may free everything else. */
void redis_call_finish(struct redis_call *call, const redisReply *reply, const struct error *error);
/* Tells the call that failed first, if there is one: the same may happen. */
void redis_calls_tell_next(struct redis_calls *calls);

#endif
