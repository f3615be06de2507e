#include "common/aws_sign.h"
#include "common/clock.h"
#include "common/http_answer.h"
#include "tests/support/golden.h"
#include "worker/provider/bedrock.h"
#include "worker/provider/bedrock_answer.h"
#include "worker/provider/retry_after.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ACCESS_KEY "AKIDEXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/* The program's clocks run this much ahead: ten seconds pass without waiting. */
static time_t ahead_s;

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += ahead_s;
    return result;
}

/* ---- a Bedrock of our own ---- */

struct fixture {
    cJSON *env;
    struct bedrock *bedrock;
    struct provider provider;
};

static void
fixture_open(struct fixture *fixture)
{
    struct error err = {0};

    fixture->bedrock = bedrock_new(golden_getenv, fixture->env, &err);
    if (fixture->bedrock == NULL)
        fail_msg("%s", err.message);
    fixture->provider = bedrock_provider(fixture->bedrock);
}

static cJSON *
environment(const char *region)
{
    cJSON *env = cJSON_CreateObject();

    if (region != NULL)
        cJSON_AddStringToObject(env, "AWS_REGION", region);
    return env;
}

static void
add_keys(cJSON *env)
{
    cJSON_AddStringToObject(env, "AWS_ACCESS_KEY_ID", ACCESS_KEY);
    cJSON_AddStringToObject(env, "AWS_SECRET_ACCESS_KEY", SECRET_KEY);
}

static struct fixture
with_keys(void)
{
    struct fixture fixture = {.env = environment("us-east-1")};

    add_keys(fixture.env);
    fixture_open(&fixture);
    return fixture;
}

static void
fixture_close(struct fixture *fixture)
{
    bedrock_free(fixture->bedrock);
    cJSON_Delete(fixture->env);
}

/* ---- requests ---- */

static const struct job_type plain_type = {
    .name = "plain", .prompt = "{{content}}", .max_tokens = 77, .temperature = -1};
static const struct job_type warm_type = {.name = "warm",
                                          .system = "You are terse.",
                                          .prompt = "{{content}}",
                                          .max_tokens = 77,
                                          .temperature = 0.25};

static struct job
job_of(const char *payload, const struct job_type *type)
{
    struct job_limits limits = {.max_bytes = 1 << 20};
    struct error err = {0};
    struct job job;

    if (job_init(&job, strdup(payload), strlen(payload), &limits, &err) < 0)
        fail_msg("%s", err.message);
    job.type = type;
    return job;
}

static const char *
header_line(const struct provider_request *request, const char *prefix)
{
    for (int i = 0; request->http.headers[i] != NULL; i++)
        if (strncmp(request->http.headers[i], prefix, strlen(prefix)) == 0)
            return request->http.headers[i] + strlen(prefix);
    return NULL;
}

