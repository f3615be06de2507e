#include "common/memory.h"
#include "worker/job/feedback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ITEMS(items) "{\"feedback_items\":[" items "]}"
#define ITEM         "{\"description\":\"No source.\",\"confidence\":0.9}"

static const struct feedback_context context = {.model_used = "Claude 3.5 Sonnet",
                                                .input_tokens = 812,
                                                .output_tokens = 301,
                                                .duration_ms = 2130};

/* What the job `payload` makes of this answer: a tree, or NULL when it is not usable. */
static cJSON *
read_answer(const char *payload, const char *answer, size_t len)
{
    static const struct job_limits limits = {.max_bytes = 1000};
    struct evbuffer *out = xevbuffer();
    struct json_slice root;
    struct error err = {0};
    struct job job;
    cJSON *tree = NULL;

    assert_int_equal(job_init(&job, xstrdup(payload), strlen(payload), &limits, &err), 0);
    if (feedback_print(&job, answer, len, &context, out, &err) != 0) {
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_int_equal(evbuffer_get_length(out), 0);
    } else {
        size_t printed = evbuffer_get_length(out);

        assert_int_equal(json_check((char *)evbuffer_pullup(out, -1), printed, &root, &err), 0);
        tree = json_tree(root);
        assert_non_null(tree);
    }
    job_release(&job);
    evbuffer_free(out);
    return tree;
}

static cJSON *
read_feedback(const char *answer)
{
    return read_answer("{\"content\":\"x\",\"section_name\":\"Time\\u006cine\"}", answer,
                       strlen(answer));
}

/* The items of an answer: [i] of the list, field by name. */
static const cJSON *
item_field(const cJSON *feedback, int index, const char *name)
{
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(feedback, "feedback_items");

    return cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(items, index), name);
}

static const char *
item_text(const cJSON *feedback, int index, const char *name)
{
    const char *text = cJSON_GetStringValue(item_field(feedback, index, name));

    assert_non_null(text);
    return text;
}

static int
item_count(const cJSON *feedback)
{
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(feedback, "feedback_items");
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(feedback, "feedback_count");

    assert_int_equal(cJSON_GetArraySize(items), count->valueint);
    return count->valueint;
}

static void
expect_count(const char *answer, int count)
{
    cJSON *feedback = read_feedback(answer);

    if (feedback == NULL)
        fail_msg("not usable: %s", answer);
    if (item_count(feedback) != count)
        fail_msg("%d items, not %d: %s", item_count(feedback), count, answer);
    cJSON_Delete(feedback);
}

static void
expect_unusable(const char *answer)
{
    cJSON *feedback = read_feedback(answer);

    if (feedback != NULL)
        fail_msg("accepted: %s", answer);
}

static void
feedback_tells_its_section_its_model_and_what_it_took(void **state)
{
    static const char expected[] =
        "{\"success\":true,\"section\":\"Timeline\",\"feedback_items\":[{\"id\":\"1\",\"type\":"
        "\"suggestion\",\"category\":\"General\",\"description\":\"No "
        "source.\",\"suggestion\":\"\","
        "\"example\":\"\",\"questions\":[],\"refs\":[],\"risk_level\":\"Low\",\"confidence\":0.9}],"
        "\"feedback_count\":1,\"model_used\":\"Claude 3.5 Sonnet\",\"tokens\":{\"input\":812,"
        "\"output\":301,\"total\":1113},\"duration\":2.13}";
    cJSON *feedback = read_feedback(ITEMS(ITEM));
    char *text = cJSON_PrintUnformatted(feedback);

    assert_string_equal(text, expected);
    free(text);
    cJSON_Delete(feedback);
    (void)state;
}

static void
fences_and_text_around_the_object_are_taken_off(void **state)
{
    static const char *const answers[] = {
        "\n  " ITEMS(ITEM) "\n",
        "```json\n" ITEMS(ITEM) "\n```",
        "```\n" ITEMS(ITEM) "\n```",
        "```json " ITEMS(ITEM),
        "Here is my review:\n\n```json\n" ITEMS(ITEM) "\n```\nI hope it helps!",
        "Sure! " ITEMS(ITEM) " Anything else?",
        "As {you} asked, see [1] and {\"a\":1}: " ITEMS(ITEM),
        "The form is {\"feedback_items\":[]}, so:\n```json\n" ITEMS(ITEM) "\n```",
        "if (x) { do() \n" ITEMS(ITEM),
        "{\"review\":" ITEMS(ITEM) "}",
        "[" ITEMS(ITEM) "]",
        "[" ITEM "]",
        "```json\n[" ITEM "]\n```",
        "The items: [" ITEM "].",
        "<answer>" ITEMS(ITEM) "</answer>",
    };

    for (size_t i = 0; i < COUNT(answers); i++)
        expect_count(answers[i], 1);
    (void)state;
}

