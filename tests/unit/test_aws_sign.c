#include "common/aws/aws_endpoint.h"
#include "common/aws/aws_sign.h"
#include "tests/support/golden.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define SUITE "sigv4-suite/v4"

static int64_t
date_ms(const char *text, const char *format)
{
    struct tm tm = {0};

    assert_non_null(strptime(text, format, &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static const char *
signature_of(const struct aws_signature *signature)
{
    const char *at = strstr(signature->authorization, "Signature=");

    assert_non_null(at);
    return at + strlen("Signature=");
}

/* ---- the official suite ---- */

/* One case's request.txt, taken apart in place. */
struct suite_request {
    char *text; /* owned */
    struct aws_header headers[16];
    struct aws_sign_request request;
};

static char *
read_case(const char *name, const char *file, size_t *len)
{
    char path[512];

    snprintf(path, sizeof(path), SUITE "/%s/%s", name, file);
    return golden_read(path, len);
}

/* Puts folded lines on one line, as HTTP has it. */
static void
unfold(char *head)
{
    for (char *at = head; (at = strchr(at, '\n')) != NULL; at++)
        if (at[1] == ' ')
            *at = ' ';
}

static void
take_headers(struct suite_request *suite, char *lines)
{
    struct aws_sign_request *request = &suite->request;
    char *line;

    while ((line = strsep(&lines, "\n")) != NULL && *line != '\0') {
        char *name = strsep(&line, ":");

        assert_non_null(line);
        suite->headers[request->header_count++] = (struct aws_header){name, line};
    }
    request->headers = suite->headers;
}

static void
read_suite_request(struct suite_request *suite, const char *name)
{
    struct aws_sign_request *request = &suite->request;
    size_t len;
    char *body, *line, *lines, *target;

    memset(suite, 0, sizeof(*suite));
    lines = suite->text = read_case(name, "request.txt", &len);
    if ((body = strstr(lines, "\n\n")) != NULL) {
        *body = '\0';
        request->body = body + 2;
        request->body_len = strlen(body + 2);
    }
    line = strsep(&lines, "\n");
    request->method = strsep(&line, " ");
    *strrchr(line, ' ') = '\0'; /* " HTTP/1.1"; the target itself may hold blanks */
    target = line;
    request->path = strsep(&target, "?");
    request->query = target;
    if (lines != NULL) {
        unfold(lines);
        take_headers(suite, lines);
    }
}

static void
expect_file(const char *name, const char *file, const char *actual)
{
    size_t len;
    char *expected = read_case(name, file, &len);

    assert_string_equal(actual, expected);
    free(expected);
}

static void
expect_signed_request(const char *name, const struct aws_signature *signature)
{
    size_t len;
    char *expected = read_case(name, "header-signed-request.txt", &len);
    char line[1200];

    snprintf(line, sizeof(line), "Authorization:%s\n", signature->authorization);
    assert_non_null(strstr(expected, line));
    free(expected);
}

static void
check_suite_case(const char *name)
{
    struct suite_request suite;
    struct aws_sign_cache cache = {0};
    struct aws_signature signature;
    struct error err = {0};
    char path[512], *canonical;
    cJSON *context, *credentials;
    struct aws_sign_scope scope;

    snprintf(path, sizeof(path), SUITE "/%s/context.json", name);
    context = golden_load(path);
    credentials = cJSON_GetObjectItemCaseSensitive(context, "credentials");
    read_suite_request(&suite, name);
    suite.request.keep_path = !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(context, "normalize"));
    suite.request.sign_body_header =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(context, "sign_body"));
    scope = (struct aws_sign_scope){
        .access_key = golden_text(credentials, "access_key_id"),
        .secret_key = golden_text(credentials, "secret_access_key"),
        .session_token = golden_text(credentials, "token"),
        .region = golden_text(context, "region"),
        .service = golden_text(context, "service"),
    };
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(context, "omit_session_token")))
        scope.session_token = NULL;
    assert_int_equal(aws_sign(&suite.request, &scope,
                              date_ms(golden_text(context, "timestamp"), "%Y-%m-%dT%H:%M:%SZ"),
                              &cache, &signature, &canonical, &err),
                     0);
    expect_file(name, "header-canonical-request.txt", canonical);
    expect_file(name, "header-string-to-sign.txt", signature.string_to_sign);
    expect_file(name, "header-signature.txt", signature_of(&signature));
    expect_signed_request(name, &signature);
    free(canonical);
    free(suite.text);
    cJSON_Delete(context);
}