/* The body that is sent for this job (cJSON_Delete). */
static cJSON *
body_of(const char *payload, const struct job_type *type)
{
    struct fixture fixture = with_keys();
    struct job job = job_of(payload, type);
    struct provider_request request;
    struct error err = {0};
    cJSON *body;

    assert_int_equal(fixture.provider.build(fixture.bedrock, "m", &job, &request, &err), 0);
    body = cJSON_ParseWithLength(request.http.body, request.http.body_len);
    assert_non_null(body);
    provider_request_release(&request);
    job_release(&job);
    fixture_close(&fixture);
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
        {"{\"content\":\"x\"}", &plain_type, "{\"maxTokens\":77}"},
        {"{\"content\":\"x\"}", &warm_type, "{\"maxTokens\":77,\"temperature\":0.25}"},
        {"{\"content\":\"x\",\"temperature\":1}", &warm_type,
         "{\"maxTokens\":77,\"temperature\":1}"},
        /* the newest models refuse both together: the type's own gives way */
        {"{\"content\":\"x\",\"top_p\":0.9}", &warm_type, "{\"maxTokens\":77,\"topP\":0.9}"},
        {"{\"content\":\"x\",\"top_p\":0.9,\"temperature\":0.5,\"max_tokens\":512,"
         "\"stop_sequences\":[\"END\",\"\\n\\n\"]}",
         &warm_type,
         "{\"maxTokens\":512,\"temperature\":0.5,\"topP\":0.9,"
         "\"stopSequences\":[\"END\",\"\\n\\n\"]}"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *body = body_of(cases[i].payload, cases[i].type);

        expect_member(body, "inferenceConfig", cases[i].config);
        expect_member(body, "system",
                      cases[i].type == &warm_type ? "[{\"text\":\"You are terse.\"}]" : "");
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
        body = body_of(text, &plain_type);
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
                          &warm_type);

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

static int64_t
amz_date_ms(const char *text)
{
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y%m%dT%H%M%SZ", &tm));
    return (int64_t)timegm(&tm) * 1000;
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

    assert_int_equal(aws_sign(&what, &who, amz_date_ms(header_line(request, "X-Amz-Date: ")),
                              &cache, &signature, NULL, &err),
                     0);
    assert_string_equal(header_line(request, "Authorization: "), signature.authorization);
    if (who.session_token != NULL)
        assert_string_equal(header_line(request, "X-Amz-Security-Token: "), who.session_token);
    else
        assert_null(header_line(request, "X-Amz-Security-Token: "));
}

static void
check_request(const cJSON *golden)
{
    struct fixture fixture = {.env = environment_of(golden)};
    const cJSON *sent = cJSON_GetObjectItemCaseSensitive(golden, "request");
    struct job job = job_of("{\"content\":\"Hello\"}", &plain_type);
    struct provider_request request;
    struct error err = {0};
    char url[1024];

    fixture_open(&fixture);
    assert_int_equal(fixture.provider.build(
                         fixture.bedrock,
                         golden_text(cJSON_GetObjectItemCaseSensitive(golden, "inputs"), "modelId"),
                         &job, &request, &err),
                     0);
    snprintf(url, sizeof(url), "%s://%s%s", golden_text(sent, "scheme"), golden_text(sent, "host"),
             golden_text(sent, "wire_path"));
    assert_string_equal(request.http.url, url);
    assert_string_equal(request.http.method, "POST");
    assert_string_equal(header_line(&request, "Content-Type: "), "application/json");
    if (golden_text(golden, "authorization") != NULL) {
        assert_string_equal(header_line(&request, "Authorization: "),
                            golden_text(golden, "authorization"));
        assert_null(header_line(&request, "X-Amz-Date: "));
    } else {
        expect_signed(&request, golden);
    }
    provider_request_release(&request);
    job_release(&job);
    fixture_close(&fixture);
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

/* ---- answers ---- */

struct reply {
    int status;
    const char *headers; /* lines */
    const char *body;
    int64_t sent_ms;
    int64_t took_ms;
};

/* Lets the provider read it; returns whether it wants the call repeated. */
static bool
read_reply(struct fixture *fixture, const struct reply *reply, bool is_retry, struct call *call,
           struct evbuffer *text)
{
    struct http_answer answer = {0};
    const char *line = reply->headers;
    struct http_response response = {
        .status = reply->status,
        .body = reply->body,
        .body_len = strlen(reply->body),
        .sent_wall_ms = reply->sent_ms,
        .received_wall_ms = reply->sent_ms + reply->took_ms,
    };
    bool again;

    for (size_t len; line != NULL && *line != '\0'; line += len + (line[len] == '\n')) {
        len = strcspn(line, "\n");
        assert_true(http_answer_add_header(&answer, line, len));
    }
    response.headers = &answer.headers;
    memset(call, 0, sizeof(*call));
    again = fixture->provider.read(fixture->bedrock, &response, NULL, is_retry, call, text);
    http_answer_release(&answer);
    return again;
}

/* Reads one reply alone. */
static struct call
call_of(int status, const char *headers, const char *body)
{
    struct fixture fixture = with_keys();
    struct reply reply = {.status = status, .headers = headers, .body = body};
    struct evbuffer *text = evbuffer_new();
    struct call call;

    read_reply(&fixture, &reply, false, &call, text);
    assert_int_equal(call.status, status);
    evbuffer_free(text);
    fixture_close(&fixture);
    return call;
}

/* [name, value] pairs as lines (free). */
static char *
header_lines(const cJSON *headers)
{
    char *lines = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&lines, &size);
    const cJSON *header;

    assert_non_null(stream);
    cJSON_ArrayForEach(header, headers)
        fprintf(stream, "%s: %s\n", cJSON_GetStringValue(cJSON_GetArrayItem(header, 0)),
                cJSON_GetStringValue(cJSON_GetArrayItem(header, 1)));
    fclose(stream);
    return lines;
}

static const struct {
    const char *name;
    enum outcome outcome;
} successes[] = {
    {"text", OUTCOME_OK},
    {"cache_tokens_and_tier", OUTCOME_OK},
    {"tool_use", OUTCOME_OK},
    {"reasoning_then_text", OUTCOME_OK},
    {"max_tokens_truncated", OUTCOME_BAD_OUTPUT},
    {"empty_content", OUTCOME_BAD_OUTPUT},
    {"guardrail_intervened", OUTCOME_REJECTED},
    {"unknown_members_and_stop_reason", OUTCOME_OK},
};

static double
usage_of(const cJSON *golden, const char *name)
{
    const cJSON *parsed = cJSON_GetObjectItemCaseSensitive(golden, "sdk_parsed");

    return cJSON_GetNumberValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(parsed, "usage"), name));
}

