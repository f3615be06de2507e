/*
 * attempt_internal.h - what attempt.c (begin, call), attempt_choose.c (order, choose, wait for a
 * permit) and attempt_end.c (verdict, settle, delay) share. Nobody else includes it.
 */
#ifndef WORKER_ATTEMPT_INTERNAL_H
#define WORKER_ATTEMPT_INTERNAL_H

#include "worker/attempt.h"
#include "worker/job/result.h"

enum attempt_state {
    ATTEMPT_NEW,
    ATTEMPT_BEGINNING, /* Redis is asked whether the job is ours to run */
    ATTEMPT_CHOOSING,  /* the next model of this job's order, or the verdict */
    ATTEMPT_PACING,    /* for a permit to call one of those that are left */
    ATTEMPT_HOLDING,   /* a call, until it is known whether the job is still ours */
    ATTEMPT_CALLING,
    ATTEMPT_SETTLING, /* Redis is told the end */
    ATTEMPT_DELAYING, /* Redis is told to keep it for later */
    ATTEMPT_DONE,
};

/* How the job ends, if this execution ends it. */
struct ending {
    enum result_state state;
    const char *kind;    /* NULL when it succeeded */
    const char *message; /* for people; borrowed from the attempt */
};

struct attempt {
    enum attempt_state state;
    const struct attempt_context *context; /* borrowed */
    struct queue *queue;                   /* borrowed */
    struct claim claim;                    /* its payload went into job */
    struct job job;                        /* owned */
    struct wire_message *message;          /* owned; NULL without a wire */
    bool is_cancelled;
    bool is_timed_out;
    bool slot_is_free;
    int64_t charged;    /* to the budget */
    int64_t told_bytes; /* of its end, as Redis was last told */

    struct model *own_models;   /* the job's own; owned; NULL: the configured ones */
    const struct model *models; /* [0] is the primary; borrowed or own_models */
    int model_count;
    int *order;                 /* indices into models, as they are tried; owned */
    int next;                   /* in order */
    bool is_second_try;         /* of the same model */
    struct pacer_permit permit; /* for this call */
    bool has_no_room;           /* no model that is left has any */
    int64_t room_in_ms;         /* of that: when one may have */
    struct call *calls;         /* owned; grows */
    int call_count;
    char *request_body;      /* of the call that is open; owned */
    struct evbuffer *output; /* the `result` object; owned; NULL: no model has answered */
    struct ending ending;
    struct error reason; /* of an end that no call explains */
    int shrinks;         /* how often its end had to be told in a smaller form */
    struct delay delay;

    int64_t started_mono_ms;
    int64_t started_wall_ms;
    int64_t begun_ms;      /* Redis' clock at begin ... */
    int64_t begun_mono_ms; /* ... and ours */
    int64_t call_started_ms;
    struct event *timeout; /* of this execution */
    union {
        struct queue_op *step;
        struct http_call *http;
        struct pacer_wait *pacing;
    } op; /* in flight, named by state */
    struct attempt_end end;
};

/* The one way from state to state: starts what the next one does. */
void attempt_enter(struct attempt *a, enum attempt_state next);

/* attempt_choose.c: what these states do, and the ways into them. */
void attempt_order(struct attempt *a); /* its models, before the first choice */
void attempt_choose(struct attempt *a);
void attempt_pace(struct attempt *a);
void attempt_stop_pacing(struct attempt *a); /* the job ends while it waits */
/* Arms a->timeout for the end of this execution; `to_start`: or for the last moment to start it. */
void attempt_arm_timeout(struct attempt *a, bool to_start);
/* What is left until expires_at; INT64_MAX: it may be started at any time. */
int64_t attempt_ms_to_start(const struct attempt *a);
/* Is it too late to start it? With a call made it was started in time. */
bool attempt_is_expired(const struct attempt *a);

/* attempt_end.c: what these states do, and the ways into them. */
void attempt_settle(struct attempt *a);
void attempt_delay(struct attempt *a);
/* All calls are over: the verdict decides between settling and delaying. */
void attempt_conclude(struct attempt *a);
void attempt_end_job(struct attempt *a, enum result_state state, const char *kind,
                     const char *message);
/* The open call's body and the output, which nobody needs any more. */
void attempt_free_work(struct attempt *a);
/* What it may come to need from here on. */
void attempt_charge(struct attempt *a, int64_t bytes);
/* The calls are over; another job may start. */
void attempt_release_slot(struct attempt *a);
/* Tells the wire, if there is one. */
void attempt_tell(const struct attempt *a, enum wire_news news);
/* Appends the result document as the attempt stands. */
void attempt_put_result(struct attempt *a, struct evbuffer *out);

#endif
