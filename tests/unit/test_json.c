#include "common/json/json.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A text that may hold NULs. */
struct text {
    const char *bytes;
    size_t len;
};
#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static int
check(const char *bytes, size_t len, struct json_slice *root, struct error *err)
{
    char *exact = malloc(len + 1); /* its own block: reading beyond it shows under asan */
    int result;

    assert_non_null(exact);
    memcpy(exact, bytes, len);
    exact = realloc(exact, len == 0 ? 1 : len);
    result = json_check(exact, len, root, err);
    free(exact);
    return result;
}

static struct json_slice
parsed(const char *text)
{
    struct json_slice root;
    struct error err;

    assert_int_equal(json_check(text, strlen(text), &root, &err), 0);
    return root;
}

static void
good_documents_pass(void **state)
{
    static const struct text good[] = {
        TEXT("{}"),
        TEXT("[]"),
        TEXT(" \t\r\n{ } \n"),
        TEXT("null"),
        TEXT("true"),
        TEXT("false"),
        TEXT("\"\""),
        TEXT("0"),
        TEXT("-0"),
        TEXT("-0.0e-0"),
        TEXT("1E+2"),
        TEXT("1e999"),
        TEXT("[1,[2,[3,{}]],{\"a\":[]}]"),
        TEXT("{\"a\" : 1 , \"b\" : { \"a\" : 1 , \"a\" : 2 } }"),
        TEXT("{\"\":1,\" \":2,\"A\":3,\"a\":4}"),
        TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\""),
        TEXT("\"\\ud800\""),
        TEXT("\"\\udc00\\ud800\""),
        TEXT("\"a\\u0000b\""),
        TEXT("\"\x7f \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xf0\x90\x80\x80 "
             "\xf4\x8f\xbf\xbf\""),
    };

    for (size_t i = 0; i < COUNT(good); i++) {
        struct json_slice root;
        struct error err;

        if (check(good[i].bytes, good[i].len, &root, &err) != 0)
            fail_msg("row %zu, %s: %s", i, good[i].bytes, err.message);
    }
    (void)state;
}

