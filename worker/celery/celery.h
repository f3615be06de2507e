/*
 * celery.h - Celery's queues on Redis, served beside Celery's own workers.
 *
 * There is one way through the house, for our jobs and for Celery's. This room stands in front of
 * it and behind it:
 *
 *     list element -> envelope (what the message says) -> task (the job it asks for) -> attempt
 *     attempt -> meta (the document that clients wait for) -> settle.lua
 *
 * It gives two things to the rooms that do the work, and neither knows of Celery: a wire
 * (worker/job/wire.h) that reads messages and prints ends, and for each queue a flavour
 * (worker/queue/queue_flavour.h): the lists and records of kombu and, in lua/, the steps of a job
 * on them.
 *
 * Good manners beside real workers, and where they are kept:
 *  - A message that was taken lies in `unacked` and `unacked_index` in the same script that took it
 *    (claim.lua), as kombu writes it, until its end is written in the same script that acknowledges
 *    it (settle.lua). So each side repairs what the other's crash leaves.
 *  - Our entries are renewed while we hold them, those that wait for an eta or a retry too
 *    (beat.lua): no hole after an hour, nothing runs twice.
 *  - What a dead worker of ours held goes back within its lease (reap.lua); what a dead worker of
 *    Celery's held, after the visibility timeout (beat.lua).
 *  - The blocking pop turns the list in place: between list and record no message is anywhere else.
 *  - A message that would end a worker of Celery is never put where one could restore it.
 *
 * What follows from an end (a chain's next link, callbacks, a chord's count) is printed by
 * wire->put_follow, as one JSON object, and carried out by follow() in lua/ends.lua in the
 * script that writes the end: {"push": [[list, message], ...]}.
 */
#ifndef WORKER_CELERY_CELERY_H
#define WORKER_CELERY_CELERY_H

#include "common/config.h"
#include "worker/celery/envelope.h"
#include "worker/job/wire.h"
#include "worker/queue/queue_flavour.h"

struct celery;

/* `config` is borrowed; use_celery is set there. It knows no task yet. */
struct celery *celery_new(const struct config *config);
void celery_free(struct celery *celery);

const struct wire *celery_wire(const struct celery *celery);
/* Of config->queues[index]. */
const struct queue_flavour *celery_flavour(const struct celery *celery, int index);

/* The tasks that are known here. */
struct celery_tasks;
const struct celery_tasks *celery_known_tasks(const struct celery *celery);
/* Knows these from now on; `tasks` is empty then. */
void celery_take_tasks(struct celery *celery, struct celery_tasks *tasks);

/* ---- what happens to tasks, for those who watch ---- */

enum celery_happening {
    CELERY_RECEIVED,
    CELERY_STARTED,
    CELERY_SUCCEEDED,
    CELERY_FAILED,
    CELERY_RETRIED,
    CELERY_REVOKED,
};

/* All borrowed until the callback returns. */
struct celery_event {
    enum celery_happening happening;
    const struct celery_message *message;
    const char *text;      /* the result, cut, or the exception */
    const char *traceback; /* of a failure */
    int64_t runtime_ms;
    bool is_terminated, is_expired; /* revoked: how */
};
typedef void celery_event_fn(const struct celery_event *event, void *arg);
/* One watcher; NULL: none. */
void celery_watch(struct celery *celery, celery_event_fn *fn, void *arg);

/* A task that this worker holds. */
struct celery_task_view {
    const struct celery_message *message;
    const char *queue;
    int64_t started_ms; /* Unix; 0: not yet */
};
typedef void celery_task_fn(const struct celery_task_view *view, void *arg);
void celery_each_task(const struct celery *celery, celery_task_fn *fn, void *arg);
int celery_count_active(const struct celery *celery);

#endif
