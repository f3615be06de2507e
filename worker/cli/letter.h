/*
 * letter.h - a dead letter, as it stands in Redis: read, and shown to people.
 *
 * Anybody may have written it: what is no JSON object is shown, too, and kept apart.
 */
#ifndef WORKER_CLI_LETTER_H
#define WORKER_CLI_LETTER_H

#include "common/json/json.h"

#include <event2/buffer.h>

/* Its exact text, and what of it is looked at. */
struct letter {
    const char *text; /* borrowed */
    size_t len;
    struct json_slice root; /* JSON_ABSENT: it is no JSON */
    char *id;               /* owned; NULL: it has none */
};

struct letter letter_read(const char *text, size_t len);
void letter_release(struct letter *letter);

/* The payload as the producer pushed it, and a NUL behind it; a new block (free). NULL when there
 * is none. */
char *letter_payload(const struct letter *letter, size_t *len);
/* Appends "DATE  QUEUE  ID  KIND  MESSAGE": no line end, nothing that steers a terminal. */
void letter_put_line(const struct letter *letter, const char *queue, struct evbuffer *out);
/* Appends a JSON object that holds all of a letter which is none itself. */
void letter_put_unreadable(const struct letter *letter, const char *queue, struct evbuffer *out);

#endif
