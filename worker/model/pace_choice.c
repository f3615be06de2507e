#include "worker/model/pace_choice.h"

#include <stdbool.h>

/* A queue that has not been empty for so long stands. */
#define STANDING_MS 2000
/* What may still be waited for in one: an instant, or one turn. */
#define FLOOR_MS 100
/* A wait for a sooner answer is short, too: others wait at the same time. */
#define HASTE_MS 600
/* A call must be so much shorter to be worth a wait: durations vary. */
#define WORTH 1.25

/* Does the answer come sooner from this one, wait included, than from the next that has room? */
static bool
is_sooner(const struct pace_option *option, const struct pace_option *end)
{
    const struct pace_option *next = option + 1;

    if (option->call_ms == 0 || option->wait_ms > option->haste_ms)
        return false;
    while (next < end && next->wait_ms > 0)
        next++;
    return next < end &&
           (double)next->call_ms > WORTH * (double)(option->wait_ms + option->call_ms);
}

int
pace_choose(const struct pace_option *options, int count, int64_t last_resort_ms)
{
    int soonest = -1;

    for (int i = 0; i < count; i++) {
        if (options[i].wait_ms <= options[i].patience_ms || is_sooner(&options[i], options + count))
            return i;
        if (soonest < 0 || options[i].wait_ms < options[soonest].wait_ms)
            soonest = i;
    }
    return soonest >= 0 && options[soonest].wait_ms <= last_resort_ms ? soonest : -1;
}

int64_t
pace_haste(double rate)
{
    return rate * HASTE_MS > 2000 ? (int64_t)(2000 / rate) : HASTE_MS;
}

int64_t
pace_patience(int64_t wish_ms, int64_t standing_ms, int turn, double rate)
{
    double turn_ms = turn / rate * 1000;
    int64_t floor_ms = turn_ms > FLOOR_MS ? (int64_t)turn_ms : FLOOR_MS;

    return standing_ms > STANDING_MS && wish_ms > floor_ms ? floor_ms : wish_ms;
}