static void
a_fence_inside_an_item_does_not_end_the_answer(void **state)
{
    expect_count(
        "```json\n" ITEMS("{\"description\":\"d\",\"example\":\"```sh\\n[]\\n```\"}") "\n```", 1);
    expect_count("Here: " ITEMS("{\"description\":\"d\",\"example\":\"```sh\\n[]\\n``` }]}\"}"), 1);
    (void)state;
}

static void
nothing_to_say_is_an_answer_too(void **state)
{
    expect_count("{\"feedback_items\":[]}", 0);
    expect_count("Fine as it is.\n{\"feedback_items\": []}", 0);
    expect_count("[]", 0);
    expect_count("```json\n[]\n```", 0);
    (void)state;
}

static void
an_answer_without_a_usable_object_is_bad_output(void **state)
{
    static const char *const answers[] = {
        "",
        "   \n",
        "I can't do that.",
        "{}",
        "null",
        "42",
        "\"feedback_items\"",
        "{\"items\":[" ITEM "]",
        "{\"feedback_items\":null}",
        "{\"feedback_items\":{\"a\":1}}",
        "{\"feedback_items\":\"none\"}",
        "{\"feedback_items\":[" ITEM ",{\"descr",
        "{\"feedback_items\":[{\"description\":\"cut here",
        "{\"feedback_items\":[" ITEM "],}",
        "see [1] and [2], and [] too",
        "[1,2,3]",
        "{'feedback_items':[]}",
        "```json\n```",
        "```",
        "{",
        "}{",
        "[\"",
    };

    for (size_t i = 0; i < COUNT(answers); i++)
        expect_unusable(answers[i]);
    (void)state;
}

static void
items_that_are_none_are_dropped(void **state)
{
    expect_count(ITEMS("null,1,\"x\",[],{}," ITEM ",{\"description\":\" \"},{\"category\":\"c\"},"
                       "{\"description\":5},{\"suggestion\":\"Cite it.\"}"),
                 2);
    (void)state;
}

static void
wrong_fields_of_an_item_get_their_defaults(void **state)
{
    cJSON *f = read_feedback(ITEMS(
        "{\"suggestion\":\"s\",\"description\":null,\"type\":\"\",\"category\":3,\"example\":[],"
        "\"questions\":{},\"refs\":7,\"risk_level\":null,\"confidence\":null,\"id\":\"\"}"));

    assert_string_equal(item_text(f, 0, "id"), "1");
    assert_string_equal(item_text(f, 0, "description"), "");
    assert_string_equal(item_text(f, 0, "type"), "suggestion");
    assert_string_equal(item_text(f, 0, "category"), "General");
    assert_string_equal(item_text(f, 0, "example"), "");
    assert_string_equal(item_text(f, 0, "risk_level"), "Low");
    assert_int_equal(cJSON_GetArraySize(item_field(f, 0, "questions")), 0);
    assert_int_equal(cJSON_GetArraySize(item_field(f, 0, "refs")), 0);
    assert_true(item_field(f, 0, "confidence")->valuedouble == 0.8);
    cJSON_Delete(f);
    (void)state;
}

static void
near_misses_of_a_field_are_put_right(void **state)
{
    cJSON *f = read_feedback(ITEMS("{\"id\":7,\"type\":\"CRITICAL\",\"risk_level\":\"high\","
                                   "\"description\":\"d\",\"questions\":\"Who?\"},"
                                   "{\"description\":\"e\",\"type\":\"nitpick\"}"));

    assert_string_equal(item_text(f, 0, "id"), "7");
    assert_string_equal(item_text(f, 0, "type"), "critical");
    assert_string_equal(item_text(f, 0, "risk_level"), "High");
    assert_int_equal(cJSON_GetArraySize(item_field(f, 0, "questions")), 1);
    assert_string_equal(item_text(f, 1, "id"), "2");
    assert_string_equal(item_text(f, 1, "type"), "nitpick");
    cJSON_Delete(f);
    (void)state;
}

