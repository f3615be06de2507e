#include "common/memory.h"
#include "worker/job/result.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define MODEL "anthropic.claude-3-5-sonnet-20240620-v1:0"

/* Empties `out` into a text; it must be valid JSON. The caller frees it. */
static char *
take_document(struct evbuffer *out)
{
    size_t len = evbuffer_get_length(out);
    char *text = xcalloc(1, len + 1);
    struct json_slice root;
    struct error err = {0};

    evbuffer_remove(out, text, len);
    evbuffer_free(out);
    if (json_check(text, len, &root, &err) != 0)
        fail_msg("%s: %s", err.message, text);
    return text;
}

static cJSON *
take_tree(struct evbuffer *out)
{
    char *text = take_document(out);
    cJSON *tree = cJSON_Parse(text);

    free(text);
    assert_non_null(tree);
    return tree;
}

static const cJSON *
member(const cJSON *tree, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(tree, name);

    if (found == NULL)
        fail_msg("no member %s", name);
    return found;
}

static const char *
text_of(const cJSON *tree, const char *name)
{
    return cJSON_GetStringValue(member(tree, name));
}

static const struct call calls[] = {
    {.model = MODEL,
     .outcome = OUTCOME_THROTTLED,
     .status = 429,
     .duration_ms = 41,
     .error = "ThrottlingException",
     .message = "Too many requests"},
    {.model = "b",
     .outcome = OUTCOME_OK,
     .status = 200,
     .duration_ms = 2089,
     .input_tokens = 812,
     .output_tokens = 301},
};

static void
read_job(struct job *job, const char *payload)
{
    static const struct job_limits limits = {.max_bytes = 1000};
    struct error err;

    if (job_init(job, xstrdup(payload), strlen(payload), &limits, &err) != 0)
        assert_true(job->id[0] != '\0');
}

/* A success of the second model; tests change what they are about. */
static struct result
success(const struct job *job)
{
    return (struct result){
        .state = STATE_SUCCEEDED,
        .job = job,
        .queue = "analyze",
        .worker = "host:123:9f2c",
        .attempt = 1,
        .calls = calls,
        .call_count = 2,
        .model = "b",
        .input_price = 3,
        .output_price = 15,
        .started_at_ms = 1763900000123,
        .finished_at_ms = 1763900002253,
    };
}

static void
a_success_is_printed_as_the_contract_has_it(void **state)
{
    static const char expected[] =
        "{\"id\":\"42\",\"state\":\"succeeded\",\"type\":\"analyze\",\"queue\":\"analyze\","
        "\"result\":{\"success\":true},\"model\":\"b\",\"primary\":false,\"attempt\":1,"
        "\"calls\":[{\"model\":\"" MODEL "\",\"outcome\":\"throttled\",\"status\":429,"
        "\"error\":\"ThrottlingException\",\"ms\":41},"
        "{\"model\":\"b\",\"outcome\":\"ok\",\"status\":200,\"ms\":2089}],"
        "\"usage\":{\"input_tokens\":812,\"output_tokens\":301},\"cost_usd\":0.006951,"
        "\"enqueued_at\":null,\"started_at\":1763900000.123,\"finished_at\":1763900002.253,"
        "\"worker\":\"host:123:9f2c\",\"metadata\":{}}";
    struct evbuffer *out = xevbuffer(), *output = xevbuffer();
    struct job job;
    struct result result;
    char *text;

    read_job(&job, "{\"id\":\"42\",\"content\":\"x\"}");
    evbuffer_add_printf(output, "{\"success\":true}");
    result = success(&job);
    result.output = output;
    result_print(&result, out);
    assert_int_equal(evbuffer_get_length(output), 0);
    text = take_document(out);
    assert_string_equal(text, expected);
    free(text);
    evbuffer_free(output);
    job_release(&job);
    (void)state;
}

