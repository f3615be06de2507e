#include "common/redis/redis_private.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PING_TIMEOUT_MS 2000

static struct redis_channel *
find_channel(const struct redis *redis, const char *name)
{
    struct redis_channel *channel;

    DL_FOREACH(redis->channels, channel)
    if (strcmp(channel->name, name) == 0)
        break;
    return channel;
}

static void
free_channel(struct redis *redis, struct redis_channel *channel)
{
    DL_DELETE(redis->channels, channel);
    free(channel->name);
    free(channel);
}

void
redis_listener_release(struct redis *redis)
{
    while (redis->channels != NULL)
        free_channel(redis, redis->channels);
}

static void
on_subscribe(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    if (error != NULL)
        redis_refused(arg, "SUBSCRIBE", error);
}

static void
on_unsubscribe(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    if (error != NULL)
        redis_refused(arg, "UNSUBSCRIBE", error);
}

static void
ask_for(struct redis *redis, const char *channel)
{
    redis_say(redis, PING_TIMEOUT_MS, on_subscribe,
              (const char *const[]){"SUBSCRIBE", channel, NULL});
}

static void
on_pong(const redisReply *reply, const struct error *error, void *arg)
{
    struct redis *redis = arg;

    (void)reply;
    if (!redis_is_answer(error)) {
        redis_refused(redis, "PING", error);
        return;
    }
    if (redis->state == REDIS_SUBSCRIBING)
        redis_become_ready(redis);
    redis_ring_in(redis->wake_timer, redis->options.ping_every_ms);
}

void
redis_listener_ping(struct redis *redis)
{
    redis_say(redis, PING_TIMEOUT_MS, on_pong, (const char *const[]){"PING", NULL});
}

/* The pong comes behind the answers to SUBSCRIBE: then all channels are in force. */
void
redis_listener_start(struct redis *redis)
{
    struct redis_channel *channel;

    redis->state = REDIS_SUBSCRIBING;
    DL_FOREACH(redis->channels, channel)
    ask_for(redis, channel->name);
    redis_listener_ping(redis);
}

/* One that was on its way when its channel was given up is dropped. */
static void
deliver(struct redis *redis, const redisReply *message)
{
    const char *channel = redis_str(redis_at(message, 1), "");
    const redisReply *text = redis_at(message, 2);

    if (redis_str(text, NULL) != NULL && find_channel(redis, channel) != NULL &&
        redis->options.on_push != NULL)
        redis->options.on_push(channel, text->str, text->len, redis->options.arg);
}

bool
redis_listener_take(struct redis *redis, const redisReply *reply)
{
    if (!redis->is_listener || strcmp(redis_str(redis_at(reply, 0), ""), "message") != 0)
        return false;
    deliver(redis, reply);
    return true;
}

static bool
is_logged_in(const struct redis *redis)
{
    return redis->state == REDIS_SUBSCRIBING || redis->state == REDIS_READY;
}

void
redis_subscribe(struct redis *redis, const char *name)
{
    struct redis_channel *channel;

    if (find_channel(redis, name) != NULL)
        return;
    channel = xcalloc(1, sizeof(*channel));
    channel->name = xstrdup(name);
    DL_APPEND(redis->channels, channel);
    if (is_logged_in(redis))
        ask_for(redis, name);
    if (!redis->is_listener && redis->state == REDIS_READY)
        redis_ring_in(redis->wake_timer, 0);
    redis->is_listener = true;
}

void
redis_unsubscribe(struct redis *redis, const char *name)
{
    struct redis_channel *channel = find_channel(redis, name);

    if (channel == NULL)
        return;
    if (is_logged_in(redis))
        redis_say(redis, PING_TIMEOUT_MS, on_unsubscribe,
                  (const char *const[]){"UNSUBSCRIBE", name, NULL});
    free_channel(redis, channel);
}
