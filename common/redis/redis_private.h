/*
 * redis_private.h - what the parts of redis.h's room share; nobody else includes it.
 *
 *     redis.c           the connection's life, its calls, what the owner is told
 *     redis_login.c     from connected to ready
 *     redis_listener.c  SUBSCRIBE, messages, pings
 *     redis_follow.c    where the server is: a slot of a cluster, and calls that wait for it to be
 *                       there; the primary that the sentinels name
 *
 * Below them, each a room of its own: redis_link (bytes), redis_calls (who waits for which
 * answer), redis_command and redis_reply (the words), redis_resolve (names).
 */
#ifndef COMMON_REDIS_PRIVATE_H
#define COMMON_REDIS_PRIVATE_H

#include "common/redis/redis.h"
#include "common/redis/redis_calls.h"
#include "common/redis/redis_link.h"

enum redis_state {
    REDIS_DOWN,        /* the wake timer opens the link */
    REDIS_OPENING,     /* the link looks up and connects */
    REDIS_LOGIN,       /* AUTH, SELECT; the wake timer asks again whether Redis is loading */
    REDIS_SUBSCRIBING, /* logged in; the channels are being asked for */
    REDIS_READY,       /* the wake timer pings, for a listener */
    REDIS_LEAVING,     /* the slot lives elsewhere: when the open calls are answered we go there */
};

struct redis_channel {
    struct redis_channel *prev, *next;
    char *name; /* owned */
};

struct redis {
    struct redis_options options; /* with its defaults filled in; url is the one below */
    struct redis_url url;
    char *client_name; /* owned; NULL: none */
    enum redis_state state;
    struct redis_link *link;
    struct redis_calls calls;
    struct event *wake_timer; /* what it does is the state's */
    struct event *deadline_timer;
    int64_t deadline_timer_ms; /* when it rings; INT64_MAX: never */
    struct event *tell_timer;  /* what the owner is told, at the next turn */
    struct error last_error;
    struct error told_error;
    bool told_ready;
    int failures; /* in a row: the exponent of the backoff */
    int64_t ready_since_ms;
    bool is_listener;
    char *key;           /* owned; whose slot we follow; NULL: none */
    int slot;            /* of key; REDIS_ANY_SLOT */
    bool is_holding;     /* while not ready, calls wait instead of failing */
    bool is_sent_on;     /* by a redirect: its node is tried next, whatever failed before */
    struct redis *aside; /* owned: to the node that our slot is moving to; NULL: none */
    bool is_aside;       /* this is such a connection: each command goes behind an ASKING */
    int misses;          /* connects in a row that have failed */
    int hops;            /* redirects in a row without becoming ready */
    struct redis_channel *channels;
    struct redis *joined_prev, *joined_next; /* of those that the sentinel tells */
    bool *is_freed; /* set by a free inside on_state or a failed call's callback */
};

/* Sets one of the timers. */
void redis_ring_in(struct event *timer, int64_t wait_ms);
/* Sends a command of our own; `words` ends with NULL. fn gets the struct redis, and hears
 * nothing when the connection dies. */
void redis_say(struct redis *redis, int64_t timeout_ms, redis_reply_fn *fn,
               const char *const *words);
/* Ends the connection and retries after the backoff. No callback runs inside. */
void redis_give_up(struct redis *redis, const struct error *why);
/* The same, because Redis answered our command `step` with this error. */
void redis_refused(struct redis *redis, const char *step, const struct error *error);
void redis_become_ready(struct redis *redis);

/* The link is up: logs in, which ends in redis_become_ready or redis_give_up. */
void redis_login_start(struct redis *redis);
/* Asks whether Redis answers normally by now. */
void redis_login_probe(struct redis *redis);
/* A user who may not ask, or a key that is not here yet or any more, is not in our way: it was an
 * answer. */
bool redis_is_answer(const struct error *error);

/* Are we in a cluster? */
bool redis_follows(const struct redis *redis);
/* Sets the URL to the server that is tried next. -1: it is not known. Without a cluster or
 * sentinels all of these do nothing. */
int redis_follow_locate(struct redis *redis, struct error *err) WARN_UNUSED;
/* The sentinels have named the primary: the connection is, or goes, there. */
void redis_follow_primary(struct redis *redis);
/* A part of the login: the map of the slots. */
void redis_follow_learn(struct redis *redis);
/* A connect has failed, or a connection was lost. True: calls go on waiting for the next. */
bool redis_follow_miss(struct redis *redis);
/* Adds to why a node can't be reached that it is the cluster which says where it is. */
void redis_follow_explain(const struct redis *redis, struct error *why);
/* Ready: what waits is sent. */
void redis_follow_arrive(struct redis *redis);
/* Takes a call that was told MOVED. False: it was told something else, or too often. */
bool redis_follow_redirect(struct redis *redis, struct redis_call *call, const char *text);
/* Says ASKING on a connection aside. */
void redis_follow_ask(struct redis *redis);
/* Goes where the slot lives, when it is time for it. */
void redis_follow_leave(struct redis *redis);

/* Waits for its answer, or its deadline. The call is taken. */
void redis_enqueue(struct redis *redis, struct redis_call *call);

/* The last step of a listener's login. */
void redis_listener_start(struct redis *redis);
void redis_listener_ping(struct redis *redis);
/* Hands a message to the owner, who may free the room. False: it is an ordinary reply. */
bool redis_listener_take(struct redis *redis, const redisReply *reply);
void redis_listener_release(struct redis *redis);

#endif
