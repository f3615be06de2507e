#include "worker/job/json_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The schema, as "s" of a file; NULL with why. */
static struct json_schema *
schema_of(const char *text, struct error *err)
{
    static const char *const sections[] = {"s", NULL};
    char file_text[1024];
    struct config_file *file;
    struct config_part part;
    struct json_schema *schema;

    snprintf(file_text, sizeof(file_text), "{\"s\":%s}", text);
    file = config_file_parse("f", file_text, strlen(file_text), sections, err);
    if (file == NULL)
        fail_msg("%s: %s", text, err->message);
    part = config_file_section(file, "s");
    schema = json_schema_new(&part, err);
    config_file_free(file); /* the schema needs nothing of it */
    return schema;
}

/* What is said of the value; "" when it fits. */
static void
expect(const char *schema_text, const char *value_text, const char *said)
{
    struct error err = {0};
    struct json_schema *schema = schema_of(schema_text, &err);
    struct json_slice value;
    int result;

    if (schema == NULL)
        fail_msg("%s: %s", schema_text, err.message);
    assert_int_equal(json_check(value_text, strlen(value_text), &value, NULL), 0);
    result = json_schema_check(schema, value, &err);
    json_schema_free(schema);
    if (strcmp(err.message, said) != 0)
        fail_msg("%s of %s: says '%s', not '%s'", value_text, schema_text, err.message, said);
    assert_int_equal(result, said[0] == '\0' ? 0 : -1);
    assert_int_equal(err.kind, said[0] == '\0' ? ERROR_NONE : ERROR_INPUT);
}

static const struct {
    const char *schema, *value, *said;
} rows[] = {
    {"{}", "[1,{\"a\":null}]", ""},
    {"{\"title\":\"t\",\"description\":\"d\",\"$schema\":\"x\",\"default\":1}", "1", ""},
    /* type */
    {"{\"type\":\"object\"}", "{}", ""},
    {"{\"type\":\"object\"}", "[]", "the answer is an array: it must be of type object"},
    {"{\"type\":\"null\"}", "null", ""},
    {"{\"type\":\"boolean\"}", "true", ""},
    {"{\"type\":\"boolean\"}", "0", "the answer is 0: it must be of type boolean"},
    {"{\"type\":\"integer\"}", "3.0", ""},
    {"{\"type\":\"integer\"}", "3.5", "the answer is 3.5: it must be of type integer"},
    {"{\"type\":\"number\"}", "3", ""},
    {"{\"type\":\"number\"}", "\"3\"", "the answer is \"3\": it must be of type number"},
    {"{\"type\":[\"string\",\"null\"]}", "null", ""},
    {"{\"type\":[\"string\",\"null\"]}", "1", "the answer is 1: it must be of type null or string"},
    {"{\"type\":[\"integer\",\"string\"]}", "1.5",
     "the answer is 1.5: it must be of type integer or string"},
    /* enum */
    {"{\"enum\":[\"a\",1,null,true]}", "\"\\u0061\"", ""},
    {"{\"enum\":[\"a\",1,null,true]}", "1.0", ""},
    {"{\"enum\":[\"a\",1,null,true]}", "true", ""},
    {"{\"enum\":[\"a\",1]}", "\"1\"", "the answer is \"1\": it must be one of [\"a\",1]"},
    {"{\"enum\":[\"a\"]}", "false", "the answer is false: it must be one of [\"a\"]"},
    /* properties */
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":\"\",\"b\":2}", ""},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"b\":2,\"a\":1}",
     "a is 1: it must be of type string"},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"\\u0061\":1}",
     "a is 1: it must be of type string"},
    {"{\"properties\":{\"a\":{}}}", "7", ""},
    {"{\"properties\":{\"b\":{},\"a\":{}},\"required\":[\"b\",\"c\"]}", "{\"b\":1,\"c\":null}", ""},
    {"{\"properties\":{\"b\":{},\"a\":{}},\"required\":[\"b\",\"c\"]}", "{\"a\":1,\"b\":1}",
     "c is missing"},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1}", ""},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}",
     "b is not allowed by the schema"},
    {"{\"additionalProperties\":true}", "{\"b\":2}", ""},
    {"{\"additionalProperties\":{\"type\":\"null\"}}", "{\"b\":2}",
     "b is 2: it must be of type null"},
    /* items */
    {"{\"items\":{\"properties\":{\"n\":{\"maximum\":5}}}}", "[{\"n\":5},{\"n\":1}]", ""},
    {"{\"properties\":{\"l\":{\"items\":{\"properties\":{\"n\":{\"maximum\":5}}}}}}",
     "{\"l\":[{\"n\":5},{\"n\":5.5}]}", "l[1].n is 5.5: it must be at most 5"},
    {"{\"items\":{\"type\":\"string\"}}", "[\"a\",[]]",
     "[1] is an array: it must be of type string"},
    {"{\"minItems\":1,\"maxItems\":2}", "[1,2]", ""},
    {"{\"minItems\":1}", "[]", "the answer is an array: it must be at least 1 items long"},
    {"{\"maxItems\":2}", "[1,2,3]", "the answer is an array: it must be at most 2 items long"},
    /* numbers and strings */
    {"{\"minimum\":-1.5,\"maximum\":2}", "-1.5", ""},
    {"{\"minimum\":-1.5}", "-2", "the answer is -2: it must be at least -1.5"},
    {"{\"minimum\":1}", "\"a\"", ""},
    {"{\"minimum\":1}", "1e999", "the answer is 1e999: it must be a number that a double holds"},
    {"{\"minLength\":2,\"maxLength\":2}", "\"\xc3\xa4\\u00e4\"", ""},
    {"{\"minLength\":2}", "\"a\"", "the answer is \"a\": it must be at least 2 characters long"},
    {"{\"maxLength\":2}", "\"abc\"", "the answer is \"abc\": it must be at most 2 characters long"},
};