static void
check_success(struct fixture *fixture, const cJSON *golden, enum outcome expected)
{
    char *headers = header_lines(cJSON_GetObjectItemCaseSensitive(golden, "headers"));
    struct reply reply = {
        .status = 200, .headers = headers, .body = golden_text(golden, "body_utf8")};
    struct evbuffer *text = evbuffer_new();
    struct call call;

    assert_false(read_reply(fixture, &reply, false, &call, text));
    assert_int_equal(call.outcome, expected);
    assert_string_equal(call.request_id, "0f1e2d3c-0000-4000-8000-000000000001");
    assert_int_equal(call.input_tokens, (int64_t)usage_of(golden, "inputTokens"));
    assert_int_equal(call.output_tokens, (int64_t)usage_of(golden, "outputTokens"));
    evbuffer_add(text, "", 1);
    assert_string_equal(evbuffer_pullup(text, -1),
                        expected == OUTCOME_OK ? golden_text(golden, "joined_text") : "");
    assert_int_equal(call.message[0] == '\0', expected == OUTCOME_OK);
    evbuffer_free(text);
    free(headers);
}

static void
every_recorded_answer_is_read_as_text_or_as_what_is_wrong_with_it(void **state)
{
    cJSON *golden = golden_load("bedrock_responses.json");
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(golden, "success");
    struct fixture fixture = with_keys();

    assert_int_equal(cJSON_GetArraySize(all), COUNT(successes));
    for (size_t i = 0; i < COUNT(successes); i++) {
        const cJSON *each = cJSON_GetArrayItem(all, (int)i);

        assert_string_equal(golden_text(each, "name"), successes[i].name);
        check_success(&fixture, each, successes[i].outcome);
    }
    fixture_close(&fixture);
    cJSON_Delete(golden);
    (void)state;
}

static const struct action {
    const char *name;
    enum outcome outcome;
    bool is_repeated;
    int64_t retry_after_ms;
} actions[] = {
    {"throttle", OUTCOME_THROTTLED, false, 0},
    {"throttle_long", OUTCOME_THROTTLED, false, 300000},
    {"model_warming", OUTCOME_TRANSIENT, false, 0},
    {"transient", OUTCOME_TRANSIENT, false, 0},
    {"model_fault", OUTCOME_TRANSIENT, false, 0},
    {"model_fault_config", OUTCOME_MODEL_CONFIG, false, 0},
    {"model_access", OUTCOME_MODEL_CONFIG, false, 0},
    {"model_specific", OUTCOME_UNSUITED, false, 0},
    {"caller_fault", OUTCOME_REJECTED, false, 0},
    {"auth", OUTCOME_AUTH, false, 0},
    {"auth_or_endpoint", OUTCOME_AUTH, false, 0},
    {"auth_refresh_once", OUTCOME_AUTH, true, 0},
    {"clock_skew", OUTCOME_AUTH, true, 0},
};

static const struct action *
action_of(const cJSON *golden)
{
    for (size_t i = 0; i < COUNT(actions); i++)
        if (strcmp(golden_text(golden, "worker_action"), actions[i].name) == 0)
            return &actions[i];
    fail_msg("no outcome for the action of %s", golden_text(golden, "name"));
    return NULL;
}

