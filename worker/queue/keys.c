#include "worker/queue/keys.h"

#include "common/memory.h"

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
