/*
 * wire.h - how a job comes in and how its end goes out, where others' words are spoken.
 *
 * Without a wire a payload is a job (job.h) and an end is a result document (result.h). A wire
 * stands in front of the one and behind the other, so that the flow between them is one for all.
 */
#ifndef WORKER_JOB_WIRE_H
#define WORKER_JOB_WIRE_H

#include "worker/job/job.h"
#include "worker/job/result.h"

/* What a wire keeps of a message until its job's end; its own affair. */
struct wire_message;

/* What the flow tells a wire of a job, beside asking for documents. */
enum wire_news {
    WIRE_STARTED, /* it runs, by Redis' word */
    WIRE_ENDED,   /* the end that was printed last is written */
    WIRE_RETRIED, /* the same for a retry */
};

struct wire {
    void *self; /* handed to each of these; borrowed */
    /* Takes `payload` (malloced), which came from `queue`, and reads it as job_init does: what
     * could be read is set after a failure, too. *message is never NULL; owned by the caller. */
    int (*read)(void *self, const char *queue, char *payload, size_t len,
                const struct job_limits *limits, struct job *job, struct wire_message **message,
                struct error *err);
    /* Takes `payload` and does not look into it. */
    struct wire_message *(*keep)(void *self, char *payload, size_t len);
    /* Appends the document of result->state, nothing when there shall be none. STATE_RUNNING with
     * an error_kind: it will be tried again. result->output is drained. */
    void (*put_result)(void *self, struct wire_message *message, const struct result *result,
                       struct evbuffer *document);
    /* Appends what is to happen together with the end that put_result has printed last: for the
     * queue's flavour (struct settlement). */
    void (*put_follow)(void *self, struct wire_message *message, struct evbuffer *follow);
    void (*tell)(void *self, struct wire_message *message, enum wire_news news);
    /* The payload as it came, borrowed; NULL once it was forgotten. */
    const char *(*payload)(const struct wire_message *message, size_t *len);
    void (*forget_payload)(struct wire_message *message);
    void (*release)(struct wire_message *message); /* NULL is fine */
};

#endif
