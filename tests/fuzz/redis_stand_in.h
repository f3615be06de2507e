/*
 * redis_stand_in.h - for fuzz targets: stands in for the connection to Redis (redis.h,
 * redis_route.h).
 *
 * Every call is answered with the next reply of the input, read by hiredis; when there are no more,
 * with an error, so that steps which are repeated until Redis takes them wait for a timer that
 * never comes.
 */
#ifndef TESTS_FUZZ_REDIS_STAND_IN_H
#define TESTS_FUZZ_REDIS_STAND_IN_H

#include "common/redis/redis_route.h"

/* Nobody looks into it. */
extern struct redis_route *const redis_stand_in;

/* The replies of one input; forgets those of the last one, and its open calls. */
void redis_stand_in_feed(const char *bytes, size_t len);
/* Answers what is open, and what that asks for, until all have their answer. */
void redis_stand_in_answer(void);
/* Frees what the input has left. */
void redis_stand_in_end(void);

#endif
