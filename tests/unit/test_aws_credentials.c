#include "common/aws/aws_credentials.h"
#include "tests/support/aws_world.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the golden runs of the default chain ---- */

/* The text with every ${TMP} replaced by the world's directory (free). */
static char *
in_world(const struct aws_world *world, const char *text)
{
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);
    const char *at;

    assert_non_null(stream);
    for (; (at = strstr(text, "${TMP}")) != NULL; text = at + strlen("${TMP}"))
        fprintf(stream, "%.*s%s", (int)(at - text), text, world->directory);
    fprintf(stream, "%s", text);
    fclose(stream);
    return out;
}

static void
play_case(struct aws_world *world, const cJSON *golden)
{
    const cJSON *each;

    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(golden, "env"))
    {
        char *value = in_world(world, cJSON_GetStringValue(each));

        aws_world_set(world, each->string, value);
        free(value);
    }
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(golden, "files"))
    {
        char *text = in_world(world, cJSON_GetStringValue(each));

        aws_world_set_file(world, "WRITTEN", strrchr(each->string, '/') + 1, text);
        free(text);
    }
}

/* Ours must find just what the SDK found; its error must be one of ours. */
static void
check_same_as_sdk(struct aws_world *world, const cJSON *golden)
{
    const cJSON *result = cJSON_GetObjectItemCaseSensitive(golden, "result");
    struct aws_config config;
    struct error err;
    int status = aws_world_load(world, &config, &err);

    if (golden_text(result, "error") != NULL) {
        assert_int_equal(status, -1);
        assert_int_equal(err.kind, ERROR_CONFIG);
        return;
    }
    assert_int_equal(status, 0);
    assert_int_equal(config.credentials.auth, cJSON_IsNull(result) ? AWS_AUTH_NONE : AWS_AUTH_KEYS);
    aws_world_expect_keys(&config, result);
    aws_config_release(&config);
}

