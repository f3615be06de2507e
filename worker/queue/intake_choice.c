#include "worker/queue/intake.h"

/* One claim brings at most this many: at 64 a claim costs Redis a fifth of what single ones do, and
 * more hardly less. */
#define BATCH_MAX 64

static int
least_served(const struct intake_choice *queues, int count, int *total_weight)
{
    int best = -1;

    *total_weight = 0;
    for (int i = 0; i < count; i++) {
        if (!queues[i].is_ready)
            continue;
        *total_weight += queues[i].weight;
        if (best < 0 || queues[i].served < queues[best].served)
            best = i;
    }
    return best;
}

int
intake_choose(const struct intake_choice *queues, int count, int room, int *batch)
{
    int total_weight, best;

    *batch = room < BATCH_MAX ? room : BATCH_MAX;
    for (int i = 0; i < count; i++)
        if (queues[i].is_ready && queues[i].weight == 0)
            return i;
    best = least_served(queues, count, &total_weight);
    if (best >= 0 && queues[best].weight < total_weight) {
        int share = (room * queues[best].weight + total_weight - 1) / total_weight;

        *batch = share < *batch ? share : *batch;
    }
    return best;
}
