#include "worker/model/pace_choice.h"

/* A queue that has not been empty for so long stands. */
#define STANDING_MS 2000
/* What may still be waited for in one: an instant, or one permit. */
#define FLOOR_MS 100

int
pace_choose(const struct pace_option *options, int count, int64_t last_resort_ms)
{
    int soonest = -1;

    for (int i = 0; i < count; i++) {
        if (options[i].wait_ms <= options[i].patience_ms)
            return i;
        if (soonest < 0 || options[i].wait_ms < options[soonest].wait_ms)
            soonest = i;
    }
    return soonest >= 0 && options[soonest].wait_ms <= last_resort_ms ? soonest : -1;
}

int64_t
pace_patience(int64_t wish_ms, int64_t standing_ms, double rate)
{
    int64_t floor_ms = 1000 / rate > FLOOR_MS ? (int64_t)(1000 / rate) : FLOOR_MS;

    return standing_ms > STANDING_MS && wish_ms > floor_ms ? floor_ms : wish_ms;
}
