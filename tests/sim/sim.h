/*
 * sim.h - the simulator: what it was told, what it remembers, and the loop it runs on.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "tests/sim/account.h"
#include "tests/sim/journal.h"
#include "tests/sim/settings.h"
#include "tests/sim/wire.h"

struct sim {
    struct event_base *base;   /* owned */
    struct wire *wire;         /* owned */
    struct settings *settings; /* owned; replaced as a whole */
    struct account account;
    struct journal journal;
    struct aws_sign_cache sign_cache;
    uint64_t seed;
    uint64_t dice; /* for what need not repeat per request: latencies, error_rate, request ids */
};

/* Routes one request: the control calls, the Converse operation, or 404. */
void sim_on_request(struct exchange *exchange, const struct wire_request *request, void *arg);

#endif
