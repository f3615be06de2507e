#include "common/aws/aws_credentials.h"
#include "common/aws/aws_ini.h"
#include "tests/support/aws_world.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
assert_same(const char *actual, const char *expected)
{
    if (expected == NULL)
        assert_null(actual);
    else
        assert_string_equal(actual == NULL ? "(null)" : actual, expected);
}

/* ---- the golden samples of files ---- */

/* Where we read a file otherwise than botocore does, as the other SDKs do or a header needs it.
 * `region` and `access_key` are ours; both NULL and an error: the words that it must have. */
static const struct {
    const char *sample;
    const char *region;
    const char *access_key;
    const char *error;
} ours[] = {
    /* " # text" behind a value is a comment: it would go to DNS else */
    {"comments", "us-west-2", "AKIAC#nothash", NULL},
    /* a key of two lines can't stand in a header */
    {"continuation_lines", NULL, NULL, "aws_access_key_id"},
    /* "[profile default]" before "[default]", wherever they stand */
    {"default_two_spellings_reversed", "us-west-2", NULL, NULL},
    /* the last one counts */
    {"duplicate_section", "us-west-2", NULL, NULL},
    {"duplicate_key", "us-west-2", NULL, NULL},
    /* skipped, and what can be read is */
    {"bom", NULL, "AKIABOM", NULL},
    {"property_without_value", NULL, NULL, NULL},
    {"property_before_section", NULL, NULL, NULL},
    {"unclosed_section", NULL, NULL, NULL},
    /* no "session token" that is empty */
    {"empty_value", NULL, "AKIAE", NULL},
    /* not built */
    {"sso_profile_unsupported", NULL, NULL, "sso_session"},
    {"role_and_keys_in_same_profile", NULL, NULL, "role_arn"},
};

static void
check_profile(struct aws_world *world, const cJSON *profile)
{
    const cJSON *region = cJSON_GetObjectItemCaseSensitive(profile, "region");
    const cJSON *credentials = cJSON_GetObjectItemCaseSensitive(profile, "credentials");
    struct aws_config config;
    struct error err;
    int status = aws_world_load(world, &config, &err);

    if (golden_text(region, "error") != NULL || golden_text(credentials, "error") != NULL) {
        assert_int_equal(status, -1);
        assert_int_equal(err.kind, ERROR_CONFIG);
        return;
    }
    assert_int_equal(status, 0);
    assert_same(config.region, cJSON_GetStringValue(region));
    aws_world_expect_keys(&config, credentials);
    aws_config_release(&config);
}

/* Our own reading of a sample's first profile; false when it is the SDK's. */
static bool
check_ours(struct aws_world *world, const char *sample)
{
    struct aws_config config;
    struct error err;

    for (size_t i = 0; i < COUNT(ours); i++) {
        if (strcmp(ours[i].sample, sample) != 0)
            continue;
        if (ours[i].error != NULL) {
            aws_world_expect_error(world, (const char *const[]){ours[i].error, "sc_", NULL});
            return true;
        }
        assert_int_equal(aws_world_load(world, &config, &err), 0);
        assert_same(config.region, ours[i].region);
        assert_same(config.credentials.access_key, ours[i].access_key);
        assert_null(config.credentials.session_token);
        aws_config_release(&config);
        return true;
    }
    return false;
}

/* "[ default ]": botocore reads no profile there, the other SDKs and we do. */
static bool
is_blank_default(const char *sample, const char *profile)
{
    return strcmp(sample, "whitespace") == 0 && profile == NULL;
}

static void
check_sample(const cJSON *sample, int *profiles, int *own)
{
    const char *name = golden_text(sample, "name");
    const cJSON *each;
    struct aws_world world;

    aws_world_open(&world);
    aws_world_set_file(&world, "AWS_CONFIG_FILE", "sc_config", golden_text(sample, "config_file"));
    aws_world_set_file(&world, "AWS_SHARED_CREDENTIALS_FILE", "sc_creds",
                       golden_text(sample, "credentials_file"));
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(sample, "profiles"))
    {
        const char *profile = golden_text(each, "profile");

        profile = profile[0] == '(' ? NULL : profile;
        aws_world_set(&world, "AWS_PROFILE", profile);
        if (check_ours(&world, name) || is_blank_default(name, profile))
            (*own)++;
        else
            check_profile(&world, each);
        (*profiles)++;
    }
    aws_world_close(&world);
}

