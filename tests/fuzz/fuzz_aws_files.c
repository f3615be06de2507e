/* aws_files: the shared files of AWS and what is made of them.
 * Input: credentials file, config file and profile, with 0x01 between them. */
#include "common/aws/aws_credentials.h"
#include "common/aws/aws_endpoint.h"
#include "common/log.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

struct files {
    int fds[2];
    char paths[2][32];
    const char *profile;
};

static const char *
environment(const char *name, void *arg)
{
    struct files *files = arg;

    if (strcmp(name, "AWS_SHARED_CREDENTIALS_FILE") == 0)
        return files->paths[0];
    if (strcmp(name, "AWS_CONFIG_FILE") == 0)
        return files->paths[1];
    return strcmp(name, "AWS_PROFILE") == 0 ? files->profile : NULL;
}

static void
open_file(struct files *files, int index, const char *text, size_t len)
{
    files->fds[index] = memfd_create("aws", MFD_CLOEXEC);
    MUST(files->fds[index] >= 0);
    MUST(write(files->fds[index], text, len) == (ssize_t)len);
    snprintf(files->paths[index], sizeof(files->paths[0]), "/proc/self/fd/%d", files->fds[index]);
}

/* What goes into a header can't end it. */
static void
must_be_header(const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        MUST(*text > ' ' && *text < 0x7f);
}

static void
check_config(const struct aws_config *config)
{
    const struct aws_credentials *who = &config->credentials;
    struct aws_endpoint endpoint;

    must_be_header(who->access_key);
    must_be_header(who->secret_key);
    must_be_header(who->session_token);
    must_be_header(config->region);
    MUST((who->auth == AWS_AUTH_KEYS) == (who->access_key != NULL && who->secret_key != NULL));
    MUST(config->region == NULL || aws_region_is_valid(config->region));
    if (config->endpoint == NULL)
        return;
    must_be_header(config->endpoint);
    MUST(aws_endpoint_init(&endpoint, config->endpoint, NULL) == 0);
    MUST(strcmp(endpoint.base, config->endpoint) == 0 && endpoint.host[0] != '\0');
    MUST(strpbrk(endpoint.host, "/@ ") == NULL && endpoint.path_at <= strlen(endpoint.base));
    aws_endpoint_release(&endpoint);
}

static void
check_ini(const char *text, size_t len)
{
    struct aws_ini *ini;
    int bad_lines = -1;

    ini = aws_ini_parse(text, len, &bad_lines);
    MUST(bad_lines >= 0);
    if (aws_ini_get(ini, "default", "region") != NULL)
        MUST(aws_ini_has_section(ini, "default"));
    aws_ini_free(ini);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    struct files files;
    struct aws_config config;
    struct error err = {0};
    char *texts[3];

    log_setup(LOG_LEVEL_ERROR, false);
    check_ini((const char *)data, size);
    for (int i = 0; i < 3; i++)
        texts[i] = input_text(&input, '\x01');
    files.profile = texts[2];
    for (int i = 0; i < 2; i++)
        open_file(&files, i, texts[i], strlen(texts[i]));
    if (aws_config_load(&config, environment, &files, &err) == 0) {
        check_config(&config);
        aws_config_release(&config);
    } else {
        MUST(err.kind == ERROR_CONFIG && utf8_is_valid(err.message, strlen(err.message)));
    }
    for (int i = 0; i < 2; i++)
        close(files.fds[i]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return 0;
}
