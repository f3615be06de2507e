/*
 * loop.h - for tests: turn an event loop until something is so, never for some time.
 */
#ifndef TESTS_SUPPORT_LOOP_H
#define TESTS_SUPPORT_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/* Turns the loop until done(arg), which is also asked every 5 ms when nothing happens.
 * False: it still was not so after limit_ms. */
bool loop_until(struct event_base *base, bool (*done)(void *arg), void *arg, int64_t limit_ms);
/* Until *counter is at least `least`. */
bool loop_until_count(struct event_base *base, const int *counter, int least, int64_t limit_ms);
/* Until *flag is `wanted`. */
bool loop_until_flag(struct event_base *base, const bool *flag, bool wanted, int64_t limit_ms);
/* Runs what is due by now, without waiting. */
void loop_turn(struct event_base *base);

#endif
