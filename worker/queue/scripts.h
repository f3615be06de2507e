/*
 * scripts.h - the Lua of this folder, made into strings at build time.
 */
#ifndef WORKER_QUEUE_SCRIPTS_H
#define WORKER_QUEUE_SCRIPTS_H

#include "common/redis/redis.h"

enum queue_script {
    SCRIPT_CLAIM,
    SCRIPT_BEGIN,
    SCRIPT_SETTLE,
    SCRIPT_DEAD,
    SCRIPT_RETRY,
    SCRIPT_RELEASE,
    SCRIPT_REAP,
    SCRIPT_BEAT,
    SCRIPT_CANCEL,
    SCRIPT_DEAD_RETRY,
    SCRIPT_STATS,
    SCRIPT_STATUS,
    SCRIPT_COUNT,
};

struct script_source {
    const char *name;
    const char *source;
};

/* Fills scripts[SCRIPT_COUNT]; `others` [SCRIPT_COUNT] stand for ours where they have a source;
 * NULL: all are ours. */
void queue_scripts_init(struct redis_script *scripts, const struct script_source *others);

#endif
