/*
 * envelope.h - one message of a Celery producer, as kombu put it into a Redis list. Pure.
 *
 * Protocols 2 and 1, JSON bodies, base64 or plain, zlib or not compressed. What is passed on later
 * (a chain, a chord) is kept as it was written. The format: celery.md of the documentation,
 * kombu/transport/virtual/base.py, celery/app/amqp.py.
 */
#ifndef WORKER_CELERY_ENVELOPE_H
#define WORKER_CELERY_ENVELOPE_H

#include "worker/celery/text.h"
#include "worker/job/job.h"

/* A class that Python's side of Celery raises for a failure. */
struct celery_exception {
    const char *type; /* NULL: none */
    const char *module;
};

struct celery_message {
    char *payload; /* owned: the list element */
    size_t payload_len;
    struct celery_text headers; /* a copy: slices below that are of headers lie in it */
    struct celery_text body;    /* until the job was made of it */
    struct celery_text embed;   /* a copy: callbacks, errbacks, chain, chord */

    char id[JOB_ID_MAX + 1];                                  /* "": none that can be used */
    char *task;                                               /* owned; NULL: none */
    struct json_slice args, kwargs;                           /* of body */
    struct json_slice callbacks, errbacks, chain, chord;      /* of embed */
    struct json_slice group, group_index, root_id, parent_id; /* of headers */
    int64_t eta_ms, expires_ms;                               /* Unix; 0: none */
    int64_t hard_ms, soft_ms;                                 /* time limits; 0: none */
    int64_t retries;
    int priority; /* as it was sent: 0 to 255 */
    bool ignore_result;
    struct celery_exception problem; /* why it can't be run; type NULL: it can */
};

/* Takes `payload` (malloced). ERROR_INPUT: no task that can be run; `problem` is set then, and what
 * could be read. The body has at most `most_bytes`. celery_message_release is due either way. */
int celery_message_init(struct celery_message *message, char *payload, size_t len,
                        size_t most_bytes, struct error *err) WARN_UNUSED;
/* Is there anything that follows from its end: a chain, callbacks, a chord? */
bool celery_message_continues(const struct celery_message *message);
/* Frees payload and body: what an end needs stays. */
void celery_message_forget(struct celery_message *message);
void celery_message_release(struct celery_message *message);
/* Sets the problem and `err`; returns -1. */
int celery_refuse(struct celery_message *message, const char *type, const char *module,
                  struct error *err, const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
