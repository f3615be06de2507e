/*
 * redis_resolve.h - where a Redis URL leads: socket addresses, found off the loop.
 *
 * A socket path and a numeric address are known at once. A name is looked up by
 * getaddrinfo(3) on a detached thread, because it blocks for as long as the name server
 * likes. getaddrinfo_a(3) would do the same, but a request that it is working on can be
 * neither cancelled nor freed. The thread touches nothing but its own lookup; whoever of
 * thread and owner leaves last frees it.
 */
#ifndef COMMON_REDIS_RESOLVE_H
#define COMMON_REDIS_RESOLVE_H

#include "common/error.h"
#include "common/redis/redis_url.h"

#include <stdbool.h>
#include <sys/socket.h>

#define REDIS_ADDRESSES_MAX 16 /* more that a name may have are left out */

struct redis_address {
    struct sockaddr_storage socket;
    socklen_t len;
};

struct redis_addresses {
    int count;
    struct redis_address at[REDIS_ADDRESSES_MAX];
};

/* True when the URL needs no lookup: the one address is in *found then. Never blocks. */
bool redis_resolve_now(const struct redis_url *url, struct redis_addresses *found);

struct redis_lookup;
/* Starts to look up the URL's host. NULL: no thread could be had; *err says so. */
struct redis_lookup *redis_lookup_start(const struct redis_url *url, struct error *err);
bool redis_lookup_is_done(const struct redis_lookup *lookup);
/* Ends a lookup that is done (and frees it). -1: the name has no address. */
int redis_lookup_finish(struct redis_lookup *lookup, struct redis_addresses *found,
                        struct error *err) WARN_UNUSED;
/* Ends a lookup at any time; the thread finishes by itself. NULL is fine. */
void redis_lookup_abandon(struct redis_lookup *lookup);

#endif