static void
check_error(const cJSON *golden)
{
    const struct action *action = action_of(golden);
    const cJSON *sdk = cJSON_GetObjectItemCaseSensitive(golden, "sdk");
    char *headers = header_lines(cJSON_GetObjectItemCaseSensitive(golden, "headers"));
    struct reply reply = {
        .status = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(golden, "status")),
        .headers = headers,
        .body = golden_text(golden, "body_utf8"),
        .sent_ms = 1768478400000, /* 2026-01-15T12:00:00Z, as the SDK's clock stood */
    };
    struct fixture fixture = with_keys();
    struct evbuffer *text = evbuffer_new();

    for (int is_retry = 0; is_retry < 2; is_retry++) {
        struct call call;
        bool again = read_reply(&fixture, &reply, is_retry, &call, text);

        if (call.outcome != action->outcome || again != (action->is_repeated && !is_retry))
            fail_msg("%s: %s", golden_text(golden, "name"), outcome_name(call.outcome));
        assert_int_equal(call.retry_after_ms, action->retry_after_ms);
        assert_true(call.error[0] != '\0' && call.message[0] != '\0');
        if (golden_text(sdk, "code") != NULL && strcspn(golden_text(sdk, "code"), "0123456789") > 0)
            assert_string_equal(call.error, golden_text(sdk, "code"));
    }
    assert_int_equal(evbuffer_get_length(text), 0);
    evbuffer_free(text);
    fixture_close(&fixture);
    free(headers);
}

static void
every_recorded_error_has_its_outcome_and_is_repeated_at_most_once(void **state)
{
    cJSON *golden = golden_load("bedrock_responses.json");
    const cJSON *each, *all = cJSON_GetObjectItemCaseSensitive(golden, "errors");

    cJSON_ArrayForEach(each, all) check_error(each);
    assert_int_equal(cJSON_GetArraySize(all), 45);
    cJSON_Delete(golden);
    (void)state;
}

static void
an_answer_without_a_code_is_judged_by_its_status(void **state)
{
    static const struct {
        int status;
        enum outcome outcome;
    } cases[] = {
        {204, OUTCOME_TRANSIENT},    {301, OUTCOME_TRANSIENT}, {307, OUTCOME_TRANSIENT},
        {400, OUTCOME_REJECTED},     {401, OUTCOME_AUTH},      {403, OUTCOME_AUTH},
        {404, OUTCOME_MODEL_CONFIG}, {405, OUTCOME_REJECTED},  {408, OUTCOME_TRANSIENT},
        {413, OUTCOME_REJECTED},     {424, OUTCOME_TRANSIENT}, {429, OUTCOME_THROTTLED},
        {500, OUTCOME_TRANSIENT},    {502, OUTCOME_TRANSIENT}, {503, OUTCOME_TRANSIENT},
        {599, OUTCOME_TRANSIENT},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call = call_of(cases[i].status, NULL, "<html>");
        char code[64];

        snprintf(code, sizeof(code), "http_%d", cases[i].status);
        assert_int_equal(call.outcome, cases[i].outcome);
        assert_string_equal(call.error, code);
        assert_true(call.message[0] != '\0');
    }
    assert_non_null(strstr(call_of(302, "Location: https://evil\n", "").message, "redirect"));
    (void)state;
}

static void
messages_are_known_in_either_case_and_with_either_apostrophe(void **state)
{
    static const struct {
        int status;
        const char *code, *message;
        enum outcome outcome;
    } cases[] = {
        {400, "ValidationException", "ON-DEMAND THROUGHPUT isn't supported", OUTCOME_MODEL_CONFIG},
        {400, "ValidationException", "This model doesn\xe2\x80\x99t support tool use",
         OUTCOME_UNSUITED},
        {400, "ValidationException", "This model does not support images", OUTCOME_UNSUITED},
        {400, "ValidationException", "something new", OUTCOME_REJECTED},
        {403, "AccessDeniedException", "Bearer Token has expired", OUTCOME_AUTH},
        {403, "AccessDeniedException", "something new", OUTCOME_MODEL_CONFIG},
        {403, "SomethingNewException", "x", OUTCOME_AUTH},
        {503, "SlowDown", "Too many connections", OUTCOME_THROTTLED},
        {400, "ns#ThrottlingException", "x", OUTCOME_THROTTLED},
        {429, "ThrottlingException:http://h/#ValidationException", "x", OUTCOME_THROTTLED},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char header[200], body[200];

        snprintf(header, sizeof(header), "x-amzn-ErrorType: %s\n", cases[i].code);
        snprintf(body, sizeof(body), "{\"message\":\"%s\"}", cases[i].message);
        assert_int_equal(call_of(cases[i].status, header, body).outcome, cases[i].outcome);
    }
    (void)state;
}