static void
anything_else_is_refused_with_its_place(void **state)
{
    static const struct {
        struct text text;
        size_t at;
    } bad[] = {
        {TEXT(""), 0},
        {TEXT("   "), 3},
        {TEXT("hello"), 0},
        {TEXT("{\"a\":1"), 6},
        {TEXT("{'a':1}"), 1},
        {TEXT("{\"a\":1,}"), 7},
        {TEXT("[1,]"), 3},
        {TEXT("[,1]"), 1},
        {TEXT("[1 2]"), 3},
        {TEXT("{\"a\" 1}"), 5},
        {TEXT("{\"a\"}"), 4},
        {TEXT("{\"a\":}"), 5},
        {TEXT("{1:2}"), 1},
        {TEXT("{a:2}"), 1},
        {TEXT("[1}"), 2},
        {TEXT("{\"a\":1]"), 6},
        {TEXT("]"), 0},
        {TEXT("{} {}"), 3},
        {TEXT("{}x"), 2},
        {TEXT("{}\0"), 2},
        {TEXT("\0{}"), 0},
        {TEXT("// a\n{}"), 0},
        {TEXT("[1/**/]"), 2},
        {TEXT("NaN"), 0},
        {TEXT("-Infinity"), 1},
        {TEXT("True"), 0},
        {TEXT("tru"), 0},
        {TEXT("nul"), 0},
        {TEXT("truex"), 4},
        {TEXT("007"), 0},
        {TEXT("-01"), 1},
        {TEXT("0x10"), 1},
        {TEXT("+1"), 0},
        {TEXT("-"), 1},
        {TEXT("1."), 2},
        {TEXT(".5"), 0},
        {TEXT("1.e3"), 2},
        {TEXT("1e"), 2},
        {TEXT("1e+"), 3},
        {TEXT("\""), 1},
        {TEXT("\"abc"), 4},
        {TEXT("\"a\\"), 3},
        {TEXT("\"\\x41\""), 2},
        {TEXT("\"\\u12\""), 1},
        {TEXT("\"\\u12g4\""), 1},
        {TEXT("\"\\u"), 1},
        {TEXT("\"a\nb\""), 2},
        {TEXT("\"a\0b\""), 2},
        {TEXT("\"12345678\x1f\""), 9},
        {TEXT("[1\x0b]"), 2},
        {TEXT("[1\xa0]"), 2},
        {TEXT("\xef\xbb\xbf{}"), 0},
        {TEXT("\xff\xfe{\0}\0"), 0},
        {TEXT("{\0}\0"), 1},
        {TEXT("\"\x80\""), 1},
        {TEXT("\"\xff\""), 1},
        {TEXT("\"12345678\xff\""), 9},
        {TEXT("\"\xc0\x80\""), 1},
        {TEXT("\"\xc1\xbf\""), 1},
        {TEXT("\"\xe0\x9f\xbf\""), 1},
        {TEXT("\"\xf0\x8f\xbf\xbf\""), 1},
        {TEXT("\"\xed\xa0\x80\""), 1},
        {TEXT("\"\xed\xbf\xbf\""), 1},
        {TEXT("\"\xf4\x90\x80\x80\""), 1},
        {TEXT("\"\xf5\x80\x80\x80\""), 1},
        {TEXT("\"\xc3"), 1},
        {TEXT("\"\xe2\x82\""), 1},
        {TEXT("\"\xf0\x9f\x98\""), 1},
        {TEXT("{\"id\":1,\"id\":2}"), 8},
        {TEXT("{\"id\":1,\"x\":0,\"\\u0069d\":2}"), 14},
        {TEXT("{\"\":1,\"\":2}"), 6},
        {TEXT("{\"\xc3\xa9\":1,\"\\u00e9\":2}"), 8},
        {TEXT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), 18},
        {TEXT("{\"a\\u0000b\":1,\"a\\u0000b\":2}"), 14},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct json_slice root = {.type = JSON_OBJECT};
        struct error err = {0};
        size_t at = 999;

        assert_int_equal(check(bad[i].text.bytes, bad[i].text.len, &root, &err), -1);
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_int_equal(root.type, JSON_ABSENT);
        assert_int_equal(sscanf(err.message, "invalid JSON at byte %zu: ", &at), 1);
        if (at != bad[i].at)
            fail_msg("row %zu, %s: %s", i, bad[i].text.bytes, err.message);
    }
    (void)state;
}

static void
a_byte_anywhere_in_a_word_is_looked_at(void **state)
{
    static const char nasty[] = {'\n', 0x1f, '\0', '"', '\\', (char)0x80, (char)0xff};

    for (size_t at = 1; at < 40; at++) {
        for (size_t i = 0; i < sizeof(nasty); i++) {
            struct json_slice root;
            char text[42];

            memset(text, '~', sizeof(text));
            text[0] = text[sizeof(text) - 1] = '"';
            assert_int_equal(check(text, sizeof(text), &root, NULL), 0);
            text[at] = nasty[i];
            assert_int_equal(check(text, sizeof(text), &root, NULL), -1);
        }
    }
    (void)state;
}

static char *
repeated(const char *piece, size_t times)
{
    size_t len = strlen(piece);
    char *text = xcalloc(times * len + 1, 1);

    for (size_t i = 0; i < times; i++)
        memcpy(text + i * len, piece, len);
    return text;
}

