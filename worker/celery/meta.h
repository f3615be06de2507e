/*
 * meta.h - what Celery's clients read of a task's state: the documents of its result backend. Pure.
 *
 * A document has status, result, traceback, children, date_done and task_id; group_id and parent_id
 * where the message had them (celery/backends/base.py). A failure is an exception that Python
 * builds again from type, module and arguments.
 */
#ifndef WORKER_CELERY_META_H
#define WORKER_CELERY_META_H

#include "worker/celery/envelope.h"
#include "worker/job/result.h"

#include <event2/buffer.h>

/* Appends the document of result->state; result->output is drained. STATE_RUNNING is PROGRESS, or,
 * with an error_kind, RETRY. `children`: what was published with it, as a JSON array; "": none. */
void celery_meta_print(const struct celery_message *message, const struct result *result,
                       const char *children, struct evbuffer *out);
/* The exception as Python shows it: ValueError('text'). */
void celery_meta_put_repr(const struct celery_message *message, const struct result *result,
                          struct evbuffer *out);
/* The traceback as people read it; nothing where there is none. */
void celery_meta_put_traceback(const struct celery_message *message, const struct result *result,
                               struct evbuffer *out);
/* The members `result` and `traceback` of a document alone. */
void celery_meta_put_value_of(const struct celery_message *message, const struct result *result,
                              struct evbuffer *out);
void celery_meta_put_traceback_json(const struct celery_message *message,
                                    const struct result *result, struct evbuffer *out);
/* Which exception it is, and its text: "ValueError('...')"; for events. type NULL: none. */
struct celery_exception celery_exception_of(const struct celery_message *message,
                                            const struct result *result);
/* Appends a value whose objects are not taken for typed ones: one with exactly the names __type__
 * and __value__ gets a third. */
void celery_meta_put_value(struct json_slice value, struct evbuffer *out);

#endif
