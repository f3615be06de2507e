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
 * wire->put_follow, as one JSON object, and carried out by follow() in lua/prelude.lua in the
 * script that writes the end: {"push": [[list, message], ...]}.
 */
#ifndef WORKER_CELERY_CELERY_H
#define WORKER_CELERY_CELERY_H

#include "common/config.h"
#include "worker/job/wire.h"
#include "worker/queue/queue_flavour.h"

struct celery;

/* `config` is borrowed; use_celery is set there. */
struct celery *celery_new(const struct config *config, struct error *err);
void celery_free(struct celery *celery);

const struct wire *celery_wire(const struct celery *celery);
/* Of config->queues[index]. */
const struct queue_flavour *celery_flavour(const struct celery *celery, int index);

#endif
