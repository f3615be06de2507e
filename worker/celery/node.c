#include "worker/celery/node.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- for its parts ---- */

struct redis *
celery_node_redis(const struct celery_node *node)
{
    return redis_route_commands(node->options.route, node->options.config->queues[0].name);
}

const char *
celery_node_keyprefix(const struct celery_node *node)
{
    const char *prefix = node->options.config->celery_keyprefix;

    return prefix == NULL ? "" : prefix;
}

/* Ends every list of keys, and of arguments: what the prelude of our scripts reads. */
void
celery_node_put_extra_keys(const struct celery_node *node, int queue, struct redis_args *args)
{
    const struct queue_flavour *flavour = celery_flavour(node->options.celery, queue);

    for (int i = 0; i < flavour->key_count; i++)
        redis_arg(args, flavour->keys[i]);
}

void
celery_node_put_extra_args(const struct celery_node *node, int queue, struct redis_args *args)
{
    const struct queue_flavour *flavour = celery_flavour(node->options.celery, queue);

    for (int i = 0; i < flavour->arg_count; i++)
        redis_arg(args, flavour->args[i]);
}

int
celery_node_extra_keys(const struct celery_node *node)
{
    return celery_flavour(node->options.celery, 0)->key_count;
}

/* ---- life ---- */

static void
name_node(struct celery_node *node)
{
    char host[64] = "host";

    gethostname(host, sizeof(host) - 1);
    snprintf(node->name, sizeof(node->name), "headgate-%d@%s", (int)getpid(), host);
}

/* With Sentinel, kombu before 5.4 says "{db}" where the number of the database belongs. */
static void
name_channels(struct celery_node *node)
{
    const struct redis_url *redis = &node->options.config->redis;
    const char *prefix = celery_node_keyprefix(node);

    node->requests[0] = xasprintf("%s/%d.celery.pidbox", prefix, redis->db);
    node->events[0] = xasprintf("%s/%d.celeryev/", prefix, redis->db);
    if (redis->topology != REDIS_SENTINEL)
        return;
    node->requests[1] = xasprintf("%s/{db}.celery.pidbox", prefix);
    node->events[1] = xasprintf("%s/{db}.celeryev/", prefix);
}

struct celery_node *
celery_node_new(const struct celery_node_options *options)
{
    struct celery_node *node = xcalloc(1, sizeof(*node));

    node->options = *options;
    node->started_ms = clock_mono_ms();
    name_node(node);
    name_channels(node);
    for (int i = 0; i < options->config->queue_count; i++)
        node->consumes[i] = true;
    celery_node_init_replies(node);
    celery_node_init_revoke(node);
    celery_node_init_scheduled(node);
    celery_node_begin_events(node);
    return node;
}

void
celery_node_free(struct celery_node *node)
{
    if (node == NULL)
        return;
    celery_node_end_events(node);
    while (node->questions != NULL)
        celery_question_free(node->questions);
    for (int i = 0; node->requests[i] != NULL; i++) {
        free(node->requests[i]);
        free(node->events[i]);
    }
    free(node);
}

const char *const *
celery_node_channels(const struct celery_node *node)
{
    return (const char *const *)node->requests;
}
