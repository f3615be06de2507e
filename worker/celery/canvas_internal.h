/*
 * canvas_internal.h - what canvas.c (what is sent on), canvas_chord.c (chords that begin) and
 * canvas_end.c (parts of chords, and the ends of others) share. Nobody else includes it.
 */
#ifndef WORKER_CELERY_CANVAS_INTERNAL_H
#define WORKER_CELERY_CANVAS_INTERNAL_H

#include "worker/celery/canvas.h"
#include "worker/celery/signature.h"

/* The lists of deeds while they are gathered, and what all deeds share. */
struct gathering {
    const struct canvas_context *context;
    const struct celery_message *message;
    struct evbuffer *push, *ends, *sizes, *saves, *chords, *children;
    struct piece value;
    bool has_hole;    /* the values are not known yet */
    size_t elsewhere; /* bytes of the same end that lie in other lists */
    bool is_cut;
};

/* With empty lists, which whoever reads them frees. */
struct gathering canvas_gathering_of(const struct canvas_context *context,
                                     const struct celery_message *message);
/* A comma unless it is the first. */
void canvas_begin_item(struct evbuffer *list);
/* The buffer's bytes, for as long as it is not touched. */
struct piece canvas_piece_of(struct evbuffer *buffer);
/* One more of a list: [name, the document as a text]. */
void canvas_put_document(struct evbuffer *list, const char *name, struct evbuffer *document);
/* Is there no room for more? `own`: what is being put together beside the lists. */
bool canvas_is_full(struct gathering *g, const struct evbuffer *own);
/* With all that does not depend on where it stands. */
struct sending canvas_sending_of(const struct gathering *g, struct signature signature);

int canvas_count(struct json_slice list);
/* The signature once more, with `more` (members, each with a comma behind it) instead of its own
 * options of these names; `names` ends with NULL. */
void canvas_put_signature(struct signature signature, const char *const *names,
                          struct evbuffer *more, struct evbuffer *out);
/* One more of a list of results: a task's, and a group's with those of its members. */
void canvas_put_child(struct evbuffer *children, const char *id);
void canvas_put_group(struct evbuffer *children, const char *group, struct evbuffer *members);
/* Sends whatever it is. `with` is what it is to be run with: what comes behind it, and whose part
 * it is. */
void canvas_send(struct gathering *g, struct signature signature, struct sending *with,
                 struct evbuffer *children);
/* Every task of a list as one group; as->chord: the body that they are parts of, if any;
 * as->chain: what comes behind each. Those of a chord's header are its parts, whatever they say. */
void canvas_send_members(struct gathering *g, const struct celery_text *text,
                         struct json_slice tasks, const struct sending *as, bool is_header,
                         struct evbuffer *children);

/* canvas_chord.c */
void canvas_send_chord(struct gathering *g, struct signature signature, struct sending *with,
                       struct evbuffer *children);
/* Appends what is to be sent when the values are there, as members of an object, each with a comma
 * in front: "bodies": messages with a hole (signature.h), "sizes" and "saves" (canvas.h). */
void canvas_put_body_later(struct gathering *g, struct signature body, struct evbuffer *out);

/* canvas_end.c */
/* Appends the messages of errbacks, one signature or a list of them, with the id of what failed. */
void canvas_put_errbacks(struct gathering *g, const struct celery_text *text,
                         struct json_slice errbacks, const char *id, struct evbuffer *out);
/* The message's own part of its chord, if it is one. */
void canvas_count_part(struct gathering *g, const char *status, struct piece value);
/* Links that will not come fail as this task did. */
void canvas_fail_chain(struct gathering *g, const char *exception, const char *traceback);

#endif
