/*
 * task_list.c - which tasks are known: those that are built in, those of the configuration file,
 * and those of HEADGATE_CELERY_TASKS.
 */
#include "common/memory.h"
#include "worker/celery/task.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BUILTIN_MODULE "celery_tasks_enhanced."
#define NAME_BYTES_MAX 255

static void
release_task(struct celery_task *task)
{
    free(task->name);
    free(task->type);
    for (int i = 0; i < CELERY_PARAMETERS_MAX; i++)
        free(task->parameters[i]);
    *task = (struct celery_task){0};
}

static int
index_of(const struct celery_tasks *tasks, const char *name)
{
    int i = 0;

    while (i < tasks->count && strcmp(tasks->tasks[i].name, name) != 0)
        i++;
    return i;
}

/* Takes what `task` owns, instead of one of the same name. -1: there are too many. */
static int
add_task(struct celery_tasks *tasks, struct celery_task *task)
{
    int at = index_of(tasks, task->name);

    if (at == CELERY_TASKS_MAX)
        return -1;
    release_task(&tasks->tasks[at]);
    tasks->tasks[at] = *task;
    tasks->count += at == tasks->count;
    *task = (struct celery_task){0};
    return 0;
}

static void
add_builtin(struct celery_tasks *tasks, const char *name, const char *type)
{
    struct celery_task task = {.name = xasprintf(BUILTIN_MODULE "%s", name), .type = xstrdup(type)};

    if (add_task(tasks, &task) != 0) /* cannot be: they are the first */
        release_task(&task);
}

/* ---- the variable ---- */

/* A copy without the blanks at its ends. */
static char *
trimmed(const char *text, size_t len)
{
    for (; len > 0 && *text == ' '; len--)
        text++;
    while (len > 0 && text[len - 1] == ' ')
        len--;
    return xasprintf("%.*s", (int)len, text);
}

/* "name=type", blanks around either. */
static int
add_pair(struct celery_tasks *tasks, const char *pair, const struct job_types *types,
         struct error *err)
{
    const char *cut = strchr(pair, '=');
    struct celery_task task = {0};
    int result = 0;

    if (cut != NULL) {
        task.name = trimmed(pair, (size_t)(cut - pair));
        task.type = trimmed(cut + 1, strlen(cut + 1));
    }
    if (cut == NULL || task.name[0] == '\0')
        result = error_set(err, ERROR_CONFIG, "must be a list of name=type");
    else if (job_type_find(types, task.type) == NULL)
        result =
            error_set(err, ERROR_CONFIG, "must name a job type behind each task: name=analyze");
    else if (add_task(tasks, &task) != 0)
        result = error_set(err, ERROR_CONFIG, "must be at most %d tasks", CELERY_TASKS_MAX - 2);
    release_task(&task);
    return result;
}

static int
add_pairs(struct celery_tasks *tasks, const char *pairs, const struct job_types *types,
          struct error *err)
{
    char *list = xstrdup(pairs), *rest = NULL;
    struct error why = {0};
    int result = 0;

    for (char *pair = strtok_r(list, ",", &rest); pair != NULL && result == 0;
         pair = strtok_r(NULL, ",", &rest))
        result = add_pair(tasks, pair, types, &why);
    free(list);
    if (result == 0)
        return 0;
    return error_set(err, ERROR_CONFIG, "HEADGATE_CELERY_TASKS=%.100s: %s", pairs, why.message);
}

/* ---- the file ---- */

/* As Python names parameters, and none that the message itself decides. */
static bool
is_parameter(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return false;
    return !isdigit((unsigned char)name[0]) && !celery_task_decides(name);
}

static int
add_parameter(struct celery_task *task, int at, const struct config_part *part, struct error *err)
{
    char *name = config_part_text(part, JOB_TYPE_NAME_MAX);
    bool is_good = name != NULL && at < CELERY_PARAMETERS_MAX && is_parameter(name);

    for (int i = 0; i < at && is_good; i++)
        is_good = strcmp(task->parameters[i], name) != 0;
    if (is_good) {
        task->parameters[at] = name;
        return 0;
    }
    free(name);
    return config_part_refuse(part, err, "the name of a parameter, one of at most %d, each once",
                              CELERY_PARAMETERS_MAX);
}

static int
read_parameters(const struct config_field *field, const struct config_part *part, void *member,
                struct error *err)
{
    struct config_part inner;
    struct json_slice key;
    int count = 0, result = config_part_expect(part, JSON_ARRAY, err);

