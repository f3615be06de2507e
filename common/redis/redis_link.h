/*
 * redis_link.h - the wire to one Redis server: bytes out, replies in.
 *
 * Finds the address, connects (every address of a name in turn), and reads replies with
 * hiredis' reader. It knows nothing of commands, logins or retries: that is redis.c. The
 * callbacks run from the loop or from redis_link_open, never from another function, and
 * may close or free the link.
 */
#ifndef COMMON_REDIS_LINK_H
#define COMMON_REDIS_LINK_H

#include "common/error.h"
#include "common/redis/redis_url.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdint.h>

struct redis_link;

struct redis_link_options {
    struct event_base *base; /* borrowed for the life of the link, as is url */
    const struct redis_url *url;
    int64_t connect_timeout_ms; /* for the name, and again for each address */
    void (*on_up)(void *arg);
    void (*on_reply)(const redisReply *reply, void *arg); /* borrowed until it returns */
    /* The link is closed. ERROR_UNREACHABLE: it never was up; ERROR_LOST: it was. */
    void (*on_down)(const struct error *why, void *arg);
    void *arg;
};

struct redis_link *redis_link_new(const struct redis_link_options *options);
void redis_link_free(struct redis_link *link);

/* Ends in on_up or on_down, on_down perhaps before it returns. The link must be closed. */
void redis_link_open(struct redis_link *link);
/* At once and in silence; what is unsent is dropped. Fine when it is closed already. */
void redis_link_close(struct redis_link *link);
/* What is added here goes out at the loop's next turn. NULL while the link is not up. */
struct evbuffer *redis_link_output(struct redis_link *link);

#endif
