#include "worker/queue/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void
queues_without_a_weight_come_first_in_their_order(void **state)
{
    struct intake_choice queues[] = {{.weight = 3, .is_ready = true},
                                     {.weight = 0, .is_ready = true},
                                     {.weight = 0, .is_ready = true}};
    int batch;

    assert_int_equal(intake_choose(queues, COUNT_OF(queues), 10, &batch), 1);
    assert_int_equal(batch, 10);
    queues[1].is_ready = false;
    assert_int_equal(intake_choose(queues, COUNT_OF(queues), 10, &batch), 2);
    queues[2].is_ready = false;
    assert_int_equal(intake_choose(queues, COUNT_OF(queues), 10, &batch), 0);
    (void)state;
}

static void
nothing_is_chosen_when_no_queue_may_have_jobs(void **state)
{
    struct intake_choice queues[] = {{.weight = 0}, {.weight = 2}};
    int batch;

    assert_int_equal(intake_choose(queues, COUNT_OF(queues), 10, &batch), -1);
    (void)state;
}

static void
a_batch_is_never_more_than_the_room_or_64(void **state)
{
    struct intake_choice queue = {.weight = 1, .is_ready = true};
    int batch;

    intake_choose(&queue, 1, 3, &batch);
    assert_int_equal(batch, 3);
    intake_choose(&queue, 1, 1000, &batch);
    assert_int_equal(batch, 64);
    (void)state;
}

static void
weights_share_the_room_of_one_batch(void **state)
{
    struct intake_choice queues[] = {{.weight = 3, .is_ready = true, .served = 5},
                                     {.weight = 1, .is_ready = true, .served = 4}};
    int batch;

    assert_int_equal(intake_choose(queues, COUNT_OF(queues), 8, &batch), 1);
    assert_int_equal(batch, 2);
    (void)state;
}

/* A single slot, many rounds: jobs come as the weights say, and nobody starves. */
static void
over_time_each_queue_gets_its_weight(void **state)
{
    struct intake_choice queues[] = {{.weight = 3, .is_ready = true},
                                     {.weight = 1, .is_ready = true},
                                     {.weight = 6, .is_ready = true}};
    int taken[3] = {0};
    int batch;

    for (int i = 0; i < 1000; i++) {
        int chosen = intake_choose(queues, COUNT_OF(queues), 1, &batch);

        assert_int_equal(batch, 1);
        taken[chosen]++;
        queues[chosen].served += 1.0 / queues[chosen].weight;
    }
    assert_in_range(taken[0], 298, 302);
    assert_in_range(taken[1], 98, 102);
    assert_in_range(taken[2], 598, 602);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_without_a_weight_come_first_in_their_order),
        cmocka_unit_test(nothing_is_chosen_when_no_queue_may_have_jobs),
        cmocka_unit_test(a_batch_is_never_more_than_the_room_or_64),
        cmocka_unit_test(weights_share_the_room_of_one_batch),
        cmocka_unit_test(over_time_each_queue_gets_its_weight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
