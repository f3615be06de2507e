#include "common/redis/redis.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/redis/redis_private.h"
#include "common/redis/redis_reply.h"
#include "common/redis/redis_sentinel.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 2000
#define CALL_TIMEOUT_MS    5000
#define PING_EVERY_MS      5000
#define RETRY_LEAST_MS     50
#define RETRY_MOST_MS      1000
#define STEADY_MS          1000 /* ready for so long: the next retries start from the least */
#define UNSENT_MAX         ((size_t)256 << 20)

void
redis_ring_in(struct event *timer, int64_t wait_ms)
{
    struct timeval wait = clock_timeval(wait_ms);

    evtimer_add(timer, &wait);
}

/* Doubles from the least to the most, and is halved at random, so that workers which lost
 * the same Redis do not come back as one. */
static int64_t
backoff_ms(struct redis *redis)
{
    int64_t wait_ms;

    if (redis->state == REDIS_READY && clock_mono_ms() - redis->ready_since_ms >= STEADY_MS)
        redis->failures = 0;
    wait_ms = (int64_t)RETRY_LEAST_MS << redis->failures;
    if (wait_ms >= RETRY_MOST_MS)
        wait_ms = RETRY_MOST_MS;
    else
        redis->failures++;
    return clock_jitter(wait_ms / 2, wait_ms);
}

static void
go_down(struct redis *redis, const struct error *why, int64_t wait_ms)
{
    redis->last_error = *why;
    redis->state = REDIS_DOWN;
    redis_link_close(redis->link);
    redis_calls_fail_open(&redis->calls, why, clock_mono_ms());
    if (!redis->is_holding)
        redis_calls_fail_held(&redis->calls, why);
    redis_ring_in(redis->wake_timer, wait_ms);
    redis_ring_in(redis->tell_timer, 0);
}

void
redis_give_up(struct redis *redis, const struct error *why)
{
    int64_t wait_ms = backoff_ms(redis);

    go_down(redis, why, redis_follow_miss(redis) ? RETRY_LEAST_MS : wait_ms);
}

/* Redis repeats the arguments of a command that it does not know, and AUTH has a password. */
void
redis_refused(struct redis *redis, const char *step, const struct error *error)
{
    const char *arguments = strstr(error->message, ", with args");
    size_t len = arguments != NULL ? (size_t)(arguments - error->message) : strlen(error->message);
    struct error why;

    error_set(&why, error->kind == ERROR_INTERNAL ? ERROR_REFUSED : error->kind, "%s: %.*s", step,
              (int)len, error->message);
    redis_give_up(redis, &why);
}

void
redis_become_ready(struct redis *redis)
{
    redis->state = REDIS_READY;
    redis->ready_since_ms = clock_mono_ms();
    redis->last_error = (struct error){0};
    redis_ring_in(redis->tell_timer, 0);
    redis_follow_arrive(redis);
}

/* Keeps the timer from ringing late. It may ring early, when the call it was set for has
 * had its answer: cheaper than to set it anew for every call. */
static void
watch_deadlines(struct redis *redis)
{
    int64_t due_ms = redis_calls_due_ms(&redis->calls);

    if (due_ms >= redis->deadline_timer_ms)
        return;
    redis->deadline_timer_ms = due_ms;
    redis_ring_in(redis->deadline_timer, due_ms - clock_mono_ms());
}

static void
on_deadline_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;
    struct error why;

    (void)fd;
    (void)what;
    redis->deadline_timer_ms = INT64_MAX;
    if (redis_calls_due_ms(&redis->calls) > clock_mono_ms()) {
        watch_deadlines(redis);
        return;
    }
    error_set(&why, ERROR_TIMEOUT, "Redis does not answer");
    redis_give_up(redis, &why);
}

void
redis_enqueue(struct redis *redis, struct redis_call *call)
{
    redis_calls_push(&redis->calls, call);
    watch_deadlines(redis);
}

static int
write_command(struct redis *redis, struct redis_call *call, const struct redis_args *args,
              struct error *err)
{
    if (redis_command_format(&call->command, call->script, args, err) != 0 ||
        redis_command_put(&call->command, redis_link_output(redis->link), err) != 0)
        return -1;
    if (call->script == NULL && !redis_follows(redis))
        redis_command_release(&call->command);
    return 0;
}

void
redis_say(struct redis *redis, int64_t timeout_ms, redis_reply_fn *fn, const char *const *words)
{
    struct redis_args args = {0};
    struct redis_call *call;
    struct error why;

    if (redis_link_output(redis->link) == NULL)
        return; /* what was said just before made us give up */
    for (; *words != NULL; words++)
        redis_arg(&args, *words);
    call = redis_call_new(fn, redis, timeout_ms);
    call->is_ours = true;
    if (write_command(redis, call, &args, &why) == 0) {
        redis_enqueue(redis, call);
    } else {
        redis_call_drop(call);
        redis_give_up(redis, &why);
    }
}

