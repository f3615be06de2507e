#include "common/config.h"
#include "common/config_value.h"
#include "common/json/json.h"
#include "common/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* An environment of up to three variables. */
struct variable {
    const char *name, *value;
};
struct environment {
    struct variable variables[4];
};
#define ENV(...) (&(struct environment){{__VA_ARGS__}})

static const char *
lookup(const char *name, void *arg)
{
    const struct environment *environment = arg;

    for (const struct variable *v = environment->variables; v->name != NULL; v++)
        if (strcmp(v->name, name) == 0)
            return v->value;
    return NULL;
}

static void
load(struct config *config, struct environment *environment)
{
    struct error err = {0};

    if (config_load(config, lookup, environment, &err) != 0)
        fail_msg("%s", err.message);
}

static void
nothing_needs_to_be_set(void **state)
{
    struct config c;

    load(&c, ENV({0}));
    assert_string_equal(c.redis.host, "localhost");
    assert_int_equal(c.redis.port, 6379);
    assert_string_equal(c.prefix, "headgate");
    assert_int_equal(c.queue_count, 1);
    assert_string_equal(c.queues[0].name, "analyze");
    assert_int_equal(c.queues[0].weight, 0);
    assert_int_equal(c.delivery, DELIVERY_AT_LEAST_ONCE);
    assert_int_equal(c.lease_ms, 12000);
    assert_int_equal(c.result_ttl_ms, 86400000);
    assert_int_equal(c.dead_max, 10000);
    assert_int_equal(c.max_job_bytes, 8 << 20);
    assert_int_equal(c.concurrency, 1000);
    assert_int_equal(c.max_attempts, 4);
    assert_int_equal(c.retry_base_ms, 1000);
    assert_int_equal(c.retry_cap_ms, 60000);
    assert_int_equal(c.max_wait_ms, 3600000);
    assert_int_equal(c.job_timeout_ms, 300000);
    assert_int_equal(c.drain_ms, 30000);
    assert_null(c.models);
    assert_int_equal(c.policy, POLICY_PACED);
    assert_int_equal(c.call_timeout_ms, 120000);
    assert_int_equal(c.max_response_bytes, 8 << 20);
    assert_null(c.http);
    assert_string_equal(c.http_address, "127.0.0.1");
    assert_int_equal(c.http_port, 8080);
    assert_true(c.http_is_default);
    assert_null(c.http_token);
    assert_false(c.log_json);
    assert_int_equal(c.log_level, LOG_LEVEL_INFO);
    assert_null(c.file);
    config_release(&c);
    (void)state;
}

static void
an_empty_variable_counts_as_unset(void **state)
{
    struct config c;

    load(&c, ENV({"HEADGATE_CONCURRENCY", ""}, {"HEADGATE_HTTP", ""}, {"USE_CELERY", ""}));
    assert_int_equal(c.concurrency, 1000);
    assert_true(c.http_is_default);
    config_release(&c);
    (void)state;
}

static void
with_celery_the_queues_are_its_own(void **state)
{
    struct config c;

    load(&c, ENV({"USE_CELERY", "true"}, {"HEADGATE_QUEUES", "other"}));
    assert_true(c.use_celery);
    assert_int_equal(c.queue_count, 2);
    assert_string_equal(c.queues[0].name, "analysis");
    assert_string_equal(c.queues[1].name, "chat");
    config_release(&c);
    load(&c, ENV({"USE_CELERY", "yes"}, {"HEADGATE_CELERY_QUEUES", "celery"}));
    assert_int_equal(c.queue_count, 1);
    assert_string_equal(c.queues[0].name, "celery");
    config_release(&c);
    load(&c, ENV({"HEADGATE_CELERY_QUEUES", "celery"}));
    assert_string_equal(c.queues[0].name, "analyze");
    config_release(&c);
    (void)state;
}

