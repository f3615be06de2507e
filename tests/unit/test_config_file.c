/*
 * test_config_file.c - the configuration file: what is read of it, and what is said when it is
 * wrong.
 */
#include "common/config.h"
#include "common/memory.h"
#include "worker/job/job.h"
#include "worker/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char path[] = "/tmp/headgate-test-XXXXXX";

/* What the environment says beside HEADGATE_CONFIG. */
struct given {
    const char *name, *value;
};

static const char *
lookup(const char *name, void *arg)
{
    const struct given *given = arg;

    if (strcmp(name, "HEADGATE_CONFIG") == 0)
        return path;
    return given != NULL && strcmp(name, given->name) == 0 ? given->value : NULL;
}

static void
write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Everything that a worker reads, in its order. */
struct whole {
    struct config config;
    struct model_list models;
    struct settings settings;
};

static int
read_sections(struct whole *whole, struct error *err)
{
    if (settings_read(&whole->settings, &whole->config, whole->config.sections, err) != 0)
        return -1;
    if (model_list_load(&whole->models, &whole->config, err) == 0)
        return 0;
    settings_release(&whole->settings);
    return -1;
}

static int
whole_load(struct whole *whole, const char *text, const struct given *given, struct error *err)
{
    struct given copy = given == NULL ? (struct given){"", NULL} : *given;
    static struct given kept;

    kept = copy;
    write_file(text);
    if (config_load(&whole->config, lookup, &kept, err) != 0)
        return -1;
    if (read_sections(whole, err) == 0)
        return 0;
    config_release(&whole->config);
    return -1;
}

static void
whole_open(struct whole *whole, const char *text, const struct given *given)
{
    struct error err = {0};

    if (whole_load(whole, text, given, &err) != 0)
        fail_msg("%s", err.message);
}

static void
whole_close(struct whole *whole)
{
    settings_release(&whole->settings);
    model_list_release(&whole->models);
    config_release(&whole->config);
}

static void
the_models_of_the_file_are_the_list_when_the_environment_names_none(void **state)
{
    struct whole w;
    const struct model *first, *second;

    whole_open(&w,
               "{ // the primary comes first\n"
               "\"models\": [{\"name\": \"bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0\","
               " \"rpm\": 50, \"tpm\": 2e5, \"price\": {\"input\": 3, \"output\": 15.5},"
               " \"timeout\": 0.5, \"base_url\": \"https://gateway.example/x\"}, /* then */"
               " {\"name\": \"bedrock/b\", \"display\": \"B!\"}]}",
               NULL);
    assert_int_equal(w.models.count, 2);
    first = &w.models.models[0];
    second = &w.models.models[1];
    assert_string_equal(first->name, "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0");
    assert_string_equal(first->display, "Claude 3.5 Sonnet");
    assert_true(first->rpm == 50 && first->tpm == 200000);
    assert_true(first->input_price == 3 && first->output_price == 15.5);
    assert_int_equal(first->call_timeout_ms, 500);
    assert_string_equal(first->base_url, "https://gateway.example/x");
    assert_string_equal(second->display, "B!");
    assert_true(second->rpm == 0 && second->tpm == 0 && second->input_price < 0);
    assert_int_equal(second->call_timeout_ms, 0);
    assert_null(second->base_url);
    assert_null(second->api_key_env);
    whole_close(&w);
    (void)state;
}

