#include "tests/support/aws_world.h"

#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

void
aws_world_open(struct aws_world *world)
{
    snprintf(world->directory, sizeof(world->directory), "/tmp/headgate-aws-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    world->env = cJSON_CreateObject();
    cJSON_AddStringToObject(world->env, "HOME", world->directory);
}

void
aws_world_close(struct aws_world *world)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", world->directory);
    assert_int_equal(system(command), 0);
    cJSON_Delete(world->env);
}

void
aws_world_set(struct aws_world *world, const char *name, const char *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(world->env, name);
    if (value != NULL)
        cJSON_AddStringToObject(world->env, name, value);
}

void
aws_world_set_file(struct aws_world *world, const char *variable, const char *file,
                   const char *text)
{
    char path[128];
    FILE *out;

    aws_world_set(world, variable, NULL);
    if (text == NULL)
        return;
    snprintf(path, sizeof(path), "%s/%s", world->directory, file);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
    fclose(out);
    aws_world_set(world, variable, path);
}

int
aws_world_load(struct aws_world *world, struct aws_config *config, struct error *err)
{
    memset(err, 0, sizeof(*err));
    return aws_config_load(config, golden_getenv, world->env, err);
}

void
aws_world_expect_error(struct aws_world *world, const char *const *fragments)
{
    struct aws_config config;
    struct error err;

    assert_int_equal(aws_world_load(world, &config, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFIG);
    for (; *fragments != NULL; fragments++)
        if (strstr(err.message, *fragments) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, *fragments);
}

static void
expect_key(const char *actual, const char *expected)
{
    if (expected == NULL)
        assert_null(actual);
    else
        assert_string_equal(actual == NULL ? "(null)" : actual, expected);
}

void
aws_world_expect_keys(const struct aws_config *config, const cJSON *golden)
{
    expect_key(config->credentials.access_key, golden_text(golden, "access_key"));
    expect_key(config->credentials.secret_key, golden_text(golden, "secret_key"));
    expect_key(config->credentials.session_token, golden_text(golden, "token"));
}