static void
every_type_is_read(void **state)
{
    struct config c;

    load(&c, ENV({"HEADGATE_LEASE_SECONDS", "2.5"}, {"HEADGATE_DELIVERY", "at-most-once"},
                 {"REDIS_URL", "unix:///r.sock?db=2"}));
    assert_int_equal(c.lease_ms, 2500);
    assert_int_equal(c.delivery, DELIVERY_AT_MOST_ONCE);
    assert_string_equal(c.redis.path, "/r.sock");
    assert_int_equal(c.redis.db, 2);
    config_release(&c);

    load(&c, ENV({"HEADGATE_LOG", "json"}, {"HEADGATE_LOG_LEVEL", "WARN"}));
    assert_true(c.log_json);
    assert_int_equal(c.log_level, LOG_LEVEL_WARN);
    assert_null(c.file);
    config_release(&c);

    load(&c, ENV({"HEADGATE_DRAIN_SECONDS", "0"}, {"HEADGATE_MAX_WAIT", "0.0019"},
                 {"HEADGATE_MAX_JOB_BYTES", "1024"}));
    assert_int_equal(c.drain_ms, 0);
    assert_int_equal(c.max_wait_ms, 1);
    assert_int_equal(c.max_job_bytes, 1024);
    config_release(&c);
    (void)state;
}

static void
a_size_is_a_number_of_bytes_or_of_a_larger_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } rows[] = {{"0", 0},
                {"209715200", INT64_C(200) << 20},
                {"204800k", INT64_C(200) << 20},
                {"200M", INT64_C(200) << 20},
                {"1024g", INT64_C(1) << 40}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config c;

        load(&c, ENV({"HEADGATE_MEMORY_MAX", rows[i].text}));
        assert_int_equal(c.memory_max, rows[i].bytes);
        config_release(&c);
    }
}

