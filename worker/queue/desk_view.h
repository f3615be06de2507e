/*
 * desk_view.h - what the desk's replies say, for those who show it to people. Pure.
 */
#ifndef WORKER_QUEUE_DESK_VIEW_H
#define WORKER_QUEUE_DESK_VIEW_H

#include "common/json/json.h"
#include "worker/job/result.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a job is, the more telling the later: of several queues the highest is right. */
enum standing {
    STANDING_WAITING,   /* in the queue, or nobody ever heard of it: a list can't be asked */
    STANDING_CANCELLED, /* marked; whoever takes it drops it */
    STANDING_DELAYED,
    STANDING_RUNNING,
    STANDING_FINAL,
};

struct job_view {
    enum standing standing;
    enum result_state state; /* of a final one */
    const char *document;    /* final: the result as it is in Redis, borrowed from the reply */
    size_t document_len;
    struct json_slice root; /* of the document; absent when it is not JSON */
};

/* Reads a reply of desk_status. A reply of another shape is STANDING_WAITING. */
struct job_view job_view_read(const redisReply *reply);
/* Reads a result document alone, as desk_cancel gives it. */
struct job_view job_view_of(const char *document, size_t len);

struct queue_view {
    bool is_paused;
    int64_t waiting; /* due ones of the delayed set included */
    int64_t in_flight;
    int64_t delayed;
    int64_t dead;
    int64_t workers;
    double oldest_seconds; /* how long its oldest job has waited; < 0: not known */
};

/* Reads a reply of desk_stats. */
struct queue_view queue_view_read(const redisReply *reply);
/* Appends the object that /queue_stats has for each queue. `waits_for`: why its jobs wait, NULL:
 * none does; waits_ms: how long still, < 0: not known. */
void queue_put_json(const char *name, const struct queue_view *view, const char *waits_for,
                    int64_t waits_ms, struct evbuffer *out);
/* enqueued_at of a job of which only the first `len` bytes are there; 0: not found. */
double enqueued_at_of(const char *payload, size_t len);

#endif
