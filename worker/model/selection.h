/*
 * selection.h - in which order a job tries its models (V2, per-request isolation). Pure.
 *
 * Every job gets a fresh order. The primary is first unless it was throttled less than 2 s
 * ago; then it stands behind the fallbacks that are not in cooldown. Models in cooldown stand
 * behind those that are not. A cooldown orders, it never blocks.
 */
#ifndef WORKER_MODEL_SELECTION_H
#define WORKER_MODEL_SELECTION_H

#include <stdbool.h>

/* What the cluster believes of a model right now. */
struct selection_hint {
    bool in_cooldown;
    bool just_throttled; /* less than 2 s ago */
};

/* Writes into order[0..count) the indices 0..count-1, [0] of `hints` being the primary. */
void selection_order(const struct selection_hint *hints, int count, int *order);

/* V1, to be compared with: the configured order is everybody's, and a cooldown blocks. Returns the
 * first model from `from` on that is not in one; count: none. */
int selection_next_v1(const struct selection_hint *hints, int count, int from);

#endif
