#include "common/aws/aws_sign.h"
#include "tests/support/bedrock_bench.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The body that is sent for this job (cJSON_Delete). */
static cJSON *
body_of(const char *payload, const struct job_type *type)
{
    struct bedrock_bench bench = bedrock_bench_with_keys();
    struct job job = bedrock_bench_job(payload, type);
    struct provider_request request;
    struct error err = {0};
    cJSON *body;

    assert_int_equal(
        bench.provider.build(bench.bedrock, &(struct model){.id = "m"}, &job, &request, &err), 0);
    body = cJSON_ParseWithLength(request.http.body, request.http.body_len);
    assert_non_null(body);
    provider_request_release(&request);
    job_release(&job);
    bedrock_bench_close(&bench);
    return body;
}

static void
expect_member(const cJSON *object, const char *name, const char *json)
{
    cJSON *expected = cJSON_Parse(json), *actual = cJSON_GetObjectItemCaseSensitive(object, name);

    if (json[0] == '\0')
        assert_null(actual);
    else
        assert_true(cJSON_Compare(actual, expected, true));
    cJSON_Delete(expected);
}

static void
what_a_job_does_not_set_is_not_sent_but_for_max_tokens(void **state)
{
    static const struct {
        const char *payload;
        const struct job_type *type;
        const char *config;
    } cases[] = {
        {"{\"content\":\"x\"}", &bench_plain_type, "{\"maxTokens\":77}"},
        {"{\"content\":\"x\"}", &bench_warm_type, "{\"maxTokens\":77,\"temperature\":0.25}"},
        {"{\"content\":\"x\",\"temperature\":1}", &bench_warm_type,
         "{\"maxTokens\":77,\"temperature\":1}"},
        /* the newest models refuse both together: the type's own gives way */
        {"{\"content\":\"x\",\"top_p\":0.9}", &bench_warm_type, "{\"maxTokens\":77,\"topP\":0.9}"},
        {"{\"content\":\"x\",\"top_p\":0.9,\"temperature\":0.5,\"max_tokens\":512,"
         "\"stop_sequences\":[\"END\",\"\\n\\n\"]}",
         &bench_warm_type,
         "{\"maxTokens\":512,\"temperature\":0.5,\"topP\":0.9,"
         "\"stopSequences\":[\"END\",\"\\n\\n\"]}"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *body = body_of(cases[i].payload, cases[i].type);

        expect_member(body, "inferenceConfig", cases[i].config);
        expect_member(body, "system",
                      cases[i].type == &bench_warm_type ? "[{\"text\":\"You are terse.\"}]" : "");
        expect_member(body, "messages", "[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]");
        cJSON_Delete(body);
    }
    (void)state;
}

static cJSON *
golden_case(const cJSON *golden, const char *name)
{
    cJSON *each;

    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(
                                 golden, "cases")) if (strcmp(golden_text(each, "name"), name) ==
                                                       0) return each;
    fail_msg("no golden case %s", name);
    return NULL;
}

static const cJSON *
sent_by_sdk(const cJSON *golden, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(golden_case(golden, name), "request"), "body_json");
}

static void
a_prompt_is_sent_as_the_sdk_sends_it(void **state)
{
    static const char *const names[] = {"converse_plain_id", "converse_unicode_payload"};
    cJSON *golden = golden_load("bedrock_requests.json");

    for (size_t i = 0; i < COUNT(names); i++) {
        const cJSON *sdk = sent_by_sdk(golden, names[i]);
        const cJSON *messages = cJSON_GetObjectItemCaseSensitive(sdk, "messages");
        const cJSON *content =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(messages, 0), "content");
        cJSON *payload = cJSON_CreateObject(), *body;
        char *text;

        cJSON_AddStringToObject(payload, "content",
                                golden_text(cJSON_GetArrayItem(content, 0), "text"));
        text = cJSON_PrintUnformatted(payload);
        body = body_of(text, &bench_plain_type);
        assert_true(
            cJSON_Compare(cJSON_GetObjectItemCaseSensitive(body, "messages"), messages, true));
        cJSON_Delete(body);
        cJSON_free(text);
        cJSON_Delete(payload);
    }
    cJSON_Delete(golden);
    (void)state;
}

static void
parameters_and_system_prompt_are_sent_as_the_sdk_sends_them(void **state)
{
    cJSON *golden = golden_load("bedrock_requests.json");
    const cJSON *sdk = sent_by_sdk(golden, "converse_all_options");
    cJSON *body = body_of("{\"content\":\"x\",\"max_tokens\":512,\"temperature\":0.5,"
                          "\"top_p\":0.9,\"stop_sequences\":[\"END\",\"\\n\\n\"]}",
                          &bench_warm_type);

    assert_true(cJSON_Compare(cJSON_GetObjectItemCaseSensitive(body, "inferenceConfig"),
                              cJSON_GetObjectItemCaseSensitive(sdk, "inferenceConfig"), true));
    assert_true(cJSON_Compare(cJSON_GetObjectItemCaseSensitive(body, "system"),
                              cJSON_GetObjectItemCaseSensitive(sdk, "system"), true));
    cJSON_Delete(body);
    cJSON_Delete(golden);
    (void)state;
}

