/* The steps of a claim: begin, settle, delay. Each is one script call that is repeated until Redis
 * has taken it. */
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/job/result.h"
#include "worker/queue/keys.h"
#include "worker/queue/queue_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define OP_ARGS_MAX   56
#define REPEAT_MIN_MS 20
#define REPEAT_MAX_MS 500
/* A step is logged that Redis has not taken this often; one step of a queue at a time. */
#define LOG_AFTER         20
#define COMPLAIN_EVERY_MS 10000
/* Redis hangs up on an argument that is too large, and its words may be lost with the connection:
 * so often in a row is no accident any more. */
#define HANG_UPS_MAX 20

typedef void op_done_fn(struct queue_op *op, const redisReply *reply);

/* An argument, kept so that the step can be sent again. */
struct op_arg {
    const char *bytes;
    size_t len;
    char *owned; /* `bytes`, or NULL: they are the queue's, as long as it lives */
};

struct queue_op {
    struct queue *queue;
    const struct redis_script *script; /* NULL: a plain command, its name and key first */
    uint64_t token;
    struct op_arg args[OP_ARGS_MAX];
    int arg_count;
    int reply_to_arg; /* index of the one key that a producer chose; 0: none */
    int running_arg;  /* index of the running result, which may be left out; 0: none */
    char *reply_to;   /* owned: a list in another slot, which gets its copy afterwards; or NULL */
    struct op_arg reply; /* owned: that copy */
    bool is_half_done;   /* what is in args now has to be sent, too */
    int tries;
    int hang_ups;            /* in a row */
    struct redis_call *call; /* one of these two is set */
    struct event *repeat;
    op_done_fn *done;
    union {
        queue_begin_fn *begin;
        queue_settled_fn *settled;
        queue_delayed_fn *delayed;
    } fn;
    void *arg;
    struct queue_op *prev, *next;
};

static const char *
op_name(const struct queue_op *op)
{
    return op->script != NULL ? op->script->name : "reply_to";
}

static void
op_take(struct queue_op *op, char *bytes, size_t len)
{
    op->args[op->arg_count++] = (struct op_arg){bytes, len, bytes};
}

static void
op_borrow(struct queue_op *op, const char *text)
{
    op->args[op->arg_count++] = (struct op_arg){text, strlen(text), NULL};
}

static void
op_text(struct queue_op *op, const char *text)
{
    op_take(op, xstrdup(text), strlen(text));
}

static void
op_int(struct queue_op *op, int64_t value)
{
    char *text = xasprintf("%" PRId64, value);

    op_take(op, text, strlen(text));
}

static void
op_buffer(struct queue_op *op, struct evbuffer *buffer)
{
    size_t len = buffer == NULL ? 0 : evbuffer_get_length(buffer);
    char *bytes = xcalloc(1, len + 1);

    if (len > 0)
        evbuffer_remove(buffer, bytes, len);
    op_take(op, bytes, len);
}

static void
op_keys(struct queue_op *op, const enum queue_key *keys, int count, int more)
{
    op_int(op, count + more + queue_extra_keys(op->queue));
    for (int i = 0; i < count; i++)
        op_borrow(op, op->queue->keys[keys[i]]);
}

/* The last of the keys. */
static void
op_extra_keys(struct queue_op *op)
{
    for (int i = 0; i < queue_extra_keys(op->queue); i++)
        op_borrow(op, queue_extra_key(op->queue, i));
}

/* The end of the arguments. */
static void
op_extra_args(struct queue_op *op)
{
    for (int i = 0; i < queue_extra_args(op->queue); i++)
        op_borrow(op, op->queue->flavour->args[i]);
}

static void
op_key_of(struct queue_op *op, const char *what, const char *id)
{
    char *key = queue_key_of(op->queue->prefix, op->queue->name, what, id);

    op_take(op, key, strlen(key));
}

static void
op_result_key(struct queue_op *op, const char *id)
{
    const struct queue_flavour *flavour = op->queue->flavour;
    char *key;

    if (flavour == NULL) {
        op_key_of(op, "result", id);
        return;
    }
    key = xasprintf("%s%s", flavour->result_prefix, id);
    op_take(op, key, strlen(key));
}

static void
op_running_prefix(struct queue_op *op, const char *id)
{
    struct evbuffer *prefix = xevbuffer();

    result_put_running_prefix(id, prefix);
    op_buffer(op, prefix);
    evbuffer_free(prefix);
}

static void
op_drop_args(struct queue_op *op)
{
    for (int i = 0; i < op->arg_count; i++)
        free(op->args[i].owned);
    op->arg_count = 0;
}

static void
op_free(struct queue_op *op)
{
    DL_DELETE(op->queue->ops, op);
    op_drop_args(op);
    event_free(op->repeat);
    free(op->reply_to);
    free(op->reply.owned);
    free(op);
}