static void
every_case_of_the_official_suite_is_signed_alike(void **state)
{
    DIR *directory = opendir("tests/golden/" SUITE);
    struct dirent *entry;
    int cases = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        check_suite_case(entry->d_name);
        cases++;
    }
    closedir(directory);
    assert_int_equal(cases, 38);
    (void)state;
}

/* ---- captures of botocore ---- */

/* Signs and compares with a vector: canonical_request, string_to_sign, signing key. */
static void
check_vector(const struct aws_sign_request *request, const struct aws_sign_scope *scope,
             const char *amz_date, const cJSON *expected)
{
    struct aws_sign_cache cache = {0};
    struct aws_signature signature;
    struct error err = {0};
    char *canonical, key[65];

    assert_int_equal(aws_sign(request, scope, date_ms(amz_date, "%Y%m%dT%H%M%SZ"), &cache,
                              &signature, &canonical, &err),
                     0);
    assert_string_equal(canonical, golden_text(expected, "canonical_request"));
    assert_string_equal(signature.canonical_sha256,
                        golden_text(expected, "canonical_request_sha256"));
    assert_string_equal(signature.string_to_sign, golden_text(expected, "string_to_sign"));
    for (int i = 0; i < 32; i++)
        snprintf(key + 2 * i, 3, "%02x", cache.key[i]);
    assert_string_equal(key, golden_text(expected, "signing_key_hex"));
    assert_string_equal(signature_of(&signature), golden_text(expected, "signature"));
    assert_string_equal(signature.authorization, golden_text(expected, "authorization"));
    assert_string_equal(signature.date, amz_date);
    free(canonical);
}

/* Copies [name, value] pairs but for those that the signer adds; returns how many. */
static size_t
copy_headers(const cJSON *lines, struct aws_header *headers)
{
    static const char *const added[] = {"X-Amz-Date", "X-Amz-Security-Token", NULL};
    const cJSON *line;
    size_t count = 0;

    cJSON_ArrayForEach(line, lines)
    {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(line, 0));

        if (!golden_is_one_of(name, added))
            headers[count++] =
                (struct aws_header){name, cJSON_GetStringValue(cJSON_GetArrayItem(line, 1))};
    }
    return count;
}

static void
check_capture(const cJSON *inputs, const cJSON *sent, const cJSON *minimal)
{
    struct aws_header headers[16];
    const char *body = golden_text(sent, "body_utf8");
    struct aws_sign_request request = {
        .method = golden_text(sent, "method"),
        .path = golden_text(sent, "wire_path"),
        .headers = headers,
        .header_count =
            copy_headers(cJSON_GetObjectItemCaseSensitive(minimal, "signed_header_lines"), headers),
        .body = body,
        .body_len = strlen(body),
    };
    struct aws_sign_scope scope = {
        .access_key = golden_text(inputs, "access_key"),
        .secret_key = golden_text(inputs, "secret_key"),
        .session_token = golden_text(inputs, "session_token"),
        .region = golden_text(inputs, "region"),
        .service = golden_text(inputs, "service"),
    };

    check_vector(&request, &scope, golden_text(inputs, "amz_date"), minimal);
}