static int
check_sendable(struct redis *redis, struct error *err)
{
    if (redis->is_listener)
        return error_set(err, ERROR_INTERNAL, "a listener takes no calls");
    if (redis->state != REDIS_READY)
        return error_set(err, ERROR_UNREACHABLE, "Redis is not ready: %s",
                         redis->last_error.message);
    if (evbuffer_get_length(redis_link_output(redis->link)) > UNSENT_MAX)
        return error_set(err, ERROR_TRANSIENT, "Redis takes no more: %zu bytes wait to be sent",
                         evbuffer_get_length(redis_link_output(redis->link)));
    return 0;
}

static int
send_or_hold(struct redis *redis, struct redis_call *call, const struct redis_args *args,
             struct error *err)
{
    if (redis->is_holding && redis->state != REDIS_READY && !redis->is_listener) {
        if (redis_command_format(&call->command, call->script, args, err) != 0)
            return -1;
        redis_calls_hold(&redis->calls, call);
        return 0;
    }
    if (check_sendable(redis, err) != 0 || write_command(redis, call, args, err) != 0)
        return -1;
    redis_enqueue(redis, call);
    return 0;
}

static struct redis_call *
start_call(struct redis *redis, const struct redis_script *script, const struct redis_args *args,
           struct redis_call *call)
{
    struct error why;

    call->script = script;
    if (send_or_hold(redis, call, args, &why) != 0) {
        redis_calls_fail(&redis->calls, call, &why);
        redis_ring_in(redis->tell_timer, 0);
    }
    return call;
}

static struct redis_call *
new_call(const struct redis *redis, int64_t timeout_ms, redis_reply_fn *fn, void *arg)
{
    return redis_call_new(fn, arg, timeout_ms > 0 ? timeout_ms : redis->options.call_timeout_ms);
}

struct redis_call *
redis_send(struct redis *redis, const struct redis_args *args, int64_t timeout_ms,
           redis_reply_fn *fn, void *arg)
{
    return start_call(redis, NULL, args, new_call(redis, timeout_ms, fn, arg));
}

struct redis_call *
redis_eval(struct redis *redis, const struct redis_script *script, const struct redis_args *args,
           int64_t timeout_ms, redis_reply_fn *fn, void *arg)
{
    return start_call(redis, script, args, new_call(redis, timeout_ms, fn, arg));
}

/* Also for a call that was cancelled: that stops its callback, not what it does. */
static void
send_again_as_eval(struct redis *redis, struct redis_call *call)
{
    struct error why;
    int failed;

    redis_follow_ask(redis);
    failed =
        redis_command_put_eval(&call->command, call->script, redis_link_output(redis->link), &why);
    call->is_eval = true;
    if (!redis_follows(redis))
        redis_command_release(&call->command);
    redis_enqueue(redis, call);
    if (failed)
        redis_give_up(redis, &why);
}

/* Another node may be the one that takes our commands by now. */
static bool
is_about_the_node(const struct redis *redis, const char *text)
{
    return redis_error_is(text, "READONLY") ||
           (redis_follows(redis) && redis_error_is(text, "CLUSTERDOWN"));
}

/* Between two nodes: what the one or the other says will soon be different. */
static void
read_error(const struct redis *redis, const char *text, struct error *error)
{
    redis_error_read(text, error);
    if ((redis_follows(redis) || redis->is_aside) &&
        (redis_error_is(text, "MOVED") || redis_error_is(text, "ASK")))
        error_set(error, ERROR_TRANSIENT, "%s: the slot is being moved", text);
}

static void
answer_with_error(struct redis *redis, struct redis_call *call, const char *text)
{
    struct error error;

    if (redis_follow_redirect(redis, call, text))
        return;
    if (call->script != NULL && !call->is_eval && redis_error_is(text, "NOSCRIPT")) {
        send_again_as_eval(redis, call);
        return;
    }
    read_error(redis, text, &error);
    if (is_about_the_node(redis, text))
        redis_give_up(redis, &error);
    else
        redis_follow_leave(redis);
    redis_call_finish(call, NULL, &error);
}

static void
hang_up_on_unasked(struct redis *redis, const redisReply *reply)
{
    struct error why;

    error_set(&why, ERROR_LOST, "an answer that nobody asked for");
    if (reply->type == REDIS_REPLY_ERROR)
        redis_error_read(reply->str, &why);
    redis_give_up(redis, &why);
}

static void
finish_with_reply(struct redis *redis, struct redis_call *call, const redisReply *reply)
{
    redis_follow_leave(redis);
    redis_call_finish(call, reply, NULL);
}

/* What it calls last may free the room. */
static void
on_link_reply(const redisReply *reply, void *arg)
{
    struct redis *redis = arg;
    struct redis_call *call;

    if (redis_listener_take(redis, reply))
        return;
    call = redis_calls_pop(&redis->calls);
    if (call == NULL)
        hang_up_on_unasked(redis, reply);
    else if (reply->type == REDIS_REPLY_ERROR)
        answer_with_error(redis, call, reply->str);
    else
        finish_with_reply(redis, call, reply);
}

static void
on_link_up(void *arg)
{
    redis_login_start(arg);
}

static void
on_link_down(const struct error *why, void *arg)
{
    struct error told = *why;

    redis_follow_explain(arg, &told);
    redis_give_up(arg, &told);
}

