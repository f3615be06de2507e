/*
 * node.h - this worker as a node of the app: remote control and events.
 *
 * Celery's workers are asked and told by broadcast (`celery inspect`, `celery control`, revoke,
 * Flower) and say what happens as events. A request is a message of PUB/SUB on
 * `/<db>.celery.pidbox`, an answer goes to the list of whoever asked; events are published on
 * `/<db>.celeryev/...` (celery/worker/control.py, celery/events).
 */
#ifndef WORKER_CELERY_NODE_H
#define WORKER_CELERY_NODE_H

#include "common/redis/redis_route.h"
#include "worker/celery/celery.h"

struct celery_node;

struct celery_node_options {
    struct event_base *base; /* borrowed, as all here */
    struct redis_route *route;
    const struct config *config;
    struct celery *celery;
    const char *worker; /* "host:123:9f2c" */
    const char *version;
    int slots;
    /* Aborts the task of this id if it runs here. */
    void (*terminate)(int queue, const char *id, void *arg);
    /* Takes messages of this queue, or no more. */
    void (*consume)(int queue, bool is_wanted, void *arg);
    void (*shut_down)(void *arg);
    void *arg;
};

struct celery_node *celery_node_new(const struct celery_node_options *options);
void celery_node_free(struct celery_node *node);
/* Where requests come, to be subscribed to; ends with NULL. */
const char *const *celery_node_channels(const struct celery_node *node);
/* A message of any channel: that of another one is none for us. */
void celery_node_hear(struct celery_node *node, const char *channel, const char *message,
                      size_t len);
/* Redis is there (again): says that the worker is. */
void celery_node_arrive(struct celery_node *node);
/* Says that the worker goes; the last event. */
void celery_node_leave(struct celery_node *node);

#endif
