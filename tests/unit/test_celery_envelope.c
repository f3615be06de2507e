#include "worker/celery/body.h"
#include "worker/celery/envelope.h"
#include "worker/celery/task.h"

#include "common/memory.h"

#include <math.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define MAX_BYTES (1 << 20)

static int
read_raw(struct celery_message *message, const char *raw, size_t len, struct error *err)
{
    char *payload = malloc(len == 0 ? 1 : len);

    memcpy(payload, raw, len);
    *err = (struct error){0};
    return celery_message_init(message, payload, len, MAX_BYTES, err);
}

/* An envelope of protocol 2 around `body`; `headers` are its other members, with a comma first. */
static int
read_body(struct celery_message *message, const char *body, const char *headers, struct error *err)
{
    size_t len = strlen(body);
    char *base64 = xcalloc(1, len * 2 + 8), *raw;
    int result;

    EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)body, (int)len);
    raw = xasprintf("{\"body\": \"%s\", \"content-encoding\": \"utf-8\", \"content-type\": "
                    "\"application/json\", \"headers\": {\"task\": "
                    "\"celery_tasks_enhanced.analyze_section_task\", \"id\": \"i-1\"%s}, "
                    "\"properties\": {\"body_encoding\": \"base64\", \"priority\": 3}}",
                    base64, headers);
    result = read_raw(message, raw, strlen(raw), err);
    free(base64);
    free(raw);
    return result;
}

/* The exception of a message that is refused. */
static void
expect_refused(const char *raw, const char *type)
{
    struct celery_message message;
    struct error err;

    assert_int_equal(read_raw(&message, raw, strlen(raw), &err), -1);
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(message.problem.type, type);
    celery_message_release(&message);
}

/* ---- golden ---- */

static double
number_of(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static const char *
text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static void
compare_value(struct json_slice slice, const cJSON *expected, const char *name)
{
    cJSON *tree = slice.type == JSON_ABSENT ? cJSON_CreateNull() : json_tree(slice);

    assert_non_null(tree);
    if (!cJSON_Compare(tree, expected, 1))
        fail_msg("%s: %.*s", name, (int)slice.len, slice.text);
    cJSON_Delete(tree);
}

static void
expect_fields(const struct celery_message *m, const cJSON *expect, const char *name)
{
    const cJSON *embed = cJSON_GetObjectItemCaseSensitive(expect, "embed");

    assert_string_equal(m->id, text_of(expect, "id"));
    assert_string_equal(m->task, text_of(expect, "task"));
    assert_int_equal(m->retries, (int)number_of(expect, "retries"));
    assert_int_equal(m->priority, (int)number_of(expect, "priority"));
    assert_true(fabs((double)m->eta_ms / 1000 - number_of(expect, "eta")) < 0.002);
    assert_true(fabs((double)m->expires_ms / 1000 - number_of(expect, "expires")) < 0.002);
    assert_int_equal(m->hard_ms, (int)(number_of(expect, "time_limit") * 1000));
    assert_int_equal(m->soft_ms, (int)(number_of(expect, "soft_time_limit") * 1000));
    assert_int_equal(m->ignore_result,
                     cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(expect, "ignore_result")));
    compare_value(m->args, cJSON_GetObjectItemCaseSensitive(expect, "args"), name);
    compare_value(m->kwargs, cJSON_GetObjectItemCaseSensitive(expect, "kwargs"), name);
    compare_value(m->group, cJSON_GetObjectItemCaseSensitive(expect, "group"), name);
    compare_value(m->chord, cJSON_GetObjectItemCaseSensitive(embed, "chord"), name);
}

