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

/* Fills scripts[SCRIPT_COUNT]. */
void queue_scripts_init(struct redis_script *scripts);

#endif
