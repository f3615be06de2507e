/*
 * redis_private.h - what the parts of redis.h's room share; nobody else includes it.
 *
 *     redis.c           the connection's life, its calls, what the owner is told
 *     redis_login.c     from connected to ready
 *     redis_listener.c  SUBSCRIBE, messages, pings
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
    struct redis_channel *channels;
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
/* A user who may not PING is not in our way: it was an answer. */
bool redis_is_answer(const struct error *error);

/* The last step of a listener's login. */
void redis_listener_start(struct redis *redis);
void redis_listener_ping(struct redis *redis);
/* Hands a message to the owner, who may free the room. False: it is an ordinary reply. */
bool redis_listener_take(struct redis *redis, const redisReply *reply);
void redis_listener_release(struct redis *redis);

#endif
