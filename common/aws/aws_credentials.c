#include "common/aws/aws_credentials.h"

#include "common/aws/aws_endpoint.h"
#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct loader {
    struct aws_environment environment;
    struct aws_profile profile;
    struct aws_config *config; /* filled */
};

static const char *
env(const struct loader *loader, const char *name)
{
    return aws_environment_get(&loader->environment, name);
}

static const char *
path_of(const struct aws_profile_file *file)
{
    return file->path == NULL ? "" : file->path;
}

/* ---- credentials: what a source says is checked and copied ---- */

/* Goes into a header: a newline in it, as files and secret stores like to add, would break
 * the request or forge another header. */
static int
copy_secret(char **to, const char *value, const char *where, const char *name, struct error *err)
{
    for (const char *at = value; *at != '\0'; at++)
        if (*at <= ' ' || *at >= 0x7f)
            return error_set(err, ERROR_CONFIG,
                             "%s%s holds a blank, a newline or a byte beyond "
                             "ASCII",
                             where, name);
    *to = xstrdup(value);
    return 0;
}

/* A pair of keys with an optional token, each as found or NULL, and what they are called. */
struct key_set {
    const char *names[3];
    const char *values[3];
};

/* Returns 1 when the keys were found, 0 when there are none, -1 when one is missing. */
static int
take_keys(struct aws_credentials *credentials, const struct key_set *keys, const char *where,
          struct error *err)
{
    char **to[] = {&credentials->access_key, &credentials->secret_key, &credentials->session_token};

    if (keys->values[0] == NULL && keys->values[1] == NULL)
        return 0;
    for (int i = 0; i < 2; i++)
        if (keys->values[i] == NULL)
            return error_set(err, ERROR_CONFIG, "%s%s is set, %s is not", where, keys->names[1 - i],
                             keys->names[i]);
    for (int i = 0; i < 3; i++)
        if (keys->values[i] != NULL &&
            copy_secret(to[i], keys->values[i], where, keys->names[i], err) < 0)
            return -1;
    credentials->auth = AWS_AUTH_KEYS;
    return 1;
}

static int
find_bearer(struct loader *loader, struct error *err)
{
    struct aws_credentials *credentials = &loader->config->credentials;
    const char *token = env(loader, "AWS_BEARER_TOKEN_BEDROCK");

    if (token == NULL)
        return 0;
    if (copy_secret(&credentials->bearer_token, token, "", "AWS_BEARER_TOKEN_BEDROCK", err) < 0)
        return -1;
    credentials->auth = AWS_AUTH_BEARER;
    snprintf(credentials->source, sizeof(credentials->source),
             "environment, AWS_BEARER_TOKEN_BEDROCK");
    return 1;
}

static int
find_environment(struct loader *loader, struct error *err)
{
    struct key_set keys = {
        .names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
    };

    for (int i = 0; i < 3; i++)
        keys.values[i] = env(loader, keys.names[i]);
    snprintf(loader->config->credentials.source, sizeof(loader->config->credentials.source),
             "environment");
    return take_keys(&loader->config->credentials, &keys, "", err);
}

/* What a profile can ask for and we don't do yet. */
struct unbuilt {
    const char *key;
    const char *what;
};

static int
refuse_unbuilt(const struct loader *loader, const struct unbuilt *unbuilt, size_t count,
               struct error *err)
{
    const struct aws_profile *profile = &loader->profile;

    for (size_t i = 0; i < count; i++) {
        bool in_credentials = aws_profile_file_get(&profile->credentials, unbuilt[i].key) != NULL;

        if (aws_profile_get(profile, unbuilt[i].key) != NULL)
            return error_set(
                err, ERROR_CONFIG,
                "%s: profile %s: %s: %s is not built yet; set keys, e.g. from \"aws configure "
                "export-credentials\"",
                path_of(in_credentials ? &profile->credentials : &profile->config), profile->name,
                unbuilt[i].key, unbuilt[i].what);
    }
    return 0;
}

static int
find_in_file(struct loader *loader, const struct aws_profile_file *file, const char *what,
             struct error *err)
{
    struct aws_credentials *credentials = &loader->config->credentials;
    struct key_set keys = {
        .names = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"},
    };
    char *where = xasprintf("%s: profile %s: ", path_of(file), loader->profile.name);
    int result;

    for (int i = 0; i < 3; i++)
        keys.values[i] = aws_profile_file_get(file, keys.names[i]);
    snprintf(credentials->source, sizeof(credentials->source), "%s, profile %s", what,
             loader->profile.name);
    result = take_keys(credentials, &keys, where, err);
    free(where);
    return result;
}

/* What beats keys in the same profile, as in botocore. */
static int
find_profile_roles(struct loader *loader, struct error *err)
{
    static const struct unbuilt unbuilt[] = {
        {"role_arn", "assuming a role"},
        {"web_identity_token_file", "web identity"},
        {"sso_session", "SSO"},
        {"sso_start_url", "SSO"},
    };

    return refuse_unbuilt(loader, unbuilt, COUNT(unbuilt), err);
}

static int
find_credentials_file(struct loader *loader, struct error *err)
{
    return find_in_file(loader, &loader->profile.credentials, "shared credentials file", err);
}

/* What beats keys in the config file only. */
static int
find_profile_processes(struct loader *loader, struct error *err)
{
    static const struct unbuilt unbuilt[] = {
        {"login_session", "login"},
        {"credential_process", "credential_process"},
    };

    return refuse_unbuilt(loader, unbuilt, COUNT(unbuilt), err);
}

static int
find_config_file(struct loader *loader, struct error *err)
{
    return find_in_file(loader, &loader->profile.config, "shared config file", err);
}

