/*
 * aws_world.h - a home directory and an environment to read AWS settings from.
 */
#ifndef TESTS_SUPPORT_AWS_WORLD_H
#define TESTS_SUPPORT_AWS_WORLD_H

#include "common/aws/aws_credentials.h"

#include <cjson/cJSON.h>

struct aws_world {
    char directory[64]; /* removed by aws_world_close */
    cJSON *env;         /* names and strings; HOME is the directory */
};

void aws_world_open(struct aws_world *world);
void aws_world_close(struct aws_world *world);
/* Sets a variable; value NULL unsets it. */
void aws_world_set(struct aws_world *world, const char *name, const char *value);
/* Writes a file into the directory and names it by a variable; text NULL: neither. */
void aws_world_set_file(struct aws_world *world, const char *variable, const char *file,
                        const char *text);
int aws_world_load(struct aws_world *world, struct aws_config *config, struct error *err);
/* Loading must be ERROR_CONFIG and say each of the fragments; NULL ends them. */
void aws_world_expect_error(struct aws_world *world, const char *const *fragments);
/* The keys that were found must be those of a golden result: access_key, secret_key, token. */
void aws_world_expect_keys(const struct aws_config *config, const cJSON *golden);

#endif
