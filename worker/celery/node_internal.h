/*
 * node_internal.h - what the parts of a node share. Nobody else includes it.
 */
#ifndef WORKER_CELERY_NODE_INTERNAL_H
#define WORKER_CELERY_NODE_INTERNAL_H

#include "worker/celery/node.h"
#include "worker/celery/task.h"

/* A request that comes on both channels comes twice in a row, or nearly so. */
#define CELERY_HEARD_MAX 16

/* Somebody waits for an answer for which Redis is asked first. */
struct celery_question {
    struct celery_node *node;
    char *oid, *ticket; /* owned; the ticket as JSON */
    struct evbuffer *answer;
    int count;     /* of entries in it */
    int queue;     /* scheduled: that is asked now */
    bool is_hello; /* revoked: what it is told for */
    struct celery_question *prev, *next;
};

struct celery_node {
    struct celery_node_options options;
    char name[128];                   /* "headgate-123@host" */
    char *requests[3];                /* channels; owned; ends with NULL */
    char *events[3];                  /* what channels of events begin with; likewise */
    char heard[CELERY_HEARD_MAX][40]; /* delivery tags of the requests before */
    unsigned heard_count;
    int64_t clock; /* Lamport's */
    bool sends_task_events;
    bool has_left;
    int64_t started_ms; /* monotonic */
    int64_t processed;
    bool consumes[CONFIG_QUEUES_MAX];
    struct evbuffer *batch; /* events of tasks that are not sent yet, comma-separated */
    struct event *beat, *flush;
    struct redis_script reply_script, revoke_script, scheduled_script;
    struct celery_question *questions; /* under way */
};

/* node.c */
/* The connection of all that a node does. */
struct redis *celery_node_redis(const struct celery_node *node);
/* In front of the broker's keys; "". */
const char *celery_node_keyprefix(const struct celery_node *node);
/* What ends the keys and the arguments of every script of lua/. */
int celery_node_extra_keys(const struct celery_node *node);
void celery_node_put_extra_keys(const struct celery_node *node, int queue, struct redis_args *args);
void celery_node_put_extra_args(const struct celery_node *node, int queue, struct redis_args *args);

/* node_send.c */
void celery_node_init_replies(struct celery_node *node);
/* To all who listen to events of this kind; `body` is drained. */
void celery_node_publish(struct celery_node *node, const char *kind, struct evbuffer *body);
/* Answers whoever asked; `reply` is drained. */
void celery_node_reply(struct celery_node *node, const char *oid, struct json_slice ticket,
                       struct evbuffer *reply);
struct celery_question *celery_question_new(struct celery_node *node, const char *oid,
                                            struct json_slice ticket);
/* Sends its answer and frees it. */
void celery_question_end(struct celery_question *question);
void celery_question_free(struct celery_question *question);

/* node_events.c */
void celery_node_begin_events(struct celery_node *node);
void celery_node_end_events(struct celery_node *node);
/* Says that the worker lives. */
void celery_node_beat(struct celery_node *node);

/* node_revoke.c */
void celery_node_init_revoke(struct celery_node *node);
void celery_node_revoke(struct celery_node *node, const char *id, bool is_terminated);
/* `inspect revoked`, and for a `hello` what it is answered. Takes the question. */
void celery_node_answer_revoked(struct celery_question *question);

/* node_scheduled.c */
void celery_node_init_scheduled(struct celery_node *node);
/* `inspect scheduled`. Takes the question. */
void celery_node_answer_scheduled(struct celery_question *question);

/* commands.c */
/* Appends the reply to `method`; false: there is none, or Redis is asked
 * for it. */
bool celery_command_answer(struct celery_node *node, const char *method,
                           struct json_slice arguments, struct evbuffer *reply);
/* Appends {"eta","priority","request"} of a message that waits until `due_ms`; false: it is none.
 */
bool celery_command_put_scheduled(struct celery_node *node, const char *queue, int64_t due_ms,
                                  const char *payload, size_t len, struct evbuffer *out);

#endif
