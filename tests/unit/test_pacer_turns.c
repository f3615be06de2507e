#include "common/clock.h"
#include "common/memory.h"
#include "worker/model/pacer_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#define JOBS_MAX 8

/* Each letter is a job of that tenant. */
static const struct {
    const char *had;   /* they had a permit, one after the other */
    const char *come;  /* then these, in this order */
    const char *stand; /* so they are served */
    char next;         /* one more: ... */
    int in_front;
    bool has_turn;
} lanes[] = {
    {"", "", "", 'a', 0, true},
    /* of one tenant: as they come */
    {"aaa", "aaa", "aaa", 'a', 3, false},
    /* one of each in a round; another's first job stands behind the first, ... */
    {"aaabb", "aab", "aba", 'c', 0, true},
    {"aabbab", "aaaab", "abaaa", 'c', 0, true},
    /* ... and its second behind the second */
    {"aabbab", "aaaabb", "ababaa", 'b', 5, false},
    /* whoever comes first is first in each round */
    {"aabbab", "baab", "baab", 'b', 4, false},
    /* who had none in the round before has two in this one */
    {"", "aaaab", "aabaa", 'b', 3, true},
    {"", "aaaabb", "aabbaa", 'b', 6, false},
    {"aaa", "aab", "baa", 'b', 1, true},
    {"aaa", "aabb", "bbaa", 'b', 3, false},
    {"aaab", "aab", "baa", 'c', 1, true},
};

/* One job after the other comes and has its permit. */
static void
serve(struct lane *lane, const char *tenants)
{
    for (; *tenants != '\0'; tenants++) {
        struct pacer_wait *job = xcalloc(1, sizeof(*job));

        job->tenant = (uint32_t)*tenants;
        job->lane = lane;
        lane_put(lane, job);
        wait_leave(job);
        lane_served(lane, job);
        free(job);
    }
}

/* `jobs` stand in the lane then. */
static void
fill(struct lane *lane, struct pacer_wait *jobs, const char *tenants)
{
    for (size_t i = 0; tenants[i] != '\0'; i++) {
        jobs[i].tenant = (uint32_t)tenants[i];
        lane_put(lane, &jobs[i]);
    }
}

static void
tenants_take_turns_and_each_ones_jobs_keep_their_order(void **state)
{
    for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        struct pacer_wait *jobs = xcalloc(JOBS_MAX, sizeof(*jobs)), *wait, *last[128] = {0};
        struct lane lane = {0};
        const char *stand = lanes[i].stand;

        serve(&lane, lanes[i].had);
        fill(&lane, jobs, lanes[i].come);
        assert_int_equal(lane.waiting, strlen(stand));
        DL_FOREACH(lane.queue, wait)
        {
            assert_int_equal(wait->tenant, *stand++);
            assert_true(wait > last[wait->tenant]);
            last[wait->tenant] = wait;
        }
        free(jobs);
    }
    (void)state;
}

static void
one_more_waits_for_those_in_front_and_not_for_all(void **state)
{
    for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        struct pacer_wait *jobs = xcalloc(JOBS_MAX, sizeof(*jobs));
        struct lane lane = {0};
        struct lane_place place;

        serve(&lane, lanes[i].had);
        fill(&lane, jobs, lanes[i].come);
        place = lane_place(&lane, (uint32_t)lanes[i].next);
        assert_int_equal(place.in_front, lanes[i].in_front);
        assert_int_equal(place.has_turn, lanes[i].has_turn);
        free(jobs);
    }
    (void)state;
}

static void
with_ever_new_tenants_nobody_waits_for_ever(void **state)
{
    struct pacer_wait *jobs = xcalloc(1, sizeof(*jobs));
    struct lane lane = {0};
    char newcomer[2] = "";
    int passed = 0;

    serve(&lane, "aaa");
    fill(&lane, jobs, "a");
    while (lane_place(&lane, 200).next == jobs && passed < 100) {
        newcomer[0] = (char)(32 + passed++);
        serve(&lane, newcomer);
    }
    assert_in_range(passed, 1, 64);
    free(jobs);
    (void)state;
}

static void
others_may_ask_first_while_only_those_wait_who_had_their_turn(void **state)
{
    struct pacer_wait *jobs = xcalloc(JOBS_MAX, sizeof(*jobs));
    struct lane lane = {.rate = 10};
    int64_t now = clock_mono_ms();

    assert_int_equal(lane_courtesy_ms(&lane, now), 0);
    serve(&lane, "aaa");
    fill(&lane, jobs, "a");
    assert_int_equal(lane_courtesy_ms(&lane, now), 0); /* there are no others */
    serve(&lane, "b");
    now = lane.turns.mixed_ms;
    assert_int_equal(lane_courtesy_ms(&lane, now), 50);
    assert_int_equal(lane_courtesy_ms(&lane, now + 10000), 50);
    assert_int_equal(lane_courtesy_ms(&lane, now + 10001), 0);
    lane.rate = 0.5;
    assert_int_equal(lane_courtesy_ms(&lane, now), 100);
    lane.rate = -1;
    assert_int_equal(lane_courtesy_ms(&lane, now), 0);
    lane.rate = 10;
    fill(&lane, jobs + 1, "c");
    assert_int_equal(lane_courtesy_ms(&lane, now), 0);
    free(jobs);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tenants_take_turns_and_each_ones_jobs_keep_their_order),
        cmocka_unit_test(one_more_waits_for_those_in_front_and_not_for_all),
        cmocka_unit_test(with_ever_new_tenants_nobody_waits_for_ever),
        cmocka_unit_test(others_may_ask_first_while_only_those_wait_who_had_their_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
