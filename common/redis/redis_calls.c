#include "common/redis/redis_calls.h"

#include "common/clock.h"
#include "common/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <utlist.h>

void
redis_call_drop(struct redis_call *call)
{
    redis_command_release(&call->command);
    free(call->failure);
    free(call);
}

static void
free_list(struct redis_call *list)
{
    struct redis_call *call, *next;

    DL_FOREACH_SAFE(list, call, next)
    redis_call_drop(call);
}

void
redis_calls_release(struct redis_calls *calls)
{
    free_list(calls->open);
    free_list(calls->held);
    free_list(calls->failed);
    *calls = (struct redis_calls){0};
}

struct redis_call *
redis_call_new(redis_reply_fn *fn, void *arg, int64_t timeout_ms)
{
    struct redis_call *call = xcalloc(1, sizeof(*call));

    call->fn = fn;
    call->arg = arg;
    call->timeout_ms = timeout_ms;
    call->deadline_ms = clock_mono_ms() + timeout_ms;
    return call;
}

static void
leave_due(struct redis_calls *calls, struct redis_call *call)
{
    if (call->is_due)
        DL_DELETE2(calls->due, call, prev_due, next_due);
    call->is_due = false;
}

void
redis_calls_push(struct redis_calls *calls, struct redis_call *call)
{
    while (calls->due != NULL && calls->due->prev_due->deadline_ms >= call->deadline_ms)
        leave_due(calls, calls->due->prev_due);
    DL_APPEND2(calls->due, call, prev_due, next_due);
    call->is_due = true;
    DL_APPEND(calls->open, call);
}

struct redis_call *
redis_calls_pop(struct redis_calls *calls)
{
    struct redis_call *call = calls->open;

    if (call == NULL)
        return NULL;
    leave_due(calls, call);
    DL_DELETE(calls->open, call);
    return call;
}

int64_t
redis_calls_due_ms(const struct redis_calls *calls)
{
    return calls->due != NULL ? calls->due->deadline_ms : INT64_MAX;
}

void
redis_calls_fail(struct redis_calls *calls, struct redis_call *call, const struct error *why)
{
    call->failure = xcalloc(1, sizeof(*call->failure));
    *call->failure = *why;
    DL_APPEND(calls->failed, call);
    calls->failed_count++;
}

void
redis_calls_hold(struct redis_calls *calls, struct redis_call *call)
{
    DL_APPEND(calls->held, call);
}

struct redis_call *
redis_calls_pop_held(struct redis_calls *calls)
{
    struct redis_call *call = calls->held;

    if (call != NULL)
        DL_DELETE(calls->held, call);
    return call;
}

void
redis_calls_fail_held(struct redis_calls *calls, const struct error *why)
{
    struct redis_call *call;
    struct error error;

    error_set(&error, ERROR_UNREACHABLE, "Redis is not ready: %s", why->message);
    while ((call = redis_calls_pop_held(calls)) != NULL)
        redis_calls_fail(calls, call, &error);
}

void
redis_calls_fail_open(struct redis_calls *calls, const struct error *why, int64_t now_ms)
{
    struct redis_call *call;
    struct error error;

    while ((call = redis_calls_pop(calls)) != NULL) {
        if (call->is_ours) {
            redis_call_drop(call);
            continue;
        }
        if (call->deadline_ms <= now_ms)
            error_set(&error, ERROR_TIMEOUT, "no answer from Redis in %" PRId64 " ms",
                      call->timeout_ms);
        else
            error_set(&error, ERROR_LOST, "%s", why->message);
        redis_calls_fail(calls, call, &error);
    }
}

void
redis_call_finish(struct redis_call *call, const redisReply *reply, const struct error *error)
{
    redis_reply_fn *fn = call->fn;
    void *arg = call->arg;

    redis_call_drop(call);
    if (fn != NULL)
        fn(reply, error, arg);
}

void
redis_calls_tell_next(struct redis_calls *calls)
{
    struct redis_call *call = calls->failed;
    struct error why;

    if (call == NULL)
        return;
    why = *call->failure;
    DL_DELETE(calls->failed, call);
    calls->failed_count--;
    redis_call_finish(call, NULL, &why);
}

void
redis_cancel(struct redis_call *call)
{
    if (call != NULL)
        call->fn = NULL;
}