static void
every_captured_bedrock_request_is_signed_as_the_sdk_did(void **state)
{
    static const char *const bearer[] = {"converse_bearer_token",
                                         "converse_bearer_token_wins_over_env_keys", NULL};
    cJSON *golden = golden_load("bedrock_requests.json");
    const cJSON *each;
    int signed_count = 0;

    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(golden, "cases"))
    {
        const cJSON *minimal = cJSON_GetObjectItemCaseSensitive(each, "sigv4_minimal");

        if (minimal == NULL) {
            assert_true(golden_is_one_of(golden_text(each, "name"), bearer));
            continue;
        }
        check_capture(cJSON_GetObjectItemCaseSensitive(each, "inputs"),
                      cJSON_GetObjectItemCaseSensitive(each, "request"), minimal);
        signed_count++;
    }
    assert_int_equal(signed_count, 22);
    cJSON_Delete(golden);
    (void)state;
}

static void
check_edge(const cJSON *golden, const cJSON *vector)
{
    struct aws_header headers[16];
    const char *body = golden_text(vector, "body_utf8");
    char *path = strdup(golden_text(vector, "wire_path")), *query = path;
    struct aws_endpoint endpoint;
    struct error err = {0};
    struct aws_sign_request request = {
        .method = golden_text(vector, "method"),
        .path = strsep(&query, "?"),
        .headers = headers,
        .body = body,
        .body_len = body == NULL ? 0 : strlen(body),
    };
    struct aws_sign_scope scope = {
        .access_key = golden_text(golden, "access_key"),
        .secret_key = golden_text(golden, "secret_key"),
        .session_token = golden_text(vector, "session_token"),
        .region = golden_text(golden, "region"),
        .service = golden_text(golden, "service"),
    };
    char *origin = strdup(golden_text(vector, "url"));

    origin[strlen("https://") + strcspn(origin + strlen("https://"), "/?")] = '\0';
    assert_int_equal(aws_endpoint_init(&endpoint, origin, &err), 0);
    request.query = query;
    request.header_count =
        copy_headers(cJSON_GetObjectItemCaseSensitive(vector, "headers_given"), headers);
    headers[request.header_count++] = (struct aws_header){"Host", endpoint.host};
    check_vector(&request, &scope, golden_text(golden, "amz_date"), vector);
    aws_endpoint_release(&endpoint);
    free(origin);
    free(path);
}

static void
every_edge_of_the_rules_is_signed_as_the_sdk_did(void **state)
{
    cJSON *golden = golden_load("sigv4_edge_vectors.json");
    const cJSON *vector, *vectors = cJSON_GetObjectItemCaseSensitive(golden, "vectors");

    cJSON_ArrayForEach(vector, vectors) check_edge(golden, vector);
    assert_int_equal(cJSON_GetArraySize(vectors), 15);
    cJSON_Delete(golden);
    (void)state;
}

/* ---- what is ours ---- */

static const struct aws_header host_only[] = {{"Host", "h"}};
static const struct aws_sign_request plain = {
    .method = "POST", .path = "/", .headers = host_only, .header_count = 1};
static const struct aws_sign_scope somebody = {
    .access_key = "AK", .secret_key = "secret", .region = "us-east-1", .service = "bedrock"};

static char *
authorization(const struct aws_sign_scope *scope, int64_t wall_ms, struct aws_sign_cache *cache)
{
    struct aws_signature signature;
    struct error err;

    assert_int_equal(aws_sign(&plain, scope, wall_ms, cache, &signature, NULL, &err), 0);
    return strdup(signature.authorization);
}

static void
a_cached_key_serves_only_the_day_region_and_secret_it_is_for(void **state)
{
    struct aws_sign_scope scopes[] = {somebody, somebody, somebody, somebody};
    int64_t walls[] = {1768478400000, 1768478400000, 1768478400000, 1768564800000};
    struct aws_sign_cache shared = {0};

    scopes[1].region = "eu-west-1";
    scopes[2].secret_key = "other";
    for (int i = 0; i < 4; i++) {
        struct aws_sign_cache fresh = {0};
        char *expected = authorization(&scopes[i], walls[i], &fresh);
        char *actual = authorization(&scopes[i], walls[i], &shared);
        char *again = authorization(&scopes[i], walls[i], &shared);

        assert_string_equal(actual, expected);
        assert_string_equal(again, expected);
        free(expected);
        free(actual);
        free(again);
    }
    aws_sign_forget(&shared);
    assert_false(shared.is_set);
    (void)state;
}

