#include "tests/support/loop.h"

#include <time.h>

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

bool
loop_until(struct event_base *base, bool (*done)(void *arg), void *arg, int64_t limit_ms)
{
    const struct timeval tick_time = {.tv_usec = 5000};
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    int64_t end_ms = now_ms() + limit_ms;
    bool is_done;

    event_add(tick, &tick_time);
    while (!(is_done = done(arg)) && now_ms() < end_ms)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(tick);
    return is_done;
}

struct counter {
    const int *value;
    int least;
};

static bool
has_counted(void *arg)
{
    const struct counter *counter = arg;

    return *counter->value >= counter->least;
}

bool
loop_until_count(struct event_base *base, const int *counter, int least, int64_t limit_ms)
{
    return loop_until(base, has_counted, &(struct counter){counter, least}, limit_ms);
}

struct flag {
    const bool *value;
    bool wanted;
};

static bool
is_as_wanted(void *arg)
{
    const struct flag *flag = arg;

    return *flag->value == flag->wanted;
}

bool
loop_until_flag(struct event_base *base, const bool *flag, bool wanted, int64_t limit_ms)
{
    return loop_until(base, is_as_wanted, &(struct flag){flag, wanted}, limit_ms);
}

void
loop_turn(struct event_base *base)
{
    event_base_loop(base, EVLOOP_NONBLOCK);
}
