#include "tests/sim/options.h"

#include "common/memory.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES_MAX 1048576

static const char usage[] = "usage: sim [--port N] [--port-file FILE] [--config FILE.json] "
                            "[--seed N] [--quiet]\n";

static int
read_number(const char *text, unsigned long long most, unsigned long long *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    return end == text || *end != '\0' || errno != 0 || *text == '-' || *number > most ? -1 : 0;
}

static int
take_option(int option, struct options *options)
{
    unsigned long long number = 0;

    switch (option) {
    case 'c': options->config_file = optarg; return 0;
    case 'f': options->port_file = optarg; return 0;
    case 'q': options->is_quiet = true; return 0;
    case 'p':
        if (read_number(optarg, 65535, &number) != 0)
            return -1;
        options->port = (int)number;
        return 0;
    case 's':
        if (read_number(optarg, UINT64_MAX, &number) != 0)
            return -1;
        options->seed = number;
        return 0;
    default: return -1;
    }
}

int
options_read(int argc, char **argv, struct options *options)
{
    static const struct option table[] = {
        {"port", required_argument, NULL, 'p'},   {"port-file", required_argument, NULL, 'f'},
        {"config", required_argument, NULL, 'c'}, {"seed", required_argument, NULL, 's'},
        {"quiet", no_argument, NULL, 'q'},        {NULL, 0, NULL, 0},
    };
    int option, result = 0;

    *options = (struct options){.seed = 1};
    while (result == 0 && (option = getopt_long(argc, argv, "", table, NULL)) != -1)
        result = take_option(option, options);
    if (result == 0 && optind == argc)
        return 0;
    fputs(usage, stderr);
    return -1;
}

/* The text of a file in a new block of *len bytes, or NULL. */
static char *
read_file(const char *path, size_t *len, struct error *err)
{
    FILE *file = fopen(path, "re");
    char *text;

    if (file == NULL) {
        error_set(err, ERROR_CONFIG, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    text = xcalloc(1, CONFIG_BYTES_MAX);
    *len = fread(text, 1, CONFIG_BYTES_MAX, file);
    if (*len == CONFIG_BYTES_MAX || ferror(file)) {
        error_set(err, ERROR_CONFIG, "cannot read %s: not a file of less than 1 MiB", path);
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

static struct settings *
settings_from_file(const char *path, const struct settings *defaults, struct error *err)
{
    struct settings *settings = NULL;
    struct json_slice root;
    size_t len;
    char *text = read_file(path, &len, err);

    if (text == NULL)
        return NULL;
    json_blank_comments(text, len);
    if (json_check(text, len, &root, err) == 0)
        settings = settings_merged(defaults, root, err);
    free(text);
    return settings;
}

struct settings *
options_settings(const struct options *options, struct error *err)
{
    struct settings *defaults = settings_new();
    struct settings *settings;

    if (options->config_file == NULL)
        return defaults;
    settings = settings_from_file(options->config_file, defaults, err);
    settings_free(defaults);
    return settings;
}

int
options_write_port(const char *path, int port, struct error *err)
{
    char *unfinished = xasprintf("%s.new", path);
    FILE *file = fopen(unfinished, "we");
    bool is_written = file != NULL && fprintf(file, "%d\n", port) > 0;

    if (file != NULL && fclose(file) != 0)
        is_written = false;
    if (is_written && rename(unfinished, path) != 0)
        is_written = false;
    if (!is_written)
        error_set(err, ERROR_CONFIG, "cannot write %s: %s", path, strerror(errno));
    free(unfinished);
    return is_written ? 0 : -1;
}