static void
nesting_has_a_bound(void **state)
{
    static const struct {
        const char *open, *close;
        size_t times;
        int expected;
    } rows[] = {
        {"[", "]", 64, 0},          {"[", "]", 65, -1},
        {"[", "", 100000, -1},      {"{\"a\":", "}", 100000, -1},
        {"[{\"a\":", "}]", 32, -1}, {"[{\"a\":", "}]", 33, -1},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *open = repeated(rows[i].open, rows[i].times);
        char *close = repeated(rows[i].close, rows[i].times);
        char *text = xasprintf("%s%s", open, close);
        struct json_slice root;

        assert_int_equal(check(text, strlen(text), &root, NULL), rows[i].expected);
        free(open);
        free(close);
        free(text);
    }
    (void)state;
}

static void
a_hundred_thousand_names_are_compared_in_bounded_time(void **state)
{
    struct evbuffer *text = xevbuffer();
    struct json_slice root;
    struct error err;
    size_t len;

    evbuffer_add_printf(text, "{");
    for (int i = 0; i < 100000; i++)
        evbuffer_add_printf(text, "\"%s%06d\":%d,", i % 2 ? "\\u0041" : "A", i, i);
    evbuffer_add_printf(text, "\"z\":0}");
    len = evbuffer_get_length(text);
    assert_int_equal(json_check((char *)evbuffer_pullup(text, -1), len, &root, &err), 0);

    evbuffer_drain(text, 1);
    evbuffer_prepend(text, "{\"A077777\":1,", 13);
    len = evbuffer_get_length(text);
    assert_int_equal(json_check((char *)evbuffer_pullup(text, -1), len, &root, &err), -1);
    assert_non_null(strstr(err.message, "the name \"A077777\" stands there twice"));
    evbuffer_free(text);
    (void)state;
}

static void
a_member_is_found_by_its_exact_name(void **state)
{
    struct json_slice root = parsed(" {\"ID\":1, \"x\":{\"id\":2,\"y\":[\"]}\",\"\\\\\"]}, "
                                    "\"\\u0069d\" : \"a\\\"b\" , \"n\":null} ");
    struct json_slice id = json_get(root, "id");

    assert_int_equal(id.type, JSON_STRING);
    assert_int_equal(id.len, 6);
    assert_memory_equal(id.text, "\"a\\\"b\"", 6);
    assert_int_equal(json_get(root, "n").type, JSON_NULL);
    assert_int_equal(json_get(root, "y").type, JSON_ABSENT);
    assert_int_equal(json_get(root, "i").type, JSON_ABSENT);
    assert_int_equal(json_get(root, "").type, JSON_ABSENT);
    assert_int_equal(json_get(json_get(root, "x"), "y").len, strlen("[\"]}\",\"\\\\\"]"));
    assert_int_equal(json_get(parsed("[\"id\"]"), "id").type, JSON_ABSENT);
    assert_int_equal(json_get((struct json_slice){0}, "id").type, JSON_ABSENT);
    assert_int_equal(json_get(parsed("{}"), "id").type, JSON_ABSENT);
    (void)state;
}

static void
several_members_are_found_in_one_walk(void **state)
{
    static const char *const names[] = {"b", "none", "a", "n", "b"};
    struct json_slice values[5], inner;

    json_get_each(parsed("{\"a\":[1,{\"b\":0}], \"ab\":2, \"\\u0062\": \"x\\\"\" , \"n\":null}"), 5,
                  names, values);
    assert_int_equal(values[0].len, 5);
    assert_memory_equal(values[0].text, "\"x\\\"\"", 5);
    assert_ptr_equal(values[4].text, values[0].text);
    assert_int_equal(values[1].type, JSON_ABSENT);
    assert_int_equal(values[2].type, JSON_ARRAY);
    assert_int_equal(values[3].type, JSON_NULL);

    json_get_each(parsed("{\"x\":{\"b\":1,\"b\":2}}"), 5, names, values);
    assert_int_equal(values[0].type, JSON_ABSENT);
    inner = json_get(parsed("{\"x\":{\"b\":1,\"b\":2}}"), "x");
    json_get_each(inner, 1, names, values);
    assert_memory_equal(values[0].text, "1", 1);
    json_get_each(parsed("[\"b\"]"), 1, names, values);
    assert_int_equal(values[0].type, JSON_ABSENT);
    (void)state;
}

