/* config: the environment, as lines of NAME=VALUE; models and what `headgate config` shows. */
#include "common/config.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/model/model.h"

#define SECRET "S3cr3t.Pa55word"

static const char *
look_up(const char *name, void *arg)
{
    char **lines = arg;
    size_t len = strlen(name);

    /* The password of the one that must never be seen stands where passwords do. */
    for (; *lines != NULL; lines++)
        if (strncmp(*lines, name, len) == 0 && (*lines)[len] == '=')
            return *lines + len + 1;
    return strcmp(name, "HEADGATE_HTTP_TOKEN") == 0 ? SECRET : NULL;
}

static void
check_models(const struct config *config)
{
    struct model_list models;
    struct error err = {0};

    if (config->models == NULL)
        return;
    if (model_list_init(&models, config->models, config->models_are_bedrock, &err) == 0) {
        MUST(models.count > 0 && models.count <= 32);
        for (int i = 0; i < models.count; i++) {
            MUST(model_find(&models, models.models[i].name) == &models.models[i]);
            MUST(strlen(models.models[i].name) <= MODEL_NAME_MAX && models.models[i].id[0] != '\0');
            MUST(utf8_is_valid(models.models[i].display, strlen(models.models[i].display)));
        }
        model_list_release(&models);
    } else {
        MUST(err.kind == ERROR_CONFIG && err.message[0] != '\0');
    }
}

static void
check_config(const struct config *config)
{
    MUST(config->queue_count >= 1 && config->queue_count <= CONFIG_QUEUES_MAX);
    for (int i = 0; i < config->queue_count; i++) {
        MUST(config->queues[i].name[0] != '\0' && strpbrk(config->queues[i].name, "{}=,") == NULL);
        MUST(config->queues[i].weight >= 0 && config->queues[i].weight <= 1000);
    }
    MUST(config->max_job_bytes >= 1024 && config->max_job_bytes <= INT64_C(512) << 20);
    MUST(config->concurrency >= 1 && config->concurrency <= 100000);
    MUST(config->lease_ms >= 2000 && config->retry_cap_ms >= config->retry_base_ms);
    MUST(config->http_port >= 0 && config->http_port <= 65535);
    check_models(config);
}

static void
check_shown(const struct config *config, struct evbuffer *out)
{
    config_show(config, false, out);
    evbuffer_add(out, "", 1);
    MUST(strstr((char *)evbuffer_pullup(out, -1), SECRET) == NULL);
    evbuffer_drain(out, evbuffer_get_length(out));
    config_show(config, true, out);
    must_be_json(out);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    struct evbuffer *out = evbuffer_new();
    struct error err = {0};
    struct config config;
    char *lines[33] = {NULL};
    bool has_secret = size >= strlen(SECRET) && memmem(data, size, SECRET, strlen(SECRET)) != NULL;

    for (int i = 0; i < 32 && input.len > 0; i++)
        lines[i] = input_text(&input, '\n');
    if (config_load(&config, look_up, lines, &err) == 0) {
        check_config(&config);
        if (!has_secret)
            check_shown(&config, out);
        config_release(&config);
    } else {
        MUST(err.kind == ERROR_CONFIG && utf8_is_valid(err.message, strlen(err.message)));
        MUST(has_secret || strstr(err.message, SECRET) == NULL);
    }
    for (int i = 0; i < 32; i++)
        free(lines[i]);
    evbuffer_free(out);
    return 0;
}
