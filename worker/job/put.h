/*
 * put.h - formatted pieces of the JSON documents that this room prints. Pure.
 *
 * Not for other rooms. Texts from outside go through json_put_string instead.
 */
#ifndef WORKER_JOB_PUT_H
#define WORKER_JOB_PUT_H

#include <event2/buffer.h>
#include <stdint.h>

/* Appends JSON as it stands. */
void put_raw(struct evbuffer *out, const char *json);
/* At most 255 bytes a time. */
void put_format(struct evbuffer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON string, or null for NULL. */
void put_text(struct evbuffer *out, const char *text);
/* Milliseconds as seconds: 2.130 */
void put_seconds(struct evbuffer *out, int64_t ms);

#endif