static void
unknown_fields_of_an_item_are_kept(void **state)
{
    cJSON *f = read_feedback(ITEMS("{\"description\":\"d\",\"owner\":{\"name\":\"Ada\"},\"n\":1}"));

    assert_true(cJSON_IsObject(item_field(f, 0, "owner")));
    assert_int_equal(item_field(f, 0, "n")->valueint, 1);
    cJSON_Delete(f);
    (void)state;
}

static void
confidence_is_understood_in_all_the_ways_models_write_it(void **state)
{
    static const struct {
        const char *written;
        double read; /* < 0: dropped */
    } cases[] = {
        {"0.95", 0.95},   {"1", 1},         {"0.8", 0.8},     {"0.80", 0.8},     {"0.79", -1},
        {"0", -1},        {"\"0.9\"", 0.9}, {"\"90%\"", 0.9}, {"\"90 %\"", 0.9}, {"\"80%\"", 0.8},
        {"\"95\"", 0.95}, {"90", 0.9},      {"80", 0.8},      {"100", 1},        {"79", -1},
        {"1000", 1},      {"-1", -1},       {"1e999", 0.8},   {"\"high\"", 0.8}, {"\"\"", 0.8},
        {"\"nan\"", 0.8}, {"true", 0.8},    {"{}", 0.8},      {"1e-320", -1},
    };
    char answer[200];

    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *f;

        snprintf(answer, sizeof(answer), ITEMS("{\"description\":\"d\",\"confidence\":%s}"),
                 cases[i].written);
        f = read_feedback(answer);
        assert_int_equal(item_count(f), cases[i].read >= 0 ? 1 : 0);
        if (cases[i].read >= 0 && item_field(f, 0, "confidence")->valuedouble != cases[i].read)
            fail_msg("%s is not %f", cases[i].written, cases[i].read);
        cJSON_Delete(f);
    }
    (void)state;
}

static void
a_job_may_ask_for_more_or_less_confidence(void **state)
{
    static const char answer[] = ITEMS("{\"description\":\"a\",\"confidence\":0.95},"
                                       "{\"description\":\"b\",\"confidence\":0.00001}");
    cJSON *f = read_answer("{\"content\":\"x\",\"min_confidence\":0.96}", answer, strlen(answer));

    assert_int_equal(item_count(f), 0);
    cJSON_Delete(f);
    f = read_answer("{\"content\":\"x\",\"min_confidence\":0}", answer, strlen(answer));
    assert_int_equal(item_count(f), 2);
    cJSON_Delete(f);
    (void)state;
}

static void
items_are_sorted_by_confidence_and_otherwise_stay_in_order(void **state)
{
    cJSON *f = read_feedback(ITEMS("{\"description\":\"a\",\"confidence\":0.85},"
                                   "{\"description\":\"b\",\"confidence\":0.95},"
                                   "{\"description\":\"c\",\"confidence\":0.85},"
                                   "{\"description\":\"d\",\"confidence\":\"95%\"}"));
    static const char *const order[] = {"b", "d", "a", "c"}, *const ids[] = {"2", "4", "1", "3"};

    assert_int_equal(item_count(f), 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(item_text(f, i, "description"), order[i]);
        assert_string_equal(item_text(f, i, "id"), ids[i]);
    }
    cJSON_Delete(f);
    (void)state;
}

static void
of_duplicates_the_most_confident_stays(void **state)
{
    cJSON *f = read_feedback(ITEMS("{\"description\":\"No  source.\",\"confidence\":0.85},"
                                   "{\"description\":\" no source.\\n\",\"confidence\":0.95},"
                                   "{\"description\":\"No\\tSource.\",\"confidence\":0.9},"
                                   "{\"description\":\"Nosource.\",\"confidence\":0.9}"));

    assert_int_equal(item_count(f), 2);
    assert_string_equal(item_text(f, 0, "description"), " no source.\n");
    assert_string_equal(item_text(f, 1, "description"), "Nosource.");
    cJSON_Delete(f);
    (void)state;
}