static void
the_file_only_describes_what_the_environment_names(void **state)
{
    static const char text[] = "{\"models\": [{\"name\": \"bedrock/b\", \"rpm\": 7},"
                               " {\"name\": \"bedrock/own\", \"rpm\": 9}]}";
    struct model own;
    struct whole w;

    whole_open(&w, text, &(struct given){"HEADGATE_MODELS", "bedrock/a,bedrock/b"});
    assert_int_equal(w.models.count, 2);
    assert_string_equal(w.models.models[0].name, "bedrock/a");
    assert_true(w.models.models[0].rpm == 0 && w.models.models[1].rpm == 7);
    assert_int_equal(model_init(&own, "bedrock/own", false, NULL), 0);
    model_describe(&own, w.models.notes);
    assert_true(own.rpm == 9);
    model_release(&own);
    whole_close(&w);
    /* The bare id of BEDROCK_MODEL_ID is the same model. */
    whole_open(&w, text, &(struct given){"BEDROCK_MODEL_ID", "b"});
    assert_string_equal(w.models.models[0].name, "b");
    assert_true(w.models.models[0].rpm == 7);
    whole_close(&w);
    whole_open(&w, "{\"models\": [{\"name\": \"arn:aws:x/b\", \"rpm\": 8}]}",
               &(struct given){"BEDROCK_MODEL_ID", "arn:aws:x/b"});
    assert_true(w.models.models[0].rpm == 8);
    whole_close(&w);
    (void)state;
}

static void
what_a_new_file_does_not_say_is_as_without_it(void **state)
{
    struct config_file *fresh;
    struct model_list notes;
    struct whole w;

    whole_open(&w,
               "{\"models\": [{\"name\": \"bedrock/b\", \"rpm\": 7, \"display\": \"B!\","
               " \"base_url\": \"http://x\", \"price\": {\"input\": 1, \"output\": 1}}]}",
               &(struct given){"BEDROCK_MODEL_ID", "b"});
    write_file("{\"models\": [{\"name\": \"b\", \"tpm\": 5}]}");
    assert_int_equal(config_read_file(&w.config, &fresh, NULL), 0);
    assert_int_equal(model_notes_read(&notes, &w.config, fresh, NULL), 0);
    model_list_take_notes(&w.models, &notes);
    model_list_release(&notes);
    config_file_free(fresh);
    assert_true(w.models.models[0].rpm == 0 && w.models.models[0].tpm == 5);
    assert_string_equal(w.models.models[0].display, "b");
    assert_null(w.models.models[0].base_url);
    assert_true(w.models.models[0].input_price < 0);
    whole_close(&w);
    (void)state;
}

static void
queues_of_the_file_are_the_list_or_only_tell_which_are_not_fair(void **state)
{
    static const char text[] = "{\"queues\": {\"urgent\": {}, \"bulk\": {\"weight\": 3, "
                               "\"fair\": false}}}";
    struct whole w;

    whole_open(&w, text, NULL);
    assert_int_equal(w.config.queue_count, 2);
    assert_string_equal(w.config.queues[0].name, "urgent");
    assert_int_equal(w.config.queues[0].weight, 0);
    assert_true(w.config.queues[0].is_fair);
    assert_int_equal(w.config.queues[1].weight, 3);
    assert_false(w.config.queues[1].is_fair);
    whole_close(&w);
    whole_open(&w, text, &(struct given){"HEADGATE_QUEUES", "bulk=5,other"});
    assert_int_equal(w.config.queue_count, 2);
    assert_int_equal(w.config.queues[0].weight, 5);
    assert_false(w.config.queues[0].is_fair);
    assert_true(w.config.queues[1].is_fair);
    whole_close(&w);
    whole_open(&w, "{}", &(struct given){"USE_CELERY", "true"});
    assert_string_equal(w.config.queues[0].name, "analysis");
    whole_close(&w);
    (void)state;
}

static void
a_tenant_has_its_own_or_what_all_others_have(void **state)
{
    struct whole w;

    whole_open(&w,
               "{\"tenants\": {\"b\": {\"weight\": 0.5}, \"*\": {\"max_in_flight\": 9},"
               " \"a\": {\"weight\": 2, \"max_in_flight\": 50}}}",
               NULL);
    assert_true(tenants_find(&w.settings.tenants, "a")->weight == 2);
    assert_int_equal(tenants_find(&w.settings.tenants, "a")->max_in_flight, 50);
    assert_true(tenants_find(&w.settings.tenants, "b")->weight == 0.5);
    assert_int_equal(tenants_find(&w.settings.tenants, "b")->max_in_flight, 0);
    assert_string_equal(tenants_find(&w.settings.tenants, "c")->name, "*");
    assert_int_equal(tenants_find(&w.settings.tenants, "c")->max_in_flight, 9);
    assert_true(tenants_find(&w.settings.tenants, "")->weight == 1);
    whole_close(&w);
    whole_open(&w, "{}", NULL);
    assert_true(tenants_find(&w.settings.tenants, "a")->weight == 1);
    assert_int_equal(tenants_find(&w.settings.tenants, "a")->max_in_flight, 0);
    whole_close(&w);
    (void)state;
}

