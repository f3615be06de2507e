/*
 * keys.h - the names of a queue's keys.
 *
 * Every key of queue Q carries the hash tag {Q}, so that what one script touches lives in one
 * Cluster slot. What each holds is described in docs/redis-keys.md.
 */
#ifndef WORKER_QUEUE_KEYS_H
#define WORKER_QUEUE_KEYS_H

#include <stdbool.h>

/* "<prefix>:{<queue>}:<what>" as a new string (free). */
char *queue_key(const char *prefix, const char *queue, const char *what);
/* "<prefix>:{<queue>}:<what>:<id>". */
char *queue_key_of(const char *prefix, const char *queue, const char *what, const char *id);
/* Is this a name of ours, one that nobody may choose for a list of their own (reply_to)? */
bool queue_key_is_ours(const char *prefix, const char *key);

#endif