static void
a_status_200_that_is_no_converse_answer_may_work_later(void **state)
{
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"output\":{}}",
        "{\"output\":{\"message\":null}}",
        "{\"output\":{\"message\":{\"content\":{}}}}",
        "{\"output\":{\"message\":{\"content\":[]}}",
        "{\"output\":{\"message\":{\"content\":[{\"text\":\"\xff\"}]}}}",
        "<html>",
    };

    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct call call = call_of(200, NULL, bodies[i]);

        assert_int_equal(call.outcome, OUTCOME_TRANSIENT);
        assert_true(call.error[0] != '\0' && call.message[0] != '\0');
    }
    (void)state;
}

static void
a_stop_that_spoils_the_answer_is_told(void **state)
{
    static const struct {
        const char *reason;
        enum outcome outcome;
    } cases[] = {
        {"end_turn", OUTCOME_OK},
        {"some_future_reason", OUTCOME_OK},
        {"max_tokens", OUTCOME_BAD_OUTPUT},
        {"model_context_window_exceeded", OUTCOME_BAD_OUTPUT},
        {"malformed_model_output", OUTCOME_BAD_OUTPUT},
        {"malformed_tool_use", OUTCOME_BAD_OUTPUT},
        {"guardrail_intervened", OUTCOME_REJECTED},
        {"content_filtered", OUTCOME_REJECTED},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[300];

        snprintf(body, sizeof(body),
                 "{\"output\":{\"message\":{\"content\":[{\"text\":\"x\"}]}},\"stopReason\":\"%s\","
                 "\"usage\":{\"inputTokens\":-1,\"outputTokens\":\"7\"}}",
                 cases[i].reason);
        assert_int_equal(call_of(200, NULL, body).outcome, cases[i].outcome);
        assert_int_equal(call_of(200, NULL, body).input_tokens, 0);
    }
    (void)state;
}

static void
a_call_that_got_no_answer_says_why(void **state)
{
    static const struct {
        enum error_kind kind;
        enum outcome outcome;
    } cases[] = {
        {ERROR_UNREACHABLE, OUTCOME_UNREACHABLE}, {ERROR_TIMEOUT, OUTCOME_TIMEOUT},
        {ERROR_LOST, OUTCOME_TRANSIENT},          {ERROR_TOO_LARGE, OUTCOME_TRANSIENT},
        {ERROR_INTERNAL, OUTCOME_TRANSIENT},
    };
    struct fixture fixture = with_keys();

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call call = {0};
        struct error error;

        error_set(&error, cases[i].kind, "because");
        assert_false(fixture.provider.read(fixture.bedrock, NULL, &error, false, &call, NULL));
        assert_int_equal(call.outcome, cases[i].outcome);
        assert_int_equal(call.status, 0);
        assert_string_equal(call.error, error_kind_name(cases[i].kind));
        assert_string_equal(call.message, "because");
    }
    fixture_close(&fixture);
    (void)state;
}

