#include "common/redis/redis_private.h"

#include "common/clock.h"

#include <stdio.h>

/* Two nodes that each say the other has the slot must not keep us busy. */
#define MOVES_MAX 16
/* As many connects may fail before those who wait are told: enough to find one node alive. */
#define MISSES_MAX 16

bool
redis_follows(const struct redis *redis)
{
    return redis->options.cluster != NULL;
}

void
redis_follow_locate(struct redis *redis)
{
    const struct redis_node_address *to;

    if (!redis_follows(redis))
        return;
    to = redis_cluster_locate(redis->options.cluster, redis->slot,
                              redis->is_sent_on ? 0 : redis->misses);
    redis->is_sent_on = false;
    snprintf(redis->url.host, sizeof(redis->url.host), "%s", to->host);
    redis->url.port = to->port;
}

/* Who may not ask for the map, or asks a server that is no cluster, does without it. */
static void
on_slots(const redisReply *reply, const struct error *error, void *arg)
{
    struct redis *redis = arg;

    if (error == NULL)
        redis_cluster_read(redis->options.cluster, reply, redis->url.host);
}

void
redis_follow_learn(struct redis *redis)
{
    if (redis_follows(redis))
        redis_say(redis, redis->options.connect_timeout_ms, on_slots,
                  (const char *const[]){"CLUSTER", "SLOTS", NULL});
}

bool
redis_follow_miss(struct redis *redis)
{
    int nodes = redis_follows(redis) ? redis_cluster_nodes(redis->options.cluster) : 0;

    redis->misses++;
    if (redis->state == REDIS_READY || redis->misses > 2 * nodes || redis->misses > MISSES_MAX)
        redis->is_holding = false;
    return redis->is_holding;
}

static void
send_held(struct redis *redis, struct redis_call *call)
{
    struct error why;

    call->is_eval = false;
    call->deadline_ms = clock_mono_ms() + call->timeout_ms;
    if (redis_command_put(&call->command, redis_link_output(redis->link), &why) == 0)
        redis_enqueue(redis, call);
    else
        redis_calls_fail(&redis->calls, call, &why);
}

void
redis_follow_arrive(struct redis *redis)
{
    struct redis_call *call;

    redis->misses = 0;
    redis->hops = 0;
    while ((call = redis_calls_pop_held(&redis->calls)) != NULL)
        send_held(redis, call);
}

static void
connect_anew(struct redis *redis)
{
    redis->state = REDIS_DOWN;
    redis_link_close(redis->link);
    redis_calls_fail_open(&redis->calls, &redis->last_error, clock_mono_ms());
    redis_ring_in(redis->wake_timer, 0);
}

void
redis_follow_leave(struct redis *redis)
{
    if (redis->state == REDIS_LEAVING && redis->calls.open == NULL)
        connect_anew(redis);
}

/* What the login was told: nobody waits on this connection. */
static void
hop(struct redis *redis, struct redis_call *call)
{
    struct error why = redis->last_error;

    redis_call_drop(call);
    if (++redis->hops <= MOVES_MAX) {
        connect_anew(redis);
        return;
    }
    redis->hops = 0;
    redis->is_sent_on = false;
    redis_give_up(redis, &why);
}

bool
redis_follow_redirect(struct redis *redis, struct redis_call *call, const char *text)
{
    struct redis_redirect redirect;

    if (!redis_follows(redis) || !redis_redirect_read(text, redis->url.host, &redirect) ||
        redirect.kind != REDIS_MOVED || redirect.slot != redis->slot)
        return false;
    redis_cluster_moved(redis->options.cluster, redirect.slot, &redirect.to);
    redis->is_sent_on = true;
    error_set(&redis->last_error, ERROR_UNREACHABLE, "slot %d has moved to %s:%d", redirect.slot,
              redirect.to.host, redirect.to.port);
    if (call->is_ours) {
        hop(redis, call);
        return true;
    }
    if (++call->moves > MOVES_MAX)
        return false;
    redis->state = REDIS_LEAVING;
    redis->is_holding = true;
    redis_calls_hold(&redis->calls, call);
    redis_follow_leave(redis);
    return true;
}
