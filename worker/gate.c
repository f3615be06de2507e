#include "worker/gate.h"

#include <stdio.h>

#define CLOSED_MIN_MS 1000
#define CLOSED_MAX_MS 30000

void
gate_fail(struct gate *gate, const char *reason, int64_t now_ms)
{
    int64_t closed_ms = CLOSED_MIN_MS;

    snprintf(gate->reason, sizeof(gate->reason), "%s", reason);
    if (gate->failures > 0 && now_ms < gate->closed_until_ms)
        return;
    for (int i = 0; i < gate->failures && closed_ms < CLOSED_MAX_MS; i++)
        closed_ms *= 2;
    gate->failures++;
    gate->closed_until_ms = now_ms + (closed_ms < CLOSED_MAX_MS ? closed_ms : CLOSED_MAX_MS);
}

void
gate_pass(struct gate *gate)
{
    gate->failures = 0;
    gate->closed_until_ms = 0;
}

bool
gate_is_open(const struct gate *gate)
{
    return gate->failures == 0;
}

int
gate_room(const struct gate *gate, int free, int busy, int64_t now_ms)
{
    if (gate->failures == 0 || free <= 0)
        return free;
    return now_ms >= gate->closed_until_ms && busy == 0 ? 1 : 0;
}
