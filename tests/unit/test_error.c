#include "common/error.h"
#include "common/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h needs those in front of it. */
#include <cmocka.h>

static void
an_error_has_its_kind_and_its_message(void **state)
{
    struct error err;

    assert_int_equal(error_set(&err, ERROR_INPUT, "%s is %d", "weight", 7), -1);
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(err.message, "weight is 7");
    assert_int_equal(error_set(NULL, ERROR_INPUT, "nobody asks"), -1);
    (void)state;
}

static void
a_message_forges_no_line_and_has_a_bound(void **state)
{
    struct error err;
    char text[1000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(&err, ERROR_INPUT, "a\nb\x1b[0m\x7f");
    assert_string_equal(err.message, "a?b?[0m?");
    error_set(&err, ERROR_INPUT, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    (void)state;
}

static void
a_message_is_utf8_whatever_came_in_and_wherever_it_was_cut(void **state)
{
    struct error err;
    char text[sizeof(err.message) + 8];

    error_set(&err, ERROR_INPUT, "\xff\xc3(\xc2\x9b\xed\xa0\x80 \xc3\xa9");
    assert_string_equal(err.message, "?"
                                     "?(????? \xc3\xa9");
    for (size_t before = sizeof(err.message) - 5; before < sizeof(err.message) + 1; before++) {
        memset(text, 'x', sizeof(text));
        strcpy(text + before - 1, "\xf0\x9f\x98\x80");
        error_set(&err, ERROR_INPUT, "%s", text);
        assert_true(utf8_is_valid(err.message, strlen(err.message)));
        assert_null(strchr(err.message, '?'));
    }
    (void)state;
}

static void
every_kind_has_a_name_of_its_own(void **state)
{
    for (int a = ERROR_NONE; a <= ERROR_INTERNAL; a++)
        for (int b = ERROR_NONE; b < a; b++)
            assert_string_not_equal(error_kind_name((enum error_kind)a),
                                    error_kind_name((enum error_kind)b));
    assert_string_equal(error_kind_name(ERROR_TOO_LARGE), "too_large");
    assert_string_equal(error_kind_name((enum error_kind)99), "internal");
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_has_its_kind_and_its_message),
        cmocka_unit_test(a_message_forges_no_line_and_has_a_bound),
        cmocka_unit_test(a_message_is_utf8_whatever_came_in_and_wherever_it_was_cut),
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
