#include "common/redis/redis_route.h"

#include "common/memory.h"
#include "common/redis/redis_sentinel.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Producers name queues, models and reply lists, so that any slot may be asked for: beyond this
 * many an idle connection makes room for a new one. */
#define LANES_MAX 64

/* The connection of one slot. */
struct lane {
    struct lane *prev, *next; /* the one used last comes first */
    int slot;
    struct redis *redis; /* owned */
};

struct redis_route {
    struct event_base *base; /* borrowed */
    struct redis_url url;
    char *client_name; /* owned */
    redis_state_fn *on_state;
    void *arg;
    struct redis_cluster *cluster;   /* owned; NULL: one server */
    struct redis_sentinel *sentinel; /* owned; NULL: none */
    struct redis *any;               /* of the one server, or of some node; owned */
    struct lane *lanes;
    int lane_count;
};

static struct redis *
connect_to(struct redis_route *route, const char *key, const char *client_name,
           redis_state_fn *on_state, redis_push_fn *on_push, void *arg)
{
    return redis_new(&(struct redis_options){
        .base = route->base,
        .url = &route->url,
        .cluster = route->cluster,
        .sentinel = route->sentinel,
        .key = key,
        .client_name = client_name,
        .on_state = on_state,
        .on_push = on_push,
        .goes_aside = on_push == NULL && client_name == route->client_name,
        .arg = arg,
    });
}

struct redis_route *
redis_route_new(struct event_base *base, const struct redis_url *url, const char *client_name,
                redis_state_fn *on_state, void *arg)
{
    struct redis_route *route = xcalloc(1, sizeof(*route));

    route->base = base;
    route->url = *url;
    route->client_name = xstrdup(client_name);
    route->on_state = on_state;
    route->arg = arg;
    if (url->topology == REDIS_CLUSTER)
        route->cluster = redis_cluster_new(url);
    if (url->topology == REDIS_SENTINEL)
        route->sentinel = redis_sentinel_new(base, url, client_name);
    route->any = connect_to(route, NULL, client_name, on_state, NULL, arg);
    return route;
}

static void
free_lane(struct redis_route *route, struct lane *lane)
{
    DL_DELETE(route->lanes, lane);
    route->lane_count--;
    redis_free(lane->redis);
    free(lane);
}

void
redis_route_free(struct redis_route *route)
{
    if (route == NULL)
        return;
    while (route->lanes != NULL)
        free_lane(route, route->lanes);
    redis_free(route->any);
    redis_cluster_free(route->cluster);
    redis_sentinel_free(route->sentinel);
    free(route->client_name);
    free(route);
}

/* With luck. When all are in use there are more than LANES_MAX of them for a while. */
static void
make_room(struct redis_route *route)
{
    struct lane *oldest;

    if (route->lane_count < LANES_MAX)
        return;
    oldest = route->lanes->prev;
    if (redis_is_idle(oldest->redis))
        free_lane(route, oldest);
}

static struct redis *
lane_of(struct redis_route *route, const char *key)
{
    int slot = redis_slot(key, strlen(key));
    struct lane *lane;

    DL_SEARCH_SCALAR(route->lanes, lane, slot, slot);
    if (lane != NULL) {
        DL_DELETE(route->lanes, lane);
    } else {
        make_room(route);
        lane = xcalloc(1, sizeof(*lane));
        lane->slot = slot;
        lane->redis = connect_to(route, key, route->client_name, route->on_state, NULL, route->arg);
        route->lane_count++;
    }
    DL_PREPEND(route->lanes, lane);
    return lane->redis;
}

struct redis *
redis_route_commands(struct redis_route *route, const char *key)
{
    return route->cluster == NULL ? route->any : lane_of(route, key);
}

struct redis *
redis_route_dedicated(struct redis_route *route, const char *key, const char *purpose,
                      redis_state_fn *on_state, redis_push_fn *on_push, void *arg)
{
    char *name = xasprintf("%s:%s", route->client_name, purpose);
    struct redis *redis = connect_to(route, key, name, on_state, on_push, arg);

    free(name);
    return redis;
}

bool
redis_route_joins(const struct redis_route *route, const char *key, const char *other)
{
    return route->cluster == NULL ||
           redis_slot(key, strlen(key)) == redis_slot(other, strlen(other));
}

bool
redis_route_serves(struct redis_route *route, const char *key, const struct error **why)
{
    struct redis *redis = redis_route_commands(route, key);

    if (why != NULL)
        *why = redis_last_error(redis);
    return redis_is_ready(redis);
}