static void
check_vector(const char *line)
{
    cJSON *vector = cJSON_Parse(line);
    const char *raw = text_of(vector, "raw"), *name = text_of(vector, "name");
    const cJSON *expect = cJSON_GetObjectItemCaseSensitive(vector, "expect");
    const char *type = text_of(expect, "content_type");
    const char *compression = text_of(expect, "compression");
    struct celery_message message;
    struct error err;
    int result = read_raw(&message, raw, strlen(raw), &err);

    if (strcmp(type, "application/json") != 0) {
        assert_int_equal(result, -1);
        assert_string_equal(message.problem.type, "ContentDisallowed");
        assert_true(message.id[0] != '\0');
    } else if (compression != NULL && strcmp(compression, "application/x-gzip") != 0) {
        assert_int_equal(result, -1);
        assert_string_equal(message.problem.type, "DecodeError");
    } else {
        if (result != 0)
            fail_msg("%s: %s", name, err.message);
        expect_fields(&message, expect, name);
    }
    celery_message_release(&message);
    cJSON_Delete(vector);
}

static void
what_real_producers_sent_is_read_as_they_meant_it(void **state)
{
    FILE *file = fopen("tests/golden/celery/vectors.jsonl", "r");
    char *line = NULL;
    size_t size = 0;
    int count = 0;

    (void)state;
    assert_non_null(file);
    for (; getline(&line, &size, file) > 0; count++)
        check_vector(line);
    assert_true(count > 60);
    free(line);
    fclose(file);
}

/* ---- what no producer of Celery's sends ---- */

static void
what_ends_a_real_worker_is_refused(void **state)
{
    (void)state;
    expect_refused("", "DecodeError");
    expect_refused("[]", "DecodeError");
    expect_refused("null", "DecodeError");
    expect_refused("not json", "DecodeError");
    expect_refused("{}", "ContentDisallowed");
    expect_refused("{\"headers\":{},\"content-type\":\"application/json\",\"body\":\"\"}",
                   "DecodeError");
    expect_refused("{\"headers\":{\"id\":\"1\"},\"content-type\":\"application/json\",\"body\":"
                   "\"[]\"}",
                   "ValueError");
    expect_refused("{\"headers\":{\"task\":\"t\"},\"content-type\":\"application/json\",\"body\":"
                   "\"[[],{},{}]\"}",
                   "ValueError");
    expect_refused(
        "{\"headers\":{\"id\":\"1\",\"task\":\"t\"},\"content-type\":\"application/json\","
        "\"body\":\"[[],{}]\"}",
        "DecodeError");
    expect_refused(
        "{\"headers\":{\"id\":\"1\",\"task\":\"t\"},\"content-type\":\"application/json\","
        "\"body\":\"!!\",\"properties\":{\"body_encoding\":\"base64\"}}",
        "DecodeError");
    expect_refused(
        "{\"headers\":{\"id\":\"1\",\"task\":\"t\"},\"content-type\":\"application/json\","
        "\"body\":\"[[],[1],null]\"}",
        "TypeError");
    expect_refused("{\"headers\":{\"id\":\"1\",\"task\":\"t\",\"eta\":\"soon\"},\"content-type\":"
                   "\"application/json\",\"body\":\"[[],{},null]\"}",
                   "ValueError");
    expect_refused("{\"headers\":{\"id\":\"1\",\"task\":\"t\"},\"content-type\":"
                   "\"application/x-python-serialize\",\"body\":\"\"}",
                   "ContentDisallowed");
}

static void
a_body_may_stand_there_as_plain_text_and_the_third_part_be_null(void **state)
{
    static const char raw[] =
        "{\"headers\":{\"id\":\"1\",\"task\":\"t\"},\"content-type\":\"application/json\","
        "\"body\":\"[[1],{},null]\"}";
    struct celery_message message;
    struct error err;

    (void)state;
    assert_int_equal(read_raw(&message, raw, strlen(raw), &err), 0);
    assert_memory_equal(message.args.text, "[1]", 3);
    celery_message_release(&message);
}

