/*
 * tenants.h - what the configuration file grants to each tenant. Pure.
 *
 * Section "tenants": {"acme": {"weight": 2, "max_in_flight": 50}, "*": {"weight": 1}}. A tenant
 * that is not named has what "*" says, and what "*" does not say is weight 1 and no limit; a named
 * tenant does not inherit from "*".
 */
#ifndef WORKER_QUEUE_TENANTS_H
#define WORKER_QUEUE_TENANTS_H

#include "common/config_file.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

#define TENANT_NAME_MAX 256

struct tenant {
    char *name;            /* owned; "*": all that are not named */
    double weight;         /* 0.01-1000: its share of a fair queue */
    int64_t max_in_flight; /* of its jobs at once, in the whole cluster; 0: no limit */
};

struct tenants {
    struct tenant *named; /* owned; sorted by name */
    int count;
    struct tenant others; /* "*" */
};

/* Reads the section, which may be absent. ERROR_CONFIG says where it is wrong; nothing is left to
 * release then. */
int tenants_init(struct tenants *tenants, const struct config_part *section,
                 struct error *err) WARN_UNUSED;
void tenants_release(struct tenants *tenants);
/* What a tenant has; never NULL. */
const struct tenant *tenants_find(const struct tenants *tenants, const char *name);
/* Has anyone a limit? */
bool tenants_have_limit(const struct tenants *tenants);
/* Appends {"acme":[2,50],"*":[1,0]}, as claim.lua takes it; nothing when all are alike. */
void tenants_put_json(const struct tenants *tenants, struct evbuffer *out);

#endif
