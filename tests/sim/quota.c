#include "tests/sim/quota.h"

#define PARTS INT64_C(60000) /* of a unit; also milliseconds in a minute */

static bool
limit_equals(const struct quota_limit *a, const struct quota_limit *b)
{
    return a->kind == b->kind && a->per_minute == b->per_minute && a->most == b->most &&
           a->window_ms == b->window_ms;
}

void
quota_fill(struct quota *quota, int64_t now_ms)
{
    bool is_bucket = quota->limit.kind == QUOTA_BUCKET;

    quota->level = is_bucket ? quota->limit.most * PARTS : 0;
    quota->updated_ms = is_bucket ? now_ms : -1;
}

static void
bucket_refresh(struct quota *quota, int64_t now_ms)
{
    int64_t full = quota->limit.most * PARTS;
    int64_t elapsed_ms = now_ms - quota->updated_ms;

    if (elapsed_ms <= 0)
        return;
    /* Compared by division, because a long idle time would overflow the product. */
    if (quota->limit.per_minute > 0 && elapsed_ms > (full - quota->level) / quota->limit.per_minute)
        quota->level = full;
    else
        quota->level += elapsed_ms * quota->limit.per_minute;
    quota->updated_ms = now_ms;
}

void
quota_set(struct quota *quota, const struct quota_limit *limit, int64_t now_ms)
{
    bool is_refill = quota->limit.kind == QUOTA_BUCKET && limit->kind == QUOTA_BUCKET &&
                     quota->limit.most == limit->most;

    if (limit_equals(&quota->limit, limit))
        return;
    if (is_refill)
        bucket_refresh(quota, now_ms);
    quota->limit = *limit;
    if (!is_refill)
        quota_fill(quota, now_ms);
}

static void
window_refresh(struct quota *quota, int64_t now_ms)
{
    int64_t elapsed_ms = now_ms - quota->updated_ms;

    if (quota->updated_ms < 0)
        quota->updated_ms = now_ms;
    else if (elapsed_ms >= quota->limit.window_ms) {
        quota->updated_ms = now_ms - elapsed_ms % quota->limit.window_ms;
        quota->level = 0;
    }
}

bool
quota_has_room(struct quota *quota, int64_t units, int64_t now_ms)
{
    if (quota->limit.kind == QUOTA_NONE)
        return true;
    if (units > quota->limit.most)
        return false;
    if (quota->limit.kind == QUOTA_BUCKET) {
        bucket_refresh(quota, now_ms);
        return quota->level >= units * PARTS;
    }
    window_refresh(quota, now_ms);
    return quota->limit.most - quota->level >= units;
}

void
quota_take(struct quota *quota, int64_t units)
{
    if (quota->limit.kind == QUOTA_BUCKET)
        quota->level -= units * PARTS;
    else if (quota->limit.kind == QUOTA_WINDOW)
        quota->level += units;
}

void
quota_give_back(struct quota *quota, int64_t units, int64_t now_ms)
{
    int64_t full = quota->limit.most * PARTS;

    if (quota->limit.kind != QUOTA_BUCKET || units <= 0)
        return;
    bucket_refresh(quota, now_ms);
    /* The limit may have changed since the units were taken. */
    if (units >= quota->limit.most || quota->level > full - units * PARTS)
        quota->level = full;
    else
        quota->level += units * PARTS;
}