void
queue_op_cancel(struct queue_op *op)
{
    if (op == NULL)
        return;
    redis_cancel(op->call);
    op_free(op);
}

static void op_send(struct queue_op *op);
static void settle_done(struct queue_op *op, const redisReply *reply);

static void
on_repeat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    op_send(arg);
}

/* Thousands of answers may wait: one line for all of them. */
static void
complain(const struct queue_op *op, const struct error *error)
{
    int64_t now = clock_mono_ms();

    if (op->tries < LOG_AFTER || now < op->queue->silent_until_ms)
        return;
    op->queue->silent_until_ms = now + COMPLAIN_EVERY_MS;
    log_error("Redis does not take a step of a job; trying on", LOG_STR("step", op_name(op)),
              LOG_STR("queue", op->queue->name), LOG_STR("error", error->message));
}

static void
op_repeat_later(struct queue_op *op, const struct error *error)
{
    int64_t high = REPEAT_MIN_MS << (op->tries < 5 ? op->tries : 5);
    struct timeval wait =
        clock_timeval(clock_jitter(REPEAT_MIN_MS, high < REPEAT_MAX_MS ? high : REPEAT_MAX_MS));

    op->tries++;
    complain(op, error);
    event_add(op->repeat, &wait);
}

/* "NOPERM this user has no permissions to access one of the keys used as arguments": that will not
 * change by itself, as a right to run commands that an operator takes away for a moment does. */
static bool
is_about_a_key(const struct error *error)
{
    return error->kind == ERROR_REFUSED && strstr(error->message, "to access") != NULL &&
           strstr(error->message, "key") != NULL;
}

/* Redis refuses us a key, and one is of the producer's choosing: the result matters more. */
static void
drop_reply_to(struct queue_op *op, const struct error *error)
{
    struct op_arg *dropped = &op->args[op->reply_to_arg];
    char *keys = xasprintf("%d", atoi(op->args[0].bytes) - 1);

    log_warn("reply_to is left out: Redis refuses a key of this step",
             LOG_STR("reply_to", dropped->bytes), LOG_STR("queue", op->queue->name),
             LOG_STR("error", error->message));
    free(dropped->owned);
    op->arg_count--;
    memmove(dropped, dropped + 1, (size_t)(op->arg_count - op->reply_to_arg) * sizeof(*dropped));
    op->reply_to_arg = 0;
    free(op->args[0].owned);
    op->args[0] = (struct op_arg){keys, strlen(keys), keys};
}

static size_t
largest_arg(const struct queue_op *op)
{
    size_t largest = 0;

    for (int i = 0; i < op->arg_count; i++)
        largest = op->args[i].len > largest ? op->args[i].len : largest;
    return largest;
}

/* Larger than proto-max-bulk-len, or than a command can be: that will not change by itself. */
static bool
is_too_large(struct queue_op *op, const struct error *error)
{
    op->hang_ups = error->kind == ERROR_LOST ? op->hang_ups + 1 : 0;
    if (largest_arg(op) < QUEUE_ARGUMENT_TAKEN)
        return false;
    return error->kind == ERROR_TOO_LARGE || op->hang_ups >= HANG_UPS_MAX ||
           strstr(error->message, "invalid bulk length") != NULL ||
           strstr(error->message, "invalid multibulk length") != NULL;
}

static void
drop_running(struct queue_op *op)
{
    struct op_arg *dropped = &op->args[op->running_arg];

    log_warn("the running result is left out: it is larger than Redis takes",
             LOG_STR("queue", op->queue->name), LOG_INT("bytes", (int64_t)dropped->len));
    free(dropped->owned);
    *dropped = (struct op_arg){.bytes = ""};
    op->running_arg = 0;
}

/* Not so a key that is no list, or none of ours. */
static bool
may_pass(const struct error *error)
{
    return error->kind != ERROR_INTERNAL && error->kind != ERROR_REFUSED &&
           error->kind != ERROR_TOO_LARGE;
}

static void
on_op_reply(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_op *op = arg;

    op->call = NULL;
    STOP_POINT(op_name(op), "answered");
    if (error != NULL && op->script == NULL && !may_pass(error)) {
        log_warn("reply_to is left out: Redis refuses it", LOG_STR("reply_to", op->reply_to),
                 LOG_STR("queue", op->queue->name), LOG_STR("error", error->message));
        error = NULL;
    }
    if (error != NULL) {
        bool too_large = is_too_large(op, error);

        if (too_large && op->done == settle_done) {
            op->fn.settled(SETTLE_TOO_LARGE, op->arg);
            op_free(op);
            return;
        }
        if (too_large && op->running_arg > 0)
            drop_running(op);
        if (is_about_a_key(error) && op->reply_to_arg > 0)
            drop_reply_to(op, error);
        op_repeat_later(op, error);
        return;
    }
    op->done(op, reply);
    if (op->is_half_done) {
        op->is_half_done = false;
        op_send(op);
        return;
    }
    STOP_POINT(op_name(op), "done");
    op_free(op);
}

