/* Whose job it is: what the script reads, beside what the worker reads. */
#include "worker/job/job.h"

#include "common/memory.h"
#include "tests/support/redis_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int
setup(void **state)
{
    *state = redis_server_new(NULL);
    return 0;
}

static int
teardown(void **state)
{
    redis_server_free(*state);
    return 0;
}

static char *
tenant_by_c(const char *payload)
{
    struct job job;
    struct error err;
    char *tenant = NULL;

    assert_int_equal(0, job_init(&job, xstrdup(payload), strlen(payload),
                                 &(struct job_limits){.max_bytes = 8 * 1024 * 1024}, &err));
    tenant = json_string(job.tenant, NULL);
    job_release(&job);
    return tenant == NULL ? xstrdup("") : tenant;
}

static char *
read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = xcalloc(1, 65536);

    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static char *
tenant_by_lua(struct redis_server *server, const char *payload)
{
    char *room = read_text("worker/queue/lua/tenant.lua");
    char *script = xasprintf("%s return tenant_of(ARGV[1])", room), *tenant;
    redisReply *reply = redis_server_ask(server, "EVAL %s 0 %s", script, payload);

    assert_int_equal(REDIS_REPLY_STRING, reply->type);
    tenant = xstrdup(reply->str);
    freeReplyObject(reply);
    free(script);
    free(room);
    return tenant;
}

static void
the_script_reads_the_same_tenant_as_the_worker(void **state)
{
    static const char *const more[] = {
        "\"tenant\":\"acme\"",
        " \"tenant\" : \"acme\" ",
        "\"user_id\":\"u\",\"tenant\":\"acme\",\"session_id\":\"s\"",
        "\"session_id\":\"s\",\"user_id\":\"u\"",
        "\"session_id\":\"s\"",
        "\"tenant\":\"\",\"user_id\":\"u\"",
        "\"tenant\":null,\"user_id\":null,\"session_id\":\"s\"",
        "\"id\":\"7\"",
        "\"tenant\":\"a\\u0062c\\n\\\"\\\\\"",
        "\"tenant\":\"\\ud83d\\ude00\"",
        "\"tenant\":\"M\xc3\xbcller & S\xc3\xb6hne\"",
        "\"section_name\":\"tenant\",\"user_id\":\"u\"",
        "\"section_name\":\"\\\"tenant\\\":\\\"evil\\\"\",\"user_id\":\"u\"",
        "\"section_name\":\"x\\\\\",\"tenant\":\"acme\"",
        "\"section_name\":\"{[\\\"}\",\"tenant\":\"acme\",\"doc_type\":\"]}{\"",
        "\"metadata\":{\"tenant\":\"inner\",\"user_id\":\"inner\"},\"session_id\":\"s\"",
        "\"metadata\":{\"tenant\":\"inner\"},\"tenant\":\"acme\"",
        "\"tenant\":\"acme\",\"metadata\":{\"tenant\":\"inner\"}",
        "\"metadata\":{\"a\":[{\"tenant\":\"inner\"},{\"b\":{}}]},\"user_id\":\"u\",\"x\":[1,\"}"
        "\"]",
        "\"metadata\":{\"a\":\"tenant\",\"tenant\":{\"tenant\":\"inner\"}}",
        "\"more\":[\"tenant\",\"user_id\"],\"user_id\":\"u\"",
        "\"tenant \":\"no\",\"Tenant\":\"no\",\"xtenant\":\"no\"",
        "\"\":\"tenant\",\"tenant\":\"acme\"",
    };
    struct redis_server *server = *state;

    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        for (int place = 0; place < 2; place++) {
            static const char content[] =
                "\"content\":\"It said \\\"no\\\": C:\\\\\\\\ {[\\u0022\\n\"";
            char *payload = xasprintf("{%s,%s}", place == 0 ? content : more[i],
                                      place == 0 ? more[i] : content);
            char *c = tenant_by_c(payload), *lua = tenant_by_lua(server, payload);

            assert_string_equal(c, lua);
            free(payload);
            free(c);
            free(lua);
        }
}

static void
what_is_no_job_is_read_without_harm(void **state)
{
    static const char *const payloads[] = {
        "",
        "x",
        "{",
        "[]",
        "\"tenant\"",
        "{\"tenant\"",
        "{\"tenant\":",
        "{\"tenant\":\"",
        "{\"tenant\":\"a",
        "{\"tenant\":5}",
        "{\"tenant\":{}}",
        "\\\"tenant\":\"a\"",
        "}}}]]\"tenant\":\"a",
        "{{{{\"tenant\":\"a\"",
        "{\"tenant\":\"\\u12\"}",
        "{\"tenant\":\"\\ud800\"}",
    };
    struct redis_server *server = *state;

    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
        free(tenant_by_lua(server, payloads[i]));
}

static void
a_long_name_counts_by_its_digest(void **state)
{
    struct redis_server *server = *state;
    char name[301], *payload, *tenant;

    memset(name, 'n', 300);
    name[300] = '\0';
    payload = xasprintf("{\"tenant\":\"%s\"}", name);
    tenant = tenant_by_lua(server, payload);
    assert_int_equal(40, strlen(tenant));
    free(payload);
    free(tenant);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_script_reads_the_same_tenant_as_the_worker),
        cmocka_unit_test(what_is_no_job_is_read_without_harm),
        cmocka_unit_test(a_long_name_counts_by_its_digest),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
