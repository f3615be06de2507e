/*
 * node_internal.h - what node.c (requests, replies, events) and commands.c (what is answered)
 * share. Nobody else includes it.
 */
#ifndef WORKER_CELERY_NODE_INTERNAL_H
#define WORKER_CELERY_NODE_INTERNAL_H

#include "worker/celery/node.h"
#include "worker/celery/task.h"

struct celery_node {
    struct celery_node_options options;
    char name[128]; /* "headgate-123@host" */
    char *channel;  /* of requests */
    char *events;   /* what the channels of events begin with */
    int64_t clock;  /* Lamport's */
    bool sends_task_events;
    bool has_left;
    int64_t started_ms; /* monotonic */
    int64_t processed;
    int64_t totals[CELERY_TASKS_MAX]; /* by task, as celery_tasks has them */
    bool consumes[CONFIG_QUEUES_MAX];
    struct evbuffer *batch; /* events of tasks that are not sent yet, comma-separated */
    struct event *beat, *flush;
    struct redis_script reply_script, revoke_script;
};

/* Appends the reply to `method`; false: there is none, whoever asks. */
bool celery_command_answer(struct celery_node *node, const char *method,
                           struct json_slice arguments, struct evbuffer *reply);

/* node.c, for the commands */
void celery_node_beat(struct celery_node *node);
void celery_node_revoke(struct celery_node *node, const char *id, bool is_terminated);

#endif
