/*
 * retry_after.h - how long a provider asked us to wait. Pure.
 */
#ifndef WORKER_PROVIDER_RETRY_AFTER_H
#define WORKER_PROVIDER_RETRY_AFTER_H

#include <stdint.h>

#define RETRY_AFTER_MAX_MS (24 * 3600 * 1000)

/* `retry_after` is the header of RFC 9110 (seconds or a date), `amz_retry_after` AWS's own, in
 * milliseconds; each may be NULL. `now_ms` is the time by the provider's clock. Returns the
 * longer of the two within 0 and RETRY_AFTER_MAX_MS; what is neither counts as 0. */
int64_t retry_after_ms(const char *retry_after, const char *amz_retry_after, int64_t now_ms);

#endif
