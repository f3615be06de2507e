/*
 * settings.h - what a configuration file says to every room, read as a whole: all of it or nothing.
 *
 * A reload reads the new file into settings of its own first; only when all sections are good, the
 * rooms take them.
 */
#ifndef WORKER_SETTINGS_H
#define WORKER_SETTINGS_H

#include "common/config.h"
#include "worker/celery/task.h"
#include "worker/job/job_type.h"
#include "worker/model/model_file.h"
#include "worker/queue/tenants.h"

struct settings {
    struct model_list notes;
    struct job_types *types; /* held */
    struct tenants tenants;
    struct celery_tasks tasks;
    struct config_queue queues[CONFIG_QUEUES_MAX];
    int queue_count;
};

/* `file` may be NULL: then everything is as without one. ERROR_CONFIG says where the file is wrong;
 * nothing is left to release then. */
int settings_read(struct settings *settings, const struct config *config,
                  const struct config_file *file, struct error *err) WARN_UNUSED;
/* What was taken out of it is empty or NULL by then. */
void settings_release(struct settings *settings);

#endif
