/*
 * redis_route.h - which connection a key lives behind: the one door to Redis.
 *
 * Today one server. Sentinel and Cluster come behind this same door: callers always say
 * which key they mean, and get the connection of its slot.
 */
#ifndef COMMON_REDIS_ROUTE_H
#define COMMON_REDIS_ROUTE_H

#include "common/redis/redis.h"

struct redis_route;

/* Connects the shared, pipelined connection. on_state tells of it alone; may be NULL.
 * `client_name` is copied and shown by CLIENT LIST. */
struct redis_route *redis_route_new(struct event_base *base, const struct redis_url *url,
                                    const char *client_name, redis_state_fn *on_state, void *arg);
void redis_route_free(struct redis_route *route);

/* The shared connection for commands on `key`; borrowed. */
struct redis *redis_route_commands(struct redis_route *route, const char *key);
/* A connection of its own to the server of `key`, for blocking pops or a subscription;
 * owned by the caller (redis_free). `purpose` ends its client name. */
struct redis *redis_route_dedicated(struct redis_route *route, const char *key, const char *purpose,
                                    redis_state_fn *on_state, redis_push_fn *on_push, void *arg);
bool redis_route_is_ready(const struct redis_route *route);
const struct error *redis_route_last_error(const struct redis_route *route);

#endif
