#include "worker/model/pacer_internal.h"

#include "common/clock.h"

#include <string.h>
#include <utlist.h>

/* A round has no more permits: with ever new tenants nobody waits for ever. */
#define ROUND_MAX 64
/* Several tenants have jobs if they had some so recently. */
#define MIXED_MS 10000
/* Others may ask first for half the time from one permit to the next, and no longer than this. */
#define COURTESY_MS 100

struct lane_place
lane_place(const struct lane *lane, uint32_t tenant)
{
    const struct lane_turns *turns = &lane->turns;
    uint32_t number = tenant % TURN_TENANTS;
    int a_round = turns->before[number] > 0 ? 1 : 2, own = turns->waiting[number];
    struct lane_place place = {
        .round = turns->round + (turns->had[number] + own) / a_round,
        .in_front = lane->waiting,
        .has_turn = own < a_round,
    };
    struct pacer_wait *last = lane->queue == NULL ? NULL : lane->queue->prev;

    for (; last != NULL && place.in_front > 0 && last->round > place.round; last = last->prev) {
        place.next = last;
        place.in_front--;
    }
    return place;
}

void
lane_put(struct lane *lane, struct pacer_wait *wait)
{
    struct lane_place place = lane_place(lane, wait->tenant);

    wait->round = place.round;
    DL_PREPEND_ELEM(lane->queue, place.next, wait);
    lane->waiting++;
    lane->turns.waiting[wait->tenant % TURN_TENANTS]++;
    if (lane->turns.last != wait->tenant && lane->turns.last != 0)
        lane->turns.mixed_ms = clock_mono_ms();
    lane->turns.last = wait->tenant;
}

void
lane_served(struct lane *lane, const struct pacer_wait *wait)
{
    struct lane_turns *turns = &lane->turns;

    if (wait->round > turns->round || turns->given == ROUND_MAX) {
        turns->round = wait->round > turns->round ? wait->round : turns->round + 1;
        turns->given = 0;
        memcpy(turns->before, turns->had, sizeof(turns->had));
        memset(turns->had, 0, sizeof(turns->had));
    }
    turns->given++;
    turns->had[wait->tenant % TURN_TENANTS]++;
}

int64_t
lane_courtesy_ms(const struct lane *lane, int64_t now)
{
    const struct lane_turns *turns = &lane->turns;

    if (lane->rate <= 0 || lane->queue == NULL || lane->queue->round <= turns->round ||
        turns->mixed_ms == 0 || now - turns->mixed_ms > MIXED_MS)
        return 0;
    return 500 / lane->rate < COURTESY_MS ? (int64_t)(500 / lane->rate) : COURTESY_MS;
}