static void
a_wrong_value_is_named_with_what_is_allowed(void **state)
{
    static const struct {
        const char *name, *value, *message;
    } rows[] = {
        {"HEADGATE_MEMORY_MAX", "1t",
         "HEADGATE_MEMORY_MAX=1t: must be bytes from 0 to 1099511627776, as a whole number or with "
         "k, m or g behind it"},
        {"HEADGATE_MEMORY_MAX", "1025g",
         "HEADGATE_MEMORY_MAX=1025g: must be bytes from 0 to 1099511627776, as a whole number or "
         "with k, m or g behind it"},
        {"HEADGATE_MEMORY_MAX", "10mb",
         "HEADGATE_MEMORY_MAX=10mb: must be bytes from 0 to 1099511627776, as a whole number or "
         "with k, m or g behind it"},
        {"HEADGATE_MEMORY_MAX", "m",
         "HEADGATE_MEMORY_MAX=m: must be bytes from 0 to 1099511627776, as a whole number or with "
         "k, m or g behind it"},
        {"HEADGATE_MEMORY_MAX", "184m",
         "HEADGATE_MEMORY_MAX=184m: must be 0 or at least 185m for HEADGATE_MAX_JOB_BYTES=8388608 "
         "and HEADGATE_MAX_RESPONSE_BYTES=8388608"},
        {"HEADGATE_CONCURRENCY", "0",
         "HEADGATE_CONCURRENCY=0: must be a whole number from 1 to 100000"},
        {"HEADGATE_CONCURRENCY", "100001",
         "HEADGATE_CONCURRENCY=100001: must be a whole number from 1 to 100000"},
        {"HEADGATE_CONCURRENCY", "-1",
         "HEADGATE_CONCURRENCY=-1: must be a whole number from 1 to 100000"},
        {"HEADGATE_CONCURRENCY", " 1",
         "HEADGATE_CONCURRENCY= 1: must be a whole number from 1 to 100000"},
        {"HEADGATE_CONCURRENCY", "1k",
         "HEADGATE_CONCURRENCY=1k: must be a whole number from 1 to 100000"},
        {"HEADGATE_CONCURRENCY", "18446744073709551617",
         "HEADGATE_CONCURRENCY=18446744073709551617: must be a whole number from 1 to 100000"},
        {"HEADGATE_CONCURRENCY", "1\n2",
         "HEADGATE_CONCURRENCY=1?2: must be UTF-8 text without control bytes"},
        {"HEADGATE_LEASE_SECONDS", "1.999",
         "HEADGATE_LEASE_SECONDS=1.999: must be a number of seconds from 2 to 3600"},
        {"HEADGATE_LEASE_SECONDS", "3600.001",
         "HEADGATE_LEASE_SECONDS=3600.001: must be a number of seconds from 2 to 3600"},
        {"HEADGATE_LEASE_SECONDS", "5.",
         "HEADGATE_LEASE_SECONDS=5.: must be a number of seconds from 2 to 3600"},
        {"HEADGATE_LEASE_SECONDS", "5s",
         "HEADGATE_LEASE_SECONDS=5s: must be a number of seconds from 2 to 3600"},
        {"HEADGATE_LEASE_SECONDS", "1e1",
         "HEADGATE_LEASE_SECONDS=1e1: must be a number of seconds from 2 to 3600"},
        {"HEADGATE_LEASE_SECONDS", "999999999999999999",
         "HEADGATE_LEASE_SECONDS=999999999999999999: must be a number of seconds from 2 to 3600"},
        {"HEADGATE_RESULT_TTL", "0.5",
         "HEADGATE_RESULT_TTL=0.5: must be a number of seconds from 1 to 315360000"},
        {"HEADGATE_CALL_TIMEOUT", "0",
         "HEADGATE_CALL_TIMEOUT=0: must be a number of seconds from 0.1 to 3600"},
        {"HEADGATE_DELIVERY", "once",
         "HEADGATE_DELIVERY=once: must be at-least-once or at-most-once"},
        {"HEADGATE_POLICY", "v3", "HEADGATE_POLICY=v3: must be paced, v2 or v1"},
        {"HEADGATE_LOG", "xml", "HEADGATE_LOG=xml: must be text or json"},
        {"HEADGATE_LOG_LEVEL", "loud",
         "HEADGATE_LOG_LEVEL=loud: must be debug, info, warn or error"},
        {"HEADGATE_PREFIX", "a b",
         "HEADGATE_PREFIX=a b: must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"},
        {"HEADGATE_PREFIX", "{a}",
         "HEADGATE_PREFIX={a}: must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"},
        {"HEADGATE_QUEUES", "a,a=2", "HEADGATE_QUEUES=a,a=2: names the queue a twice"},
        {"HEADGATE_HTTP", ":8080",
         "HEADGATE_HTTP=:8080: must be ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080, or off"},
        {"HEADGATE_HTTP", "8080",
         "HEADGATE_HTTP=8080: must be ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080, or off"},
        {"HEADGATE_HTTP", "::1:8080",
         "HEADGATE_HTTP=::1:8080: must be ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080, or "
         "off"},
        {"HEADGATE_HTTP", "[::1]",
         "HEADGATE_HTTP=[::1]: must be ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:8080, or off"},
        {"HEADGATE_HTTP", "example.com:80",
         "HEADGATE_HTTP=example.com:80: must be ADDRESS:PORT such as 127.0.0.1:8080 or "
         "[::1]:8080, or off"},
        {"HEADGATE_HTTP", "127.0.0.1:65536",
         "HEADGATE_HTTP=127.0.0.1:65536: the port must be a whole number from 0 to 65535"},
        {"HEADGATE_HTTP",
         "127.0.0.1:", "HEADGATE_HTTP=127.0.0.1:: the port must be a whole number from 0 to 65535"},
        {"HEADGATE_HTTP", "0.0.0.0:80",
         "HEADGATE_HTTP=0.0.0.0:80: an address beyond loopback needs HEADGATE_HTTP_TOKEN"},
        {"HEADGATE_HTTP", "[::]:80",
         "HEADGATE_HTTP=[::]:80: an address beyond loopback needs HEADGATE_HTTP_TOKEN"},
        {"HEADGATE_RETRY_CAP_MS", "999",
         "HEADGATE_RETRY_CAP_MS=999: must not be below HEADGATE_RETRY_BASE_MS"},
        {"HEADGATE_RETRY_BASE_MS", "60001",
         "HEADGATE_RETRY_CAP_MS: must not be below HEADGATE_RETRY_BASE_MS"},
        {"REDIS_URL", "redis+sentinel://h",
         "REDIS_URL=redis+sentinel://h: there is no master name: "
         "redis+sentinel://host:26379/mymaster/0"},
        {"USE_CELERY", "maybe", "USE_CELERY=maybe: must be false, true, no, yes, 0 or 1"},
        {"BEDROCK_MODEL_ID", "a,b", "BEDROCK_MODEL_ID=a,b: must be one model id"},
        {"BEDROCK_MODEL_ID", "  ", "BEDROCK_MODEL_ID=  : must be one model id"},
        {"BEDROCK_FALLBACK_MODELS", "b",
         "BEDROCK_FALLBACK_MODELS=b: needs BEDROCK_MODEL_ID, the primary"},
        {"AWS_REGION", "us-east-1\r\n",
         "AWS_REGION=us-east-1??: must be UTF-8 text without control bytes"},
        {"HEADGATE_CONFIG", "\xff", "HEADGATE_CONFIG=?: must be UTF-8 text without control bytes"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config c;
        struct error err = {0};

        if (config_load(&c, lookup, ENV({rows[i].name, rows[i].value}), &err) == 0)
            fail_msg("%s=%s is taken", rows[i].name, rows[i].value);
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_string_equal(err.message, rows[i].message);
    }
    (void)state;
}

static void
an_error_shows_no_secret(void **state)
{
    static const struct variable rows[] = {
        {"REDIS_URL", "redis://:hunter2"},
        {"REDIS_URL", "redis://hunter2@host"},
        {"REDIS_URL", "redis+sentinel://:hunter2@host"},
        {"HEADGATE_HTTP_TOKEN", "hunter2 "},
        {"AWS_SECRET_ACCESS_KEY", "hunter2\n"},
        {"AWS_ACCESS_KEY_ID", "hunter2\n"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config c;
        struct error err = {0};

        assert_int_equal(config_load(&c, lookup, ENV(rows[i]), &err), -1);
        assert_null(strstr(err.message, "hunter2"));
        assert_memory_equal(err.message, rows[i].name, strlen(rows[i].name));
        assert_non_null(strstr(err.message, "***"));
    }
    (void)state;
}

static void
a_long_value_leaves_room_for_the_reason(void **state)
{
    struct config c;
    struct error err = {0};
    char prefix[300] = "";

    memset(prefix, 'x', sizeof(prefix) - 1);
    assert_int_equal(config_load(&c, lookup, ENV({"HEADGATE_PREFIX", prefix}), &err), -1);
    assert_non_null(strstr(err.message, "xx...: must be 1 to 64 characters"));
    prefix[64] = '\0';
    load(&c, ENV({"HEADGATE_PREFIX", prefix}));
    assert_string_equal(c.prefix, prefix);
    config_release(&c);
    (void)state;
}

static void
queues_have_names_and_weights(void **state)
{
    struct config_queue queues[CONFIG_QUEUES_MAX];
    int count;

    assert_int_equal(config_parse_queues(" urgent , analyze=3,a:b c=1000", queues, &count, NULL),
                     0);
    assert_int_equal(count, 3);
    assert_string_equal(queues[0].name, "urgent");
    assert_int_equal(queues[0].weight, 0);
    assert_string_equal(queues[1].name, "analyze");
    assert_int_equal(queues[1].weight, 3);
    assert_string_equal(queues[2].name, "a:b c");
    assert_int_equal(queues[2].weight, 1000);
    (void)state;
}

static void
a_wrong_list_of_queues_is_refused(void **state)
{
    static const char *const rows[] = {
        "",      ",",    "a,",     ",a",    "a,,b",
        "a=",    "a=0",  "a=1001", "a=-1",  "a=1x",
        "a=1=2", "=1",   "a= 1",   "{a}",   "a}",
        "a\nb",  "\xff", "a,b,a",  "a=1,a", "a=99999999999999999999",
    };
    struct config_queue queues[CONFIG_QUEUES_MAX];
    struct error err;
    int count;

    for (size_t i = 0; i < COUNT(rows); i++) {
        if (config_parse_queues(rows[i], queues, &count, &err) == 0)
            fail_msg("\"%s\" is taken", rows[i]);
        assert_int_equal(err.kind, ERROR_CONFIG);
    }
    (void)state;
}

static void
a_list_of_queues_has_its_bounds(void **state)
{
    struct config_queue queues[CONFIG_QUEUES_MAX];
    char name[130] = "", list[600] = "";
    int count;

    memset(name, 'q', 127);
    assert_int_equal(config_parse_queues(name, queues, &count, NULL), 0);
    assert_string_equal(queues[0].name, name);
    name[127] = 'q';
    assert_int_equal(config_parse_queues(name, queues, &count, NULL), -1);

    for (int i = 0; i < CONFIG_QUEUES_MAX; i++)
        sprintf(list + strlen(list), "%sq%d", i == 0 ? "" : ",", i);
    assert_int_equal(config_parse_queues(list, queues, &count, NULL), 0);
    assert_int_equal(count, CONFIG_QUEUES_MAX);
    strcat(list, ",one-more");
    assert_int_equal(config_parse_queues(list, queues, &count, NULL), -1);
    (void)state;
}

static void
models_come_from_the_seeds_variables_or_from_ours(void **state)
{
    struct config c;

    load(&c, ENV({"BEDROCK_MODEL_ID", " p "}, {"BEDROCK_FALLBACK_MODELS", " f1:0 ,, f2 ,"}));
    assert_string_equal(c.models, "p,f1:0,f2");
    assert_true(c.models_are_bedrock);
    config_release(&c);

    load(&c, ENV({"BEDROCK_MODEL_ID", "p"}));
    assert_string_equal(c.models, "p");
    config_release(&c);

    load(&c, ENV({"HEADGATE_MODELS", "bedrock/a, bedrock/b"}, {"BEDROCK_MODEL_ID", "p"},
                 {"BEDROCK_FALLBACK_MODELS", "f"}));
    assert_string_equal(c.models, "bedrock/a, bedrock/b");
    assert_false(c.models_are_bedrock);
    config_release(&c);
    (void)state;
}

static void
the_http_interface_listens_where_it_is_told(void **state)
{
    static const struct {
        const char *text, *address;
        int port;
    } rows[] = {
        {"127.0.0.1:0", "127.0.0.1", 0},
        {"127.9.9.9:65535", "127.9.9.9", 65535},
        {"[::1]:8080", "::1", 8080},
        {"localhost:81", "127.0.0.1", 81},
        {"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1},
        {"off", "", 0},
        {"OFF", "", 0},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config c;

        load(&c, ENV({"HEADGATE_HTTP", rows[i].text}));
        assert_string_equal(c.http_address, rows[i].address);
        assert_int_equal(c.http_port, rows[i].port);
        assert_string_equal(c.http, rows[i].text);
        assert_false(c.http_is_default);
        config_release(&c);
    }
    (void)state;
}

static void
an_address_beyond_loopback_is_fine_with_a_token(void **state)
{
    struct config c;

    load(&c, ENV({"HEADGATE_HTTP", "0.0.0.0:80"}, {"HEADGATE_HTTP_TOKEN", "t"}));
    assert_string_equal(c.http_address, "0.0.0.0");
    assert_string_equal(c.http_token, "t");
    config_release(&c);
    (void)state;
}

/* What config_show prints, as a string of the caller's. */
static char *
shown(struct environment *environment, bool json)
{
    struct evbuffer *out = xevbuffer();
    struct config c;
    char *text;

    load(&c, environment);
    config_show(&c, json, out);
    config_release(&c);
    evbuffer_add(out, "", 1);
    text = xstrdup((const char *)evbuffer_pullup(out, -1));
    evbuffer_free(out);
    return text;
}

static void
the_table_shows_value_and_source(void **state)
{
    char *text = shown(ENV({"HEADGATE_LEASE_SECONDS", "2.5"}, {"AWS_REGION", "eu-west-1"}), false);

    assert_memory_equal(text, "NAME   ", 7);
    assert_non_null(strstr(text, "\nHEADGATE_CONCURRENCY              1000                     "
                                 "default      jobs that run at once in this worker\n"));
    assert_non_null(strstr(text, "\nHEADGATE_LEASE_SECONDS            2.5                      "
                                 "environment  a worker"));
    assert_non_null(strstr(text, "\nAWS_REGION                        eu-west-1                "
                                 "environment  "));
    assert_non_null(strstr(text, "\nHEADGATE_MODELS                   (unset)                  "
                                 "default      "));
    free(text);
    (void)state;
}

static void
the_table_is_one_json_object_too(void **state)
{
    char *text = shown(ENV({"HEADGATE_REDIS_CA", "/a \"b\".pem"}), true), *help;
    struct json_slice root, setting;

    assert_int_equal(json_check(text, strlen(text), &root, NULL), 0);
    setting = json_get(root, "HEADGATE_CONCURRENCY");
    assert_true(json_equals(json_get(setting, "value"), "1000"));
    assert_true(json_equals(json_get(setting, "from"), "default"));
    help = json_string(json_get(setting, "help"), NULL);
    assert_non_null(help);
    free(help);
    setting = json_get(root, "HEADGATE_REDIS_CA");
    assert_true(json_equals(json_get(setting, "value"), "/a \"b\".pem"));
    assert_true(json_equals(json_get(setting, "from"), "environment"));
    assert_int_equal(json_get(json_get(root, "AWS_PROFILE"), "value").type, JSON_NULL);
    free(text);
    (void)state;
}

static void
at_most_once_on_a_cluster_takes_one_queue(void **state)
{
    static const struct variable cluster = {"REDIS_URL", "redis+cluster://h"};
    static const struct variable once = {"HEADGATE_DELIVERY", "at-most-once"};
    struct config c;
    struct error err = {0};

    assert_int_equal(config_load(&c, lookup, ENV(cluster, once, {"HEADGATE_QUEUES", "a,b"}), &err),
                     -1);
    assert_non_null(strstr(err.message, "HEADGATE_QUEUES=a,b: must be one queue"));
    load(&c, ENV(cluster, once, {"HEADGATE_QUEUES", "a"}));
    config_release(&c);
    load(&c, ENV(cluster, {"HEADGATE_QUEUES", "a,b"}));
    config_release(&c);
    (void)state;
}

static void
an_option_that_is_a_secret_is_not_shown_wherever_it_stands(void **state)
{
    static const char *const rows[][2] = {
        {"redis+sentinel://h/password=x?sentinel_password=hunter2",
         "redis+sentinel://h/password=x?sentinel_password=***"},
        {"redis+sentinel://u:p@h:1/m?db=1&sentinel_password=1@hunter2",
         "redis+sentinel://u:***@h:1/m?db=1&sentinel_password=***"},
        {"redis+sentinel://h/m?sentinel_password=1@hunter2", "redis+sentinel://***"},
        {"redis://:hunter2?password=hunter2@h", "redis://***"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = config_shown_text(CONFIG_URL, rows[i][0]);

        assert_string_equal(text, rows[i][1]);
        free(text);
    }
    (void)state;
}

static void
no_secret_is_shown(void **state)
{
    static const struct {
        struct variable variable;
        const char *value;
    } rows[] = {
        {{"REDIS_URL", "redis://user:hunter2@h/1"}, "redis://user:***@h/1"},
        {{"REDIS_URL", "redis://:hunter2@hunter2@h"}, "redis://:***@h"},
        {{"REDIS_URL", "unix://u:hunter2@/r.sock"}, "unix://u:***@/r.sock"},
        {{"HEADGATE_HTTP_TOKEN", "hunter2"}, "***"},
        {{"AWS_ACCESS_KEY_ID", "AKIAIOSFODNNhunter2"}, "AKIA***"},
        {{"AWS_ACCESS_KEY_ID", "hunter2"}, "***"},
        {{"AWS_SECRET_ACCESS_KEY", "hunter2"}, "***"},
        {{"AWS_SESSION_TOKEN", "hunter2"}, "***"},
        {{"AWS_BEARER_TOKEN_BEDROCK", "hunter2"}, "***"},
        {{"AWS_ENDPOINT_URL", "http://hunter2@h:1"}, "http://***@h:1"},
        {{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://u:hun/hunter2@h"}, "http://u:***@h"},
        {{"AWS_ENDPOINT_URL", "http://127.0.0.1:4566"}, "http://127.0.0.1:4566"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = shown(ENV(rows[i].variable), true);
        struct json_slice root;

        assert_null(strstr(text, "hunter2"));
        assert_int_equal(json_check(text, strlen(text), &root, NULL), 0);
        if (!json_equals(json_get(json_get(root, rows[i].variable.name), "value"), rows[i].value))
            fail_msg("%s=%s is not shown as %s", rows[i].variable.name, rows[i].variable.value,
                     rows[i].value);
        free(text);
    }
    (void)state;
}

static void
a_misspelt_setting_is_warned_of_with_the_closest_name(void **state)
{
    int real_stderr = dup(STDERR_FILENO), ends[2];
    char line[1000] = "";
    struct config c;
    struct error err;

    clearenv();
    setenv("HEADGATE_CONCURENCY", "hunter2", 1);
    setenv("HEADGATE_LOG", "text", 1);
    setenv("OTHER", "x", 1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    assert_int_equal(config_load(&c, NULL, NULL, &err), 0);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    close(ends[0]);
    config_release(&c);
    assert_non_null(strstr(line, " level=warn msg=\"unknown setting, ignored\" "
                                 "name=HEADGATE_CONCURENCY closest=HEADGATE_CONCURRENCY\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_needs_to_be_set),
        cmocka_unit_test(an_empty_variable_counts_as_unset),
        cmocka_unit_test(with_celery_the_queues_are_its_own),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(a_size_is_a_number_of_bytes_or_of_a_larger_unit),
        cmocka_unit_test(a_wrong_value_is_named_with_what_is_allowed),
        cmocka_unit_test(an_error_shows_no_secret),
        cmocka_unit_test(a_long_value_leaves_room_for_the_reason),
        cmocka_unit_test(queues_have_names_and_weights),
        cmocka_unit_test(a_wrong_list_of_queues_is_refused),
        cmocka_unit_test(a_list_of_queues_has_its_bounds),
        cmocka_unit_test(models_come_from_the_seeds_variables_or_from_ours),
        cmocka_unit_test(the_http_interface_listens_where_it_is_told),
        cmocka_unit_test(an_address_beyond_loopback_is_fine_with_a_token),
        cmocka_unit_test(the_table_shows_value_and_source),
        cmocka_unit_test(the_table_is_one_json_object_too),
        cmocka_unit_test(an_option_that_is_a_secret_is_not_shown_wherever_it_stands),
        cmocka_unit_test(at_most_once_on_a_cluster_takes_one_queue),
        cmocka_unit_test(no_secret_is_shown),
        cmocka_unit_test(a_misspelt_setting_is_warned_of_with_the_closest_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
