#include "common/aws/aws_credentials.h"
#include "common/aws/aws_endpoint.h"
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

/* ---- endpoints ---- */

static void
check_endpoint(const cJSON *row)
{
    bool fips = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "fips"));
    bool dualstack = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "dualstack"));
    const char *expected = golden_text(row, "endpoint");
    char actual[256];
    int status = aws_bedrock_endpoint(golden_text(row, "region"),
                                      (fips ? AWS_ENDPOINT_FIPS : 0U) |
                                          (dualstack ? AWS_ENDPOINT_DUALSTACK : 0U),
                                      actual, sizeof(actual));

    if (strncmp(expected, "error:", 6) == 0) {
        assert_int_equal(status, -1);
        return;
    }
    assert_int_equal(status, 0);
    assert_string_equal(actual, expected);
}

static void
every_region_has_the_endpoint_the_sdk_calls(void **state)
{
    cJSON *golden = golden_load("endpoints.json");
    const cJSON *row;
    int rows = 0;

    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(golden, "table"))
    {
        if (strcmp(golden_text(row, "service"), "bedrock-runtime") != 0)
            continue; /* sts: roles are not built */
        check_endpoint(row);
        rows++;
    }
    assert_int_equal(rows, 76);
    cJSON_Delete(golden);
    (void)state;
}

static void
what_is_no_region_has_no_endpoint(void **state)
{
    static const char *const bad[] = {"", "us east", "US-EAST-1", "us-east-1.evil.example", "a/b"};
    char out[256];

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(aws_bedrock_endpoint(bad[i], 0, out, sizeof(out)), -1);
    assert_int_equal(aws_bedrock_endpoint("us-east-1", 0, out, 20), -1);
    (void)state;
}

static void
an_endpoint_is_overridden_in_the_order_of_the_sdk(void **state)
{
    cJSON *golden = golden_load("endpoints.json");
    const cJSON *overrides = cJSON_GetObjectItemCaseSensitive(golden, "overrides"), *each, *env;
    const cJSON *cases = cJSON_GetObjectItemCaseSensitive(overrides, "cases");

    cJSON_ArrayForEach(each, cases)
    {
        struct aws_config config;
        struct error err;
        struct aws_world world;

        aws_world_open(&world);
        aws_world_set_file(&world, "AWS_CONFIG_FILE", "config",
                           golden_text(overrides, "config_file"));
        cJSON_ArrayForEach(env, cJSON_GetObjectItemCaseSensitive(each, "env"))
            aws_world_set(&world, env->string, cJSON_GetStringValue(env));
        assert_int_equal(aws_world_load(&world, &config, &err), 0);
        assert_string_equal(config.endpoint, golden_text(each, "endpoint"));
        aws_config_release(&config);
        aws_world_close(&world);
    }
    assert_int_equal(cJSON_GetArraySize(cases), 6);
    cJSON_Delete(golden);
    (void)state;
}

static void
a_base_url_is_taken_apart_as_it_will_be_sent(void **state)
{
    static const struct {
        const char *url, *base, *host, *path;
        bool is_https, is_loopback;
    } good[] = {
        {"https://h", "https://h", "h", "", true, false},
        {"https://h/", "https://h", "h", "", true, false},
        {"HTTPS://Gate.Example.COM:8443/bedrock/prod/",
         "https://gate.example.com:8443/bedrock/prod", "gate.example.com:8443", "/bedrock/prod",
         true, false},
        {"https://h:443/x", "https://h/x", "h", "/x", true, false},
        {"http://h:80", "http://h", "h", "", false, false},
        {"http://h:443", "http://h:443", "h:443", "", false, false},
        {"http://127.0.0.1:18080", "http://127.0.0.1:18080", "127.0.0.1:18080", "", false, true},
        {"http://localhost:1", "http://localhost:1", "localhost:1", "", false, true},
        {"http://[::1]:80/", "http://[::1]", "[::1]", "", false, true},
        {"http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example", "127.0.0.1.evil.example",
         "", false, false},
    };

    for (size_t i = 0; i < COUNT(good); i++) {
        struct aws_endpoint endpoint;
        struct error err;

        assert_int_equal(aws_endpoint_init(&endpoint, good[i].url, &err), 0);
        assert_string_equal(endpoint.base, good[i].base);
        assert_string_equal(endpoint.host, good[i].host);
        assert_string_equal(endpoint.base + endpoint.path_at, good[i].path);
        assert_int_equal(endpoint.is_https, good[i].is_https);
        assert_int_equal(endpoint.is_loopback, good[i].is_loopback);
        aws_endpoint_release(&endpoint);
    }
    (void)state;
}

static void
what_is_no_base_url_is_refused_by_the_name_of_its_variable(void **state)
{
    static const char *const bad[] = {
        "h",
        "//h",
        "ftp://h",
        "file:///etc/passwd",
        "https://",
        "https://u:p@h",
        "https://h?x=1",
        "https://h#x",
        "https://h/a b",
        "https://h:0x1",
        "https://h:99999",
        "http://%fault",
        "https://h%20x",
        "https://h\r\nX: y",
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct aws_world world;

        aws_world_open(&world);
        aws_world_set(&world, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bad[i]);
        aws_world_expect_error(&world,
                               (const char *const[]){"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", NULL});
        aws_world_close(&world);
    }
    (void)state;
}

static void
fips_and_dualstack_are_honoured_and_never_dropped_for_an_override(void **state)
{
    struct aws_config config;
    struct error err;
    struct aws_world world;

    aws_world_open(&world);
    aws_world_set(&world, "AWS_REGION", "us-east-1");
    aws_world_set(&world, "AWS_USE_FIPS_ENDPOINT", "true");
    assert_int_equal(aws_world_load(&world, &config, &err), 0);
    assert_string_equal(config.endpoint, "https://bedrock-runtime-fips.us-east-1.amazonaws.com");
    aws_config_release(&config);
    aws_world_set(&world, "AWS_ENDPOINT_URL", "https://h");
    aws_world_expect_error(&world, (const char *const[]){"AWS_ENDPOINT_URL", "FIPS", NULL});
    aws_world_set(&world, "AWS_ENDPOINT_URL", NULL);
    aws_world_set(&world, "AWS_USE_DUALSTACK_ENDPOINT", "true");
    aws_world_set(&world, "AWS_REGION", "us-isof-south-1");
    aws_world_expect_error(&world, (const char *const[]){"us-isof-south-1", NULL});
    aws_world_close(&world);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_region_has_the_endpoint_the_sdk_calls),
        cmocka_unit_test(what_is_no_region_has_no_endpoint),
        cmocka_unit_test(an_endpoint_is_overridden_in_the_order_of_the_sdk),
        cmocka_unit_test(a_base_url_is_taken_apart_as_it_will_be_sent),
        cmocka_unit_test(what_is_no_base_url_is_refused_by_the_name_of_its_variable),
        cmocka_unit_test(fips_and_dualstack_are_honoured_and_never_dropped_for_an_override),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