static void
a_failure_says_its_kind_and_its_message(void **state)
{
    static const struct call unreachable = {
        .model = "m", .outcome = OUTCOME_UNREACHABLE, .error = "no \"name\""};
    struct evbuffer *out = xevbuffer();
    struct job job;
    struct result result;
    cJSON *tree;
    const cJSON *call;

    read_job(&job, "{\"id\":\"42\",\"content\":\"x\"}");
    result = success(&job);
    result.state = STATE_FAILED;
    result.calls = &unreachable;
    result.call_count = 1;
    result.model = NULL;
    result.error_kind = "unavailable";
    result.error_message = "no \"route\"\n\xff";
    result_print(&result, out);
    tree = take_tree(out);
    assert_string_equal(text_of(tree, "state"), "failed");
    assert_string_equal(text_of(member(tree, "error"), "kind"), "unavailable");
    assert_string_equal(text_of(member(tree, "error"), "message"), "no \"route\"\n\xef\xbf\xbd");
    assert_true(cJSON_IsNull(member(tree, "result")));
    assert_true(cJSON_IsNull(member(tree, "model")));
    assert_true(cJSON_IsNull(member(tree, "cost_usd")));
    assert_true(cJSON_IsFalse(member(tree, "primary")));
    assert_int_equal(member(member(tree, "usage"), "input_tokens")->valueint, 0);
    call = cJSON_GetArrayItem(member(tree, "calls"), 0);
    assert_true(cJSON_IsNull(member(call, "status")));
    assert_string_equal(text_of(call, "error"), "no \"name\"");
    cJSON_Delete(tree);
    job_release(&job);
    (void)state;
}

static void
a_model_without_a_price_has_no_cost(void **state)
{
    struct evbuffer *out = xevbuffer();
    struct job job;
    struct result result;
    cJSON *tree;

    read_job(&job, "{\"id\":\"42\",\"content\":\"x\"}");
    result = success(&job);
    result.output_price = -1;
    result_print(&result, out);
    tree = take_tree(out);
    assert_true(cJSON_IsNull(member(tree, "cost_usd")));
    assert_int_equal(member(member(tree, "usage"), "output_tokens")->valueint, 301);
    cJSON_Delete(tree);
    job_release(&job);
    (void)state;
}

static void
what_the_producer_sent_along_comes_back(void **state)
{
    struct evbuffer *out = xevbuffer();
    struct job job;
    struct result result;
    char *text;

    read_job(&job, "{\"id\":\"a\\\"b\",\"content\":\"x\",\"metadata\":{\"n\":12345678901234567890},"
                   "\"traceparent\":\"00-ab-cd-01\",\"enqueued_at\":1763900000.0004}");
    result = success(&job);
    result_print(&result, out);
    text = take_document(out);
    assert_non_null(strstr(text, "{\"id\":\"a\\\"b\","));
    assert_non_null(strstr(text, ",\"enqueued_at\":1763900000.000,"));
    assert_non_null(strstr(text, ",\"metadata\":{\"n\":12345678901234567890},"
                                 "\"traceparent\":\"00-ab-cd-01\"}"));
    free(text);
    job_release(&job);
    (void)state;
}

static void
a_bad_job_has_a_result_too(void **state)
{
    struct evbuffer *out = xevbuffer();
    struct job job;
    struct result result = {.state = STATE_FAILED,
                            .job = &job,
                            .queue = "analyze",
                            .worker = "w",
                            .error_kind = "bad_job",
                            .error_message = "type is 7"};
    cJSON *tree;

    read_job(&job, "{\"id\":\"42\",\"type\":7}");
    result_print(&result, out);
    tree = take_tree(out);
    assert_string_equal(text_of(tree, "id"), "42");
    assert_true(cJSON_IsNull(member(tree, "type")));
    assert_true(cJSON_IsNull(member(tree, "started_at")));
    assert_true(cJSON_IsNull(member(tree, "finished_at")));
    assert_int_equal(cJSON_GetArraySize(member(tree, "calls")), 0);
    assert_int_equal(member(tree, "attempt")->valueint, 0);
    cJSON_Delete(tree);
    job_release(&job);
    (void)state;
}

