#include "common/aws/aws_profile.h"

#include "common/log.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *
aws_environment_get(const struct aws_environment *environment, const char *name)
{
    const char *value = environment->getenv_fn == NULL
                            ? getenv(name)
                            : environment->getenv_fn(name, environment->arg);

    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* ---- files ---- */

/* The path that `variable` names or ~/.aws/`file`, as a new string; NULL without a home. */
static char *
find_path(const struct aws_environment *environment, const char *variable, const char *file)
{
    const char *named = aws_environment_get(environment, variable);
    const char *home = aws_environment_get(environment, "HOME");

    if (named != NULL && (home == NULL || strncmp(named, "~/", 2) != 0))
        return xstrdup(named);
    if (named != NULL)
        return xasprintf("%s%s", home, named + 1);
    return home == NULL ? NULL : xasprintf("%s/.aws/%s", home, file);
}

/* Reads into text[0..size); *len is size when there is more. */
static int
read_all(int fd, char *text, size_t size, size_t *len)
{
    ssize_t got;

    *len = 0;
    while (*len < size && (got = read(fd, text + *len, size - *len)) != 0) {
        if (got < 0 && errno != EINTR)
            return -1;
        *len += got < 0 ? 0 : (size_t)got;
    }
    return 0;
}

static int
read_file(struct aws_profile_file *file, struct error *err)
{
    const size_t size = AWS_FILE_MAX_BYTES + 1;
    /* Not blocking: a pipe that nobody writes to ends the wait, not the worker. */
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result, bad_lines;
    size_t len;
    char *text;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return error_set(err, ERROR_CONFIG, "%s: %s", file->path, strerror(errno));
    text = xcalloc(size, 1);
    result = read_all(fd, text, size, &len);
    if (result < 0)
        error_set(err, ERROR_CONFIG, "%s: %s", file->path, strerror(errno));
    else if (len == size)
        result = error_set(err, ERROR_CONFIG, "%s: larger than 1 MiB", file->path);
    else {
        file->ini = aws_ini_parse(text, len, &bad_lines);
        if (bad_lines > 0)
            log_warn("lines of an AWS file make no sense and were skipped",
                     LOG_STR("file", file->path), LOG_INT("lines", bad_lines));
    }
    OPENSSL_cleanse(text, len);
    free(text);
    close(fd);
    return result;
}

/* ---- profile ---- */

static bool
use_section(struct aws_profile_file *file, const char *prefix, const char *name)
{
    free(file->section);
    file->section = xasprintf("%s%s", prefix, name);
    file->has_profile = file->ini != NULL && aws_ini_has_section(file->ini, file->section);
    return file->has_profile;
}

/* The config file calls it "profile NAME"; "default" may stand there without that. */
static void
find_sections(struct aws_profile *profile)
{
    use_section(&profile->credentials, "", profile->name);
    if (!use_section(&profile->config, "profile ", profile->name) &&
        strcmp(profile->name, "default") == 0)
        use_section(&profile->config, "", profile->name);
}

static int
read_files(struct aws_profile *profile, struct error *err)
{
    struct aws_profile_file *files[] = {&profile->credentials, &profile->config};

    for (int i = 0; i < 2; i++)
        if (files[i]->path != NULL && read_file(files[i], err) < 0)
            return -1;
    return 0;
}

static const char *
path_or_none(const struct aws_profile_file *file)
{
    return file->path == NULL ? "(no HOME)" : file->path;
}

int
aws_profile_init(struct aws_profile *profile, const struct aws_environment *environment,
                 struct error *err)
{
    static const char *const variables[] = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"};
    const char *named = NULL, *variable = NULL;

    memset(profile, 0, sizeof(*profile));
    for (int i = 0; i < 2 && named == NULL; i++)
        named = aws_environment_get(environment, variable = variables[i]);
    profile->name = xstrdup(named == NULL ? "default" : named);
    profile->credentials.path =
        find_path(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    profile->config.path = find_path(environment, "AWS_CONFIG_FILE", "config");
    if (read_files(profile, err) < 0)
        goto fail;
    find_sections(profile);
    if (named == NULL || profile->credentials.has_profile || profile->config.has_profile)
        return 0;
    error_set(err, ERROR_CONFIG, "%s=%s: no such profile in %s or %s", variable, named,
              path_or_none(&profile->credentials), path_or_none(&profile->config));
fail:
    aws_profile_release(profile);
    return -1;
}

static void
release_file(struct aws_profile_file *file)
{
    aws_ini_free(file->ini);
    free(file->path);
    free(file->section);
}

void
aws_profile_release(struct aws_profile *profile)
{
    release_file(&profile->credentials);
    release_file(&profile->config);
    free(profile->name);
    memset(profile, 0, sizeof(*profile));
}

const char *
aws_profile_file_get(const struct aws_profile_file *file, const char *key)
{
    const char *value = file->has_profile ? aws_ini_get(file->ini, file->section, key) : NULL;

    return value == NULL || value[0] == '\0' ? NULL : value;
}

const char *
aws_profile_get(const struct aws_profile *profile, const char *key)
{
    const char *value = aws_profile_file_get(&profile->credentials, key);

    return value != NULL ? value : aws_profile_file_get(&profile->config, key);
}
