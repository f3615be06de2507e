/*
 * aws_credentials.h - who we are for AWS, and where its endpoint is.
 *
 * The chain, first that is configured wins, and one that is configured wrongly ends it:
 * AWS_BEARER_TOKEN_BEDROCK; AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and
 * AWS_SESSION_TOKEN); AWS_PROFILE or "default" in the shared credentials and config
 * files. Roles, web identity, SSO, credential_process and containers are not built yet: a
 * profile or an environment that asks for one is an error that says so. IMDS is never asked.
 */
#ifndef COMMON_AWS_CREDENTIALS_H
#define COMMON_AWS_CREDENTIALS_H

#include "common/aws/aws_profile.h"
#include "common/error.h"

#include <stddef.h>

enum aws_auth { AWS_AUTH_NONE, AWS_AUTH_KEYS, AWS_AUTH_BEARER };

struct aws_credentials {
    enum aws_auth auth;
    char *access_key;    /* owned */
    char *secret_key;    /* owned, wiped when released */
    char *session_token; /* owned, wiped when released; NULL: none */
    char *bearer_token;  /* owned, wiped when released */
    char source[96];     /* "environment", "shared credentials file, profile dev": for logs */
};

/* What the shared files and the environment say; loaded once and again by
 * aws_config_load, e.g. after an ExpiredToken. */
struct aws_config {
    struct aws_credentials credentials;
    char *region;   /* AWS_REGION, AWS_DEFAULT_REGION, profile; NULL: none found; owned */
    char *endpoint; /* base URL for bedrock-runtime, by all override rules; owned; NULL when
                     * neither overridden nor a region is known */
};

/* Reads everything. Credentials that are simply not there are no error: auth is
 * AWS_AUTH_NONE then. ERROR_CONFIG names the variable, or file and profile; *config is then
 * released. Blocks on file reads: call it at start and on reload, not in the loop. getenv_fn
 * NULL: getenv(3). */
int aws_config_load(struct aws_config *config, aws_getenv_fn *getenv_fn, void *arg,
                    struct error *err) WARN_UNUSED;
void aws_config_release(struct aws_config *config);

#endif