static void
a_container_is_walked_in_order(void **state)
{
    static const enum json_type types[] = {JSON_NUMBER, JSON_STRING, JSON_ARRAY,
                                           JSON_OBJECT, JSON_BOOL,   JSON_NULL};
    struct json_slice array = parsed("[ -1.5e3,\"a,]\" ,[ ],{ } , true,null\t]");
    struct json_slice object = parsed("{\"a\":1 , \"b:,\":\"}\"}"), key, value;
    struct json_iter it = json_iter(array);

    for (size_t i = 0; i < COUNT(types); i++) {
        assert_true(json_next(&it, &key, &value));
        assert_int_equal(key.type, JSON_ABSENT);
        assert_int_equal(value.type, types[i]);
    }
    assert_false(json_next(&it, &key, &value));
    assert_false(json_next(&it, &key, &value));

    it = json_iter(object);
    assert_true(json_next(&it, &key, &value));
    assert_true(json_equals(key, "a"));
    assert_int_equal(value.len, 1);
    assert_true(json_next(&it, &key, &value));
    assert_true(json_equals(key, "b:,"));
    assert_true(json_equals(value, "}"));
    assert_false(json_next(&it, &key, &value));

    it = json_iter(parsed("[ ]"));
    assert_false(json_next(&it, &key, &value));
    it = json_iter(parsed("\"text\""));
    assert_false(json_next(&it, &key, &value));
    (void)state;
}

static void
a_string_is_unescaped_byte_by_byte(void **state)
{
    static const struct {
        const char *written;
        struct text meaning;
    } rows[] = {
        {"\"\"", TEXT("")},
        {"\"plain\"", TEXT("plain")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", TEXT("\"\\/\b\f\n\r\t")},
        {"\"a\\u0000b\"", TEXT("a\0b")},
        {"\"\\u0041\\u00E9\\u20ac\\ud83d\\ude00!\"",
         TEXT("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!")},
        {"\"\\ud800\"", TEXT("\xef\xbf\xbd")},
        {"\"\\ud800x\"", TEXT("\xef\xbf\xbdx")},
        {"\"\\ud800\\n\"", TEXT("\xef\xbf\xbd\n")},
        {"\"\\ud800\\u0041\"", TEXT("\xef\xbf\xbd"
                                    "A")},
        {"\"\\ude00\\ud83d\"", TEXT("\xef\xbf\xbd\xef\xbf\xbd")},
        {"\"\\ud83d\\ud83d\\ude00\"", TEXT("\xef\xbf\xbd\xf0\x9f\x98\x80")},
        {"\"\\\\u0041\"", TEXT("\\u0041")},
        {"\"\\\\\\\\\"", TEXT("\\\\")},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len;
        char *text = json_string(parsed(rows[i].written), &len);

        assert_non_null(text);
        assert_int_equal(len, rows[i].meaning.len);
        assert_memory_equal(text, rows[i].meaning.bytes, len + 1);
        assert_int_equal(json_equals(parsed(rows[i].written), text), strlen(text) == len);
        free(text);
    }
    assert_null(json_string(parsed("12"), NULL));
    assert_null(json_string((struct json_slice){0}, NULL));
    (void)state;
}

static void
a_nul_in_a_string_makes_no_second_name_for_it(void **state)
{
    assert_false(json_equals(parsed("\"a\\u0000b\""), "a"));
    assert_false(json_equals(parsed("\"a\\u0000\""), "a"));
    assert_false(json_equals(parsed("\"a\""), "ab"));
    assert_false(json_equals(parsed("\"ab\""), "a"));
    assert_false(json_equals(parsed("1"), "1"));
    (void)state;
}

