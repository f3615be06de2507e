#include "common/memory.h"
#include "worker/job/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

static const struct job_type plain = {.name = "plain", .prompt = "", .required = {NULL}};

/* The prompt that `template` and the job `text` make; the caller frees it. */
static char *
prompt(const char *template, const char *text)
{
    struct job_type type = plain;
    struct job job = {.type = &type};
    struct evbuffer *out = xevbuffer();
    size_t len;
    char *made;

    type.prompt = template;
    assert_int_equal(json_check(text, strlen(text), &job.root, NULL), 0);
    prompt_put_user(&job, out);
    len = evbuffer_get_length(out);
    made = xcalloc(1, len + 1);
    evbuffer_remove(out, made, len);
    evbuffer_free(out);
    return made;
}

static void
expect_prompt(const char *template, const char *text, const char *expected)
{
    char *made = prompt(template, text);

    assert_string_equal(made, expected);
    free(made);
}

static void
a_field_of_text_is_put_in_as_it_is(void **state)
{
    expect_prompt("Say: {{content}}!", "{\"content\":\"hello\"}", "Say: hello!");
    expect_prompt("{{a}}{{b}}", "{\"a\":\"1\",\"b\":\"2\"}", "12");
    expect_prompt("{{ a}}{{  b }}{{ }}", "{\"a\":\"1\",\"b\":\"2\"}", "12");
    (void)state;
}

static void
a_text_stays_escaped_so_that_it_can_not_end_its_string(void **state)
{
    expect_prompt("<{{c}}>", "{\"c\":\"a\\\"b\\n\\u0000\\ud800\"}", "<a\\\"b\\n\\u0000\\ud800>");
    (void)state;
}

static void
any_other_value_is_put_in_as_its_json(void **state)
{
    expect_prompt("{{c}}", "{\"c\":{\"k\":[1,\"x\"]}}", "{\\\"k\\\":[1,\\\"x\\\"]}");
    expect_prompt("{{c}} {{d}}", "{\"c\":12.50,\"d\":true}", "12.50 true");
    (void)state;
}

static void
a_missing_field_is_put_in_as_nothing(void **state)
{
    expect_prompt("<{{c}}|{{d}}>", "{\"d\":null}", "<|>");
    (void)state;
}

static void
a_template_is_escaped_too(void **state)
{
    expect_prompt("a \"b\"\n{{c}}", "{\"c\":\"d\"}", "a \\\"b\\\"\\nd");
    (void)state;
}

static void
braces_that_name_no_field_stay(void **state)
{
    expect_prompt("{ {a} }} {{", "{}", "{ {a} }} {{");
    (void)state;
}

static void
what_was_put_in_is_no_template(void **state)
{
    expect_prompt("{{a}}", "{\"a\":\"{{b}}\",\"b\":\"secret\"}", "{{b}}");
    expect_prompt("{{a}}b}}", "{\"a\":\"{{\",\"b\":\"secret\"}", "{{b}}");
    (void)state;
}

/* User and system prompt of a built-in type, as a checked JSON string each. */
static void
check_built_in(const char *payload, const char *part)
{
    static const struct job_limits limits = {.max_bytes = 1000};
    struct evbuffer *out = xevbuffer();
    struct json_slice root;
    struct job job;
    const char *text;

    assert_int_equal(job_init(&job, xstrdup(payload), strlen(payload), &limits, NULL), 0);
    evbuffer_add(out, "[\"", 2);
    prompt_put_system(&job, out);
    evbuffer_add(out, "\",\"", 3);
    prompt_put_user(&job, out);
    evbuffer_add(out, "\"]", 3); /* with the NUL, for strstr */
    text = (char *)evbuffer_pullup(out, -1);
    assert_int_equal(json_check(text, strlen(text), &root, NULL), 0);
    assert_non_null(strstr(text, part));
    assert_null(strstr(text, "{{"));
    job_release(&job);
    evbuffer_free(out);
}

static void
the_built_in_types_make_whole_prompts(void **state)
{
    check_built_in("{\"content\":\"It broke.\",\"section_name\":\"Timeline\"}",
                   "Section: Timeline\\n\\n<section>\\nIt broke.\\n</section>");
    check_built_in("{\"type\":\"chat\",\"query\":\"Why?\",\"context\":{\"a\":1}}",
                   "{\\\"a\\\":1}\\n</context>");
    (void)state;
}

