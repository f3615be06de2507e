#include "worker/queue/desk.h"

#include "common/memory.h"
#include "worker/job/result.h"
#include "worker/queue/keys.h"
#include "worker/queue/scripts.h"

#include <stdlib.h>
#include <string.h>

struct desk {
    struct redis_route *route; /* borrowed */
    char *prefix;
    char *list_prefix; /* of kombu's lists; NULL: lists have their queue's name alone */
    struct redis_script scripts[SCRIPT_COUNT];
};

/* The keys of one call: made, sent, freed. */
struct key_list {
    char *names[16];
    int count;
};

struct desk *
desk_new(struct redis_route *route, const char *prefix)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));

    desk->route = route;
    desk->prefix = xstrdup(prefix);
    queue_scripts_init(desk->scripts, NULL);
    return desk;
}

void
desk_free(struct desk *desk)
{
    if (desk == NULL)
        return;
    free(desk->prefix);
    free(desk->list_prefix);
    free(desk);
}

void
desk_set_kombu(struct desk *desk, const char *keyprefix)
{
    free(desk->list_prefix);
    desk->list_prefix = xstrdup(keyprefix == NULL ? "" : keyprefix);
}

/* Where the queue's jobs wait, as a new string. */
static char *
list_of(const struct desk *desk, const char *queue)
{
    return xasprintf("%s%s", desk->list_prefix == NULL ? "" : desk->list_prefix, queue);
}

static void
add_key(struct key_list *keys, char *name)
{
    keys->names[keys->count++] = name;
}

static void
put_keys(const struct key_list *keys, struct redis_args *args)
{
    redis_arg_int(args, keys->count);
    for (int i = 0; i < keys->count; i++)
        redis_arg(args, keys->names[i]);
}

static void
free_keys(struct key_list *keys)
{
    for (int i = 0; i < keys->count; i++)
        free(keys->names[i]);
}

static struct redis *
commands(struct desk *desk, const char *queue)
{
    return redis_route_commands(desk->route, queue);
}

/* One command on one key of the queue: NAME key [args ...]. */
static struct redis_call *
send_on_key(struct desk *desk, const char *queue, const char *command, char *key,
            const char *const *more, const size_t *lens, int count, redis_reply_fn *fn, void *arg)
{
    struct redis_args args = {0};
    struct redis_call *call;

    redis_arg(&args, command);
    redis_arg(&args, key);
    for (int i = 0; i < count; i++)
        redis_arg_bytes(&args, more[i], lens[i]);
    call = redis_send(commands(desk, queue), &args, 0, fn, arg);
    free(key);
    return call;
}

struct redis_call *
desk_push(struct desk *desk, const char *queue, const char *payload, size_t len, redis_reply_fn *fn,
          void *arg)
{
    return send_on_key(desk, queue, "RPUSH", list_of(desk, queue), &payload, &len, 1, fn, arg);
}

struct redis_call *
desk_status(struct desk *desk, const char *queue, const char *id, redis_reply_fn *fn, void *arg)
{
    struct key_list keys = {0};
    struct redis_args args = {0};
    struct redis_call *call;

    add_key(&keys, queue_key_of(desk->prefix, queue, "result", id));
    add_key(&keys, queue_key(desk->prefix, queue, "owners"));
    add_key(&keys, queue_key(desk->prefix, queue, "delayed:jobs"));
    add_key(&keys, queue_key(desk->prefix, queue, "cancelled"));
    put_keys(&keys, &args);
    redis_arg(&args, id);
    call = redis_eval(commands(desk, queue), &desk->scripts[SCRIPT_STATUS], &args, 0, fn, arg);
    free_keys(&keys);
    return call;
}

struct redis_call *
desk_cancel(struct desk *desk, const char *queue, const char *id, redis_reply_fn *fn, void *arg)
{
    struct evbuffer *running_prefix = xevbuffer();
    struct key_list keys = {0};
    struct redis_args args = {0};
    struct redis_call *call;
    char *channel = queue_key(desk->prefix, queue, "control");

    result_put_running_prefix(id, running_prefix);
    add_key(&keys, queue_key_of(desk->prefix, queue, "result", id));
    add_key(&keys, queue_key(desk->prefix, queue, "owners"));
    add_key(&keys, queue_key(desk->prefix, queue, "delayed"));
    add_key(&keys, queue_key(desk->prefix, queue, "delayed:jobs"));
    add_key(&keys, queue_key(desk->prefix, queue, "cancelled"));
    put_keys(&keys, &args);
    redis_arg(&args, id);
    redis_arg_bytes(&args, evbuffer_pullup(running_prefix, -1),
                    evbuffer_get_length(running_prefix));
    redis_arg(&args, channel);
    call = redis_eval(commands(desk, queue), &desk->scripts[SCRIPT_CANCEL], &args, 0, fn, arg);
    free_keys(&keys);
    free(channel);
    evbuffer_free(running_prefix);
    return call;
}