static void
a_secret_stands_nowhere_in_what_is_sent_or_cached(void **state)
{
    struct aws_sign_cache cache = {0};
    char *value = authorization(&somebody, 1768478400000, &cache);

    assert_null(strstr(value, somebody.secret_key));
    assert_null(strstr(cache.tag, somebody.secret_key));
    free(value);
    (void)state;
}

static void
what_could_forge_a_header_is_not_signed(void **state)
{
    static const struct aws_header bad[] = {
        {"Host", "h\r\nX: y"}, {"Ho st", "h"}, {"Host:", "h"}, {"", "h"}, {"X", "a\x7f"},
    };
    struct aws_sign_request request = plain;
    struct aws_sign_scope scope = somebody;
    struct aws_sign_cache cache = {0};
    struct aws_signature signature;
    struct error err;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        request.headers = &bad[i];
        assert_int_equal(aws_sign(&request, &somebody, 0, &cache, &signature, NULL, &err), -1);
        assert_int_equal(err.kind, ERROR_INPUT);
    }
    scope.session_token = "token\n";
    assert_int_equal(aws_sign(&plain, &scope, 0, &cache, &signature, NULL, &err), -1);
    (void)state;
}

static void
what_does_not_fit_is_an_error_and_never_a_cut_signature(void **state)
{
    struct aws_header many[AWS_HEADERS_MAX + 1];
    struct aws_sign_request request = plain;
    struct aws_sign_scope scope = somebody;
    struct aws_sign_cache cache = {0};
    struct aws_signature signature;
    struct error err;
    char text[1200];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    scope.access_key = text;
    assert_int_equal(aws_sign(&plain, &scope, 0, &cache, &signature, NULL, &err), -1);
    scope = somebody;
    scope.region = text;
    assert_int_equal(aws_sign(&plain, &scope, 0, &cache, &signature, NULL, &err), -1);
    for (size_t i = 0; i <= AWS_HEADERS_MAX; i++)
        many[i] = host_only[0];
    request.headers = many;
    request.header_count = AWS_HEADERS_MAX + 1;
    assert_int_equal(aws_sign(&request, &somebody, 0, &cache, &signature, NULL, &err), -1);
    request = plain;
    memset(text, '&', AWS_HEADERS_MAX * 2);
    for (size_t i = 0; i < AWS_HEADERS_MAX; i++)
        text[2 * i] = 'q';
    request.query = text;
    assert_int_equal(aws_sign(&request, &somebody, 0, &cache, &signature, NULL, &err), -1);
    assert_int_equal(aws_sign(&plain, &somebody, INT64_MAX, &cache, &signature, NULL, &err), -1);
    (void)state;
}

static void
a_model_id_becomes_one_path_segment(void **state)
{
    static const char *const cases[][2] = {
        {"anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1%3A0"},
        {"arn:aws:bedrock:us-east-1::foundation-model/x",
         "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fx"},
        {"-._~AZaz09", "-._~AZaz09"},
        {"%25 \xc3\xa9\r\n", "%2525%20%C3%A9%0D%0A"},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *encoded = aws_encode_segment(cases[i][0]);

        assert_string_equal(encoded, cases[i][1]);
        free(encoded);
    }
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_the_official_suite_is_signed_alike),
        cmocka_unit_test(every_captured_bedrock_request_is_signed_as_the_sdk_did),
        cmocka_unit_test(every_edge_of_the_rules_is_signed_as_the_sdk_did),
        cmocka_unit_test(a_cached_key_serves_only_the_day_region_and_secret_it_is_for),
        cmocka_unit_test(a_secret_stands_nowhere_in_what_is_sent_or_cached),
        cmocka_unit_test(what_could_forge_a_header_is_not_signed),
        cmocka_unit_test(what_does_not_fit_is_an_error_and_never_a_cut_signature),
        cmocka_unit_test(a_model_id_becomes_one_path_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
