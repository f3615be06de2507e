/*
 * worker_reload.c - SIGHUP: the configuration file is read again.
 */
#include "worker/worker_internal.h"

#include "common/log.h"
#include "worker/settings.h"

#include <string.h>

/* Names one behind the other, for a line of the log. Cut when longer. */
struct names {
    char text[512];
};

static void
add_name(struct names *names, const char *name)
{
    size_t used = strlen(names->text);

    snprintf(names->text + used, sizeof(names->text) - used, "%s%s", used == 0 ? "" : ", ", name);
}

static void
tell_unless_empty(const char *message, const struct names *names)
{
    if (names->text[0] != '\0')
        log_warn(message, LOG_STR("names", names->text));
}

/* ---- what only a restart changes ---- */

static bool
has_queue(const struct config_queue *queues, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(queues[i].name, name) == 0)
            return true;
    return false;
}

static void
tell_queues(const struct worker *w, const struct settings *settings)
{
    const struct config *config = w->config;
    struct names names = {""};

    for (int i = 0; i < settings->queue_count; i++)
        if (!has_queue(config->queues, config->queue_count, settings->queues[i].name))
            add_name(&names, settings->queues[i].name);
    for (int i = 0; i < config->queue_count; i++)
        if (!has_queue(settings->queues, settings->queue_count, config->queues[i].name))
            add_name(&names, config->queues[i].name);
    tell_unless_empty("the list of queues changes with a restart only", &names);
}

/* Where the file names the models, its list and its order are those of the start. */
static void
tell_models(const struct worker *w, const struct model_list *notes)
{
    struct names names = {""};

    if (w->config->models != NULL)
        return;
    for (int i = 0; i < notes->count || i < w->models.count; i++) {
        const char *was = i < w->models.count ? w->models.models[i].name : NULL;
        const char *is = i < notes->count ? notes->models[i].name : NULL;

        if (was == NULL || is == NULL || strcmp(was, is) != 0)
            add_name(&names, is == NULL ? was : is);
    }
    tell_unless_empty("the list of models and its order change with a restart only", &names);
}

/* ---- what a reload changes ---- */

static void
take_queues(struct worker *w, const struct settings *settings)
{
    for (int i = 0; i < w->config->queue_count; i++)
        for (int j = 0; j < settings->queue_count; j++) {
            struct config_queue *queue = &w->config->queues[i];

            if (strcmp(queue->name, settings->queues[j].name) != 0)
                continue;
            queue->is_fair = settings->queues[j].is_fair;
            queue->weight = settings->queues[j].weight;
            intake_set_weight(w->intake, w->queues[i], queue->weight);
            queue_set_fairness(w->queues[i], queue->is_fair, &settings->tenants);
        }
}

void
worker_take_settings(struct worker *w, struct settings *settings)
{
    job_types_drop(w->types);
    w->types = settings->types;
    settings->types = NULL;
    w->attempt_context.types = w->types;
    tenants_release(&w->tenants);
    w->tenants = settings->tenants;
    settings->tenants = (struct tenants){0};
    if (w->celery != NULL)
        celery_take_tasks(w->celery, &settings->tasks);
}

static void
take(struct worker *w, struct settings *settings)
{
    char types[512];

    tell_queues(w, settings);
    tell_models(w, &settings->notes);
    take_queues(w, settings);
    model_list_take_notes(&w->models, &settings->notes);
    worker_take_settings(w, settings);
    job_type_names(w->types, types, sizeof(types));
    log_info("the configuration file was read again: jobs and calls that start from now on have it",
             LOG_STR("file", w->config->file), LOG_INT("models_described", w->models.notes->count),
             LOG_STR("job_types", types), LOG_INT("tenants", w->tenants.count));
}

void
worker_reload(struct worker *w)
{
    struct config_file *fresh;
    struct settings settings;
    struct error error = {0};

    if (w->config->file == NULL) {
        log_info("nothing to read again: HEADGATE_CONFIG is not set");
        return;
    }
    if (config_read_file(w->config, &fresh, &error) != 0 ||
        settings_read(&settings, w->config, fresh, &error) != 0) {
        log_error("the configuration file is wrong: all settings stay as they were",
                  LOG_STR("error", error.message));
        config_file_free(fresh);
        return;
    }
    take(w, &settings);
    settings_release(&settings);
    config_file_free(w->config->sections);
    w->config->sections = fresh;
}
