#include "worker/model/pace_local.h"

#include <math.h>

#define HOLDS_MS  30000
#define FADE_MS   60000.0
#define CAUTION   0.9 /* of the share: the others do not hear of our throttles, nor we of theirs */
#define BACK_OFF  0.9 /* at each throttle */
#define GROWTH_MS 0.000003 /* 0.3 % a second */
#define RATE_MIN  0.001    /* so that waits stay countable */
#define BURST     2        /* calls that may be overdue */

void
pace_local_hear(struct pace_local *local, int granted, int64_t number, double rate, int64_t now_ms)
{
    double keep = exp((double)(local->heard_ms - now_ms) / FADE_MS);
    int64_t given = local->number == 0 ? granted : number - local->number;

    /* A lower number: the pace was forgotten, and begins anew. */
    local->own = local->own * keep + granted;
    local->all = local->all * keep + (double)(given < granted ? granted : given);
    local->number = number;
    local->rate = rate;
    local->heard_ms = local->paced_ms = now_ms;
    local->factor = CAUTION;
    local->due_ms = 0;
}

bool
pace_local_holds(const struct pace_local *local, int64_t now_ms)
{
    return local->number > 0 && local->rate > 0 && now_ms - local->heard_ms <= HOLDS_MS;
}

/* One permit more in both, so that who had none yet is not shut out. */
double
pace_local_share(const struct pace_local *local)
{
    return (local->own + 1) / (local->all + 1);
}

double
pace_local_rate(const struct pace_local *local, int64_t now_ms)
{
    double growth = exp(GROWTH_MS * (double)(now_ms - local->paced_ms));

    return fmax(RATE_MIN, local->rate * pace_local_share(local) * local->factor * growth);
}

static double
earliest_due(const struct pace_local *local, int64_t now_ms)
{
    return fmax(local->due_ms, (double)now_ms - BURST * 1000 / pace_local_rate(local, now_ms));
}

int64_t
pace_local_wait_ms(const struct pace_local *local, int64_t now_ms)
{
    return (int64_t)ceil(fmax(0, earliest_due(local, now_ms) - (double)now_ms));
}

void
pace_local_spend(struct pace_local *local, int64_t now_ms)
{
    local->due_ms = earliest_due(local, now_ms) + 1000 / pace_local_rate(local, now_ms);
}

void
pace_local_throttled(struct pace_local *local, int64_t now_ms)
{
    local->factor *= BACK_OFF * exp(GROWTH_MS * (double)(now_ms - local->paced_ms));
    local->paced_ms = now_ms;
}