static void
at_most_200_items_are_kept(void **state)
{
    struct evbuffer *answer = xevbuffer();
    cJSON *f;

    evbuffer_add_printf(answer, "{\"feedback_items\":[");
    for (int i = 0; i < 5000; i++)
        evbuffer_add_printf(answer, "%s{\"description\":\"%d\"}", i == 0 ? "" : ",", i);
    evbuffer_add_printf(answer, "]}");
    evbuffer_add(answer, "", 1);
    f = read_feedback((char *)evbuffer_pullup(answer, -1));
    assert_int_equal(item_count(f), 200);
    cJSON_Delete(f);
    evbuffer_free(answer);
    (void)state;
}

static void
a_job_without_a_section_name_has_an_empty_one(void **state)
{
    cJSON *f = read_answer("{\"content\":\"x\",\"section_name\":null}", "[]", 2);

    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(f, "section")), "");
    cJSON_Delete(f);
    (void)state;
}

/* A megabyte of `pattern`, read as an answer; it may take any sensible time, but no minutes. */
static void
expect_soon_unusable(const char *pattern)
{
    size_t len = 1 << 20, step = strlen(pattern);
    char *answer = xcalloc(1, len);
    clock_t before = clock();

    for (size_t i = 0; i < len; i++)
        answer[i] = pattern[i % step];
    assert_null(read_answer("{\"content\":\"x\"}", answer, len));
    free(answer);
    assert_true(clock() - before < 5 * CLOCKS_PER_SEC);
}

static void
a_hostile_answer_takes_no_long_time(void **state)
{
    static const char *const patterns[] = {"{",  "[",         "{\"",    "[\"a\",", "```{", "\\",
                                           "{}", "[{\"a\":[", "x```[]", "\"",      "```"};

    for (size_t i = 0; i < COUNT(patterns); i++)
        expect_soon_unusable(patterns[i]);
    (void)state;
}

static void
bytes_that_are_no_text_are_bad_output(void **state)
{
    static const char bytes[] = "{\"feedback_items\":[{\"description\":\"\xff\"}]}";
    static const char nul[] = "{\"feedback_items\":[\0]}";

    assert_null(read_answer("{\"content\":\"x\"}", bytes, sizeof(bytes) - 1));
    assert_null(read_answer("{\"content\":\"x\"}", nul, sizeof(nul) - 1));
    (void)state;
}

static void
a_chat_answer_is_trimmed_and_put_in_as_it_is(void **state)
{
    static const char answer[] = "\n  She said \"yes\".\n\nReally. \xff\n";
    cJSON *f = read_answer("{\"type\":\"chat\",\"query\":\"q\"}", answer, sizeof(answer) - 1);
    char *text = cJSON_PrintUnformatted(f);

    assert_string_equal(text, "{\"success\":true,\"response\":\"She said \\\"yes\\\".\\n\\nReally. "
                              "\xef\xbf\xbd\",\"model_used\":\"Claude 3.5 Sonnet\",\"tokens\":{"
                              "\"input\":812,\"output\":301,\"total\":1113},\"duration\":2.13}");
    free(text);
    cJSON_Delete(f);
    (void)state;
}

static void
an_empty_chat_answer_is_bad_output(void **state)
{
    assert_null(read_answer("{\"type\":\"chat\",\"query\":\"q\"}", " \n\t ", 4));
    assert_null(read_answer("{\"type\":\"chat\",\"query\":\"q\"}", "", 0));
    (void)state;
}

/* ---- output json ---- */

/* The data that a type with this schema ("" for none) takes from the answer, as text; NULL when the
 * answer is not usable, and why. */
static char *
data_of(const char *schema, const char *answer, struct error *err)
{
    static const char *const sections[] = {"types", NULL};
    char *text = xasprintf("{\"types\":{\"t\":{\"prompt\":\"p\",\"output\":\"json\"%s%s}}}",
                           schema[0] == '\0' ? "" : ",\"schema\":", schema);
    struct config_file *file = config_file_parse("f", text, strlen(text), sections, err);
    struct config_part section = config_file_section(file, "types");
    struct job_types *types = job_types_new(&section, err);
    const struct job_limits limits = {.max_bytes = 100, .types = types};
    struct evbuffer *out = xevbuffer();
    struct json_slice root, data;
    char *made = NULL;
    struct job job;

    assert_non_null(types);
    assert_int_equal(job_init(&job, xstrdup("{\"type\":\"t\"}"), 12, &limits, err), 0);
    if (feedback_print(&job, answer, strlen(answer), &context, out, err) == 0) {
        size_t len = evbuffer_get_length(out);

        assert_int_equal(json_check((char *)evbuffer_pullup(out, -1), len, &root, err), 0);
        assert_true(json_equals(json_get(root, "model_used"), "Claude 3.5 Sonnet"));
        data = json_get(root, "data");
        made = strndup(data.text, data.len);
    } else {
        assert_int_equal(evbuffer_get_length(out), 0);
    }
    evbuffer_free(out);
    job_release(&job);
    job_types_drop(types);
    config_file_free(file);
    free(text);
    return made;
}

