#include "worker/queue/keys.h"

#include "common/memory.h"

#include <string.h>

char *
queue_key(const char *prefix, const char *queue, const char *what)
{
    return xasprintf("%s:{%s}:%s", prefix, queue, what);
}

char *
queue_key_of(const char *prefix, const char *queue, const char *what, const char *id)
{
    return xasprintf("%s:{%s}:%s:%s", prefix, queue, what, id);
}

bool
queue_key_is_ours(const char *prefix, const char *key)
{
    size_t len = strlen(prefix);

    return strncmp(key, prefix, len) == 0 && key[len] == ':';
}
