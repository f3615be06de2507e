/*
 * redis_sentinel.h - where the primary is, as the sentinels know it.
 *
 * A listener at every sentinel hears of a failover at once (+switch-master); what a connection
 * that failed needs to know is asked of one sentinel after the other, so that one which hangs, is
 * gone or knows old things does not hold anybody up. Connections join, and are told when the
 * primary is another one.
 * Source: Redis documentation, "Guidelines for Redis clients with support for Redis Sentinel".
 */
#ifndef COMMON_REDIS_SENTINEL_H
#define COMMON_REDIS_SENTINEL_H

#include "common/redis/redis.h"

struct redis_sentinel;

/* `url` has topology REDIS_SENTINEL and is copied, as is client_name. Asks at once. */
struct redis_sentinel *redis_sentinel_new(struct event_base *base, const struct redis_url *url,
                                          const char *client_name);
/* All connections have left. NULL is fine. */
void redis_sentinel_free(struct redis_sentinel *sentinel);

void redis_sentinel_join(struct redis_sentinel *sentinel, struct redis *redis);
void redis_sentinel_leave(struct redis_sentinel *sentinel, struct redis *redis);

/* Sets host and port of *url to the primary's. -1: none is known; *err says what each sentinel
 * said. */
int redis_sentinel_locate(const struct redis_sentinel *sentinel, struct redis_url *url,
                          struct error *err) WARN_UNUSED;
/* A connection to the primary has failed: asks, unless that is under way. */
void redis_sentinel_ask(struct redis_sentinel *sentinel);

/* The two messages that name a primary, for tests: the answer to SENTINEL GET-MASTER-ADDR-BY-NAME,
 * and that of +switch-master, "NAME OLD-IP OLD-PORT NEW-IP NEW-PORT", when it is about
 * master_name. */
bool redis_sentinel_read_address(const redisReply *reply, struct redis_seed *primary);
bool redis_sentinel_read_switch(const char *message, size_t len, const char *master_name,
                                struct redis_seed *primary);

#endif
