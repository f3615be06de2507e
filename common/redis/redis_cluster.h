/*
 * redis_cluster.h - what is known of a Redis Cluster: its nodes, and who owns which slot. Pure.
 *
 * It starts with the seeds, learns all nodes from each CLUSTER SLOTS and corrects itself by every
 * MOVED. It may be wrong at any time: a connection that follows a slot asks whom it finds, and is
 * sent on by a redirect.
 */
#ifndef COMMON_REDIS_CLUSTER_H
#define COMMON_REDIS_CLUSTER_H

#include "common/redis/redis_slot.h"
#include "common/redis/redis_url.h"

#define REDIS_NODES_MAX 1024 /* Redis' own advice ends there; more are not asked */
#define REDIS_ANY_SLOT  (-1)

struct redis_cluster;

struct redis_cluster *redis_cluster_new(const struct redis_url *url);
void redis_cluster_free(struct redis_cluster *cluster);

/* Where to look for a slot: at its owner, and with every second one of `failures` in a row at
 * another node, by turns: one that is alive knows who has taken over. REDIS_ANY_SLOT: any node. */
const struct redis_node_address *redis_cluster_locate(struct redis_cluster *cluster, int slot,
                                                      int failures);
/* A node said that the slot lives there. */
void redis_cluster_moved(struct redis_cluster *cluster, int slot,
                         const struct redis_node_address *to);
/* The answer of `asked` to CLUSTER SLOTS: replaces all that was known but the seeds. What is no
 * map changes nothing. */
void redis_cluster_read(struct redis_cluster *cluster, const redisReply *reply, const char *asked);
/* Does the URL itself name this node? */
bool redis_cluster_is_seed(const struct redis_cluster *cluster, const char *host, int port);
int redis_cluster_nodes(const struct redis_cluster *cluster);

#endif