/* Cases whose source is not built: the error must name what asks for it. */
static const struct {
    const char *name_prefix;
    const char *must_name;
} unbuilt_cases[] = {
    {"process_", "credential_process"},
    {"web_identity_env", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    {"web_identity_legacy_global_endpoint", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    {"web_identity_profile_custom_endpoint", "role_arn"},
    {"web_identity_expired_token", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    {"web_identity_idp_communication_error_retried", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    {"web_identity_access_denied", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    {"web_identity_no_role_arn", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    {"assume_role_source_profile", "role_arn"},
    {"assume_role_self_source", "role_arn"},
    {"assume_role_loop_is_an_error", "role_arn"},
    {"assume_role_both_sources_is_an_error", "role_arn"},
    {"assume_role_neither_source_is_an_error", "role_arn"},
    {"assume_role_mfa_needs_prompt", "role_arn"},
    {"ecs_relative_uri", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
    {"eks_pod_identity_full_uri_token_file", "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
    {"full_uri_", "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
    {"token_file_", "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
    {"relative_beats_full", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
    {"container_", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
};

/* IMDS is never asked: these hosts just have no credentials. */
static const char *const imds_cases[] = {
    "imds_v2",
    "imds_custom_endpoint",
    "imds_ipv6_mode",
    "imds_token_refused_falls_back_to_v1",
    "imds_token_refused_v1_disabled",
    "imds_token_400",
    "imds_no_role_attached",
    "imds_role_error_document",
    "imds_already_expired_credentials_are_used_anyway",
    "imds_disabled",
    NULL,
};

/* The SDK was given a profile in code, which we can't be: our environment has keys, they win. */
static const char *const other_cases[] = {"assume_role_credential_source_env", NULL};

static const char *
unbuilt_name(const char *name)
{
    for (size_t i = 0; i < COUNT(unbuilt_cases); i++)
        if (strncmp(name, unbuilt_cases[i].name_prefix, strlen(unbuilt_cases[i].name_prefix)) == 0)
            return unbuilt_cases[i].must_name;
    return NULL;
}

static void
expect_auth(struct aws_world *world, enum aws_auth auth)
{
    struct aws_config config;
    struct error err;

    assert_int_equal(aws_world_load(world, &config, &err), 0);
    assert_int_equal(config.credentials.auth, auth);
    aws_config_release(&config);
}

static void
every_recorded_run_of_the_chain_is_found_or_named_as_not_built(void **state)
{
    cJSON *golden = golden_load("credentials.json");
    const cJSON *each, *cases = cJSON_GetObjectItemCaseSensitive(golden, "cases");
    int same = 0, unbuilt = 0, imds = 0;

    cJSON_ArrayForEach(each, cases)
    {
        const char *name = golden_text(each, "name"), *must_name = unbuilt_name(name);
        struct aws_world world;

        print_message("    %s\n", name);
        aws_world_open(&world);
        play_case(&world, each);
        if (must_name != NULL) {
            aws_world_expect_error(&world,
                                   (const char *const[]){must_name, "is not built yet", NULL});
            unbuilt++;
        } else if (golden_is_one_of(name, imds_cases)) {
            expect_auth(&world, AWS_AUTH_NONE);
            imds++;
        } else if (golden_is_one_of(name, other_cases)) {
            expect_auth(&world, AWS_AUTH_KEYS);
        } else {
            check_same_as_sdk(&world, each);
            same++;
        }
        aws_world_close(&world);
    }
    assert_int_equal(same, 7);
    assert_int_equal(unbuilt, 31);
    assert_int_equal(imds, 10);
    assert_int_equal(cJSON_GetArraySize(cases), 49);
    cJSON_Delete(golden);
    (void)state;
}

/* ---- the chain, beyond the recordings ---- */

static void
a_bedrock_api_key_wins_over_everything_else(void **state)
{
    struct aws_config config;
    struct error err;
    struct aws_world world;

    aws_world_open(&world);
    aws_world_set(&world, "AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-x");
    aws_world_set(&world, "AWS_ACCESS_KEY_ID", "AK");
    aws_world_set(&world, "AWS_SECRET_ACCESS_KEY", "s");
    assert_int_equal(aws_world_load(&world, &config, &err), 0);
    assert_int_equal(config.credentials.auth, AWS_AUTH_BEARER);
    assert_string_equal(config.credentials.bearer_token, "bedrock-api-key-x");
    assert_string_equal(config.credentials.source, "environment, AWS_BEARER_TOKEN_BEDROCK");
    aws_config_release(&config);
    aws_world_set(&world, "AWS_BEARER_TOKEN_BEDROCK", "");
    expect_auth(&world, AWS_AUTH_KEYS);
    aws_world_close(&world);
    (void)state;
}

static void
half_a_pair_of_keys_is_an_error_that_names_both(void **state)
{
    struct aws_world world;

    aws_world_open(&world);
    aws_world_set(&world, "AWS_SECRET_ACCESS_KEY", "s");
    aws_world_expect_error(
        &world, (const char *const[]){"AWS_SECRET_ACCESS_KEY is set", "AWS_ACCESS_KEY_ID", NULL});
    aws_world_close(&world);
    (void)state;
}

static void
a_newline_in_a_secret_is_an_error_that_does_not_show_it(void **state)
{
    static const char *const names[] = {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                                        "AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"};

    for (size_t i = 0; i < COUNT(names); i++) {
        struct aws_config config;
        struct error err;
        struct aws_world world;

        aws_world_open(&world);
        aws_world_set(&world, "AWS_ACCESS_KEY_ID", "AK");
        aws_world_set(&world, "AWS_SECRET_ACCESS_KEY", "s");
        aws_world_set(&world, names[i], "hush-hush\n");
        assert_int_equal(aws_world_load(&world, &config, &err), -1);
        assert_non_null(strstr(err.message, names[i]));
        assert_null(strstr(err.message, "hush"));
        aws_world_close(&world);
    }
    (void)state;
}

static void
files_are_found_at_home_and_the_profile_by_either_variable(void **state)
{
    struct aws_config config;
    struct error err;
    struct aws_world world;
    char path[128];

    aws_world_open(&world);
    snprintf(path, sizeof(path), "%s/.aws", world.directory);
    assert_int_equal(mkdir(path, 0700), 0);
    aws_world_set_file(&world, "WRITTEN", ".aws/credentials",
                       "[default]\naws_access_key_id=AKHOME\naws_secret_access_key=s\n"
                       "[dev]\naws_access_key_id=AKDEV\naws_secret_access_key=s\n");
    aws_world_set_file(&world, "WRITTEN", ".aws/config", "[profile dev]\nregion=eu-west-1\n");
    assert_int_equal(aws_world_load(&world, &config, &err), 0);
    assert_string_equal(config.credentials.access_key, "AKHOME");
    assert_string_equal(config.credentials.source, "shared credentials file, profile default");
    assert_null(config.region);
    assert_null(config.endpoint);
    aws_config_release(&config);
    aws_world_set(&world, "AWS_DEFAULT_PROFILE", "dev");
    assert_int_equal(aws_world_load(&world, &config, &err), 0);
    assert_string_equal(config.credentials.access_key, "AKDEV");
    assert_string_equal(config.region, "eu-west-1");
    aws_config_release(&config);
    aws_world_set(&world, "AWS_PROFILE", "default");
    aws_world_set(&world, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
    assert_int_equal(aws_world_load(&world, &config, &err), 0);
    assert_string_equal(config.credentials.access_key, "AKHOME");
    aws_config_release(&config);
    aws_world_close(&world);
    (void)state;
}

static void
nothing_configured_at_all_is_no_error(void **state)
{
    struct aws_config config;
    struct error err;
    struct aws_world world;

    aws_world_open(&world);
    aws_world_set(&world, "HOME", NULL);
    assert_int_equal(aws_world_load(&world, &config, &err), 0);
    assert_int_equal(config.credentials.auth, AWS_AUTH_NONE);
    assert_string_equal(config.credentials.source, "none");
    aws_config_release(&config);
    aws_world_set(&world, "AWS_PROFILE", "x");
    aws_world_expect_error(&world, (const char *const[]){"AWS_PROFILE=x", "no such profile", NULL});
    aws_world_close(&world);
    (void)state;
}

static void
a_region_is_taken_from_the_first_that_names_one(void **state)
{
    struct aws_config config;
    struct error err;
    struct aws_world world;

    aws_world_open(&world);
    aws_world_set_file(&world, "AWS_CONFIG_FILE", "config", "[default]\nregion=eu-west-3\n");
    aws_world_set(&world, "AWS_DEFAULT_REGION", "eu-west-2");
    aws_world_set(&world, "AWS_REGION", "eu-west-1");
    for (int i = 1; i <= 3; i++) {
        char expected[16];

        snprintf(expected, sizeof(expected), "eu-west-%d", i);
        assert_int_equal(aws_world_load(&world, &config, &err), 0);
        assert_string_equal(config.region, expected);
        aws_config_release(&config);
        aws_world_set(&world, i == 1 ? "AWS_REGION" : "AWS_DEFAULT_REGION", NULL);
    }
    aws_world_set(&world, "AWS_REGION", "us-east-1.evil.example");
    aws_world_expect_error(&world,
                           (const char *const[]){"AWS_REGION=us-east-1.evil.example", NULL});
    aws_world_close(&world);
    (void)state;
}

static void
a_file_that_is_too_large_or_no_file_is_an_error_by_its_path(void **state)
{
    struct aws_world world;
    char *large = malloc(AWS_FILE_MAX_BYTES + 2);

    assert_non_null(large);
    memset(large, '#', AWS_FILE_MAX_BYTES + 1);
    large[AWS_FILE_MAX_BYTES + 1] = '\0';
    aws_world_open(&world);
    aws_world_set_file(&world, "AWS_CONFIG_FILE", "large", large);
    aws_world_expect_error(&world, (const char *const[]){"/large", "1 MiB", NULL});
    aws_world_set(&world, "AWS_CONFIG_FILE", world.directory);
    aws_world_expect_error(&world, (const char *const[]){world.directory, NULL});
    aws_world_set(&world, "AWS_CONFIG_FILE", "/dev/zero");
    aws_world_expect_error(&world, (const char *const[]){"/dev/zero", NULL});
    aws_world_set(&world, "AWS_CONFIG_FILE", "/dev/null");
    expect_auth(&world, AWS_AUTH_NONE);
    free(large);
    aws_world_close(&world);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_run_of_the_chain_is_found_or_named_as_not_built),
        cmocka_unit_test(a_bedrock_api_key_wins_over_everything_else),
        cmocka_unit_test(half_a_pair_of_keys_is_an_error_that_names_both),
        cmocka_unit_test(a_newline_in_a_secret_is_an_error_that_does_not_show_it),
        cmocka_unit_test(files_are_found_at_home_and_the_profile_by_either_variable),
        cmocka_unit_test(nothing_configured_at_all_is_no_error),
        cmocka_unit_test(a_region_is_taken_from_the_first_that_names_one),
        cmocka_unit_test(a_file_that_is_too_large_or_no_file_is_an_error_by_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
