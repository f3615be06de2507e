/*
 * config_verb.c - headgate config, headgate version.
 */
#include "common/config.h"
#include "common/memory.h"
#include "worker/cli/verb.h"
#include "worker/settings.h"
#include "worker/worker.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>

/* All that a worker would refuse. No model is fine here: only a worker must have one. */
static int
check_all(const struct config *config, struct error *err)
{
    struct model_list models;
    struct settings settings;

    if (settings_read(&settings, config, config->sections, err) != 0)
        return -1;
    settings_release(&settings);
    if (model_list_load(&models, config, err) != 0)
        return -1;
    model_list_release(&models);
    return 0;
}

static int
run_config(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct flag flags[] = {{"json", FLAG_BOOL, &json, NULL}, {0}};
    struct config config;
    struct evbuffer *out;
    struct error err;
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) != 0)
        return exit_code;
    if (config_load(&config, NULL, NULL, &err) != 0)
        return verb_error(&err);
    if (check_all(&config, &err) != 0) {
        config_release(&config);
        return verb_error(&err);
    }
    out = xevbuffer();
    config_show(&config, json, out);
    print_buffer(out);
    config_release(&config);
    return EXIT_OK;
}

const struct verb verb_config = {
    .name = "config",
    .operands = "[--json]",
    .summary = "Shows every setting in effect and where it comes from, secrets hidden",
    .help = "  --json  one JSON object\n\n"
            "Exit code: 2 when a setting is wrong; it is named.\n",
    .run = run_config,
};

static int
run_version(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct flag flags[] = {{"json", FLAG_BOOL, &json, NULL}, {0}};
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) != 0)
        return exit_code;
    if (json)
        printf("{\"name\":\"headgate\",\"version\":\"%s\"}\n", HEADGATE_VERSION);
    else
        printf("headgate %s\n%s\nlibevent %s\n%s\n", HEADGATE_VERSION, curl_version(),
               event_get_version(), OpenSSL_version(OPENSSL_VERSION));
    return EXIT_OK;
}

const struct verb verb_version = {
    .name = "version",
    .operands = "[--json]",
    .summary = "Shows the version of this program and of its libraries",
    .help = "",
    .run = run_version,
};