static void
a_value_fits_or_the_first_misfit_is_named(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(rows[i].schema, rows[i].value, rows[i].said);
    (void)state;
}

static const struct {
    const char *schema, *said;
} wrong[] = {
    {"1", "s is 1: it must be a JSON Schema: an object"},
    {"{\"pattern\":\"x\"}", "s.pattern is not supported: "},
    {"{\"properties\":{\"a\":{\"$ref\":\"#\"}}}", "s.properties.a.$ref is not supported: "},
    {"{\"type\":\"text\"}", "s.type is \"text\": it must be null, boolean, "},
    {"{\"type\":[\"null\",1]}", "s.type is an array: it must be null, boolean, "},
    {"{\"type\":[]}", "s.type is an array: it must be null, boolean, "},
    {"{\"enum\":[]}", "s.enum is an array: it must be an array of strings, "},
    {"{\"enum\":[[1]]}", "s.enum is an array: it must be an array of strings, "},
    {"{\"enum\":\"a\"}", "s.enum is \"a\": it must be an array of strings, "},
    {"{\"properties\":[]}", "s.properties is an array: it must be an object"},
    {"{\"properties\":{\"a\":true}}", "s.properties.a is true: it must be a JSON Schema"},
    {"{\"required\":\"a\"}", "s.required is \"a\": it must be an array"},
    {"{\"required\":[1]}", "s.required[0] is 1: it must be the name of a property"},
    {"{\"additionalProperties\":1}", "s.additionalProperties is 1: it must be a JSON Schema"},
    {"{\"items\":[{}]}", "s.items is an array: it must be a JSON Schema: an object"},
    {"{\"minimum\":\"1\"}", "s.minimum is \"1\": it must be a number from "},
    {"{\"minLength\":-1}", "s.minLength is -1: it must be a whole number from 0 to "},
    {"{\"maxItems\":1.5}", "s.maxItems is 1.5: it must be a whole number from 0 to "},
};

static void
a_schema_that_can_not_be_kept_is_refused(void **state)
{
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct error err = {0};

        if (schema_of(wrong[i].schema, &err) != NULL)
            fail_msg("%s was taken", wrong[i].schema);
        if (strstr(err.message, wrong[i].said) == NULL)
            fail_msg("%s: says '%s', not '%s'", wrong[i].schema, err.message, wrong[i].said);
        assert_int_equal(err.kind, ERROR_CONFIG);
    }
    (void)state;
}

static void
it_tells_whether_an_object_or_an_array_may_fit(void **state)
{
    static const struct {
        const char *text;
        bool object, array;
    } kinds[] = {
        {"{}", true, true},
        {"{\"type\":\"object\"}", true, false},
        {"{\"type\":[\"array\",\"null\"]}", false, true},
        {"{\"type\":\"string\"}", false, false},
    };

    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct json_schema *schema = schema_of(kinds[i].text, NULL);

        assert_int_equal(json_schema_takes(schema, JSON_OBJECT), kinds[i].object);
        assert_int_equal(json_schema_takes(schema, JSON_ARRAY), kinds[i].array);
        json_schema_free(schema);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_fits_or_the_first_misfit_is_named),
        cmocka_unit_test(a_schema_that_can_not_be_kept_is_refused),
        cmocka_unit_test(it_tells_whether_an_object_or_an_array_may_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