/* The environment in which our worker makes the call that the SDK made. */
static cJSON *
environment_of(const cJSON *golden)
{
    static const char *const names[][2] = {
        {"region", "AWS_REGION"},
        {"endpoint_url", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"},
        {"access_key", "AWS_ACCESS_KEY_ID"},
        {"secret_key", "AWS_SECRET_ACCESS_KEY"},
        {"session_token", "AWS_SESSION_TOKEN"},
    };
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(golden, "inputs"), *given;
    cJSON *env = cJSON_CreateObject();

    for (size_t i = 0; i < COUNT(names); i++)
        if (golden_text(inputs, names[i][0]) != NULL)
            cJSON_AddStringToObject(env, names[i][1], golden_text(inputs, names[i][0]));
    cJSON_ArrayForEach(given, cJSON_GetObjectItemCaseSensitive(inputs, "env"))
    {
        cJSON_DeleteItemFromObjectCaseSensitive(env, given->string);
        cJSON_AddStringToObject(env, given->string, cJSON_GetStringValue(given));
    }
    if (strcmp(golden_text(golden, "name"), "converse_gov_fips") == 0)
        cJSON_AddStringToObject(env, "AWS_USE_FIPS_ENDPOINT", "true"); /* a parameter there */
    return env;
}

/* What was signed must be what curl will send: this host, this path, this body. */
static void
expect_signed(const struct provider_request *request, const cJSON *golden)
{
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(golden, "inputs");
    const cJSON *sent = cJSON_GetObjectItemCaseSensitive(golden, "request");
    struct aws_header headers[] = {{"Host", golden_text(sent, "host")},
                                   {"Content-Type", "application/json"}};
    struct aws_sign_request what = {.method = "POST",
                                    .path = golden_text(sent, "wire_path"),
                                    .headers = headers,
                                    .header_count = COUNT(headers),
                                    .body = request->http.body,
                                    .body_len = request->http.body_len};
    struct aws_sign_scope who = {.access_key = golden_text(inputs, "access_key"),
                                 .secret_key = golden_text(inputs, "secret_key"),
                                 .session_token = golden_text(inputs, "session_token"),
                                 .region = golden_text(inputs, "region"),
                                 .service = "bedrock"};
    struct aws_sign_cache cache = {0};
    struct aws_signature signature;
    struct error err;

    assert_int_equal(aws_sign(&what, &who,
                              bedrock_bench_date_ms(bedrock_bench_header(request, "X-Amz-Date: ")),
                              &cache, &signature, NULL, &err),
                     0);
    assert_string_equal(bedrock_bench_header(request, "Authorization: "), signature.authorization);
    if (who.session_token != NULL)
        assert_string_equal(bedrock_bench_header(request, "X-Amz-Security-Token: "),
                            who.session_token);
    else
        assert_null(bedrock_bench_header(request, "X-Amz-Security-Token: "));
}

static void
check_request(const cJSON *golden)
{
    struct bedrock_bench bench = {.env = environment_of(golden)};
    const cJSON *sent = cJSON_GetObjectItemCaseSensitive(golden, "request");
    struct job job = bedrock_bench_job("{\"content\":\"Hello\"}", &bench_plain_type);
    struct provider_request request;
    struct error err = {0};
    char url[1024];

    bedrock_bench_open(&bench);
    assert_int_equal(
        bench.provider.build(
            bench.bedrock,
            &(struct model){
                .id = golden_text(cJSON_GetObjectItemCaseSensitive(golden, "inputs"), "modelId")},
            &job, &request, &err),
        0);
    snprintf(url, sizeof(url), "%s://%s%s", golden_text(sent, "scheme"), golden_text(sent, "host"),
             golden_text(sent, "wire_path"));
    assert_string_equal(request.http.url, url);
    assert_string_equal(request.http.method, "POST");
    assert_string_equal(bedrock_bench_header(&request, "Content-Type: "), "application/json");
    if (golden_text(golden, "authorization") != NULL) {
        assert_string_equal(bedrock_bench_header(&request, "Authorization: "),
                            golden_text(golden, "authorization"));
        assert_null(bedrock_bench_header(&request, "X-Amz-Date: "));
    } else {
        expect_signed(&request, golden);
    }
    provider_request_release(&request);
    job_release(&job);
    bedrock_bench_close(&bench);
}

static void
every_converse_call_goes_where_the_sdk_sends_it_and_is_signed_for_that(void **state)
{
    /* other operations; the worker uses Converse alone */
    static const char *const other[] = {"converse_stream", "invoke_model", "count_tokens", NULL};
    cJSON *golden = golden_load("bedrock_requests.json");
    const cJSON *each;
    int checked = 0;

    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(golden, "cases"))
    {
        if (golden_is_one_of(golden_text(each, "name"), other))
            continue;
        check_request(each);
        checked++;
    }
    assert_int_equal(checked, 21);
    cJSON_Delete(golden);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_job_does_not_set_is_not_sent_but_for_max_tokens),
        cmocka_unit_test(a_prompt_is_sent_as_the_sdk_sends_it),
        cmocka_unit_test(parameters_and_system_prompt_are_sent_as_the_sdk_sends_them),
        cmocka_unit_test(every_converse_call_goes_where_the_sdk_sends_it_and_is_signed_for_that),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