static const struct {
    const char *schema, *answer, *data, *why;
} json_answers[] = {
    {"", "{\"a\": [1, \"b \\\" c\"] }", "{\"a\":[1,\"b \\\" c\"]}", NULL},
    {"", "[1,\n 2]", "[1,2]", NULL},
    {"", "Here it is:\n```json\n{\"a\": 1}\n```\nDone.", "{\"a\":1}", NULL},
    {"", "As [1] says: {\"a\":1, \"b\":{\"c\":2}} (see {x})", "{\"a\":1,\"b\":{\"c\":2}}", NULL},
    {"", "The list: [{\"a\":1},{\"a\":2}]", "[{\"a\":1},{\"a\":2}]", NULL},
    {"", "no JSON { here ] at all", NULL, "the answer has no JSON object or array"},
    {"", "\"text\"", NULL, "the answer has no JSON object or array"},
    {"", "{\"a\":1", NULL, "the answer has no JSON object or array"},
    {"{\"type\":\"object\"}", "[{\"a\":1},{\"a\":2}]", NULL, "the answer has no JSON object"},
    {"{\"type\":\"object\"}", "[1, 2, 3]: {\"a\":1}", "{\"a\":1}", NULL},
    {"{\"type\":\"object\"}", "[1]", NULL, "the answer has no JSON object"},
    {"{\"type\":\"array\"}", "{\"a\":[1]} or [12345678]", "[12345678]", NULL},
    {"{\"required\":[\"a\"]}", "```\n{\"b\":1}\n```", NULL, "a is missing"},
    {"{\"properties\":{\"a\":{\"enum\":[1,2]}}}", "{\"a\":3}", NULL,
     "a is 3: it must be one of [1,2]"},
};

static void
json_is_taken_out_of_the_answer_and_must_fit_its_schema(void **state)
{
    for (size_t i = 0; i < COUNT(json_answers); i++) {
        struct error err = {0};
        char *data = data_of(json_answers[i].schema, json_answers[i].answer, &err);

        if (json_answers[i].data == NULL && data != NULL)
            fail_msg("%s makes %s", json_answers[i].answer, data);
        if (json_answers[i].data == NULL)
            assert_string_equal(err.message, json_answers[i].why);
        else if (data == NULL)
            fail_msg("%s: %s", json_answers[i].answer, err.message);
        else
            assert_string_equal(data, json_answers[i].data);
        free(data);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feedback_tells_its_section_its_model_and_what_it_took),
        cmocka_unit_test(fences_and_text_around_the_object_are_taken_off),
        cmocka_unit_test(a_fence_inside_an_item_does_not_end_the_answer),
        cmocka_unit_test(nothing_to_say_is_an_answer_too),
        cmocka_unit_test(an_answer_without_a_usable_object_is_bad_output),
        cmocka_unit_test(items_that_are_none_are_dropped),
        cmocka_unit_test(wrong_fields_of_an_item_get_their_defaults),
        cmocka_unit_test(near_misses_of_a_field_are_put_right),
        cmocka_unit_test(unknown_fields_of_an_item_are_kept),
        cmocka_unit_test(confidence_is_understood_in_all_the_ways_models_write_it),
        cmocka_unit_test(a_job_may_ask_for_more_or_less_confidence),
        cmocka_unit_test(items_are_sorted_by_confidence_and_otherwise_stay_in_order),
        cmocka_unit_test(of_duplicates_the_most_confident_stays),
        cmocka_unit_test(at_most_200_items_are_kept),
        cmocka_unit_test(a_job_without_a_section_name_has_an_empty_one),
        cmocka_unit_test(a_hostile_answer_takes_no_long_time),
        cmocka_unit_test(bytes_that_are_no_text_are_bad_output),
        cmocka_unit_test(a_chat_answer_is_trimmed_and_put_in_as_it_is),
        cmocka_unit_test(an_empty_chat_answer_is_bad_output),
        cmocka_unit_test(json_is_taken_out_of_the_answer_and_must_fit_its_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