static void
the_written_bytes_stand_between_the_quotes(void **state)
{
    struct json_slice inner = json_inner(parsed("\"a\\nb\""));

    assert_int_equal(inner.len, 4);
    assert_memory_equal(inner.text, "a\\nb", 4);
    assert_null(json_inner(parsed("[]")).text);
    (void)state;
}

static void
a_whole_number_is_exact_and_within_its_range(void **state)
{
    static const struct {
        const char *written;
        bool fits;
        int64_t value;
    } rows[] = {
        {"3", true, 3},
        {"3.0", true, 3},
        {"3e0", true, 3},
        {"30e-1", true, 3},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9007199254740993", true, 9007199254740993},
        {"9223372036854775808", false, 0},
        {"12345678901234567890123456789", false, 0},
        {"9007199254740993.0", false, 0},
        {"1e999", false, 0},
        {"-1e999", false, 0},
        {"1e308", false, 0},
        {"1.5", false, 0},
        {"1e-999", true, 0},
        {"\"3\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[3]", false, 0},
    };
    int64_t value;

    for (size_t i = 0; i < COUNT(rows); i++) {
        value = -7;
        if (json_int(parsed(rows[i].written), INT64_MIN, INT64_MAX, &value) != rows[i].fits)
            fail_msg("%s", rows[i].written);
        assert_int_equal(value, rows[i].fits ? rows[i].value : -7);
    }
    assert_true(json_int(parsed("1"), 1, 100, &value));
    assert_true(json_int(parsed("100"), 1, 100, &value));
    assert_false(json_int(parsed("0"), 1, 100, &value));
    assert_false(json_int(parsed("101"), 1, 100, &value));
    (void)state;
}

static void
a_number_is_a_finite_double_or_none(void **state)
{
    char *digits = repeated("9", 400), *text = xasprintf("0.%s", digits);
    double value;

    assert_true(json_double(parsed("-2.5e-1"), &value));
    assert_true(value == -0.25);
    assert_true(json_double(parsed("1e-999"), &value));
    assert_true(json_double(parsed(text), &value));
    assert_true(value == 1.0);
    assert_false(json_double(parsed(digits), &value));
    assert_false(json_double(parsed("1e999"), &value));
    assert_false(json_double(parsed("\"1\""), &value));
    free(text);
    free(digits);
    (void)state;
}

static void
a_bool_is_true_false_or_none(void **state)
{
    bool is_true = false;

    assert_true(json_bool(parsed("true"), &is_true) && is_true);
    assert_true(json_bool(parsed("false"), &is_true) && !is_true);
    assert_false(json_bool(parsed("1"), &is_true));
    assert_false(json_bool((struct json_slice){0}, &is_true));
    (void)state;
}