static void
ignore_reply(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    (void)error;
    (void)arg;
}

struct redis_call *
desk_pause(struct desk *desk, const char *queue, bool is_paused, redis_reply_fn *fn, void *arg)
{
    const char *value = "1";
    const char *notice = is_paused ? "pause" : "resume";
    size_t value_len = 1, notice_len = strlen(notice);
    struct redis_call *call = send_on_key(desk, queue, is_paused ? "SET" : "DEL",
                                          queue_key(desk->prefix, queue, "paused"), &value,
                                          &value_len, is_paused ? 1 : 0, fn, arg);

    /* Workers see the key with their next beat; the notice makes it at once. */
    send_on_key(desk, queue, "PUBLISH", queue_key(desk->prefix, queue, "control"), &notice,
                &notice_len, 1, ignore_reply, NULL);
    return call;
}

/* Those of the lower priorities: names and steps are kombu's. */
static void
add_kombu_lists(const struct desk *desk, const char *queue, struct key_list *keys)
{
    for (int step = 3; desk->list_prefix != NULL && step <= 9; step += 3)
        add_key(keys, xasprintf("%s%s\x06\x16%d", desk->list_prefix, queue, step));
}

/* Of the names below: the others end the keys of every step. */
#define OWN_NAMES 6

struct redis_call *
desk_stats(struct desk *desk, const char *queue, redis_reply_fn *fn, void *arg)
{
    static const char *const names[] = {"delayed", "owners",   "dead",   "workers",
                                        "paused",  "inbox",    "sorted", "sorted:jobs",
                                        "turns",   "returned", "busy"};
    struct key_list keys = {0};
    struct redis_args args = {0};
    struct redis_call *call;

    add_key(&keys, list_of(desk, queue));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (i == OWN_NAMES)
            add_kombu_lists(desk, queue, &keys);
        add_key(&keys, queue_key(desk->prefix, queue, names[i]));
    }
    put_keys(&keys, &args);
    call = redis_eval(commands(desk, queue), &desk->scripts[SCRIPT_STATS], &args, 0, fn, arg);
    free_keys(&keys);
    return call;
}

struct redis_call *
desk_dead_list(struct desk *desk, const char *queue, int64_t first, int64_t last,
               redis_reply_fn *fn, void *arg)
{
    char *key = queue_key(desk->prefix, queue, "dead");
    struct redis_args args = {0};
    struct redis_call *call;

    redis_arg(&args, "LRANGE");
    redis_arg(&args, key);
    redis_arg_int(&args, first);
    redis_arg_int(&args, last);
    call = redis_send(commands(desk, queue), &args, 0, fn, arg);
    free(key);
    return call;
}

struct redis_call *
desk_dead_retry(struct desk *desk, const char *queue, const char *letter, size_t letter_len,
                const char *id, const char *payload, size_t payload_len, redis_reply_fn *fn,
                void *arg)
{
    struct key_list keys = {0};
    struct redis_args args = {0};
    struct redis_call *call;

    add_key(&keys, queue_key(desk->prefix, queue, "dead"));
    add_key(&keys, list_of(desk, queue));
    add_key(&keys, queue_key_of(desk->prefix, queue, "result", id));
    add_key(&keys, queue_key_of(desk->prefix, queue, "reply", id));
    put_keys(&keys, &args);
    redis_arg_bytes(&args, letter, letter_len);
    redis_arg_bytes(&args, payload, payload_len);
    redis_arg(&args, id[0] != '\0' ? "1" : "0");
    call = redis_eval(commands(desk, queue), &desk->scripts[SCRIPT_DEAD_RETRY], &args, 0, fn, arg);
    free_keys(&keys);
    return call;
}

struct redis_call *
desk_dead_drop(struct desk *desk, const char *queue, const char *letter, size_t letter_len,
               redis_reply_fn *fn, void *arg)
{
    const char *more[] = {"1", letter};
    size_t lens[] = {1, letter_len};

    return send_on_key(desk, queue, "LREM", queue_key(desk->prefix, queue, "dead"), more, lens, 2,
                       fn, arg);
}

char *
desk_done_channel(const struct desk *desk, const char *queue)
{
    return queue_key(desk->prefix, queue, "done");
}
