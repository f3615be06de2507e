/*
 * redis_slot.h - the words of Redis Cluster: slots, the map of slots, redirects. Pure.
 *
 * A key belongs to one of 16384 slots by its CRC16, or by that of its hash tag: what stands
 * between the first '{' and the next '}', when that is not empty. A node's map and redirects
 * come from outside: what makes no sense in them is refused or left out, never believed.
 */
#ifndef COMMON_REDIS_SLOT_H
#define COMMON_REDIS_SLOT_H

#include "common/error.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#define REDIS_SLOTS 16384

int redis_slot(const char *key, size_t len);

/* A node's address, as others are told it. */
struct redis_node_address {
    char host[256];
    int port; /* 1-65535 */
};

enum redis_redirect_kind {
    REDIS_MOVED, /* the slot lives there from now on */
    REDIS_ASK,   /* this one command goes there, behind an ASKING */
};

struct redis_redirect {
    enum redis_redirect_kind kind;
    int slot;
    struct redis_node_address to;
};

/* Reads "MOVED 3999 10.0.0.2:6381" or "ASK ...". `asked` is the host of the node that said it:
 * one that does not know its own name leaves the host out. False: it is no redirect. */
bool redis_redirect_read(const char *text, const char *asked, struct redis_redirect *redirect);

/* The slots first to last live at `primary`. */
typedef void redis_slot_range_fn(int first, int last, const struct redis_node_address *primary,
                                 void *arg);
/* Reads the reply to CLUSTER SLOTS (every server from Redis 3 and any Valkey has it) and tells
 * its ranges in their order: of two that overlap the caller sees both. Ranges that make no sense
 * are left out. Fails with ERROR_INTERNAL when it is no map at all or has no range left. */
int redis_slots_read(const redisReply *reply, const char *asked, redis_slot_range_fn *fn, void *arg,
                     struct error *err) WARN_UNUSED;

#endif