static void
every_sample_of_the_shared_files_is_read_as_documented(void **state)
{
    cJSON *golden = golden_load("shared_config.json");
    const cJSON *each, *samples = cJSON_GetObjectItemCaseSensitive(golden, "samples");
    int profiles = 0, own = 0;

    cJSON_ArrayForEach(each, samples) check_sample(each, &profiles, &own);
    assert_int_equal(cJSON_GetArraySize(samples), 29);
    assert_int_equal(own, COUNT(ours) + 1);
    assert_int_equal(profiles, 37);
    cJSON_Delete(golden);
    (void)state;
}

/* ---- the format alone ---- */

static void
a_nested_key_is_found_by_both_names(void **state)
{
    static const char text[] = "[default]\ns3 =\n  Addressing_Style = path\n\n  # note\n"
                               "  other: 1 ; c\nregion = x\n[services  'a  b']\nk=v\n";
    int bad;
    struct aws_ini *ini = aws_ini_parse(text, strlen(text), &bad);

    assert_int_equal(bad, 0);
    assert_string_equal(aws_ini_get(ini, "default", "s3"), "");
    assert_string_equal(aws_ini_get(ini, "default", "s3.addressing_style"), "path");
    assert_string_equal(aws_ini_get(ini, "default", "s3.other"), "1");
    assert_string_equal(aws_ini_get(ini, "default", "region"), "x");
    assert_string_equal(aws_ini_get(ini, "services a  b", "k"), "v");
    assert_null(aws_ini_get(ini, "default", "other"));
    assert_false(aws_ini_has_section(ini, "services"));
    aws_ini_free(ini);
    (void)state;
}

static void
lines_without_sense_are_counted_and_the_rest_is_read(void **state)
{
    static const char text[] =
        "a = 1\n[open\nb = 2\n[default]\nword\n= 3\n  lost\nc = 4\n\0d = 5\n";
    int bad;
    struct aws_ini *ini = aws_ini_parse(text, sizeof(text) - 1, &bad);

    assert_int_equal(bad, 7);
    assert_string_equal(aws_ini_get(ini, "default", "c"), "4");
    aws_ini_free(ini);
    (void)state;
}

static void
a_file_of_keys_without_end_is_bounded(void **state)
{
    size_t len = 4 * (AWS_INI_KEYS_MAX + 100);
    char *text = malloc(len);
    struct aws_ini *ini;
    int bad;

    assert_non_null(text);
    for (size_t i = 0; i < len; i += 4)
        memcpy(text + i, i == 0 ? "[a]\n" : "k=v\n", 4);
    ini = aws_ini_parse(text, len, &bad);
    assert_int_equal(bad, 100);
    assert_string_equal(aws_ini_get(ini, "a", "k"), "v");
    aws_ini_free(ini);
    free(text);
    (void)state;
}

static void
a_value_that_goes_on_has_a_bound(void **state)
{
    const size_t lines = 200000;
    char *text = malloc(32 + 3 * lines), *at = stpcpy(text, "[a]\nk = v\n");
    struct aws_ini *ini;
    int bad_lines = 0;

    for (size_t i = 0; i < lines; i++)
        at = stpcpy(at, " x\n");
    ini = aws_ini_parse(text, (size_t)(at - text), &bad_lines);
    assert_in_range(strlen(aws_ini_get(ini, "a", "k")), AWS_INI_VALUE_MAX, AWS_INI_VALUE_MAX + 4);
    assert_in_range(bad_lines, lines - AWS_INI_VALUE_MAX, lines);
    aws_ini_free(ini);
    free(text);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_that_goes_on_has_a_bound),
        cmocka_unit_test(every_sample_of_the_shared_files_is_read_as_documented),
        cmocka_unit_test(a_nested_key_is_found_by_both_names),
        cmocka_unit_test(lines_without_sense_are_counted_and_the_rest_is_read),
        cmocka_unit_test(a_file_of_keys_without_end_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
