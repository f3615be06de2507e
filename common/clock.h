/*
 * clock.h - the two clocks of a process, each for its own purpose.
 *
 * Waiting and deadlines use the monotonic clock. The wall clock is for what
 * people and AWS read. Leases and dates of jobs belong to Redis' clock alone.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Milliseconds that never jump. */
int64_t clock_mono_ms(void);
/* Milliseconds since 1970-01-01 UTC, as this host believes. */
int64_t clock_wall_ms(void);
/* For event_add and friends. Negative counts as 0. */
struct timeval clock_timeval(int64_t ms);
/* Uniform in [low, high], both included; from getrandom(2). high >= low. */
int64_t clock_jitter(int64_t low, int64_t high);

/* Reads an RFC 3339 date-time ("2026-11-23T10:00:00.5+01:00"). Returns 0 and
 * Unix milliseconds in *ms, or -1 when the text is not one. */
int clock_parse_rfc3339(const char *text, int64_t *ms);
/* Reads an HTTP date in IMF-fixdate form (RFC 9110, 5.6.7). As above. */
int clock_parse_http_date(const char *text, int64_t *ms);

#endif
