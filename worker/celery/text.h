/*
 * text.h - JSON as Python writes it: text that is checked and, beside it, text as it came. Pure.
 *
 * Python's json writes NaN, Infinity and -Infinity, which JSON does not have. Numbers and blanks of
 * the same length stand for them in what is checked, so every slice of that has its counterpart in
 * what came, and that is what is passed on.
 */
#ifndef WORKER_CELERY_TEXT_H
#define WORKER_CELERY_TEXT_H

#include "common/json/json.h"

struct celery_text {
    char *raw;              /* owned: as it came */
    char *checked;          /* owned, or `raw` itself */
    size_t len;             /* of both */
    struct json_slice root; /* of checked */
};

/* Takes `raw` (malloced, may be NULL: no memory). ERROR_INPUT when it is no JSON; `text` is to be
 * released either way. */
int celery_text_init(struct celery_text *text, char *raw, size_t len,
                     struct error *err) WARN_UNUSED;
/* A copy of `slice`, which lies in from->checked. */
int celery_text_copy(struct celery_text *text, const struct celery_text *from,
                     struct json_slice slice, struct error *err) WARN_UNUSED;
void celery_text_release(struct celery_text *text);
/* What came where `slice` (of text->checked) stands. */
struct json_slice celery_text_raw(const struct celery_text *text, struct json_slice slice);

/* The string of 1 to `most` bytes without NUL as a new string; NULL for anything else. */
char *celery_text_string(struct json_slice slice, size_t most);
/* Null counts as absent: Python's None. */
struct json_slice celery_get(struct json_slice object, const char *name);
/* The same for several members, in one walk. */
void celery_get_each(struct json_slice object, int count, const char *const names[],
                     struct json_slice values[]);

/* Appends JSON as it stands; a text as a JSON string. */
void celery_put(struct evbuffer *out, const char *json);
void celery_put_text(struct evbuffer *out, const char *text);
/* "2026-11-25T21:31:25.123000+00:00" with its quotes, as Python writes a date. */
void celery_put_date(int64_t ms, struct evbuffer *out);

#endif