static void
op_send(struct queue_op *op)
{
    struct redis_args args = {0};

    STOP_POINT(op_name(op), "sending");
    for (int i = 0; i < op->arg_count; i++)
        redis_arg_bytes(&args, op->args[i].bytes, op->args[i].len);
    if (op->script == NULL)
        op->call = redis_send(redis_route_commands(op->queue->route, op->args[1].bytes), &args, 0,
                              on_op_reply, op);
    else
        op->call = redis_eval(queue_commands(op->queue), op->script, &args, 0, on_op_reply, op);
}

static struct queue_op *
op_new(struct queue *queue, enum queue_script script, uint64_t token, op_done_fn *done, void *arg)
{
    struct queue_op *op = xcalloc(1, sizeof(*op));

    op->queue = queue;
    op->script = &queue->scripts[script];
    op->token = token;
    op->done = done;
    op->arg = arg;
    op->repeat = evtimer_new(queue->base, on_repeat, op);
    DL_APPEND(queue->ops, op);
    return op;
}

static void
op_history(struct queue_op *op, const struct history *history, const char *id)
{
    char *text =
        xasprintf("%d %d %" PRId64 " %s", history->attempts, history->waits, history->since_ms, id);

    op_take(op, text, strlen(text));
}

/* ---- begin ---- */

static void
begin_done(struct queue_op *op, const redisReply *reply)
{
    static const struct {
        const char *text;
        enum begin_status status;
    } table[] = {
        {"run", BEGIN_RUN},
        {"cancelled", BEGIN_CANCELLED},
        {"final", BEGIN_DROPPED},
        {"twin", BEGIN_DROPPED},
    };
    const char *text = redis_str(redis_at(reply, 0), "");
    enum begin_status status = BEGIN_LOST;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(text, table[i].text) == 0)
            status = table[i].status;
    if (status == BEGIN_DROPPED || status == BEGIN_LOST)
        queue_forget(op->queue, op->token);
    op->fn.begin(status, redis_int(redis_at(reply, 1), 0), op->arg);
}

struct queue_op *
queue_begin(struct queue *queue, const struct claim *claim, const char *id,
            struct evbuffer *running, queue_begin_fn *fn, void *arg)
{
    static const enum queue_key keys[] = {KEY_INFLIGHT, KEY_BEGUN, KEY_OWNERS, KEY_DELAYED_JOBS,
                                          KEY_CANCELLED};
    struct queue_op *op = op_new(queue, SCRIPT_BEGIN, claim->token, begin_done, arg);

    op->fn.begin = fn;
    op_keys(op, keys, 5, 2);
    op_result_key(op, id);
    op_borrow(op, queue->keys[KEY_STATS]);
    op_extra_keys(op);
    op_borrow(op, queue->worker);
    op_int(op, (int64_t)claim->token);
    op_text(op, id);
    op_history(op, &claim->history, id);
    op_running_prefix(op, id);
    op->running_arg = op->arg_count;
    op_buffer(op, running);
    op_int(op, queue->result_ttl_ms);
    op_extra_args(op);
    op_send(op);
    return op;
}

/* ---- settle, dead ---- */

static void
push_done(struct queue_op *op, const redisReply *reply)
{
    (void)reply;
    op->fn.settled(SETTLE_OK, op->arg);
}

/* The list lives in another slot of a cluster than the queue: no one script can write both. What
 * was settled is final; the copy follows, and is tried until it is there. */
static void
push_reply(struct queue_op *op)
{
    op_drop_args(op);
    op->script = NULL;
    op->tries = 0;
    op->done = push_done;
    op->is_half_done = true;
    op_borrow(op, "RPUSH");
    op_text(op, op->reply_to);
    op_take(op, op->reply.owned, op->reply.len);
    op->reply = (struct op_arg){0};
}

static void
keep_reply(struct queue_op *op, const char *reply_to, struct evbuffer *document)
{
    size_t len = evbuffer_get_length(document);
    char *copy = xcalloc(1, len + 1);

    evbuffer_copyout(document, copy, len);
    op->reply_to = xstrdup(reply_to);
    op->reply = (struct op_arg){copy, len, copy};
}

static void
settle_done(struct queue_op *op, const redisReply *reply)
{
    const char *text = redis_str(reply, "");
    enum settle_status status = strcmp(text, "ok") == 0     ? SETTLE_OK
                                : strcmp(text, "late") == 0 ? SETTLE_LATE
                                                            : SETTLE_LOST;

    queue_forget(op->queue, op->token);
    if (status == SETTLE_OK && op->reply_to != NULL)
        push_reply(op);
    else
        op->fn.settled(status, op->arg);
}

