#include "common/redis/redis_route.h"

#include "common/memory.h"

#include <stdlib.h>

struct redis_route {
    struct event_base *base; /* borrowed */
    struct redis_url url;
    char *client_name; /* owned */
    struct redis *commands;
};

struct redis_route *
redis_route_new(struct event_base *base, const struct redis_url *url, const char *client_name,
                redis_state_fn *on_state, void *arg)
{
    struct redis_route *route = xcalloc(1, sizeof(*route));

    route->base = base;
    route->url = *url;
    route->client_name = xstrdup(client_name);
    route->commands = redis_new(&(struct redis_options){
        .base = base,
        .url = &route->url,
        .client_name = client_name,
        .on_state = on_state,
        .arg = arg,
    });
    return route;
}

void
redis_route_free(struct redis_route *route)
{
    if (route == NULL)
        return;
    redis_free(route->commands);
    free(route->client_name);
    free(route);
}

struct redis *
redis_route_commands(struct redis_route *route, const char *key)
{
    (void)key; /* one server holds every slot */
    return route->commands;
}

struct redis *
redis_route_dedicated(struct redis_route *route, const char *key, const char *purpose,
                      redis_state_fn *on_state, redis_push_fn *on_push, void *arg)
{
    char *name = xasprintf("%s:%s", route->client_name, purpose);
    struct redis *redis;

    (void)key; /* one server holds every slot */
    redis = redis_new(&(struct redis_options){
        .base = route->base,
        .url = &route->url,
        .client_name = name,
        .on_state = on_state,
        .on_push = on_push,
        .arg = arg,
    });
    free(name);
    return redis;
}

bool
redis_route_is_ready(const struct redis_route *route)
{
    return redis_is_ready(route->commands);
}

const struct error *
redis_route_last_error(const struct redis_route *route)
{
    return redis_last_error(route->commands);
}