static int
find_elsewhere(struct loader *loader, struct error *err)
{
    static const struct unbuilt unbuilt[] = {
        {"AWS_WEB_IDENTITY_TOKEN_FILE", "web identity"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "container credentials"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "container credentials"},
    };

    for (size_t i = 0; i < COUNT(unbuilt); i++)
        if (env(loader, unbuilt[i].key) != NULL)
            return error_set(err, ERROR_CONFIG,
                             "%s is set, but %s is not built yet; set AWS_ACCESS_KEY_ID and "
                             "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                             unbuilt[i].key, unbuilt[i].what);
    return 0;
}

/* The chain: 1 found, 0 not configured, -1 configured wrongly. */
typedef int source_fn(struct loader *loader, struct error *err);
static source_fn *const sources[] = {
    find_bearer,           find_environment,       find_profile_roles,
    find_credentials_file, find_profile_processes, find_config_file,
    find_elsewhere,
};

static int
find_credentials(struct loader *loader, struct error *err)
{
    int found = 0;

    for (size_t i = 0; i < COUNT(sources) && found == 0; i++)
        found = sources[i](loader, err);
    if (found == 0)
        snprintf(loader->config->credentials.source, sizeof(loader->config->credentials.source),
                 "none");
    return found < 0 ? -1 : 0;
}

/* ---- region ---- */

static int
find_region(struct loader *loader, struct error *err)
{
    const char *name = "AWS_REGION", *region = env(loader, name);

    if (region == NULL)
        region = env(loader, name = "AWS_DEFAULT_REGION");
    if (region == NULL)
        region = aws_profile_get(&loader->profile, name = "region");
    if (region == NULL)
        return 0;
    if (!aws_region_is_valid(region))
        return error_set(err, ERROR_CONFIG, "%s=%s: must be a region like us-east-1", name, region);
    loader->config->region = xstrdup(region);
    return 0;
}

/* ---- endpoint ---- */

/* A switch in the environment or, under its other name, in the profile. */
static bool
is_on(const struct loader *loader, const char *variable, const char *key)
{
    const char *value = env(loader, variable);

    if (value == NULL)
        value = aws_profile_get(&loader->profile, key);
    return value != NULL && strcasecmp(value, "true") == 0;
}

/* bedrock_runtime of the [services NAME] section that the profile names. */
static const char *
services_endpoint(const struct loader *loader)
{
    const char *services = aws_profile_get(&loader->profile, "services"), *url = NULL;
    char *section;

    if (services == NULL || loader->profile.config.ini == NULL)
        return NULL;
    section = xasprintf("services %s", services);
    url = aws_ini_get(loader->profile.config.ini, section, "bedrock_runtime.endpoint_url");
    free(section);
    return url;
}

/* The URL that was configured, or NULL; *name says where. */
static const char *
configured_endpoint(const struct loader *loader, const char **name)
{
    const char *url;

    if (is_on(loader, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"))
        return NULL;
    if ((url = env(loader, *name = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")) != NULL ||
        (url = env(loader, *name = "AWS_ENDPOINT_URL")) != NULL)
        return url;
    *name = "bedrock_runtime endpoint_url";
    if ((url = services_endpoint(loader)) != NULL)
        return url;
    return aws_profile_get(&loader->profile, *name = "endpoint_url");
}

static int
use_configured(struct aws_config *config, const char *name, const char *url, struct error *err)
{
    struct aws_endpoint endpoint;
    struct error why = {0};

    if (aws_endpoint_init(&endpoint, url, &why) < 0)
        return error_set(err, ERROR_CONFIG, "%s: %s", name, why.message);
    config->endpoint = xstrdup(endpoint.base);
    aws_endpoint_release(&endpoint);
    return 0;
}

static int
find_endpoint(struct loader *loader, struct error *err)
{
    struct aws_config *config = loader->config;
    const char *name = NULL, *url = configured_endpoint(loader, &name);
    unsigned variants = 0;
    char standard[256];

    if (is_on(loader, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"))
        variants |= AWS_ENDPOINT_FIPS;
    if (is_on(loader, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"))
        variants |= AWS_ENDPOINT_DUALSTACK;
    if (url != NULL && variants != 0)
        return error_set(err, ERROR_CONFIG,
                         "%s can't be used together with a FIPS or dual-stack endpoint", name);
    if (url != NULL)
        return use_configured(config, name, url, err);
    if (config->region == NULL)
        return 0;
    if (aws_bedrock_endpoint(config->region, variants, standard, sizeof(standard)) < 0)
        return error_set(err, ERROR_CONFIG, "region %s has no dual-stack endpoint", config->region);
    config->endpoint = xstrdup(standard);
    return 0;
}

/* ---- everything ---- */

int
aws_config_load(struct aws_config *config, aws_getenv_fn *getenv_fn, void *arg, struct error *err)
{
    struct loader loader = {.environment = {getenv_fn, arg}, .config = config};
    int result = -1;

    memset(config, 0, sizeof(*config));
    if (aws_profile_init(&loader.profile, &loader.environment, err) < 0)
        return -1;
    if (find_credentials(&loader, err) == 0 && find_region(&loader, err) == 0)
        result = find_endpoint(&loader, err);
    if (result < 0)
        aws_config_release(config);
    aws_profile_release(&loader.profile);
    return result;
}

void
aws_config_release(struct aws_config *config)
{
    free(config->credentials.access_key);
    free_secret(config->credentials.secret_key);
    free_secret(config->credentials.session_token);
    free_secret(config->credentials.bearer_token);
    free(config->region);
    free(config->endpoint);
    memset(config, 0, sizeof(*config));
}
