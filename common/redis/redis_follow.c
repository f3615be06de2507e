#include "common/redis/redis_private.h"

#include "common/clock.h"
#include "common/redis/redis_sentinel.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* Two nodes that each say the other has the slot must not keep us busy. */
#define MOVES_MAX 16
/* As many connects may fail before those who wait are told: enough to find one node alive. */
#define MISSES_MAX 16

bool
redis_follows(const struct redis *redis)
{
    return redis->options.cluster != NULL;
}

int
redis_follow_locate(struct redis *redis, struct error *err)
{
    const struct redis_node_address *to;

    if (redis->options.sentinel != NULL)
        return redis_sentinel_locate(redis->options.sentinel, &redis->url, err);
    if (!redis_follows(redis))
        return 0;
    to = redis_cluster_locate(redis->options.cluster, redis->slot,
                              redis->is_sent_on ? 0 : redis->misses);
    redis->is_sent_on = false;
    snprintf(redis->url.host, sizeof(redis->url.host), "%s", to->host);
    redis->url.port = to->port;
    return 0;
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

    if (redis->options.sentinel != NULL)
        redis_sentinel_ask(redis->options.sentinel);
    redis->misses++;
    if (redis->state == REDIS_READY || redis->misses > 2 * nodes || redis->misses > MISSES_MAX)
        redis->is_holding = false;
    return redis->is_holding;
}

/* A node that was reached before is rather down than announced by an address for others. */
void
redis_follow_explain(const struct redis *redis, struct error *why)
{
    size_t len = strlen(why->message);

    if (!redis_follows(redis) || why->kind != ERROR_UNREACHABLE || redis->ready_since_ms != 0 ||
        redis_cluster_is_seed(redis->options.cluster, redis->url.host, redis->url.port))
        return;
    snprintf(why->message + len, sizeof(why->message) - len,
             "; the cluster announces this address (cluster-announce-ip, -port, -hostname)");
}

void
redis_follow_ask(struct redis *redis)
{
    if (redis->is_aside)
        redis_say(redis, redis->options.call_timeout_ms, NULL,
                  (const char *const[]){"ASKING", NULL});
}

static void
send_held(struct redis *redis, struct redis_call *call)
{
    struct error why;

    call->is_eval = false;
    call->deadline_ms = clock_mono_ms() + call->timeout_ms;
    redis_follow_ask(redis);
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
redis_follow_primary(struct redis *redis)
{
    struct redis_url url = redis->url;
    struct error err;
    bool is_there = redis_sentinel_locate(redis->options.sentinel, &url, &err) == 0 &&
                    url.port == redis->url.port && strcmp(url.host, redis->url.host) == 0;

    if (redis->state == REDIS_DOWN)
        redis_ring_in(redis->wake_timer, 0);
    if (redis->state == REDIS_DOWN || is_there)
        return;
    error_set(&redis->last_error, ERROR_LOST, "the primary is %s:%d now", url.host, url.port);
    redis_ring_in(redis->tell_timer, 0);
    connect_anew(redis);
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

static bool
is_to(const struct redis *redis, const struct redis_node_address *to)
{
    return redis->url.port == to->port && strcmp(redis->url.host, to->host) == 0;
}

/* The move is over, or has gone wrong. */
static void
forget_aside(struct redis *redis)
{
    if (redis->aside != NULL && redis_is_idle(redis->aside)) {
        redis_free(redis->aside);
        redis->aside = NULL;
    }
}

static void
open_aside(struct redis *redis, const struct redis_node_address *to)
{
    struct redis_options options = redis->options;
    struct redis_url url = redis->url;

    snprintf(url.host, sizeof(url.host), "%s", to->host);
    url.port = to->port;
    options.url = &url;
    options.cluster = NULL;
    options.key = NULL;
    options.on_state = NULL;
    redis->aside = redis_new(&options);
    redis->aside->is_aside = true;
    redis->aside->is_holding = true;
    OPENSSL_cleanse(&url, sizeof(url));
}

/* This one command lives elsewhere for now. */
static bool
go_aside(struct redis *redis, struct redis_call *call, const struct redis_node_address *to)
{
    if (!redis->options.goes_aside || call->is_ours)
        return false;
    if (redis->aside != NULL && (!is_to(redis->aside, to) || !redis->aside->is_holding))
        forget_aside(redis);
    if (redis->aside == NULL)
        open_aside(redis, to);
    if (!is_to(redis->aside, to))
        return false;
    redis_calls_hold(&redis->aside->calls, call);
    if (redis->aside->state == REDIS_READY)
        redis_follow_arrive(redis->aside);
    else if (!redis->aside->is_holding)
        redis_calls_fail_held(&redis->aside->calls, &redis->aside->last_error);
    redis_follow_leave(redis);
    return true;
}

bool
redis_follow_redirect(struct redis *redis, struct redis_call *call, const char *text)
{
    struct redis_redirect redirect;

    if (!redis_follows(redis) || !redis_redirect_read(text, redis->url.host, &redirect) ||
        redirect.slot != redis->slot)
        return false;
    if (redirect.kind == REDIS_ASK)
        return go_aside(redis, call, &redirect.to);
    forget_aside(redis);
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