static void
a_wait_that_was_asked_for_is_read_in_every_form_and_bounded(void **state)
{
    static const int64_t now_ms = 1768478400000; /* Thu, 15 Jan 2026 12:00:00 GMT */
    static const struct {
        const char *standard, *amz;
        int64_t wait_ms;
    } cases[] = {
        {NULL, NULL, 0},
        {"7", NULL, 7000},
        {"0.5", NULL, 500},
        {NULL, "1500", 1500},
        {"1", "1500", 1500},
        {"2", "1500", 2000},
        {"Thu, 15 Jan 2026 12:01:00 GMT", NULL, 60000},
        {"Thu, 15 Jan 2026 11:00:00 GMT", NULL, 0},
        {"Tue, 15 Jan 2036 12:00:00 GMT", NULL, RETRY_AFTER_MAX_MS},
        {"99999999999999999999", "99999999999999999999", RETRY_AFTER_MAX_MS},
        {"-1", "-1", 0},
        {"nan", "inf", 0},
        {"", "soon", 0},
        {"0x10", "1e9", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(retry_after_ms(cases[i].standard, cases[i].amz, now_ms), cases[i].wait_ms);
    assert_int_equal(call_of(429, "Retry-After: 9\n", "").retry_after_ms, 9000);
    assert_int_equal(call_of(429, "x-amzn-ErrorType: ThrottlingException\nRetry-After: 9\n",
                             "{\"message\":\"Too many tokens per day\"}")
                         .retry_after_ms,
                     BEDROCK_LONG_THROTTLE_MS);
    (void)state;
}

/* ---- who we are ---- */

static void
a_key_that_the_provider_echoes_is_hidden_also_where_the_message_is_cut(void **state)
{
    char body[400], blanks[240];

    memset(blanks, ' ', sizeof(blanks) - 1);
    blanks[sizeof(blanks) - 1] = '\0';
    snprintf(body, sizeof(body), "{\"message\":\"key %s and %s\"}", ACCESS_KEY, SECRET_KEY);
    assert_string_equal(call_of(401, NULL, body).message,
                        "key *********** and ****************************************");
    snprintf(body, sizeof(body), "{\"message\":\"%s%s\"}", blanks, SECRET_KEY);
    assert_null(strstr(call_of(401, NULL, body).message, "wJal"));
    (void)state;
}

static bool
is_signed_by(struct fixture *fixture, const char *access_key)
{
    struct job job = job_of("{\"content\":\"x\"}", &plain_type);
    struct provider_request request;
    struct error err = {0};
    bool is_so = false;

    if (fixture->provider.build(fixture->bedrock, "m", &job, &request, &err) == 0)
        is_so = strstr(header_line(&request, "Authorization: "), access_key) != NULL;
    else
        assert_int_equal(err.kind, ERROR_CONFIG);
    provider_request_release(&request);
    job_release(&job);
    return is_so;
}

static void
expired_credentials_are_read_again_at_most_every_ten_seconds(void **state)
{
    static const struct reply expired = {
        .status = 403,
        .headers = "x-amzn-ErrorType: ExpiredTokenException\n",
        .body = "{\"message\":\"expired\"}",
    };
    struct fixture fixture = with_keys();
    struct call call;

    cJSON_DeleteItemFromObjectCaseSensitive(fixture.env, "AWS_ACCESS_KEY_ID");
    cJSON_AddStringToObject(fixture.env, "AWS_ACCESS_KEY_ID", "AKSECOND");
    assert_true(read_reply(&fixture, &expired, false, &call, NULL));
    assert_true(is_signed_by(&fixture, ACCESS_KEY));
    ahead_s += 11;
    assert_false(read_reply(&fixture, &expired, true, &call, NULL));
    assert_true(is_signed_by(&fixture, ACCESS_KEY));
    assert_true(read_reply(&fixture, &expired, false, &call, NULL));
    assert_true(is_signed_by(&fixture, "AKSECOND"));
    fixture_close(&fixture);
    (void)state;
}

static void
settings_that_went_wrong_leave_those_that_worked(void **state)
{
    static const struct reply expired = {
        .status = 403, .headers = "x-amzn-ErrorType: ExpiredTokenException\n", .body = ""};
    struct fixture fixture = with_keys();
    struct call call;

    cJSON_DeleteItemFromObjectCaseSensitive(fixture.env, "AWS_REGION");
    ahead_s += 11;
    read_reply(&fixture, &expired, false, &call, NULL);
    assert_int_equal(call.outcome, OUTCOME_AUTH);
    assert_true(is_signed_by(&fixture, ACCESS_KEY));
    assert_string_equal(bedrock_region(fixture.bedrock), "us-east-1");
    fixture_close(&fixture);
    (void)state;
}

static void
without_credentials_nothing_is_built_until_some_are_found(void **state)
{
    struct fixture fixture = {.env = environment("us-east-1")};

    fixture_open(&fixture);
    assert_int_equal(bedrock_credentials(fixture.bedrock)->auth, AWS_AUTH_NONE);
    assert_false(is_signed_by(&fixture, ACCESS_KEY));
    add_keys(fixture.env);
    ahead_s += 11;
    assert_true(is_signed_by(&fixture, ACCESS_KEY));
    fixture_close(&fixture);
    (void)state;
}

static void
a_wrong_clock_is_put_right_for_the_next_request(void **state)
{
    struct fixture fixture = with_keys();
    struct reply skewed = {
        .status = 403,
        .headers = "x-amzn-ErrorType: InvalidSignatureException\nDate: "
                   "Thu, 15 Jan 2026 12:20:01 GMT\n",
        .body = "{\"message\":\"Signature expired\"}",
        .sent_ms = 1768478400000,
        .took_ms = 2000,
    };
    struct job job = job_of("{\"content\":\"x\"}", &plain_type);
    struct provider_request request;
    struct error err;
    struct call call;
    int64_t ahead_ms;

    assert_true(read_reply(&fixture, &skewed, false, &call, NULL));
    assert_int_equal(fixture.provider.build(fixture.bedrock, "m", &job, &request, &err), 0);
    ahead_ms = amz_date_ms(header_line(&request, "X-Amz-Date: ")) - clock_wall_ms();
    assert_in_range(ahead_ms, 1195000, 1200000);
    provider_request_release(&request);
    job_release(&job);
    fixture_close(&fixture);
    (void)state;
}

static void
expect_no_start(cJSON *env, const char *must_say)
{
    struct error err = {0};

    assert_null(bedrock_new(golden_getenv, env, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.message, must_say));
    cJSON_Delete(env);
}

static void
a_start_without_region_or_with_an_api_key_in_clear_is_refused(void **state)
{
    static const char *const urls[] = {"http://10.0.0.1", "http://127.0.0.1.evil.example",
                                       "http://localhost.evil.example"};
    struct fixture fixture = {.env = environment("us-east-1")};

    expect_no_start(environment(NULL), "AWS_REGION");
    for (size_t i = 0; i < COUNT(urls); i++) {
        cJSON *env = environment("us-east-1");

        cJSON_AddStringToObject(env, "AWS_BEARER_TOKEN_BEDROCK", "hush");
        cJSON_AddStringToObject(env, "AWS_ENDPOINT_URL", urls[i]);
        expect_no_start(env, "AWS_BEARER_TOKEN_BEDROCK");
    }
    cJSON_AddStringToObject(fixture.env, "AWS_BEARER_TOKEN_BEDROCK", "hush");
    cJSON_AddStringToObject(fixture.env, "AWS_ENDPOINT_URL", "http://127.0.0.1:8000");
    fixture_open(&fixture);
    assert_string_equal(bedrock_endpoint(fixture.bedrock), "http://127.0.0.1:8000");
    fixture_close(&fixture);
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
        cmocka_unit_test(every_recorded_answer_is_read_as_text_or_as_what_is_wrong_with_it),
        cmocka_unit_test(every_recorded_error_has_its_outcome_and_is_repeated_at_most_once),
        cmocka_unit_test(an_answer_without_a_code_is_judged_by_its_status),
        cmocka_unit_test(messages_are_known_in_either_case_and_with_either_apostrophe),
        cmocka_unit_test(a_status_200_that_is_no_converse_answer_may_work_later),
        cmocka_unit_test(a_stop_that_spoils_the_answer_is_told),
        cmocka_unit_test(a_call_that_got_no_answer_says_why),
        cmocka_unit_test(a_wait_that_was_asked_for_is_read_in_every_form_and_bounded),
        cmocka_unit_test(a_key_that_the_provider_echoes_is_hidden_also_where_the_message_is_cut),
        cmocka_unit_test(expired_credentials_are_read_again_at_most_every_ten_seconds),
        cmocka_unit_test(settings_that_went_wrong_leave_those_that_worked),
        cmocka_unit_test(without_credentials_nothing_is_built_until_some_are_found),
        cmocka_unit_test(a_wrong_clock_is_put_right_for_the_next_request),
        cmocka_unit_test(a_start_without_region_or_with_an_api_key_in_clear_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