static void
numbers_that_json_lacks_are_passed_on_as_they_were_written(void **state)
{
    struct celery_message message;
    struct error err;
    struct json_slice raw;

    (void)state;
    assert_int_equal(read_body(&message,
                               "[[\"NaN\", NaN], {}, {\"chain\": [{\"args\": [-Infinity, "
                               "12345678901234567890]}]}]",
                               "", &err),
                     0);
    raw = celery_text_raw(&message.embed, message.chain);
    assert_memory_equal(raw.text, "[{\"args\": [-Infinity, 12345678901234567890]}]", raw.len);
    celery_message_release(&message);
}

static void
a_body_that_grows_beyond_the_bound_is_refused(void **state)
{
    /* A zlib stream of two million blanks: 2 KiB. */
    FILE *pipe = popen("/usr/bin/python3 -c \"import zlib,base64,sys;"
                       "sys.stdout.write(base64.b64encode(zlib.compress(b' '*2000000)).decode())\"",
                       "r");
    char body[8192] = "", *raw;
    struct celery_message message;
    struct error err;

    (void)state;
    assert_non_null(pipe);
    assert_true(fread(body, 1, sizeof(body) - 1, pipe) > 1000);
    pclose(pipe);
    raw = xasprintf("{\"headers\":{\"id\":\"1\",\"task\":\"t\",\"compression\":"
                    "\"application/x-gzip\"},\"content-type\":\"application/json\",\"body\":\"%s\","
                    "\"properties\":{\"body_encoding\":\"base64\"}}",
                    body);
    assert_int_equal(read_raw(&message, raw, strlen(raw), &err), -1);
    assert_string_equal(message.problem.type, "DecodeError");
    assert_non_null(strstr(err.message, "larger"));
    celery_message_release(&message);
    free(raw);
}

/* ---- jobs ---- */

static int
make_job(const char *body, const char *headers, struct job *job, struct celery_message *message,
         struct error *err)
{
    static const struct job_limits limits = {.max_bytes = MAX_BYTES};
    struct celery_tasks tasks;
    int result;

    assert_int_equal(celery_tasks_init(&tasks, NULL, NULL, NULL, err), 0);
    assert_int_equal(read_body(message, body, headers, err), 0);
    result = celery_task_job(&tasks, message, &limits, job, err);
    celery_tasks_release(&tasks);
    return result;
}

static void
expect_job(const char *body, const char *headers, const char *expected)
{
    struct celery_message message;
    struct job job;
    struct error err;

    if (make_job(body, headers, &job, &message, &err) != 0)
        fail_msg("%s: %s", body, err.message);
    assert_string_equal(job.payload, expected);
    job_release(&job);
    celery_message_release(&message);
}

static void
expect_type_error(const char *body, const char *why)
{
    struct celery_message message;
    struct job job;
    struct error err;

    assert_int_equal(make_job(body, "", &job, &message, &err), -1);
    assert_string_equal(message.problem.type, "TypeError");
    assert_string_equal(job.id, "i-1");
    if (strstr(err.message, why) == NULL)
        fail_msg("%s", err.message);
    job_release(&job);
    celery_message_release(&message);
}

static void
arguments_are_taken_by_position_or_by_name(void **state)
{
    (void)state;
    expect_job("[[\"Timeline\", \"text\"], {\"doc_type\": \"rca\"}, {}]", "",
               "{\"id\":\"i-1\",\"type\":\"analyze\",\"section_name\":\"Timeline\",\"content\":"
               "\"text\",\"doc_type\":\"rca\",\"track_started\":true}");
    expect_job("[[], {\"content\": \"\\u0000x\", \"id\": 5}, {}]", ",\"ignore_result\": true",
               "{\"id\":\"i-1\",\"type\":\"analyze\",\"content\":\"\\u0000x\"}");
}

static void
dates_and_limits_of_the_message_are_the_jobs(void **state)
{
    (void)state;
    expect_job("[[], {\"content\": \"x\"}, {}]",
               ",\"eta\":\"2031-01-02T03:04:05.678901+00:00\",\"expires\":\"2031-01-02T05:00:00\","
               "\"timelimit\":[30, 20.5]",
               "{\"id\":\"i-1\",\"type\":\"analyze\",\"content\":\"x\",\"run_at\":1925089445.678,"
               "\"expires_at\":1925096400.000,\"timeout\":20.500,\"track_started\":true}");
}

