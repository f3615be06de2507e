#include "worker/settings.h"

int
settings_read(struct settings *settings, const struct config *config,
              const struct config_file *file, struct error *err)
{
    const struct config_part types = config_file_section(file, "types");
    const struct config_part tenants = config_file_section(file, "tenants");
    const struct config_part celery = config_file_section(file, "celery");
    const char *pairs = config->use_celery ? config->celery_tasks : NULL;

    *settings = (struct settings){0};
    if (model_notes_read(&settings->notes, config, file, err) == 0 &&
        (settings->types = job_types_new(&types, err)) != NULL &&
        tenants_init(&settings->tenants, &tenants, err) == 0 &&
        celery_tasks_init(&settings->tasks, &celery, pairs, settings->types, err) == 0 &&
        config_queues_with(config, file, settings->queues, &settings->queue_count, err) == 0)
        return 0;
    settings_release(settings);
    return -1;
}

void
settings_release(struct settings *settings)
{
    model_list_release(&settings->notes);
    job_types_drop(settings->types);
    tenants_release(&settings->tenants);
    celery_tasks_release(&settings->tasks);
    *settings = (struct settings){0};
}
