/*
 * canvas_internal.h - what canvas.c (what is sent on) and canvas_end.c (chords, and the ends of
 * others) share. Nobody else includes it.
 */
#ifndef WORKER_CELERY_CANVAS_INTERNAL_H
#define WORKER_CELERY_CANVAS_INTERNAL_H

#include "worker/celery/canvas.h"
#include "worker/celery/signature.h"

/* The four lists of deeds while they are gathered, and what all deeds share. */
struct gathering {
    const struct canvas_context *context;
    const struct celery_message *message;
    struct evbuffer *push, *ends, *sizes, *chords, *children;
    struct piece value;
    bool is_cut;
};

/* A comma unless it is the first. */
void canvas_begin_item(struct evbuffer *list);
/* The buffer's bytes, for as long as it is not touched. */
struct piece canvas_piece_of(struct evbuffer *buffer);
/* Is there no room for more? `own`: what is being put together beside the lists. */
bool canvas_is_full(struct gathering *g, const struct evbuffer *own);
/* With all that does not depend on where it stands. */
struct sending canvas_sending_of(const struct gathering *g, struct signature signature);

/* canvas_end.c */
/* Appends the messages of errbacks, one signature or a list of them, with the id of what failed. */
void canvas_put_errbacks(struct gathering *g, const struct celery_text *text,
                         struct json_slice errbacks, const char *id, struct evbuffer *out);
/* The message's own part of its chord, if it is one. */
void canvas_count_part(struct gathering *g, const char *status, struct piece value);
/* Links that will not come fail as this task did. */
void canvas_fail_chain(struct gathering *g, const char *exception, const char *traceback);

#endif
