/*
 * canvas.h - what follows from a task's end: links of a chain, callbacks, a chord's part. Pure.
 *
 * A worker of Celery publishes what a message carries along: the last element of `chain`, the
 * callbacks of `link`, on failure the errbacks and the end of the chain that will not come. All of
 * it is put into one JSON object, which the script that writes the end carries out (follow() in
 * lua/ends.lua):
 *     {"push": [[list, message], ...],          to be sent
 *      "ends": [[id, document], ...],           of tasks that will never run
 *      "sizes": [[group, count], ...],          of chords that begin
 *      "saves": [[group, text], ...],           how their values belong together, if not in a row
 *      "chords": [{...}, ...]}                  parts of chords: see put_part
 * Signatures and values are copied as they were written.
 */
#ifndef WORKER_CELERY_CANVAS_H
#define WORKER_CELERY_CANVAS_H

#include "worker/celery/envelope.h"

#include <event2/buffer.h>

struct canvas_context {
    const char *keyprefix; /* of the broker's keys; "" */
    const char *prefix;    /* of our own, where no message is sent to; NULL: not known */
    const char *queue;     /* the message came from it */
    const char *worker;
    int64_t now_ms; /* Unix */
};

/* The most that may follow from one end: a result goes into every message of a group, and Redis
 * does nothing else while it takes them. */
#define CANVAS_BYTES_MAX (32 * 1024 * 1024)

struct canvas {
    struct evbuffer *deeds;    /* the object; owned; empty: nothing follows */
    struct evbuffer *children; /* the array of a result's children; owned */
    bool is_cut;               /* there was more: it is left out */
};

/* After a success: `value` is the result as JSON. */
void canvas_succeed(struct canvas *canvas, const struct canvas_context *context,
                    const struct celery_message *message, const char *value, size_t len);
/* After a failure or a revocation: `exception` and `traceback` are those of its document, as JSON.
 */
void canvas_fail(struct canvas *canvas, const struct canvas_context *context,
                 const struct celery_message *message, bool is_revoked, const char *exception,
                 const char *traceback);
void canvas_release(struct canvas *canvas);

#endif
