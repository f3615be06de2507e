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
        cmocka_unit_test(every_built_in_type_is_found_by_the_name_it_is_listed_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
