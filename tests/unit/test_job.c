#include "worker/job/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_BYTES    (1 << 20)

static int
read_bytes(struct job *job, const char *bytes, size_t len, struct error *err)
{
    static const struct job_limits limits = {.max_bytes = MAX_BYTES};
    char *payload = malloc(len == 0 ? 1 : len); /* exact: reading beyond it shows under asan */

    assert_non_null(payload);
    memcpy(payload, bytes, len);
    *err = (struct error){0};
    return job_init(job, payload, len, &limits, err);
}

static int
read_text(struct job *job, const char *text, struct error *err)
{
    return read_bytes(job, text, strlen(text), err);
}

/* Reads {"id":"42","content":"text",<members>}. */
static int
read_members(struct job *job, const char *members, struct error *err)
{
    char text[8192];

    snprintf(text, sizeof(text), "{\"id\":\"42\",\"content\":\"text\",%s}", members);
    return read_text(job, text, err);
}

static void
expect_good(struct job *job, const char *members)
{
    struct error err;

    if (read_members(job, members, &err) != 0)
        fail_msg("%s: %s", members, err.message);
}

static void
expect_bad(const char *members, const char *message)
{
    struct job job;
    struct error err;

    if (read_members(&job, members, &err) == 0)
        fail_msg("accepted: %s", members);
    assert_int_equal(err.kind, ERROR_INPUT);
    if (strstr(err.message, message) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", members, err.message, message);
    assert_true(job.has_own_id);
    assert_string_equal(job.id, "42");
    job_release(&job);
}

static void
a_job_needs_no_more_than_its_content(void **state)
{
    struct job job;
    struct error err;

    assert_int_equal(read_text(&job, "{\"content\":\"text\"}", &err), 0);
    assert_string_equal(job.type->name, "analyze");
    assert_false(job.has_own_id);
    assert_int_equal(strlen(job.id), 36);
    assert_int_equal(job.model_count, 0);
    assert_int_equal(job.prefer, PREFER_UNSET);
    assert_int_equal(job.run_at_ms, 0);
    assert_int_equal(job.expires_at_ms, 0);
    assert_int_equal(job.timeout_ms, 0);
    assert_int_equal(job.max_attempts, 0);
    assert_null(job.reply_to);
    assert_false(job.track_started);
    assert_int_equal(job.metadata.type, JSON_ABSENT);
    assert_true(job.min_confidence == 0.80);
    job_release(&job);
    (void)state;
}

static void
every_field_of_a_job_is_read(void **state)
{
    struct job job;

    expect_good(&job,
                "\"type\":\"chat\",\"query\":\"Why?\",\"context\":{\"a\":[1]},\"tenant\":\"t\","
                "\"models\":[\"m1\",\"arn:aws:bedrock:x/y\"],\"prefer\":\"balanced\","
                "\"max_tokens\":64,\"temperature\":0.5,\"top_p\":1,\"stop_sequences\":[\"END\"],"
                "\"min_confidence\":0.5,\"run_at\":1763900000.5,"
                "\"expires_at\":\"2026-11-23T10:00:00+01:00\",\"timeout\":1.5,\"max_attempts\":2,"
                "\"reply_to\":\"answers\",\"track_started\":true,\"enqueued_at\":1763900000.25,"
                "\"metadata\":{\"k\":\"v\"},\"traceparent\":\"00-ab-cd-01\"");
    assert_string_equal(job.id, "42");
    assert_string_equal(job.type->name, "chat");
    assert_int_equal(job.model_count, 2);
    assert_string_equal(job.models[1], "arn:aws:bedrock:x/y");
    assert_int_equal(job.prefer, PREFER_BALANCED);
    assert_memory_equal(job.max_tokens.text, "64", 2);
    assert_memory_equal(job.stop_sequences.text, "[\"END\"]", 7);
    assert_true(job.min_confidence == 0.5);
    assert_int_equal(job.run_at_ms, 1763900000500);
    assert_int_equal(job.expires_at_ms, 1795424400000);
    assert_int_equal(job.timeout_ms, 1500);
    assert_int_equal(job.max_attempts, 2);
    assert_string_equal(job.reply_to, "answers");
    assert_true(job.track_started);
    assert_true(job.enqueued_at == 1763900000.25);
    assert_memory_equal(job.metadata.text, "{\"k\":\"v\"}", 9);
    assert_memory_equal(job.traceparent.text, "\"00-ab-cd-01\"", 13);
    job_release(&job);
    (void)state;
}

static void
null_in_an_optional_field_counts_as_absent(void **state)
{
    struct job job;
    struct error err;

    assert_int_equal(read_text(&job,
                               "{\"id\":null,\"type\":null,\"content\":\"x\",\"models\":null,"
                               "\"run_at\":null,\"metadata\":null,\"max_tokens\":null}",
                               &err),
                     0);
    assert_false(job.has_own_id);
    assert_string_equal(job.type->name, "analyze");
    assert_int_equal(job.metadata.type, JSON_ABSENT);
    assert_int_equal(job.max_tokens.type, JSON_ABSENT);
    job_release(&job);
    (void)state;
}

static void
unknown_fields_are_kept_and_forged_internal_ones_mean_nothing(void **state)
{
    struct job job;

    expect_good(&job, "\"attempts\":99,\"status\":\"done\",\"lease\":\"x\",\"ID\":\"evil\","
                      "\"__proto__\":{},\"endpoint\":\"http://169.254.169.254/\",\"\":1");
    assert_string_equal(job.id, "42");
    assert_int_equal(job.max_attempts, 0);
    assert_true(json_equals(json_get(job.root, "status"), "done"));
    job_release(&job);
    (void)state;
}

static void
the_tenant_falls_back_to_the_user_then_to_the_session(void **state)
{
    static const struct {
        const char *members, *tenant;
    } cases[] = {
        {"\"tenant\":\"t\",\"user_id\":\"u\",\"session_id\":\"s\"", "t"},
        {"\"user_id\":\"u\",\"session_id\":\"s\"", "u"},
        {"\"tenant\":\"\",\"user_id\":null,\"session_id\":\"s\"", "s"},
    };
    struct job job;

    for (size_t i = 0; i < COUNT(cases); i++) {
        expect_good(&job, cases[i].members);
        assert_true(json_equals(job.tenant, cases[i].tenant));
        job_release(&job);
    }
    expect_good(&job, "\"tenant\":\"\"");
    assert_int_equal(job.tenant.type, JSON_ABSENT);
    job_release(&job);
    (void)state;
}

static void
a_wrong_type_names_the_field_what_it_is_and_what_it_must_be(void **state)
{
    static const char *const cases[][2] = {
        {"\"max_tokens\":\"64\"",
         "max_tokens is \"64\": it must be a whole number from 1 to 1000000"},
        {"\"type\":\"summarise\"", "type is \"summarise\": it must be one of analyze, chat"},
        {"\"type\":\"analyze\\u0000x\"", "type is"},
        {"\"type\":7", "type is 7"},
        {"\"section_name\":5", "section_name is 5: it must be a string"},
        {"\"doc_type\":[1]", "doc_type is an array"},
        {"\"query\":false", "query is false"},
        {"\"context\":\"text\"", "context is \"text\": it must be an object"},
        {"\"tenant\":{}", "tenant is an object"},
        {"\"user_id\":12", "user_id is 12"},
        {"\"session_id\":true", "session_id is true"},
        {"\"models\":\"m\"", "models is \"m\": it must be an array of 1 to 10 model names"},
        {"\"models\":[]", "models is an array"},
        {"\"models\":{\"a\":\"m\"}", "models is an object"},
        {"\"models\":[7]", "models"},
        {"\"models\":[\"\"]", "models"},
        {"\"models\":[\"a b\"]", "models"},
        {"\"models\":[\"a\\r\\nX: y\"]", "models"},
        {"\"models\":[\"\\u00e9\"]", "models"},
        {"\"models\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\"]",
         "models"},
        {"\"prefer\":\"cheap\"", "prefer is \"cheap\": it must be latency, balanced or primary"},
        {"\"prefer\":1", "prefer is 1"},
        {"\"max_tokens\":0", "max_tokens is 0"},
        {"\"max_tokens\":-1", "max_tokens is -1"},
        {"\"max_tokens\":1.5", "max_tokens is 1.5"},
        {"\"max_tokens\":1e999", "max_tokens is 1e999"},
        {"\"max_tokens\":9223372036854775808", "max_tokens is 9223372036854775808"},
        {"\"max_tokens\":[64]", "max_tokens is an array"},
        {"\"temperature\":2.1", "temperature is 2.1: it must be a number from 0 to 2"},
        {"\"temperature\":\"hot\"", "temperature is \"hot\""},
        {"\"temperature\":-1e999", "temperature"},
        {"\"top_p\":1.01", "top_p"},
        {"\"stop_sequences\":\"END\"", "stop_sequences"},
        {"\"stop_sequences\":[1]", "stop_sequences"},
        {"\"stop_sequences\":[\"\"]", "stop_sequences"},
        {"\"stop_sequences\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\","
         "\"c\","
         "\"d\",\"e\",\"f\",\"g\",\"h\"]",
         "stop_sequences is an array: it must be an array of at most 16 strings"},
        {"\"min_confidence\":1.1", "min_confidence"},
        {"\"run_at\":\"tomorrow\"",
         "run_at is \"tomorrow\": it must be Unix seconds or an RFC 3339"},
        {"\"run_at\":-1", "run_at is -1"},
        {"\"expires_at\":1e308", "expires_at"},
        {"\"expires_at\":1763900000123", "expires_at"},
        {"\"expires_at\":true", "expires_at is true"},
        {"\"timeout\":0.5", "timeout is 0.5: it must be a number of seconds from 1 to 3600"},
        {"\"timeout\":3601", "timeout"},
        {"\"timeout\":-1", "timeout"},
        {"\"timeout\":1e308", "timeout"},
        {"\"max_attempts\":101", "max_attempts is 101: it must be a whole number from 1 to 100"},
        {"\"max_attempts\":0", "max_attempts"},
        {"\"max_attempts\":2.5", "max_attempts"},
        {"\"reply_to\":\"\"", "reply_to"},
        {"\"reply_to\":\"a\\u0000b\"", "reply_to"},
        {"\"reply_to\":\"\\ud800\"", "reply_to"},
        {"\"track_started\":1", "track_started is 1: it must be true or false"},
        {"\"enqueued_at\":\"now\"", "enqueued_at"},
        {"\"enqueued_at\":-5", "enqueued_at"},
        {"\"traceparent\":\"\"", "traceparent"},
        {"\"traceparent\":\"00\\n\"", "traceparent"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect_bad(cases[i][0], cases[i][1]);
    (void)state;
}

static void
a_long_wrong_value_is_not_shown(void **state)
{
    expect_bad("\"prefer\":\"a very long text which could be a secret of somebody\"",
               "prefer is a string of 52 bytes");
    expect_bad("\"max_attempts\":1234567890123456789012345678901234567890123456789",
               "max_attempts is a number of 49 characters");
    (void)state;
}

static void
the_first_and_the_last_value_of_each_range_are_taken(void **state)
{
    static const char *const cases[] = {
        "\"max_tokens\":1",     "\"max_tokens\":1000000", "\"max_tokens\":64.0",
        "\"temperature\":0",    "\"temperature\":2",      "\"top_p\":0",
        "\"timeout\":1",        "\"timeout\":3600",       "\"max_attempts\":1",
        "\"max_attempts\":100", "\"min_confidence\":0",   "\"min_confidence\":1",
        "\"run_at\":0",         "\"stop_sequences\":[]",  "\"expires_at\":\"9999-12-31T23:59:59Z\"",
    };
    struct job job;

    for (size_t i = 0; i < COUNT(cases); i++) {
        expect_good(&job, cases[i]);
        job_release(&job);
    }
    (void)state;
}

static void
a_date_of_zero_is_long_past_and_not_none(void **state)
{
    struct job job;

    expect_good(&job, "\"expires_at\":0");
    assert_int_equal(job.expires_at_ms, 1);
    job_release(&job);
    (void)state;
}

static void
a_required_text_must_be_there_and_not_blank(void **state)
{
    static const char *const cases[][2] = {
        {"{\"id\":\"42\"}", "content is missing: a job of type analyze needs it"},
        {"{}", "content is missing"},
        {"{\"content\":null}", "content is missing"},
        {"{\"content\":\"\"}", "content is blank"},
        {"{\"content\":\" \\n\\t \"}", "content is blank"},
        {"{\"content\":5}", "content is 5: it must be a string"},
        {"{\"content\":false}", "content is false"},
        {"{\"content\":{}}", "content is an object"},
        {"{\"content\":[1]}", "content is an array"},
        {"{\"type\":\"chat\",\"content\":\"x\"}", "query is missing: a job of type chat needs it"},
    };
    struct job job;
    struct error err;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(read_text(&job, cases[i][0], &err), -1);
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_non_null(strstr(err.message, cases[i][1]));
        job_release(&job);
    }
    (void)state;
}

static void
odd_content_is_a_job_like_any_other(void **state)
{
    static const char *const contents[] = {
        "${jndi:ldap://x}", "{{7*7}}",     "$(id)",     "\\u0000",  "\\ud800",
        "\\udc00\\ud800",   "\\u001b[31m", "a\\u0000b", "<script>", "\xf0\x9f\x98\x80",
    };
    char text[128];
    struct job job;
    struct error err;

    for (size_t i = 0; i < COUNT(contents); i++) {
        snprintf(text, sizeof(text), "{\"content\":\"%s\"}", contents[i]);
        assert_int_equal(read_text(&job, text, &err), 0);
        job_release(&job);
    }
    (void)state;
}

struct bytes {
    const char *bytes;
    size_t len;
};
#define BYTES(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static void
what_is_no_json_object_is_refused_and_has_no_id(void **state)
{
    static const struct bytes cases[] = {
        BYTES(""),
        BYTES("   "),
        BYTES("hello"),
        BYTES("{\"id\":\"42\",\"content\":\"te"),
        BYTES("{'id':'42'}"),
        BYTES("{\"id\":\"42\",\"content\":\"x\",}"),
        BYTES("{\"a\":0x10}"),
        BYTES("{\"a\":+1}"),
        BYTES("{\"a\":\"\\x41\"}"),
        BYTES("{\"a\":\"\\u12\"}"),
        BYTES("id: 42"),
        BYTES("<job/>"),
        BYTES("*1\r\n$4\r\nPING\r\n"),
        BYTES("[[[["),
        BYTES("null"),
        BYTES("true"),
        BYTES("42"),
        BYTES("\"x\""),
        BYTES("[]"),
        BYTES("[{\"id\":\"42\",\"content\":\"x\"}]"),
        BYTES("{\"id\":\"42\",\"content\":\"x\"} x"),
        BYTES("{\"id\":\"1\"}{\"id\":\"2\"}"),
        BYTES("{\"id\":\"42\"/**/}"),
        BYTES("{\"a\":NaN}"),
        BYTES("{\"a\":-Infinity}"),
        BYTES("{\"a\":007}"),
        BYTES("{\"a\":\"x\ny\"}"),
        BYTES("\xef\xbb\xbf{\"id\":\"42\",\"content\":\"x\"}"),
        BYTES("{\0\"\0i\0d\0\"\0"),
        BYTES("\xff\xfe{\0"),
        BYTES("\x1f\x8b\x08\0\0"),
        BYTES("\x80\x04\x95"),
        BYTES("\xff\xff\xff"),
        BYTES("\0\0\0"),
        BYTES("\0{\"id\":\"42\"}"),
        BYTES("{\"id\":\"4\0002\",\"content\":\"x\"}"),
        BYTES("{\"id\":\"42\",\"content\":\"x\"}\0junk"),
        BYTES("{\"id\":\"42\",\"content\":\"\xff\"}"),
        BYTES("{\"id\":\"\xc0\xaf\",\"content\":\"x\"}"),
        BYTES("{\"id\":\"1\",\"id\":\"2\",\"content\":\"x\"}"),
        BYTES("{\"id\":\"1\",\"\\u0069d\":\"2\",\"content\":\"x\"}"),
    };
    struct job job;
    struct error err;

    for (size_t i = 0; i < COUNT(cases); i++) {
        if (read_bytes(&job, cases[i].bytes, cases[i].len, &err) == 0)
            fail_msg("accepted: %s", cases[i].bytes);
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_true(err.message[0] != '\0');
        assert_string_equal(job.id, "");
        assert_false(job.has_own_id);
        assert_null(job.type);
        assert_int_equal(job.payload_len, cases[i].len);
        assert_memory_equal(job.payload, cases[i].bytes, cases[i].len);
        job_release(&job);
    }
    (void)state;
}

static void
an_id_is_a_text_of_1_to_256_bytes_without_control_characters(void **state)
{
    static const char *const bad[] = {
        "\"\"",
        "12345",
        "12345678901234567890",
        "1.0",
        "true",
        "{}",
        "[]",
        "\"a\\nb\"",
        "\"a\\r\\nSET x y\"",
        "\"a\\u0000b\"",
        "\"\\u001b[31m\"",
        "\"a\\tb\"",
        "\"\x7f\"",
        "\"\\u007f\"",
        "\"\\u0085\"",
        "\"\xc2\x9f\"",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"\\ud800\\ud800\\udc00\"",
        "\"\\ud83dx\\ude00\"",
    };
    static const char *const good[] = {
        "\"a:b\"",
        "\"lease:other\"",
        "\"{tag}\"",
        "\"x{other}\"",
        "\"}..{\"",
        "\"*?[\"",
        "\"../../etc\"",
        "\"%n\"",
        "\"__proto__\"",
        "\" \"",
        "\"a\\\"b\"",
        "\"<b>\"",
        "\"\xe6\x97\xa5\xf0\x9f\x98\x80\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u202e\"",
        "\"e\\u0301\"",
        "\"FLUSHALL\"",
        "\"-rf\"",
        "\".\"",
        "\"\\ufffd\"",
        "\"\xc2\xa0\"",
        "\"\\\\ud800\"",
    };
    char text[128];
    struct job job;
    struct error err;

    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(text, sizeof(text), "{\"content\":\"x\",\"id\":%s}", bad[i]);
        if (read_text(&job, text, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_non_null(strstr(err.message, "id is "));
        assert_false(job.has_own_id);
        assert_string_equal(job.id, "");
        job_release(&job);
    }
    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(text, sizeof(text), "{\"content\":\"x\",\"id\":%s}", good[i]);
        if (read_text(&job, text, &err) != 0)
            fail_msg("%s: %s", good[i], err.message);
        assert_true(job.has_own_id);
        job_release(&job);
    }
    (void)state;
}

static void
an_id_is_known_by_what_it_says_and_not_by_how_it_is_written(void **state)
{
    struct job job;
    struct error err;

    assert_int_equal(read_text(&job, "{\"content\":\"x\",\"id\":\"\\u006e2\"}", &err), 0);
    assert_string_equal(job.id, "n2");
    job_release(&job);
    (void)state;
}

static void
an_id_may_have_256_bytes_and_no_more(void **state)
{
    char id[300], text[400];
    struct job job;
    struct error err;

    memset(id, 'a', sizeof(id));
    snprintf(text, sizeof(text), "{\"content\":\"x\",\"id\":\"%.256s\"}", id);
    assert_int_equal(read_text(&job, text, &err), 0);
    assert_int_equal(strlen(job.id), 256);
    job_release(&job);
    snprintf(text, sizeof(text), "{\"content\":\"x\",\"id\":\"%.257s\"}", id);
    assert_int_equal(read_text(&job, text, &err), -1);
    assert_non_null(strstr(err.message, "id is a string of 257 bytes"));
    job_release(&job);
    assert_true(job_id_is_valid(id, 256));
    assert_false(job_id_is_valid(id, 257));
    assert_false(job_id_is_valid("", 0));
    assert_false(job_id_is_valid("\xc3", 1));
    (void)state;
}

static void
a_job_with_a_wrong_field_still_tells_where_its_result_goes(void **state)
{
    struct job job;
    struct error err;

    assert_int_equal(
        read_members(&job,
                     "\"max_tokens\":-1,\"reply_to\":\"answers\",\"metadata\":{\"a\":7},"
                     "\"type\":\"chat\",\"timeout\":\"x\"",
                     &err),
        -1);
    assert_non_null(strstr(err.message, "max_tokens"));
    assert_string_equal(job.reply_to, "answers");
    assert_string_equal(job.type->name, "chat");
    assert_memory_equal(job.metadata.text, "{\"a\":7}", 7);
    job_release(&job);
    (void)state;
}

/* {"id":"42","content":"aaa..."} of exactly `len` bytes. */
static char *
job_of_size(size_t len)
{
    static const char head[] = "{\"id\":\"42\",\"content\":\"", tail[] = "\"}";
    char *text = malloc(len);

    assert_non_null(text);
    memset(text, 'a', len);
    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + len - 2, tail, 2);
    return text;
}

static void
a_job_beyond_the_limit_is_refused_by_name(void **state)
{
    static const struct job_limits limits = {.max_bytes = 1000};
    struct job job;
    struct error err;

    assert_int_equal(job_init(&job, job_of_size(1000), 1000, &limits, &err), 0);
    job_release(&job);
    assert_int_equal(job_init(&job, job_of_size(1001), 1001, &limits, &err), -1);
    assert_string_equal(err.message, "the job has 1001 bytes: at most 1000 are taken");
    assert_string_equal(job.id, "42");
    job_release(&job);
    assert_int_equal(job_init(&job, job_of_size(5000), 5000, &limits, &err), -1);
    assert_string_equal(err.message, "the job has 5000 bytes: at most 1000 are taken");
    assert_string_equal(job.id, "");
    job_release(&job);
    (void)state;
}

static void
a_body_of_brackets_is_refused_at_once(void **state)
{
    static char deep[200000];
    struct job job;
    struct error err;

    memset(deep, '[', sizeof(deep));
    assert_int_equal(read_bytes(&job, deep, sizeof(deep), &err), -1);
    assert_non_null(strstr(err.message, "nested deeper than"));
    job_release(&job);
    memcpy(deep, "{\"id\":\"42\",\"x\":", 15);
    assert_int_equal(read_bytes(&job, deep, sizeof(deep), &err), -1);
    job_release(&job);
    (void)state;
}

static void
a_body_of_many_fields_is_read(void **state)
{
    static char text[MAX_BYTES];
    size_t used = (size_t)snprintf(text, sizeof(text), "{\"content\":\"x\"");
    struct job job;
    struct error err;

    for (int i = 0; i < 50000; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, ",\"k%d\":%d", i, i);
    text[used++] = '}';
    assert_int_equal(read_bytes(&job, text, used, &err), 0);
    job_release(&job);
    (void)state;
}

static void
a_new_id_is_a_uuid_of_version_7_and_never_the_same(void **state)
{
    char one[37], two[37];

    job_new_id(one);
    job_new_id(two);
    assert_int_equal(strlen(one), 36);
    assert_int_equal(strspn(one, "0123456789abcdef-"), 36);
    assert_true(one[8] == '-' && one[13] == '-' && one[18] == '-' && one[23] == '-');
    assert_int_equal(one[14], '7');
    assert_non_null(strchr("89ab", one[19]));
    assert_string_not_equal(one, two);
    assert_memory_equal(one, two, 8); /* the time comes first: they sort by it */
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_needs_no_more_than_its_content),
        cmocka_unit_test(every_field_of_a_job_is_read),
        cmocka_unit_test(null_in_an_optional_field_counts_as_absent),
        cmocka_unit_test(unknown_fields_are_kept_and_forged_internal_ones_mean_nothing),
        cmocka_unit_test(the_tenant_falls_back_to_the_user_then_to_the_session),
        cmocka_unit_test(a_wrong_type_names_the_field_what_it_is_and_what_it_must_be),
        cmocka_unit_test(a_long_wrong_value_is_not_shown),
        cmocka_unit_test(the_first_and_the_last_value_of_each_range_are_taken),
        cmocka_unit_test(a_date_of_zero_is_long_past_and_not_none),
        cmocka_unit_test(a_required_text_must_be_there_and_not_blank),
        cmocka_unit_test(odd_content_is_a_job_like_any_other),
        cmocka_unit_test(what_is_no_json_object_is_refused_and_has_no_id),
        cmocka_unit_test(an_id_is_a_text_of_1_to_256_bytes_without_control_characters),
        cmocka_unit_test(an_id_is_known_by_what_it_says_and_not_by_how_it_is_written),
        cmocka_unit_test(an_id_may_have_256_bytes_and_no_more),
        cmocka_unit_test(a_job_with_a_wrong_field_still_tells_where_its_result_goes),
        cmocka_unit_test(a_job_beyond_the_limit_is_refused_by_name),
        cmocka_unit_test(a_body_of_brackets_is_refused_at_once),
        cmocka_unit_test(a_body_of_many_fields_is_read),
        cmocka_unit_test(a_new_id_is_a_uuid_of_version_7_and_never_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
