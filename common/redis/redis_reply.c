#include "common/redis/redis_reply.h"

#include "common/redis/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Redis' words for its errors (src/server.c, createSharedObjects, and src/acl.c). */
static const struct {
    const char *begins;
    enum error_kind kind;
} meanings[] = {
    {"LOADING", ERROR_TRANSIENT},
    {"OOM", ERROR_TRANSIENT},
    {"MISCONF", ERROR_TRANSIENT},
    {"NOREPLICAS", ERROR_TRANSIENT},
    {"BUSY", ERROR_TRANSIENT},
    {"MASTERDOWN", ERROR_TRANSIENT},
    {"READONLY", ERROR_TRANSIENT},
    {"TRYAGAIN", ERROR_TRANSIENT},
    {"CLUSTERDOWN", ERROR_TRANSIENT},
    {"UNBLOCKED", ERROR_TRANSIENT}, /* a blocked pop, when the primary became a replica */
    {"NOAUTH", ERROR_REFUSED},
    {"WRONGPASS", ERROR_REFUSED},
    {"NOPERM", ERROR_REFUSED},
    {"DENIED", ERROR_REFUSED}, /* protected mode */
    /* said before any command was read, then Redis hangs up */
    {"ERR max number of clients", ERROR_UNREACHABLE},
};

/* Where the error itself begins. */
static const char *
unwrap(const char *text)
{
    const char *inner;

    if (strncmp(text, "ERR Error running script", strlen("ERR Error running script")) != 0)
        return text;
    inner = strstr(text, ": -");
    return inner != NULL ? inner + strlen(": -") : text;
}

static bool
begins_with(const char *text, const char *words)
{
    size_t len = strlen(words);

    return strncmp(text, words, len) == 0 && (text[len] == ' ' || text[len] == '\0');
}

bool
redis_error_is(const char *text, const char *code)
{
    return begins_with(unwrap(text), code);
}

void
redis_error_read(const char *text, struct error *err)
{
    enum error_kind kind = ERROR_INTERNAL;

    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (redis_error_is(text, meanings[i].begins))
            kind = meanings[i].kind;
    if (redis_error_is(text, "MOVED") || redis_error_is(text, "ASK"))
        error_set(err, kind,
                  "%s: this server is part of a Redis Cluster, which needs a REDIS_URL of "
                  "redis+cluster://host:port,...",
                  text);
    else
        error_set(err, kind, "%s", text);
}

static int64_t
bounded(long long value, int64_t otherwise)
{
    return value > REDIS_INT_MAX || value < -REDIS_INT_MAX ? otherwise : value;
}

int64_t
redis_int(const redisReply *reply, int64_t otherwise)
{
    const char *text = redis_str(reply, "");
    char *end;
    long long value;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
        return bounded(reply->integer, otherwise);
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || errno != 0 || (size_t)(end - text) != reply->len)
        return otherwise;
    return bounded(value, otherwise);
}

const char *
redis_str(const redisReply *reply, const char *otherwise)
{
    if (reply == NULL || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS))
        return otherwise;
    return reply->str;
}

const redisReply *
redis_at(const redisReply *reply, size_t index)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || index >= reply->elements)
        return NULL;
    return reply->element[index];
}