static const struct job_type *
type_of(const struct whole *whole, const char *name)
{
    return job_type_find(whole->settings.types, name);
}

static void
a_new_type_has_what_the_file_says_and_modest_defaults(void **state)
{
    char names[64];
    struct whole w;

    whole_open(&w,
               "{\"types\": {\"short\": {\"prompt\": \"Say {{content}}\\n\"},"
               " \"full\": {\"system\": \"S\", \"prompt\": \"P\", \"required\": [\"a\", \"b\"],"
               " \"output\": \"json\", \"schema\": {\"type\": \"object\"}, \"max_tokens\": 9,"
               " \"temperature\": 0}}}",
               NULL);
    assert_string_equal(type_of(&w, "short")->prompt, "Say {{content}}\n");
    assert_null(type_of(&w, "short")->system);
    assert_null(type_of(&w, "short")->required[0]);
    assert_int_equal(type_of(&w, "short")->output, JOB_OUTPUT_TEXT);
    assert_int_equal(type_of(&w, "short")->max_tokens, 1024);
    assert_true(type_of(&w, "short")->temperature < 0);
    assert_string_equal(type_of(&w, "full")->system, "S");
    assert_string_equal(type_of(&w, "full")->required[1], "b");
    assert_null(type_of(&w, "full")->required[2]);
    assert_int_equal(type_of(&w, "full")->output, JOB_OUTPUT_JSON);
    assert_non_null(type_of(&w, "full")->schema);
    assert_int_equal(type_of(&w, "full")->max_tokens, 9);
    assert_true(type_of(&w, "full")->temperature == 0);
    job_type_names(w.settings.types, names, sizeof(names));
    assert_string_equal(names, "analyze, chat, short, full");
    assert_null(job_type_find(NULL, "short"));
    whole_close(&w);
    (void)state;
}

static void
a_built_in_type_keeps_what_the_file_does_not_change(void **state)
{
    const struct job_type *analyze, *chat;
    struct whole w;

    whole_open(&w,
               "{\"types\": {\"analyze\": {\"min_confidence\": 0.5, \"temperature\": null},"
               " \"chat\": {\"prompt\": \"{{query}}?\", \"system\": \"\", \"required\": []}}}",
               NULL);
    analyze = type_of(&w, "analyze");
    chat = type_of(&w, "chat");
    assert_string_equal(analyze->prompt, job_type_find(NULL, "analyze")->prompt);
    assert_string_equal(analyze->required[0], "content");
    assert_true(analyze->min_confidence == 0.5 && analyze->temperature < 0);
    assert_int_equal(analyze->output, JOB_OUTPUT_FEEDBACK);
    assert_string_equal(chat->prompt, "{{query}}?");
    assert_null(chat->system);
    assert_null(chat->required[0]);
    assert_int_equal(chat->max_tokens, 1024);
    whole_close(&w);
    (void)state;
}

static void
a_job_keeps_its_type_when_the_file_is_read_again(void **state)
{
    struct job_limits limits = {.max_bytes = 1000};
    struct error err = {0};
    struct job old, refused;
    struct whole w;

    whole_open(&w, "{\"types\": {\"t\": {\"prompt\": \"P\", \"required\": [\"what\"]}}}", NULL);
    limits.types = w.settings.types;
    assert_int_equal(job_init(&old, xstrdup("{\"type\":\"t\",\"what\":[1]}"), 23, &limits, &err),
                     0);
    assert_int_equal(job_init(&refused, xstrdup("{\"type\":\"t\"}"), 12, &limits, &err), -1);
    assert_string_equal(err.message, "what is missing: a job of type t needs it");
    job_release(&refused);
    assert_int_equal(job_init(&refused, xstrdup("{\"type\":\"u\"}"), 12, &limits, &err), -1);
    assert_string_equal(err.message, "type is \"u\": it must be one of analyze, chat, t");
    job_release(&refused);
    whole_close(&w); /* the last but the job that holds its generation */
    assert_string_equal(old.type->prompt, "P");
    job_release(&old);
    (void)state;
}

