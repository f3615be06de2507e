/*
 * task.h - which tasks are known, and the job that a message asks for. Pure.
 *
 * A task is a name and the job type that does its work; its arguments, by position or by name, are
 * fields of the job. Which they are by position the configuration file says; else they are those of
 * the functions below, and of a type from a configuration file its required fields.
 * Built in are the two tasks of a module celery_tasks_enhanced:
 *     analyze_section_task(section_name, content, doc_type, session_id, user_id)
 *     process_chat_task(query, context, session_id, user_id, content)
 */
#ifndef WORKER_CELERY_TASK_H
#define WORKER_CELERY_TASK_H

#include "worker/celery/envelope.h"

#define CELERY_TASKS_MAX      64
#define CELERY_PARAMETERS_MAX JOB_TYPE_REQUIRED_MAX

struct celery_task {
    char *name; /* owned: "celery_tasks_enhanced.analyze_section_task" */
    char *type; /* owned: the name of a job type */
    char
        *parameters[CELERY_PARAMETERS_MAX + 1]; /* owned, in their order; none: those of the type */
    int64_t started;                            /* how many of it were */
};

struct celery_tasks {
    struct celery_task tasks[CELERY_TASKS_MAX];
    int count;
};

/* task_list.c: the built-in ones, those of the configuration file's `section`, which may be absent,
 * and over them those of `pairs`: "name=type,name=type"; NULL: none. `types`: those that a task may
 * have. ERROR_CONFIG says where it is wrong and what is allowed. */
int celery_tasks_init(struct celery_tasks *tasks, const struct config_part *section,
                      const char *pairs, const struct job_types *types,
                      struct error *err) WARN_UNUSED;
void celery_tasks_release(struct celery_tasks *tasks);
const struct celery_task *celery_tasks_find(const struct celery_tasks *tasks, const char *name);
/* One more of this name was started. */
void celery_tasks_count(struct celery_tasks *tasks, const char *name);
/* Instead of what it was, with the figures of before; `fresh` is empty then. */
void celery_tasks_take(struct celery_tasks *tasks, struct celery_tasks *fresh);

/* Is this field of a job decided by the message itself? An argument of such a name is left out. */
bool celery_task_decides(const char *field);

/* Makes the job that `message` asks for, and reads it (job_init). ERROR_INPUT: message->problem is
 * the exception that Python would raise. After any failure the job has the message's id, if there
 * is one, so that its end can be told. */
int celery_task_job(const struct celery_tasks *tasks, struct celery_message *message,
                    const struct job_limits *limits, struct job *job,
                    struct error *err) WARN_UNUSED;

#endif
