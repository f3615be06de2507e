/*
 * signature.h - a signature of Celery as the message that runs it. Pure.
 *
 * {"task","args","kwargs","options","subtask_type","immutable"}, as chains, links and chords carry
 * them. What it is run with (the result before it, its place in a group) comes beside it.
 */
#ifndef WORKER_CELERY_SIGNATURE_H
#define WORKER_CELERY_SIGNATURE_H

#include "worker/celery/canvas.h"

/* JSON text; NULL: none. */
struct piece {
    const char *text;
    size_t len;
};

struct signature {
    const struct celery_text *text; /* `slice` lies in its checked text; borrowed */
    struct json_slice slice;
};

struct sending {
    const struct canvas_context *context;
    const struct celery_message *parent; /* that was run before it */
    struct signature signature;
    struct piece value; /* in front of its arguments, unless it is immutable */
    const char *id;     /* of the new task */
    const char *group;  /* its group; NULL: as its options say */
    int index;          /* in that group */
    struct piece chain; /* what comes behind it, last first; NULL: as its options say */
    struct piece chord; /* the body that it is a part of; NULL: as its options say */
};

/* options.task_id, or a fresh one. */
void signature_id(struct signature signature, char id[JOB_ID_MAX + 1]);
struct json_slice signature_option(struct signature signature, const char *name);
/* What an option or a member is, as it was written. */
struct piece signature_piece(struct signature signature, struct json_slice member);
/* "group", "chord", "chain"; "": a task. */
const char *signature_kind(struct signature signature);
/* Its tasks: kwargs[name] as an array; absent: none. */
struct json_slice signature_members(struct signature signature, const char *name);

/* Appends ["list","message"]. */
void sending_put(const struct sending *sending, struct evbuffer *out);
/* The same with a hole where values go in a chord's body:
 * {"list":...,"before":...,"after":...,"tail":...,"takes_values":bool} */
void sending_put_with_hole(const struct sending *sending, struct evbuffer *out);

#endif