/* What is wrong, and what is said of it behind the path of the file. */
static const struct {
    const char *text, *said;
} wrong[] = {
    {"", "line 1: invalid JSON: "},
    {"[]", "line 1: the file must hold one JSON object"},
    {"{}\n{}", "line 2: invalid JSON: "},
    {"{\"models\": [],}", "line 1: invalid JSON: "},
    {"{\n/* \n", "line 2: invalid JSON: "},
    {"{'models': []}", "line 1: invalid JSON: "},
    {"{\"models\": [], \"models\": []}", "line 1: invalid JSON: the name \"models\" stands there "
                                         "twice"},
    {"{\"tenants\":\n{\"a\": {}, \"\\u0061\": {}}}",
     "line 2: the name \"a\" stands twice in an object"},
    {"{\n\n\"model\": []}", "line 3: model is unknown: allowed are models, types, queues, tenants"},
    {"{\"models\": {}}", "line 1: models is an object: it must be an array"},
    {"{\"models\": [1]}", "line 1: models[0] is 1: it must be an object with a name"},
    {"{\"models\": [{\"rpm\": 1}]}", "line 1: models[0].name is missing"},
    {"{\"models\": [{\"name\": \"x/y\"}]}", "line 1: models[0].name is \"x/y\": it must be "
                                            "provider/ID without blanks; available: bedrock"},
    {"{\"models\": [{\"name\": \"\"}]}",
     "line 1: models[0].name is \"\": it must be a model's name"},
    {"{\"models\": [{\"name\": \"bedrock/a\"},\n{\"name\": \"bedrock/a\"}]}",
     "line 2: models[1].name is \"bedrock/a\": it must be a model that is not described before"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"rpn\": 1}]}",
     "line 1: models[0].rpn is unknown: allowed are name, display, rpm, tpm, price, timeout, "
     "base_url, api_key_env"},
    {"{\"models\": [{\"name\": \"bedrock/a\",\n \"rpm\": -1}]}",
     "line 2: models[0].rpm is -1: it must be a number from 0 to 1000000000"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"tpm\": \"1\"}]}",
     "line 1: models[0].tpm is \"1\": it must be a number from 0 to 1000000000"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"timeout\": 0}]}",
     "line 1: models[0].timeout is 0: it must be a number of seconds from 0.1 to 3600"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"price\": 3}]}",
     "line 1: models[0].price is 3: it must be an object"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"price\": {\"input\": 3}}]}",
     "line 1: models[0].price.output is missing"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"price\": {\"in\": 3}}]}",
     "line 1: models[0].price.in is unknown: allowed are input, output"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"display\": null}]}",
     "line 1: models[0].display is null: it must be a string of 1 to 95 bytes without control "
     "bytes"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"base_url\": \"https://u:secret@h\"}]}",
     "line 1: models[0].base_url is a string of 18 bytes: it must be an http or https URL without "
     "user, query or fragment"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"api_key_env\": \"sk-123\"}]}",
     "line 1: models[0].api_key_env is a string of 6 bytes: it must be the name of an environment "
     "variable"},
    {"{\"models\": [{\"name\": \"bedrock/a\", \"api_key_env\": \"NO_KEY\"}]}",
     "line 1: models[0].api_key_env is a string of 6 bytes: it must be the name of an environment "
     "variable that is set"},
    {"{\"queues\": []}", "line 1: queues is an array: it must be an object"},
    {"{\"queues\": {\"a\": 3}}", "line 1: queues.a is 3: it must be an object"},
    {"{\"queues\": {\"a=1\": {}}}",
     "line 1: a queue's name is \"a=1\": it must be 1 to 127 bytes without { } = , or control "
     "bytes"},
    {"{\"queues\": {\"a\": {\"weight\": 1001}}}",
     "line 1: queues.a.weight is 1001: it must be a whole number from 1 to 1000"},
    {"{\"queues\": {\"a\": {\"fair\": 1}}}",
     "line 1: queues.a.fair is 1: it must be true or false"},
    {"{\"tenants\": {\"a\": {\"weight\": 0}}}",
     "line 1: tenants.a.weight is 0: it must be a number from 0.01 to 1000"},
    {"{\"tenants\": {\"*\": {\"max_in_flight\": -1}}}",
     "line 1: tenants.*.max_in_flight is -1: it must be a whole number from 0 to 1000000"},
    {"{\"types\": []}", "line 1: types is an array: it must be an object"},
    {"{\"types\": {\"t\": 1}}", "line 1: types.t is 1: it must be an object"},
    {"{\"types\": {\"t\": {}}}", "line 1: types.t has no prompt"},
    {"{\"types\": {\"\": {}}}",
     "line 1: a type's name is \"\": it must be 1 to 64 bytes without control bytes"},
    {"{\"types\": {\"t\": {\"promt\": \"\"}}}",
     "line 1: types.t.promt is unknown: allowed are system, prompt, required, output, schema, "
     "min_confidence, max_tokens, temperature"},
    {"{\"types\": {\"t\": {\"prompt\": \"\"}}}",
     "line 1: types.t.prompt is \"\": it must be a string of 1 to 1048576 bytes"},
    {"{\"types\": {\"t\": {\"output\": \"xml\"}}}",
     "line 1: types.t.output is \"xml\": it must be \"feedback\" or \"json\" or \"text\""},
    {"{\"types\": {\"t\": {\"required\": [\"\"]}}}",
     "line 1: types.t.required[0] is \"\": it must be a field's name, one of at most 16"},
    {"{\"types\": {\"t\": {\"temperature\": 3}}}",
     "line 1: types.t.temperature is 3: it must be a number from 0 to 2"},
    {"{\"types\": {\"t\": {\"max_tokens\": 0.5}}}",
     "line 1: types.t.max_tokens is 0.5: it must be a whole number from 1 to 1000000"},
    {"{\"types\": {\"t\": {\"prompt\": \"P\", \"schema\": {}}}}",
     "line 1: types.t has a schema, which goes with \"output\": \"json\""},
    {"{\"types\": {\"t\": {\"prompt\": \"P\", \"min_confidence\": 1}}}",
     "line 1: types.t has min_confidence, which goes with \"output\": \"feedback\""},
    {"{\"types\": {\"t\": {\"prompt\": \"P\", \"schema\": {\"type\": 1}}}}",
     "line 1: types.t.schema.type is 1: it must be null, boolean, "},
    {"{\"celery\": {\"queues\": {}}}", "line 1: celery.queues is unknown: allowed are tasks"},
    {"{\"celery\": {\"tasks\": []}}", "line 1: celery.tasks is an array: it must be an object"},
    {"{\"celery\": {\n\"tasks\": {\"app.sum\": \"paint\"}}}",
     "line 2: celery.tasks.app.sum is \"paint\": it must be the name of a job type: analyze, chat"},
    {"{\"celery\": {\"tasks\": {\"a\": {\"type\": \"paint\"}}}}",
     "line 1: celery.tasks.a.type is \"paint\": it must be the name of a job type: analyze, chat"},
    {"{\"celery\": {\"tasks\": {\"a\": 1}}}",
     "line 1: celery.tasks.a is 1: it must be the name of a job type: analyze, chat"},
    {"{\"celery\": {\"tasks\": {\"\": \"chat\"}}}",
     "line 1: a task's name is \"\": it must be 1 to 255 bytes without control bytes"},
    {"{\"celery\": {\"tasks\": {\"a\": {\"args\": [\"b\"]}}}}",
     "line 1: celery.tasks.a.type is missing"},
    {"{\"celery\": {\"tasks\": {\"a\": {\"type\": \"chat\", \"args\": [\"id\"]}}}}",
     "line 1: celery.tasks.a.args[0] is \"id\": it must be the name of a parameter, one of at most "
     "16"},
    {"{\"celery\": {\"tasks\": {\"a\": {\"type\": \"chat\", \"args\": [\"b\", \"b\"]}}}}",
     "line 1: celery.tasks.a.args[1] is \"b\": it must be the name of a parameter"},
    {"{\"celery\": {\"tasks\": {\"a\": {\"type\": \"chat\", \"args\": []}}}}",
     "line 1: celery.tasks.a.args is an array: it must be an array of names of parameters"},
    {"{\"tenants\": {\"\": {}}}",
     "line 1: a tenant's name is \"\": it must be 1 to 256 bytes without control bytes"},
};

