/*
 * gate.h - stops claiming while the provider can't be used at all. Pure: time is passed in.
 *
 * Wrong credentials or an unreachable provider fail every job in the same way; claiming on would
 * only push the backlog round in circles. The gate closes after such a failure, for 1 s, then 2,
 * 4 ... 30 s; between two closings it lets one job through as a probe, and a proper answer opens
 * it.
 */
#ifndef WORKER_GATE_H
#define WORKER_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct gate {
    int failures;            /* in a row; 0: open */
    int64_t closed_until_ms; /* monotonic; after it one probe may pass */
    char reason[256];
};

/* A call ended as it would for every job. Only the first of a bunch of failures counts: those that
 * were under way together say nothing new. */
void gate_fail(struct gate *gate, const char *reason, int64_t now_ms);
void gate_pass(struct gate *gate);
bool gate_is_open(const struct gate *gate);
/* How many of `free` slots may be filled while `busy` are in use. */
int gate_room(const struct gate *gate, int free, int busy, int64_t now_ms);

#endif
