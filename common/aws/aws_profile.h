/*
 * aws_profile.h - one profile of the AWS shared files, and the environment around it.
 *
 * The files are ~/.aws/credentials and ~/.aws/config, or those that
 * AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name; the profile is AWS_PROFILE,
 * AWS_DEFAULT_PROFILE or "default". A file that is not there is an empty one.
 */
#ifndef COMMON_AWS_PROFILE_H
#define COMMON_AWS_PROFILE_H

#include "common/aws/aws_ini.h"
#include "common/error.h"

#define AWS_FILE_MAX_BYTES (1024 * 1024)

/* Looks up an environment variable; tests pass their own. NULL when unset. */
typedef const char *aws_getenv_fn(const char *name, void *arg);

struct aws_environment {
    aws_getenv_fn *getenv_fn; /* NULL: getenv(3) */
    void *arg;
};
/* An empty variable counts as unset: NULL. */
const char *aws_environment_get(const struct aws_environment *environment, const char *name);

struct aws_profile_file {
    char *path;          /* owned; NULL: neither named nor a home directory */
    struct aws_ini *ini; /* owned */
    char *section;       /* owned; of the profile in this file */
    bool has_profile;
};

struct aws_profile {
    char *name; /* owned */
    struct aws_profile_file credentials;
    struct aws_profile_file config;
};

/* Reads both files (blocks). Fails with ERROR_CONFIG when one can't be read or is larger than
 * AWS_FILE_MAX_BYTES, or when the profile was asked for and stands in neither. */
int aws_profile_init(struct aws_profile *profile, const struct aws_environment *environment,
                     struct error *err) WARN_UNUSED;
void aws_profile_release(struct aws_profile *profile);

/* The profile's key in one file, or NULL; an empty value counts as unset. Borrowed. */
const char *aws_profile_file_get(const struct aws_profile_file *file, const char *key);
/* The key in either file, the credentials file first. */
const char *aws_profile_get(const struct aws_profile *profile, const char *key);

#endif
