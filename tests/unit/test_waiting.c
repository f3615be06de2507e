#include "worker/waiting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ROOM                                                                                       \
    {                                                                                              \
        .is_paced = true                                                                           \
    }
#define FULL(reason, ms)                                                                           \
    {                                                                                              \
        .is_paced = true, .why = (reason), .next_ms = (ms)                                         \
    }

#define COOLING(ms)                                                                                \
    {                                                                                              \
        .next_ms = (ms)                                                                            \
    }

static const struct {
    struct queue_view queue;
    struct pace_view models[2]; /* one that is not paced is cooling down so long */
    const char *why;
    int64_t left_ms;
    const char *words;
} cases[] = {
    /* nobody waits, whatever the models say, or only for a date */
    {{.workers = 1, .in_flight = 9}, {FULL(PACE_QUOTA, 100), FULL(PACE_QUOTA, 100)}, NULL, -1, ""},
    {{.workers = 1, .delayed = 9}, {FULL(PACE_QUOTA, 100), ROOM}, NULL, -1, ""},
    /* jobs that found no room are put away until there may be some */
    {{.workers = 1, .delayed = 9},
     {FULL(PACE_QUOTA, 60000), FULL(PACE_QUOTA, 90000)},
     "quota",
     60000,
     "every model is at its quota: next permit in 60.0 s"},
    {{.workers = 1, .delayed = 9},
     {COOLING(9000), COOLING(3000)},
     "cooldown",
     3000,
     "every model was throttled: a cooldown ends in 3.0 s"},
    /* a cooldown keeps nobody from being tried */
    {{.waiting = 1, .workers = 1, .in_flight = 1},
     {COOLING(9000), COOLING(3000)},
     "slots",
     -1,
     "the workers are busy"},
    /* what an operator did, or did not, comes first */
    {{.waiting = 1, .workers = 1, .is_paused = true}, {ROOM, ROOM}, "paused", -1, "paused"},
    {{.waiting = 1}, {FULL(PACE_QUOTA, 9), ROOM}, "workers", -1, "no worker lives"},
    /* no model has room: the one that has it soonest tells why and until when */
    {{.waiting = 1, .workers = 1, .in_flight = 1},
     {FULL(PACE_QUOTA, 1200), FULL(PACE_TOKENS, 300)},
     "tokens",
     300,
     "every model is at its quota: next permit in 0.3 s"},
    {{.waiting = 1, .workers = 1},
     {FULL(PACE_OUTAGE, 2000), FULL(PACE_OUTAGE, 4000)},
     "outage",
     2000,
     "no model answers: next try in 2.0 s"},
    /* one that has room is not what they wait for */
    {{.waiting = 1, .workers = 1, .in_flight = 1},
     {FULL(PACE_QUOTA, 100), ROOM},
     "slots",
     -1,
     "the workers are busy"},
    {{.waiting = 1, .workers = 1},
     {ROOM, ROOM},
     "workers",
     -1,
     "no worker takes jobs: see their /readyz"},
};

static void
assert_waiting(const struct waiting *waiting, size_t i)
{
    if (cases[i].why == NULL)
        assert_null(waiting->why);
    else
        assert_string_equal(waiting->why, cases[i].why);
    assert_int_equal(waiting->left_ms, cases[i].left_ms);
    assert_string_equal(waiting->words, cases[i].words);
}

static void
a_queue_says_why_its_jobs_wait_and_until_when(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hints_figures models[2] = {{.pace = cases[i].models[0]},
                                          {.pace = cases[i].models[1]}};
        struct waiting waiting;

        for (int m = 0; m < 2; m++)
            if (!models[m].pace.is_paced)
                models[m].cooldown_ms = models[m].pace.next_ms;
        waiting = waiting_explain(&cases[i].queue, models, 2);

        assert_waiting(&waiting, i);
    }
    (void)state;
}

static void
without_figures_of_models_the_workers_are_to_blame(void **state)
{
    struct queue_view queue = {.waiting = 1, .workers = 1, .in_flight = 1};

    assert_string_equal(waiting_explain(&queue, NULL, 2).why, "slots");
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_says_why_its_jobs_wait_and_until_when),
        cmocka_unit_test(without_figures_of_models_the_workers_are_to_blame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