/* Where the result goes, too. Workers may write to keys that the producer may not: a list that
 * stood at the name of our pause flag would stop the queue. */
static const char *
reply_to_of(const struct queue *queue, const struct settlement *settlement)
{
    if (settlement->reply_to == NULL || !queue_key_is_ours(queue->prefix, settlement->reply_to))
        return settlement->reply_to;
    log_warn("reply_to is left out: it names a key of ours",
             LOG_STR("reply_to", settlement->reply_to), LOG_STR("queue", queue->name));
    return NULL;
}

struct queue_op *
queue_settle(struct queue *queue, uint64_t token, const struct settlement *settlement,
             queue_settled_fn *fn, void *arg)
{
    static const enum queue_key keys[] = {KEY_INFLIGHT,  KEY_BEGUN,   KEY_OWNERS,
                                          KEY_CANCELLED, KEY_CRASHES, KEY_STATS};
    const char *reply_to = reply_to_of(queue, settlement);
    bool is_dead = settlement->letter != NULL;
    bool is_joined = reply_to != NULL && redis_route_joins(queue->route, queue->name, reply_to);
    struct queue_op *op =
        op_new(queue, is_dead ? SCRIPT_DEAD : SCRIPT_SETTLE, token, settle_done, arg);

    op->fn.settled = fn;
    op_keys(op, keys, 6, 2 + is_dead + is_joined);
    op_result_key(op, settlement->id);
    op_key_of(op, "reply", settlement->id);
    if (is_dead)
        op_borrow(op, queue->keys[KEY_DEAD]);
    if (reply_to != NULL && !is_joined)
        keep_reply(op, reply_to, settlement->document);
    if (is_joined) {
        op->reply_to_arg = op->arg_count;
        op_text(op, reply_to);
    }
    op_extra_keys(op);
    op_borrow(op, queue->worker);
    if (token == 0)
        op_borrow(op, "");
    else
        op_int(op, (int64_t)token);
    op_text(op, settlement->id);
    op_text(op, settlement->state);
    op_running_prefix(op, settlement->id);
    op_buffer(op, settlement->document);
    op_int(op, queue->result_ttl_ms);
    op_borrow(op, queue->keys[KEY_DONE_CHANNEL]);
    if (is_dead) {
        op_buffer(op, settlement->letter);
        op_int(op, queue->dead_max);
        op_int(op, settlement->has_run);
    }
    if (queue->flavour != NULL)
        op_buffer(op, settlement->follow);
    op_extra_args(op);
    op_send(op);
    return op;
}

void
queue_count_kept(const struct queue *queue, struct queue_kept *kept)
{
    const struct queue_op *op;

    DL_FOREACH(queue->ops, op)
    {
        if ((op->done != settle_done && op->done != push_done) || op->tries == 0)
            continue;
        kept->answers++;
        for (int i = 0; i < op->arg_count; i++)
            kept->bytes += (int64_t)op->args[i].len;
    }
}

/* ---- delay ---- */

static void
delay_done(struct queue_op *op, const redisReply *reply)
{
    bool is_lost = strcmp(redis_str(redis_at(reply, 0), ""), "ok") != 0 && op->tries == 0;

    queue_forget(op->queue, op->token);
    op->fn.delayed(is_lost ? -1 : redis_int(redis_at(reply, 1), 0), op->arg);
}

struct queue_op *
queue_delay(struct queue *queue, uint64_t token, const struct delay *delay, queue_delayed_fn *fn,
            void *arg)
{
    static const enum queue_key keys[] = {KEY_INFLIGHT,     KEY_BEGUN,     KEY_OWNERS, KEY_DELAYED,
                                          KEY_DELAYED_JOBS, KEY_CANCELLED, KEY_STATS};
    struct queue_op *op = op_new(queue, SCRIPT_RETRY, token, delay_done, arg);
    char *due = xasprintf("%s%" PRId64, delay->is_absolute ? "" : "+", delay->due_ms);

    op->fn.delayed = fn;
    op_keys(op, keys, 7, queue->flavour != NULL);
    if (queue->flavour != NULL)
        op_result_key(op, delay->id);
    op_extra_keys(op);
    op_borrow(op, queue->worker);
    op_int(op, (int64_t)token);
    op_text(op, delay->id);
    op_history(op, &delay->history, delay->id);
    op_take(op, due, strlen(due));
    op_text(op, delay->counter);
    if (queue->flavour != NULL) {
        op_buffer(op, delay->document);
        op_int(op, queue->result_ttl_ms);
    }
    op_extra_args(op);
    op_send(op);
    return op;
}
