#include "worker/model/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MODELS_MAX 8

/* A model's hints by a letter: '-' none, 'c' in cooldown, 't' just throttled, 'b' both. */
static void
assert_order(const char *hints_text, const char *order_text)
{
    struct selection_hint hints[MODELS_MAX] = {0};
    int order[MODELS_MAX];
    int count = (int)strlen(hints_text);

    for (int i = 0; i < count; i++) {
        hints[i].in_cooldown = strchr("cb", hints_text[i]) != NULL;
        hints[i].just_throttled = strchr("tb", hints_text[i]) != NULL;
    }
    selection_order(hints, count, order);
    for (int i = 0; i < count; i++)
        assert_int_equal(order[i], order_text[i] - '0');
}

static void
without_hints_the_configured_order_stands(void **state)
{
    assert_order("-", "0");
    assert_order("----", "0123");
    (void)state;
}

static void
a_primary_in_cooldown_is_still_tried_first(void **state)
{
    assert_order("c--", "012");
    assert_order("ccc", "012");
    (void)state;
}

static void
a_primary_just_throttled_stands_behind_the_fallbacks_that_are_not_in_cooldown(void **state)
{
    assert_order("t--", "120");
    assert_order("b--", "120");
    assert_order("b-c-", "1302");
    (void)state;
}

static void
a_primary_just_throttled_is_first_when_every_fallback_is_in_cooldown(void **state)
{
    assert_order("tcc", "012");
    assert_order("t", "0");
    (void)state;
}

static void
fallbacks_in_cooldown_stand_behind_those_that_are_not(void **state)
{
    assert_order("-c-c-", "02413");
    assert_order("--c", "012");
    (void)state;
}

static void
a_mark_of_a_fallback_alone_changes_nothing(void **state)
{
    assert_order("-tt", "012");
    (void)state;
}

static void
in_v1_the_next_model_is_the_first_that_is_not_blocked(void **state)
{
    static const struct {
        const char *hints; /* 'c' in cooldown */
        int from, next;
    } cases[] = {{"---", 0, 0}, {"c--", 0, 1}, {"cc-", 0, 2}, {"ccc", 0, 3}, {"-c-", 0, 0},
                 {"-c-", 1, 2}, {"--c", 2, 3}, {"c", 0, 1},   {"-", 1, 1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct selection_hint hints[MODELS_MAX] = {0};
        int count = (int)strlen(cases[i].hints);

        for (int m = 0; m < count; m++)
            hints[m].in_cooldown = cases[i].hints[m] == 'c';
        assert_int_equal(selection_next_v1(hints, count, cases[i].from), cases[i].next);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_hints_the_configured_order_stands),
        cmocka_unit_test(a_primary_in_cooldown_is_still_tried_first),
        cmocka_unit_test(
            a_primary_just_throttled_stands_behind_the_fallbacks_that_are_not_in_cooldown),
        cmocka_unit_test(a_primary_just_throttled_is_first_when_every_fallback_is_in_cooldown),
        cmocka_unit_test(fallbacks_in_cooldown_stand_behind_those_that_are_not),
        cmocka_unit_test(a_mark_of_a_fallback_alone_changes_nothing),
        cmocka_unit_test(in_v1_the_next_model_is_the_first_that_is_not_blocked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