static void
a_type_without_a_system_prompt_puts_nothing(void **state)
{
    struct job job = {.type = &plain};
    struct evbuffer *out = xevbuffer();

    prompt_put_system(&job, out);
    assert_int_equal(evbuffer_get_length(out), 0);
    evbuffer_free(out);
    (void)state;
}

static void
a_prompt_has_as_many_copies_as_of_its_most_frequent_field(void **state)
{
    static const struct {
        const char *system, *prompt;
        int copies;
    } cases[] = {
        {NULL, "", 1},
        {NULL, "{{a}} {{b}}", 1},
        {NULL, "{{a}}{{b}}{{ a }}", 2},
        {"{{b}}, {{b}}", "{{a}}{{b}}{{a}}", 3},
        {NULL, "{{a {{a}} {{a", 1},
        {NULL, "{{{a}}}{{a}}", 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct job_type type = plain;

        type.system = cases[i].system;
        type.prompt = cases[i].prompt;
        assert_int_equal(prompt_copies(&type), cases[i].copies);
    }
    assert_int_equal(prompt_copies(job_type_find(NULL, "analyze")), 1);
    assert_int_equal(prompt_copies(job_type_find(NULL, "chat")), 1);
    (void)state;
}

static int
read_of_types(const char *types_text, const char *text, struct error *err)
{
    static const char *const sections[] = {"types", NULL};
    struct config_file *file =
        config_file_parse("f", types_text, strlen(types_text), sections, err);
    struct config_part section = config_file_section(file, "types");
    struct job_types *types = job_types_new(&section, err);
    const struct job_limits limits = {.max_bytes = 100, .types = types};
    struct job job;
    int result;

    assert_non_null(types);
    assert_int_equal(job_types_most_copies(types), 2);
    result = job_init(&job, xstrdup(text), strlen(text), &limits, err);
    job_release(&job);
    job_types_drop(types);
    config_file_free(file);
    return result;
}

static void
a_job_whose_prompt_would_be_larger_than_a_job_may_be_is_refused(void **state)
{
    static const char types[] = "{\"types\":{\"twice\":{\"prompt\":\"{{x}} {{x}}\"},"
                                "\"once\":{\"prompt\":\"{{x}}\"}}}";
    struct error err = {0};

    assert_int_equal(
        read_of_types(types, "{\"type\":\"twice\",\"x\":\"234567890123456789012345678\"}", &err),
        0);
    assert_int_equal(
        read_of_types(types, "{\"type\":\"twice\",\"x\":\"2345678901234567890123456789\"}", &err),
        -1);
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(err.message, "the job has 51 bytes: of type twice, whose prompts repeat a "
                                     "field 2 times, at most 50 are taken");
    assert_int_equal(
        read_of_types(types, "{\"type\":\"once\",\"x\":\"2345678901234567890123456789\"}", &err),
        0);
    (void)state;
}

static void
every_built_in_type_is_found_by_the_name_it_is_listed_with(void **state)
{
    char names[64], small[5], *rest = names, *name;

    job_type_names(NULL, names, sizeof(names));
    assert_string_equal(names, "analyze, chat");
    while ((name = strsep(&rest, ", ")) != NULL)
        if (*name != '\0')
            assert_non_null(job_type_find(NULL, name));
    job_type_names(NULL, small, sizeof(small));
    assert_string_equal(small, "anal");
    assert_null(job_type_find(NULL, "Analyze"));
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_of_text_is_put_in_as_it_is),
        cmocka_unit_test(a_text_stays_escaped_so_that_it_can_not_end_its_string),
        cmocka_unit_test(any_other_value_is_put_in_as_its_json),
        cmocka_unit_test(a_missing_field_is_put_in_as_nothing),
        cmocka_unit_test(a_template_is_escaped_too),
        cmocka_unit_test(braces_that_name_no_field_stay),
        cmocka_unit_test(what_was_put_in_is_no_template),
        cmocka_unit_test(the_built_in_types_make_whole_prompts),
        cmocka_unit_test(a_type_without_a_system_prompt_puts_nothing),
        cmocka_unit_test(a_prompt_has_as_many_copies_as_of_its_most_frequent_field),
        cmocka_unit_test(a_job_whose_prompt_would_be_larger_than_a_job_may_be_is_refused),
        cmocka_unit_test(every_built_in_type_is_found_by_the_name_it_is_listed_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