static void
what_is_wrong_is_told_with_its_place_and_what_is_allowed(void **state)
{
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct error err = {0};
        struct whole w;
        char front[64];

        snprintf(front, sizeof(front), "HEADGATE_CONFIG=%s: ", path);
        if (whole_load(&w, wrong[i].text, NULL, &err) == 0)
            fail_msg("%s was read", wrong[i].text);
        assert_int_equal(err.kind, ERROR_CONFIG);
        if (strncmp(err.message, front, strlen(front)) != 0 ||
            strncmp(err.message + strlen(front), wrong[i].said, strlen(wrong[i].said)) != 0)
            fail_msg("%s\n  says %s\n  not  %s", wrong[i].text, err.message, wrong[i].said);
    }
    (void)state;
}

static void
a_file_that_cannot_be_read_is_named(void **state)
{
    static const char *const sections[] = {"a", NULL};
    struct error err;

    assert_null(config_file_read("/does/not/exist", sections, &err));
    assert_string_equal(err.message, "HEADGATE_CONFIG=/does/not/exist: No such file or directory: "
                                     "it must be the path of a readable file of less than 1 MiB");
    assert_null(config_file_read("/tmp", sections, &err));
    assert_non_null(strstr(err.message, "HEADGATE_CONFIG=/tmp: Is a directory"));
    assert_null(config_file_read("/dev/zero", sections, &err));
    assert_non_null(strstr(err.message, "HEADGATE_CONFIG=/dev/zero: no regular file"));
    (void)state;
}