static void
a_running_result_begins_with_the_prefix_that_scripts_look_for(void **state)
{
    struct evbuffer *out = xevbuffer(), *prefix = xevbuffer();
    struct job job;
    struct result result;
    char *text, start[100];
    size_t len;

    read_job(&job, "{\"id\":\"4\\\"2\",\"content\":\"x\"}");
    result = success(&job);
    result.state = STATE_RUNNING;
    result.finished_at_ms = 0;
    result_print(&result, out);
    result_put_running_prefix(job.id, prefix);
    text = take_document(out);
    len = (size_t)evbuffer_remove(prefix, start, sizeof(start));
    assert_memory_equal(text, start, len);
    assert_memory_equal(start, "{\"id\":\"4\\\"2\",\"state\":\"running\"", len);
    assert_non_null(strstr(text, "\"finished_at\":null"));
    free(text);
    evbuffer_free(prefix);
    job_release(&job);
    (void)state;
}

/* Decoding adds zeros for the padding, so the last bytes are compared up to len only. */
static void
expect_payload(const cJSON *letter, const unsigned char *bytes, size_t len)
{
    const char *text = text_of(letter, "payload_base64");
    unsigned char *decoded = xcalloc(1, strlen(text) + 1);

    assert_int_equal(strlen(text), (len + 2) / 3 * 4);
    EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)strlen(text));
    assert_memory_equal(decoded, bytes, len);
    free(decoded);
}

static void
a_dead_letter_keeps_its_payload_byte_for_byte(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 256, 3071, 3072, 3073, 3074, 100000};
    unsigned char *payload = xcalloc(1, 100000);

    for (size_t i = 0; i < 100000; i++)
        payload[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct evbuffer *out = xevbuffer();
        struct dead_letter letter = {.id = "",
                                     .queue = "analyze",
                                     .kind = "bad_job",
                                     .message = "m",
                                     .worker = "w",
                                     .payload = (char *)payload,
                                     .payload_len = sizes[i]};
        cJSON *tree;

        dead_letter_print(&letter, out);
        tree = take_tree(out);
        expect_payload(tree, payload, sizes[i]);
        assert_true(cJSON_IsNull(member(tree, "id")));
        cJSON_Delete(tree);
    }
    free(payload);
    (void)state;
}

static void
a_dead_letter_is_printed_as_the_contract_has_it(void **state)
{
    struct dead_letter letter = {.id = "42",
                                 .queue = "analyze",
                                 .kind = "rejected",
                                 .message = "too long",
                                 .worker = "w",
                                 .attempt = 2,
                                 .at_ms = 1763900000007,
                                 .payload = "{}",
                                 .payload_len = 2};
    struct evbuffer *out = xevbuffer();
    char *text;

    dead_letter_print(&letter, out);
    text = take_document(out);
    assert_string_equal(text, "{\"id\":\"42\",\"queue\":\"analyze\",\"kind\":\"rejected\","
                              "\"message\":\"too long\",\"at\":1763900000.007,\"worker\":\"w\","
                              "\"attempt\":2,\"payload_base64\":\"e30=\"}");
    free(text);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_is_printed_as_the_contract_has_it),
        cmocka_unit_test(a_failure_says_its_kind_and_its_message),
        cmocka_unit_test(a_model_without_a_price_has_no_cost),
        cmocka_unit_test(what_the_producer_sent_along_comes_back),
        cmocka_unit_test(a_bad_job_has_a_result_too),
        cmocka_unit_test(a_running_result_begins_with_the_prefix_that_scripts_look_for),
        cmocka_unit_test(a_dead_letter_keeps_its_payload_byte_for_byte),
        cmocka_unit_test(a_dead_letter_is_printed_as_the_contract_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
