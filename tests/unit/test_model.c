#include "worker/model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
well_known_ids_have_the_names_that_people_use(void **state)
{
    static const char *const cases[][2] = {
        {"anthropic.claude-3-5-sonnet-20240620-v1:0", "Claude 3.5 Sonnet"},
        {"anthropic.claude-3-5-sonnet-20241022-v2:0", "Claude 3.5 Sonnet v2"},
        {"anthropic.claude-3-7-sonnet-20250219-v1:0", "Claude 3.7 Sonnet"},
        {"anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku"},
        {"anthropic.claude-3-5-haiku-20241022-v1:0", "Claude 3.5 Haiku"},
        {"anthropic.claude-3-sonnet-20240229-v1:0:200k", "Claude 3 Sonnet"},
        {"us.anthropic.claude-sonnet-4-20250514-v1:0", "Claude Sonnet 4"},
        {"global.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5"},
        {"us.anthropic.claude-opus-4-1-20250805-v1:0", "Claude Opus 4.1"},
        {"anthropic.claude-opus-4-7", "Claude Opus 4.7"},
        {"anthropic.claude-opus-4-6-v1", "Claude Opus 4.6"},
        {"anthropic.claude-v2:1", "Claude v2"},
        {"anthropic.claude-instant-v1", "Claude Instant"},
        {"arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
         "us.anthropic.claude-sonnet-4-20250514-v1:0",
         "Claude Sonnet 4"},
        {"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
         "Claude 3 Haiku"},
        {"amazon.nova-lite-v1:0", "Nova Lite"},
        {"us.amazon.nova-2-lite-v1:0", "Nova 2 Lite"},
        {"meta.llama3-8b-instruct-v1:0", "Llama 3 8B Instruct"},
        {"us.meta.llama3-1-70b-instruct-v1:0", "Llama 3.1 70B Instruct"},
        {"us.meta.llama4-maverick-17b-instruct-v1:0", "Llama 4 Maverick 17B Instruct"},
        {"mistral.mistral-7b-instruct-v0:2", "Mistral 7B Instruct"},
        {"mistral.mistral-large-2402-v1:0", "Mistral Large 2402"},
        {"mistral.mixtral-8x7b-instruct-v0:1", "Mixtral 8x7B Instruct"},
        {"cohere.command-r-plus-v1:0", "Command R Plus"},
        {"us.deepseek.r1-v1:0", "DeepSeek R1"},
        {"deepseek.v3-v1:0", "DeepSeek V3"},
        {"openai.gpt-oss-120b-1:0", "GPT OSS 120B"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct model model;
        struct error err;

        assert_int_equal(model_init(&model, cases[i][0], true, &err), 0);
        assert_string_equal(model.display, cases[i][1]);
        assert_string_equal(model.id, cases[i][0]);
        model_release(&model);
    }
    (void)state;
}

static void
an_unknown_id_is_its_own_name_and_a_long_one_is_cut(void **state)
{
    struct model model;
    struct error err;
    char id[300];

    assert_int_equal(model_init(&model, "model-id-1", true, &err), 0);
    assert_string_equal(model.display, "model-id-1");
    assert_true(model.input_price < 0 && model.output_price < 0);
    model_release(&model);
    assert_int_equal(model_init(&model,
                                "arn:aws:bedrock:us-west-2:123456789012:"
                                "application-inference-profile/a1b2c3d4e5f6",
                                true, &err),
                     0);
    assert_string_equal(model.display, "a1b2c3d4e5f6");
    model_release(&model);
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    for (int i = 0; i < 2; i++) {
        assert_int_equal(model_init(&model, id, true, &err), 0);
        assert_int_equal(strlen(model.display), sizeof(model.display) - 1);
        model_release(&model);
        memcpy(id, "anthropic.claude-", strlen("anthropic.claude-"));
    }
    (void)state;
}

static void
a_list_keeps_its_order_and_the_names_as_configured(void **state)
{
    struct model_list list;
    struct error err;

    assert_int_equal(model_list_init(&list, "bedrock/a.b-v1:0, bedrock/arn:x/y ", false, &err), 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.models[0].name, "bedrock/a.b-v1:0");
    assert_string_equal(list.models[0].id, "a.b-v1:0");
    assert_string_equal(list.models[0].provider, "bedrock");
    assert_string_equal(list.models[1].id, "arn:x/y");
    assert_ptr_equal(model_find(&list, "bedrock/arn:x/y"), &list.models[1]);
    assert_null(model_find(&list, "arn:x/y"));
    model_list_release(&list);
    assert_int_equal(model_list_init(&list, "arn:x/y,b", true, &err), 0);
    assert_string_equal(list.models[0].id, "arn:x/y");
    assert_string_equal(list.models[0].provider, "bedrock");
    model_list_release(&list);
    (void)state;
}

static void
a_wrong_list_is_an_error_that_names_what_is_wrong(void **state)
{
    static const struct {
        const char *names;
        bool are_bedrock;
        const char *must_say;
    } cases[] = {
        {"", true, "empty"},
        {"a,,b", true, "empty"},
        {"bedrock/", false, "empty"},
        {"a,b,a", true, "'a' is named twice"},
        {"a b", true, "a b"},
        {"a\xc3\xa9", true, "not allowed"},
        {"anthropic/claude", false, "available: bedrock"},
        {"claude", false, "available: bedrock"},
        {"bedrocks/x", false, "available: bedrock"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct model_list list;
        struct error err = {0};

        assert_int_equal(model_list_init(&list, cases[i].names, cases[i].are_bedrock, &err), -1);
        assert_int_equal(err.kind, ERROR_CONFIG);
        if (strstr(err.message, cases[i].must_say) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].must_say);
    }
    (void)state;
}

static void
a_name_or_a_list_without_end_is_refused(void **state)
{
    char name[MODEL_NAME_MAX + 2], names[1000] = "", *at = names;
    struct model_list list;
    struct model model;
    struct error err;

    memset(name, 'x', sizeof(name) - 1);
    name[MODEL_NAME_MAX + 1] = '\0';
    assert_int_equal(model_init(&model, name, true, &err), -1);
    name[MODEL_NAME_MAX] = '\0';
    assert_int_equal(model_init(&model, name, true, &err), 0);
    model_release(&model);
    for (int i = 0; i < 100; i++)
        at += sprintf(at, "%sm%d", i == 0 ? "" : ",", i);
    assert_int_equal(model_list_init(&list, names, true, &err), -1);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_known_ids_have_the_names_that_people_use),
        cmocka_unit_test(an_unknown_id_is_its_own_name_and_a_long_one_is_cut),
        cmocka_unit_test(a_list_keeps_its_order_and_the_names_as_configured),
        cmocka_unit_test(a_wrong_list_is_an_error_that_names_what_is_wrong),
        cmocka_unit_test(a_name_or_a_list_without_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