static void
size_names_and_depth_have_bounds(void **state)
{
    static const char *const sections[] = {"a", NULL};
    struct error err = {0};
    char *text = xcalloc(1, CONFIG_FILE_BYTES_MAX + 1);
    char *at = text;

    at += sprintf(at, "{\"a\":{");
    for (int i = 0; i <= CONFIG_NAMES_MAX; i++)
        at += sprintf(at, "%s\"%d\":1", i == 0 ? "" : ",", i);
    strcpy(at, "}}");
    assert_null(config_file_parse("f", text, strlen(text), sections, &err));
    assert_non_null(strstr(err.message, "more than 10000 names"));
    memset(text, '[', 100);
    memcpy(text, "{\"a\":", 5);
    assert_null(config_file_parse("f", text, 100, sections, &err));
    assert_non_null(strstr(err.message, "nested deeper than 64"));
    memset(text, ' ', CONFIG_FILE_BYTES_MAX);
    write_file(text);
    assert_null(config_file_read(path, sections, &err));
    assert_non_null(strstr(err.message, ": too large: "));
    free(text);
    (void)state;
}

static int
make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int
remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_models_of_the_file_are_the_list_when_the_environment_names_none),
        cmocka_unit_test(the_file_only_describes_what_the_environment_names),
        cmocka_unit_test(what_a_new_file_does_not_say_is_as_without_it),
        cmocka_unit_test(queues_of_the_file_are_the_list_or_only_tell_which_are_not_fair),
        cmocka_unit_test(a_tenant_has_its_own_or_what_all_others_have),
        cmocka_unit_test(a_new_type_has_what_the_file_says_and_modest_defaults),
        cmocka_unit_test(a_built_in_type_keeps_what_the_file_does_not_change),
        cmocka_unit_test(a_job_keeps_its_type_when_the_file_is_read_again),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place_and_what_is_allowed),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(size_names_and_depth_have_bounds),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
