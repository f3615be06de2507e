/*
 * redis_route.h - which connection a key lives behind: the one door to Redis.
 *
 * One server: one shared connection. A cluster: one for each slot that is in use, so that what
 * happens to a shard concerns the keys of that shard alone. Callers always say which key they
 * mean, and ask for its connection each time.
 */
#ifndef COMMON_REDIS_ROUTE_H
#define COMMON_REDIS_ROUTE_H

#include "common/redis/redis.h"

struct redis_route;

/* Connects the shared, pipelined connection; with a cluster to some node, to learn the map.
 * on_state tells of the connections for commands; may be NULL. `client_name` is copied and shown
 * by CLIENT LIST. */
struct redis_route *redis_route_new(struct event_base *base, const struct redis_url *url,
                                    const char *client_name, redis_state_fn *on_state, void *arg);
void redis_route_free(struct redis_route *route);

/* The shared connection for commands on `key`; borrowed until the loop turns. */
struct redis *redis_route_commands(struct redis_route *route, const char *key);
/* A connection of its own to the server of `key`, for blocking pops or a subscription;
 * owned by the caller (redis_free). NULL: any server will do, as messages reach all of them.
 * `purpose` ends its client name. */
struct redis *redis_route_dedicated(struct redis_route *route, const char *key, const char *purpose,
                                    redis_state_fn *on_state, redis_push_fn *on_push, void *arg);
/* Do the two live behind one connection, so that one script may touch both? */
bool redis_route_joins(const struct redis_route *route, const char *key, const char *other);
/* Does the server of `key` take commands now? If not, *why says the reason; may be NULL. */
bool redis_route_serves(struct redis_route *route, const char *key, const struct error **why);

#endif