static void
typed_values_of_celery_are_read_as_text(void **state)
{
    (void)state;
    expect_job("[[], {\"content\": {\"__type__\": \"decimal\", \"__value__\": \"1.50\"}, "
               "\"session_id\": {\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"ab\"}}}, {}]",
               "",
               "{\"id\":\"i-1\",\"type\":\"analyze\",\"content\":\"1.50\",\"session_id\":\"ab\","
               "\"track_started\":true}");
}

static void
a_wrong_call_is_a_type_error_as_in_python(void **state)
{
    (void)state;
    expect_type_error("[[1,2,3,4,5,6], {}, {}]",
                      "analyze_section_task() takes 5 positional arguments but 6 were given");
    expect_type_error("[[\"a\"], {\"section_name\": \"b\"}, {}]",
                      "got multiple values for argument section_name");
    expect_type_error("[[], {}, {}]", "missing 1 required positional argument: 'content'");
    expect_type_error("[[], {\"content\": 5}, {}]", "content is 5");
}

static void
tasks_are_known_by_their_whole_names(void **state)
{
    struct celery_tasks tasks;
    struct error err;

    (void)state;
    assert_int_equal(
        celery_tasks_init(&tasks, NULL, "app.review = analyze, app.ask=chat", NULL, &err), 0);
    assert_string_equal(celery_tasks_find(&tasks, "app.review")->type, "analyze");
    assert_string_equal(celery_tasks_find(&tasks, "app.ask")->type, "chat");
    assert_non_null(celery_tasks_find(&tasks, "celery_tasks_enhanced.process_chat_task"));
    assert_null(celery_tasks_find(&tasks, "analyze_section_task"));
    celery_tasks_release(&tasks);
    assert_int_equal(celery_tasks_init(&tasks, NULL, "app.review=paint", NULL, &err), -1);
    assert_int_equal(celery_tasks_init(&tasks, NULL, "app.review", NULL, &err), -1);
}

static void
base64_of_any_length_gives_its_bytes_back(void **state)
{
    for (size_t len = 1; len <= 260; len++) {
        unsigned char bytes[260], text[360];
        size_t text_len, found = 0;
        char *out;

        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)(i * 7 + len);
        text_len = (size_t)EVP_EncodeBlock(text, bytes, (int)len);
        out = celery_base64((char *)text, text_len, &found);
        assert_non_null(out);
        assert_int_equal(found, len);
        assert_memory_equal(out, bytes, len);
        free(out);
    }
    (void)state;
}

static void
what_is_not_base64_is_refused(void **state)
{
    static const char *const bad[] = {
        "A",    "AAA",  "AAAAA", "A===",     "====",           "=AAA",
        "AA=A", "AA-A", "AA_A",  "AA==AAAA", "AAAA\xc3\xa9=A", "AA A"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t len = 0;

        assert_null(celery_base64(bad[i], strlen(bad[i]), &len));
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_any_length_gives_its_bytes_back),
        cmocka_unit_test(what_is_not_base64_is_refused),
        cmocka_unit_test(what_real_producers_sent_is_read_as_they_meant_it),
        cmocka_unit_test(what_ends_a_real_worker_is_refused),
        cmocka_unit_test(a_body_may_stand_there_as_plain_text_and_the_third_part_be_null),
        cmocka_unit_test(numbers_that_json_lacks_are_passed_on_as_they_were_written),
        cmocka_unit_test(a_body_that_grows_beyond_the_bound_is_refused),
        cmocka_unit_test(arguments_are_taken_by_position_or_by_name),
        cmocka_unit_test(dates_and_limits_of_the_message_are_the_jobs),
        cmocka_unit_test(typed_values_of_celery_are_read_as_text),
        cmocka_unit_test(a_wrong_call_is_a_type_error_as_in_python),
        cmocka_unit_test(tasks_are_known_by_their_whole_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
