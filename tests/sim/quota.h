/*
 * quota.h - what a provider's quota lets through. Pure: times are passed in.
 *
 * A bucket gains `per_minute` units a minute and holds at most `most`; a window lets `most`
 * units through in each fixed window. Bucket levels are kept in 1/60000 of a unit, so one
 * millisecond adds exactly `per_minute` of them: no floating point, no drift. All times
 * are monotonic milliseconds.
 */
#ifndef SIM_QUOTA_H
#define SIM_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#define QUOTA_UNITS_MAX INT64_C(1000000000000) /* of per_minute and most: no product overflows */

enum quota_kind { QUOTA_NONE, QUOTA_BUCKET, QUOTA_WINDOW };

struct quota_limit {
    enum quota_kind kind;
    int64_t per_minute; /* bucket: 0-QUOTA_UNITS_MAX */
    int64_t most;       /* bucket: what it holds; window: units in one; 0-QUOTA_UNITS_MAX */
    int64_t window_ms;  /* window: >= 1 */
};

struct quota {
    struct quota_limit limit;
    int64_t level; /* bucket: 1/60000 of units left; window: units used */
    int64_t
        updated_ms; /* bucket: when level was true; window: its start, -1 before the first call */
};

/* A new limit starts full; the limit it has already changes nothing. A zeroed quota has none. */
void quota_set(struct quota *quota, const struct quota_limit *limit, int64_t now_ms);
/* Full, with the first window still to come. */
void quota_fill(struct quota *quota, int64_t now_ms);
/* Would quota_take of so many units be within the limit? More than `most` never is. */
bool quota_has_room(struct quota *quota, int64_t units, int64_t now_ms);
/* Only after quota_has_room said yes to the same units at the same time. */
void quota_take(struct quota *quota, int64_t units);
/* A reservation that was not used up; buckets only. */
void quota_give_back(struct quota *quota, int64_t units, int64_t now_ms);

#endif
