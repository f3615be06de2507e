#include "tests/fuzz/redis_stand_in.h"

#include "common/redis/redis_reader.h"
#include "common/redis/redis_reply.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#define OPEN_MAX_CALLS 64
#define ANSWERS_MAX    200 /* of one input: a reap could go on for as long as there are replies */

struct redis_call {
    redis_reply_fn *fn;
    void *arg;
};

static char nothing;
struct redis_route *const redis_stand_in = (struct redis_route *)(void *)&nothing;

static redisReader *reader;
static struct redis_call calls[OPEN_MAX_CALLS]; /* a ring, the oldest first */
static unsigned call_first, call_count;
static int answers_left;

/* ---- the connection ---- */

static struct redis_call *
remember(redis_reply_fn *fn, void *arg)
{
    struct redis_call *call = &calls[(call_first + call_count) % OPEN_MAX_CALLS];

    MUST(call_count++ < OPEN_MAX_CALLS);
    *call = (struct redis_call){fn, arg};
    return call;
}

struct redis_call *
redis_send(struct redis *redis, const struct redis_args *args, int64_t timeout_ms,
           redis_reply_fn *fn, void *arg)
{
    (void)redis;
    (void)timeout_ms;
    for (int i = 0; i < args->count; i++)
        MUST(args->value[i] != NULL);
    return remember(fn, arg);
}

struct redis_call *
redis_eval(struct redis *redis, const struct redis_script *script, const struct redis_args *args,
           int64_t timeout_ms, redis_reply_fn *fn, void *arg)
{
    (void)script;
    return redis_send(redis, args, timeout_ms, fn, arg);
}

void
redis_cancel(struct redis_call *call)
{
    if (call != NULL)
        call->fn = NULL;
}

struct redis *
redis_route_commands(struct redis_route *route, const char *key)
{
    MUST(key != NULL);
    return (struct redis *)route;
}

bool
redis_route_serves(struct redis_route *route, const char *key, const struct error **why)
{
    (void)route;
    (void)why;
    MUST(key != NULL);
    return true;
}

bool
redis_route_joins(const struct redis_route *route, const char *key, const char *other)
{
    (void)route;
    MUST(key != NULL && other != NULL);
    return true;
}

/* As redis.c does it: an error is never a reply. */
static void
answer(const struct redis_call *call, const redisReply *reply)
{
    struct error error = {.kind = ERROR_TRANSIENT, .message = "no more replies"};

    if (call->fn == NULL)
        return;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        redis_error_read(reply->str, &error);
        MUST(error.kind != ERROR_NONE && utf8_is_valid(error.message, strlen(error.message)));
        reply = NULL;
    }
    call->fn(reply, reply == NULL ? &error : NULL, call->arg);
}

static bool
next_reply(redisReply **reply)
{
    void *found = NULL;

    *reply = NULL;
    if (redisReaderGetReply(reader, &found) != REDIS_OK)
        return false;
    *reply = found;
    return found != NULL;
}

void
redis_stand_in_answer(void)
{
    while (call_count > 0) {
        struct redis_call call = calls[call_first];
        redisReply *reply = NULL;

        call_first = (call_first + 1) % OPEN_MAX_CALLS;
        call_count--;
        if (answers_left-- > 0)
            next_reply(&reply);
        answer(&call, reply);
        freeReplyObject(reply);
    }
}

void
redis_stand_in_feed(const char *bytes, size_t len)
{
    redis_stand_in_end();
    reader = redis_reader_new();
    redisReaderFeed(reader, bytes, len);
    answers_left = ANSWERS_MAX;
}

void
redis_stand_in_end(void)
{
    if (reader != NULL)
        redisReaderFree(reader);
    reader = NULL;
    call_count = 0;
}
