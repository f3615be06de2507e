/*
 * config_sections.c - the configuration file and what it says of queues.
 */
#include "common/config.h"
#include "common/config_value.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MAX 1000

/* What the outermost object may have. The rooms read all but queues. */
static const char *const sections[] = {"models", "types", "queues", "tenants", "celery", NULL};

int
config_read_file(const struct config *config, struct config_file **fresh, struct error *err)
{
    *fresh = NULL;
    if (config->file == NULL)
        return 0;
    *fresh = config_file_read(config->file, sections, err);
    return *fresh == NULL ? -1 : 0;
}

/* ---- queues ---- */

struct queue_entry {
    int64_t weight;
    bool is_fair;
};

#define MEMBER(m) .offset = offsetof(struct queue_entry, m)

static const struct config_field queue_fields[] = {
    {"weight", config_field_whole, MEMBER(weight), .low = 1, .high = WEIGHT_MAX},
    {"fair", config_field_bool, MEMBER(is_fair)},
    {0},
};

static int
read_queue(const struct config_part *part, struct json_slice key, bool is_fair,
           struct config_queue *queue, struct error *err)
{
    struct config_part name = {.file = part->file, .value = key, .path = "a queue's name"};
    struct queue_entry entry = {.is_fair = is_fair};
    char *text = config_part_text(&name, sizeof(queue->name) - 1);
    bool is_good = text != NULL && config_is_queue_name(text);

    if (is_good)
        snprintf(queue->name, sizeof(queue->name), "%s", text);
    free(text);
    if (!is_good)
        return config_part_refuse(&name, err, "1 to %zu bytes without { } = , or control bytes",
                                  sizeof(queue->name) - 1);
    if (config_part_expect(part, JSON_OBJECT, err) != 0 ||
        config_part_read(part, queue_fields, &entry, err) != 0)
        return -1;
    queue->weight = (int)entry.weight;
    queue->is_fair = entry.is_fair;
    return 0;
}

static int
read_queues(const struct config_part *section, bool is_fair, struct config_queue *queues,
            int *count, struct error *err)
{
    struct config_part part;
    struct json_slice key;

    *count = 0;
    if (config_part_expect(section, JSON_OBJECT, err) != 0)
        return -1;
    for (struct config_iter it = config_iter(section); config_next(&it, &key, &part);) {
        if (*count == CONFIG_QUEUES_MAX)
            return config_part_refuse(section, err, "an object of at most %d queues",
                                      CONFIG_QUEUES_MAX);
        if (read_queue(&part, key, is_fair, &queues[(*count)++], err) != 0)
            return -1;
    }
    return 0;
}

/* Where the queues are named, and which they are when nobody names any. */
static const char *
queues_of_environment(const struct config *config, bool *are_given)
{
    const char *given =
        config_given(config, config->use_celery ? "HEADGATE_CELERY_QUEUES" : "HEADGATE_QUEUES");

    *are_given = given != NULL;
    if (given != NULL)
        return given;
    return config->use_celery ? CONFIG_CELERY_QUEUES : CONFIG_QUEUES;
}

int
config_queues_with(const struct config *config, const struct config_file *file,
                   struct config_queue *queues, int *count, struct error *err)
{
    const struct config_part section = config_file_section(file, "queues");
    struct config_queue told[CONFIG_QUEUES_MAX];
    bool are_given;
    const char *names = queues_of_environment(config, &are_given);
    int told_count;

    if (read_queues(&section, config->is_fair, told, &told_count, err) != 0)
        return -1;
    if (!are_given && told_count > 0) {
        memcpy(queues, told, sizeof(told));
        *count = told_count;
        return 0;
    }
    if (config_parse_queues(names, queues, count, err) != 0)
        return -1;
    for (int i = 0; i < *count; i++) {
        queues[i].is_fair = config->is_fair;
        for (int j = 0; j < told_count; j++)
            if (strcmp(queues[i].name, told[j].name) == 0)
                queues[i].is_fair = told[j].is_fair;
    }
    return 0;
}

int
config_load_file(struct config *config, struct error *err)
{
    if (config_read_file(config, &config->sections, err) != 0)
        return -1;
    return config_queues_with(config, config->sections, config->queues, &config->queue_count, err);
}
