/*
 * fake_redis.h - for tests: a server on the test's own loop that says what a script tells it.
 */
#ifndef TESTS_SUPPORT_FAKE_REDIS_H
#define TESTS_SUPPORT_FAKE_REDIS_H

#include <event2/event.h>
#include <hiredis/hiredis.h>

struct fake_redis;

/* What to answer to one command, as it goes over the wire ("+OK\r\n"). NULL: nothing.
 * `connection` counts from 1. A borrowed text. */
typedef const char *fake_redis_fn(const redisReply *command, int connection, void *arg);

#define FAKE_REDIS_HANG_UP "" /* an answer that closes the connection */

/* Listens on a free port of 127.0.0.1. */
struct fake_redis *fake_redis_new(struct event_base *base, fake_redis_fn *answer, void *arg);
void fake_redis_free(struct fake_redis *fake);
int fake_redis_port(const struct fake_redis *fake);
int fake_redis_connections(const struct fake_redis *fake);

#endif
