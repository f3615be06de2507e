#include "worker/model/selection.h"

/* Appends the fallbacks whose cooldown is as asked for. */
static int
put_fallbacks(const struct selection_hint *hints, int count, bool in_cooldown, int *order, int at)
{
    for (int i = 1; i < count; i++)
        if (hints[i].in_cooldown == in_cooldown)
            order[at++] = i;
    return at;
}

void
selection_order(const struct selection_hint *hints, int count, int *order)
{
    bool primary_waits = count > 0 && hints[0].just_throttled;
    int at = 0;

    if (count > 0 && !primary_waits)
        order[at++] = 0;
    at = put_fallbacks(hints, count, false, order, at);
    if (primary_waits)
        order[at++] = 0;
    put_fallbacks(hints, count, true, order, at);
}

int
selection_next_v1(const struct selection_hint *hints, int count, int from)
{
    while (from < count && hints[from].in_cooldown)
        from++;
    return from;
}