static void
open_link(struct redis *redis)
{
    struct error why;

    redis->state = REDIS_OPENING;
    if (redis_follow_locate(redis, &why) == 0)
        redis_link_open(redis->link);
    else
        redis_give_up(redis, &why);
}

static void
on_wake_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;

    (void)fd;
    (void)what;
    switch (redis->state) {
    case REDIS_DOWN: open_link(redis); break;
    case REDIS_LOGIN: redis_login_probe(redis); break;
    case REDIS_READY: redis_listener_ping(redis); break;
    case REDIS_OPENING: break; /* the link has timers of its own */
    case REDIS_SUBSCRIBING:    /* so have the calls */
    case REDIS_LEAVING: break;
    }
}

static void
tell_state(struct redis *redis)
{
    struct error why = redis->last_error;
    bool is_ready = redis_is_ready(redis);
    bool is_news = is_ready != redis->told_ready || why.kind != redis->told_error.kind ||
                   strcmp(why.message, redis->told_error.message) != 0;

    redis->told_ready = is_ready;
    redis->told_error = why;
    if (is_news && redis->options.on_state != NULL)
        redis->options.on_state(is_ready, is_ready ? NULL : &why, redis->options.arg);
}

/* Calls that fail meanwhile wait for the next turn: one that is repeated at once must not
 * keep the loop from the network. */
static void
on_tell_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;
    bool is_freed = false;
    int left = redis->calls.failed_count;

    (void)fd;
    (void)what;
    redis->is_freed = &is_freed;
    tell_state(redis);
    while (!is_freed && left-- > 0)
        redis_calls_tell_next(&redis->calls);
    if (!is_freed)
        redis->is_freed = NULL;
}

static void
set_defaults(struct redis *redis)
{
    struct redis_options *options = &redis->options;

    options->url = &redis->url;
    options->key = redis->key;
    options->client_name = redis->client_name;
    if (options->connect_timeout_ms <= 0)
        options->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (options->call_timeout_ms <= 0)
        options->call_timeout_ms = CALL_TIMEOUT_MS;
    if (options->ping_every_ms <= 0)
        options->ping_every_ms = PING_EVERY_MS;
}

struct redis *
redis_new(const struct redis_options *options)
{
    struct redis *redis = xcalloc(1, sizeof(*redis));

    redis->options = *options;
    redis->url = *options->url;
    if (options->client_name != NULL)
        redis->client_name = xstrdup(options->client_name);
    redis->key = options->key != NULL ? xstrdup(options->key) : NULL;
    redis->slot = redis->key != NULL ? redis_slot(redis->key, strlen(redis->key)) : REDIS_ANY_SLOT;
    redis->is_holding = redis_follows(redis);
    set_defaults(redis);
    error_set(&redis->last_error, ERROR_UNREACHABLE, "not connected yet");
    redis->told_error = redis->last_error;
    redis->deadline_timer_ms = INT64_MAX;
    redis->wake_timer = evtimer_new(options->base, on_wake_timer, redis);
    redis->deadline_timer = evtimer_new(options->base, on_deadline_timer, redis);
    redis->tell_timer = evtimer_new(options->base, on_tell_timer, redis);
    redis->link = redis_link_new(&(struct redis_link_options){
        .base = options->base,
        .url = &redis->url,
        .connect_timeout_ms = redis->options.connect_timeout_ms,
        .on_up = on_link_up,
        .on_reply = on_link_reply,
        .on_down = on_link_down,
        .arg = redis,
    });
    if (redis->options.sentinel != NULL)
        redis_sentinel_join(redis->options.sentinel, redis);
    redis_ring_in(redis->wake_timer, 0);
    return redis;
}

void
redis_free(struct redis *redis)
{
    if (redis == NULL)
        return;
    if (redis->is_freed != NULL)
        *redis->is_freed = true;
    if (redis->options.sentinel != NULL)
        redis_sentinel_leave(redis->options.sentinel, redis);
    redis_link_free(redis->link);
    redis_calls_release(&redis->calls);
    redis_listener_release(redis);
    redis_free(redis->aside);
    event_free(redis->wake_timer);
    event_free(redis->deadline_timer);
    event_free(redis->tell_timer);
    free(redis->client_name);
    free(redis->key);
    OPENSSL_cleanse(&redis->url, sizeof(redis->url));
    free(redis);
}

void
redis_reconnect(struct redis *redis)
{
    struct error why = redis->last_error;

    if (redis_is_ready(redis))
        error_set(&why, ERROR_LOST, "the connection was dropped on purpose");
    redis->is_holding = false;
    go_down(redis, &why, 0);
}

bool
redis_is_ready(const struct redis *redis)
{
    return redis->state == REDIS_READY;
}

bool
redis_is_idle(const struct redis *redis)
{
    const struct redis_calls *calls = &redis->calls;

    return calls->open == NULL && calls->held == NULL && calls->failed == NULL &&
           (redis->aside == NULL || redis_is_idle(redis->aside));
}

const struct error *
redis_last_error(const struct redis *redis)
{
    return &redis->last_error;
}
