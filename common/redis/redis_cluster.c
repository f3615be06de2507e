#include "common/redis/redis_cluster.h"

#include "common/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY (-1)

struct redis_cluster {
    struct redis_node_address nodes[REDIS_NODES_MAX]; /* the seeds first */
    int count;
    int seed_count;
    unsigned next; /* whom to ask next, when it matters little whom */
    int16_t owner[REDIS_SLOTS];
    bool is_new_map; /* the first range of a map has been read */
};

static bool
is_at(const struct redis_node_address *node, const char *host, int port)
{
    return node->port == port && strcmp(node->host, host) == 0;
}

/* NOBODY when there is no room. */
static int
find_or_add(struct redis_cluster *cluster, const struct redis_node_address *address)
{
    for (int i = 0; i < cluster->count; i++)
        if (is_at(&cluster->nodes[i], address->host, address->port))
            return i;
    if (cluster->count == REDIS_NODES_MAX)
        return NOBODY;
    cluster->nodes[cluster->count] = *address;
    return cluster->count++;
}

static void
forget_owners(struct redis_cluster *cluster)
{
    for (int slot = 0; slot < REDIS_SLOTS; slot++)
        cluster->owner[slot] = NOBODY;
}

struct redis_cluster *
redis_cluster_new(const struct redis_url *url)
{
    struct redis_cluster *cluster = xcalloc(1, sizeof(*cluster));

    for (int i = 0; i < url->seed_count; i++) {
        struct redis_node_address address = {.port = url->seeds[i].port};

        snprintf(address.host, sizeof(address.host), "%s", url->seeds[i].host);
        find_or_add(cluster, &address);
    }
    cluster->seed_count = cluster->count;
    forget_owners(cluster);
    return cluster;
}

void
redis_cluster_free(struct redis_cluster *cluster)
{
    free(cluster);
}

const struct redis_node_address *
redis_cluster_locate(struct redis_cluster *cluster, int slot, int failures)
{
    int owner = slot == REDIS_ANY_SLOT ? NOBODY : cluster->owner[slot];
    int other;

    if (owner != NOBODY && failures % 2 == 0)
        return &cluster->nodes[owner];
    other = (int)(cluster->next++ % (unsigned)cluster->count);
    if (other == owner)
        other = (int)(cluster->next++ % (unsigned)cluster->count);
    return &cluster->nodes[other];
}

void
redis_cluster_moved(struct redis_cluster *cluster, int slot, const struct redis_node_address *to)
{
    cluster->owner[slot] = (int16_t)find_or_add(cluster, to);
}

static void
on_range(int first, int last, const struct redis_node_address *primary, void *arg)
{
    struct redis_cluster *cluster = arg;
    int owner;

    if (!cluster->is_new_map) {
        cluster->is_new_map = true;
        cluster->count = cluster->seed_count;
        forget_owners(cluster);
    }
    owner = find_or_add(cluster, primary);
    for (int slot = first; slot <= last; slot++)
        cluster->owner[slot] = (int16_t)owner;
}

void
redis_cluster_read(struct redis_cluster *cluster, const redisReply *reply, const char *asked)
{
    struct error no_map;

    cluster->is_new_map = false;
    if (redis_slots_read(reply, asked, on_range, cluster, &no_map) != 0)
        return; /* what is known stays; redirects correct it */
}

bool
redis_cluster_is_seed(const struct redis_cluster *cluster, const char *host, int port)
{
    for (int i = 0; i < cluster->seed_count; i++)
        if (is_at(&cluster->nodes[i], host, port))
            return true;
    return false;
}

int
redis_cluster_nodes(const struct redis_cluster *cluster)
{
    return cluster->count;
}