    (void)field;
    for (struct config_iter it = config_iter(part); result == 0 && config_next(&it, &key, &inner);
         count++)
        result = add_parameter(member, count, &inner, err);
    if (result == 0 && count == 0)
        return config_part_refuse(part, err, "an array of names of parameters");
    return result;
}

static const struct config_field fields[] = {
    {"type", config_field_text, .offset = offsetof(struct celery_task, type),
     .high = JOB_TYPE_NAME_MAX, .is_needed = true},
    {"args", .read = read_parameters},
    {0},
};

/* "summarize", or {"type": "summarize", "args": ["content", "language"]}. */
static int
read_task(struct celery_task *task, const struct config_part *part, const struct job_types *types,
          struct error *err)
{
    struct config_part type = *part;
    char names[160];

    if (part->value.type == JSON_OBJECT) {
        if (config_part_read(part, fields, task, err) != 0)
            return -1;
        type = config_part_member(part, "type");
    } else {
        task->type = config_part_text(part, JOB_TYPE_NAME_MAX);
    }
    if (task->type != NULL && job_type_find(types, task->type) != NULL)
        return 0;
    job_type_names(types, names, sizeof(names));
    return config_part_refuse(&type, err, "the name of a job type: %s", names);
}

static int
add_entry(struct celery_tasks *tasks, struct json_slice key, const struct config_part *part,
          const struct job_types *types, struct error *err)
{
    const struct config_part at_name = {.file = part->file, .value = key, .path = "a task's name"};
    struct celery_task task = {.name = config_part_text(&at_name, NAME_BYTES_MAX)};
    int result;

    if (task.name == NULL)
        result = config_part_refuse(&at_name, err, "1 to %d bytes without control bytes",
                                    NAME_BYTES_MAX);
    else
        result = read_task(&task, part, types, err);
    if (result == 0 && add_task(tasks, &task) != 0)
        result = config_part_refuse(part, err, "one of at most %d tasks", CELERY_TASKS_MAX - 2);
    release_task(&task);
    return result;
}

static int
add_entries(struct celery_tasks *tasks, const struct config_part *section,
            const struct job_types *types, struct error *err)
{
    static const struct config_field known[] = {{.name = "tasks"}, {0}};
    const struct config_part entries = config_part_member(section, "tasks");
    struct config_part part;
    struct json_slice key;
    int result = config_part_read(section, known, NULL, err);

    if (result == 0)
        result = config_part_expect(&entries, JSON_OBJECT, err);
    for (struct config_iter it = config_iter(&entries);
         result == 0 && config_next(&it, &key, &part);)
        result = add_entry(tasks, key, &part, types, err);
    return result;
}

/* ---- all of them ---- */

int
celery_tasks_init(struct celery_tasks *tasks, const struct config_part *section, const char *pairs,
                  const struct job_types *types, struct error *err)
{
    int result = 0;

    *tasks = (struct celery_tasks){0};
    add_builtin(tasks, "analyze_section_task", "analyze");
    add_builtin(tasks, "process_chat_task", "chat");
    if (section != NULL)
        result = add_entries(tasks, section, types, err);
    if (result == 0 && pairs != NULL)
        result = add_pairs(tasks, pairs, types, err);
    if (result != 0)
        celery_tasks_release(tasks);
    return result;
}

void
celery_tasks_release(struct celery_tasks *tasks)
{
    for (int i = 0; i < tasks->count; i++)
        release_task(&tasks->tasks[i]);
    tasks->count = 0;
}

const struct celery_task *
celery_tasks_find(const struct celery_tasks *tasks, const char *name)
{
    int at = index_of(tasks, name);

    return at == tasks->count ? NULL : &tasks->tasks[at];
}

void
celery_tasks_count(struct celery_tasks *tasks, const char *name)
{
    int at = index_of(tasks, name);

    if (at < tasks->count)
        tasks->tasks[at].started++;
}

void
celery_tasks_take(struct celery_tasks *tasks, struct celery_tasks *fresh)
{
    for (int i = 0; i < fresh->count; i++) {
        const struct celery_task *old = celery_tasks_find(tasks, fresh->tasks[i].name);

        fresh->tasks[i].started = old == NULL ? 0 : old->started;
    }
    celery_tasks_release(tasks);
    *tasks = *fresh;
    fresh->count = 0;
}