static void
whatever_is_put_into_a_string_can_be_read_back(void **state)
{
    static const struct {
        struct text text, written;
    } rows[] = {
        {TEXT(""), TEXT("\"\"")},
        {TEXT("a \"quoted\" \\ one"), TEXT("\"a \\\"quoted\\\" \\\\ one\"")},
        {TEXT("\b\f\n\r\t\x01\x1f\x7f/"), TEXT("\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\"")},
        {TEXT("a\0b"), TEXT("\"a\\u0000b\"")},
        {TEXT("\xc3\xa9\xf0\x9f\x98\x80"), TEXT("\"\xc3\xa9\xf0\x9f\x98\x80\"")},
        {TEXT("\xff"
              "a\xc3"),
         TEXT("\"\xef\xbf\xbd"
              "a\xef\xbf\xbd\"")},
        {TEXT("\xed\xa0\x80"), TEXT("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct evbuffer *out = xevbuffer();
        struct json_slice root;

        json_put_string(out, rows[i].text.bytes, rows[i].text.len);
        assert_int_equal(evbuffer_get_length(out), rows[i].written.len);
        assert_memory_equal(evbuffer_pullup(out, -1), rows[i].written.bytes, rows[i].written.len);
        assert_int_equal(check(rows[i].written.bytes, rows[i].written.len, &root, NULL), 0);
        evbuffer_free(out);
    }
    (void)state;
}

static void
pieces_make_one_string_and_slices_are_copied(void **state)
{
    struct evbuffer *out = xevbuffer();

    evbuffer_add_printf(out, "[\"");
    json_put_escaped(out, "a\n", 2);
    json_put_escaped(out, NULL, 0);
    json_put_slice(out, json_inner(parsed("\"\\u0041\"")));
    evbuffer_add_printf(out, "\",");
    json_put_slice(out, parsed(" {\"k\":[1]} "));
    json_put_slice(out, (struct json_slice){0});
    evbuffer_add_printf(out, "]");
    evbuffer_add(out, "", 1);
    assert_string_equal((char *)evbuffer_pullup(out, -1), "[\"a\\n\\u0041\",{\"k\":[1]}]");
    evbuffer_free(out);
    (void)state;
}

static void
a_tree_is_made_of_every_checked_text(void **state)
{
    cJSON *tree = json_tree(parsed(
        "{\"a\":[1,{\"b\":\"\\ud800 \\udc00\\u0041 \\\\ud800 \\ud83d\\ude00\"}],\"c\":1e999}"));
    cJSON *inner = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(tree, "a"), 1);

    assert_non_null(tree);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(inner, "b")->valuestring,
                        "\xef\xbf\xbd \xef\xbf\xbd"
                        "A \\ud800 \xf0\x9f\x98\x80");
    cJSON_Delete(tree);
    assert_null(json_tree((struct json_slice){0}));
    (void)state;
}

static void
comments_become_blanks_and_nothing_else_does(void **state)
{
    static const struct {
        const char *text, *plain;
    } rows[] = {
        {"{\"a\":1} // end", "{\"a\":1}       "},
        {"[1, /* two\n2, */ 3]", "[1,       \n      3]"},
        {"{\"u\":\"http://x/*y*/\"}", "{\"u\":\"http://x/*y*/\"}"},
        {"[\"\\\"//\",1/**/]", "[\"\\\"//\",1    ]"},
        {"[[1,],[2,] , ] // ,", "[[1,],[2,] , ]     "},
        {"[1]/* open", "[1]/* open"},
        {"[1]/*/", "[1]/*/"},
        {"[1]//", "[1]  "},
        {"/", "/"},
        {"[1,/]", "[1,/]"},
        {"\"open //", "\"open //"},
        {"\"\\", "\"\\"},
        {"", ""},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = xstrdup(rows[i].text);

        json_blank_comments(text, strlen(text));
        assert_string_equal(text, rows[i].plain);
        free(text);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_documents_pass),
        cmocka_unit_test(anything_else_is_refused_with_its_place),
        cmocka_unit_test(a_byte_anywhere_in_a_word_is_looked_at),
        cmocka_unit_test(nesting_has_a_bound),
        cmocka_unit_test(a_hundred_thousand_names_are_compared_in_bounded_time),
        cmocka_unit_test(a_member_is_found_by_its_exact_name),
        cmocka_unit_test(several_members_are_found_in_one_walk),
        cmocka_unit_test(a_container_is_walked_in_order),
        cmocka_unit_test(a_string_is_unescaped_byte_by_byte),
        cmocka_unit_test(a_nul_in_a_string_makes_no_second_name_for_it),
        cmocka_unit_test(the_written_bytes_stand_between_the_quotes),
        cmocka_unit_test(a_whole_number_is_exact_and_within_its_range),
        cmocka_unit_test(a_number_is_a_finite_double_or_none),
        cmocka_unit_test(a_bool_is_true_false_or_none),
        cmocka_unit_test(whatever_is_put_into_a_string_can_be_read_back),
        cmocka_unit_test(pieces_make_one_string_and_slices_are_copied),
        cmocka_unit_test(a_tree_is_made_of_every_checked_text),
        cmocka_unit_test(comments_become_blanks_and_nothing_else_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
