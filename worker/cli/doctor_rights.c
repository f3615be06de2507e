/*
 * doctor_rights.c - which rights this user lacks in Redis, and the ACL line that gives them.
 *
 * Redis checks the rights of a command when it is queued in a transaction: all that a worker
 * does is queued and then discarded, so nothing runs. (ACL DRYRUN would ask for an
 * administrator's rights.) Should the connection break in between, or a slot of a cluster move,
 * what follows is done after all: so it is done to the result of a job that nobody has, and real
 * keys meet an EVAL of "return 1" alone.
 */
#include "worker/cli/doctor.h"

#include "common/memory.h"
#include "worker/queue/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "*" /* stands for the key of a result that no job has */

/* Every command that workers send or their scripts call. docs/security.md has the same list, and
 * a worker that lives under just these rights proves both. */
static const char *const commands[][6] = {
    {"EVAL", "return 1", "1", KEY},
    {"EVALSHA", "0", "1", KEY},
    {"TIME"},
    {"EXISTS", KEY},
    {"TYPE", KEY},
    {"GET", KEY},
    {"GETRANGE", KEY, "0", "0"},
    {"SET", KEY, "1", "XX"},
    {"PEXPIRE", KEY, "1"},
    {"PTTL", KEY},
    {"RPUSH", KEY, "1"},
    {"LPUSH", KEY, "1"},
    {"LPOP", KEY},
    {"RPOP", KEY},
    {"BLMOVE", KEY, KEY, "LEFT", "RIGHT", "1"},
    {"BLPOP", KEY, "1"},
    {"LINDEX", KEY, "0"},
    {"LLEN", KEY},
    {"LPOS", KEY, "1"},
    {"LTRIM", KEY, "0", "-1"},
    {"HSET", KEY, "f", "1"},
    {"HSETNX", KEY, "f", "1"},
    {"HGET", KEY, "f"},
    {"HMGET", KEY, "f"},
    {"HDEL", KEY, "f"},
    {"HEXISTS", KEY, "f"},
    {"HINCRBY", KEY, "f", "1"},
    {"INCR", KEY},
    {"HKEYS", KEY},
    {"HLEN", KEY},
    {"ZADD", KEY, "1", "m"},
    {"ZREM", KEY, "m"},
    {"ZCARD", KEY},
    {"ZSCORE", KEY, "m"},
    {"ZCOUNT", KEY, "0", "1"},
    {"ZRANGE", KEY, "0", "1"},
    {"ZRANGEBYSCORE", KEY, "0", "1"},
    {"ZREMRANGEBYSCORE", KEY, "0", "1"},
    {"DEL", KEY},
};

/* What follows "<prefix>:{<queue>}:". docs/redis-keys.md */
static const char *const queue_keys[] = {
    "result:x", "reply:x",     "inbox",   "inflight:x",   "begun:x",   "owners",  "workers",
    "dead",     "stats",       "delayed", "delayed:jobs", "cancelled", "crashes", "paused",
    "sorted",   "sorted:jobs", "turns",   "returned",     "busy",
};
static const char *const model_keys[] = {"cooldown", "throttled", "throttles", "stats"};
static const char *const channel_commands[] = {"PUBLISH", "SUBSCRIBE"};
static const char *const channels[] = {"done", "control"};

struct rights {
    struct doctor *doctor;
    const char *node_key; /* leads to the server that is asked */
    char *lacked;         /* owned: " +get ~key ", as ACL SETUSER takes it; NULL: nothing */
    struct error first;   /* in Redis' words */
};

/* Adds a rule, once. */
static void
lack(struct rights *rights, char sign, const char *what)
{
    char *rule = xasprintf(" %c%s ", sign, what), *longer;

    for (char *c = rule; sign == '+' && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    if (rights->lacked == NULL || strstr(rights->lacked, rule) == NULL) {
        longer = xasprintf("%s%s", rights->lacked != NULL ? rights->lacked : " ", rule + 1);
        free(rights->lacked);
        rights->lacked = longer;
    }
    free(rule);
}

/* Queues one command with `key` in it. What is refused is the command, or `pattern`, of keys
 * ('~') or channels ('&'); Redis' text tells which: "... to run the 'get' command", "... to access
 * one of the keys", "No permissions to access a channel" (6.2, 7.0, 7.2). */
static void
queue_command(struct rights *rights, const char *const *words, int count, const char *key,
              char sign, const char *pattern)
{
    struct redis_args args = {0};
    struct error err;

    for (int i = 0; i < count && words[i] != NULL; i++)
        redis_arg(&args, strcmp(words[i], KEY) == 0 ? key : words[i]);
    /* Of a cluster another server may have a model's key; there nothing is queued, and the one
     * command that comes, an EVAL of "return 1", does nothing. */
    if (doctor_ask(rights->doctor, key, &args, NULL, NULL, &err) == 0)
        return;
    if (rights->first.kind == ERROR_NONE)
        rights->first = err;
    if (strstr(err.message, "NOPERM") == NULL || strstr(err.message, "command") != NULL)
        lack(rights, '+', words[0]);
    else
        lack(rights, sign, pattern);
}

static void
queue_key_access(struct rights *rights, const char *key, const char *pattern)
{
    static const char *const words[] = {"EVAL", "return 1", "1", KEY};

    queue_command(rights, words, 4, key, '~', pattern);
}

static void
queue_channels(struct rights *rights, const char *prefix, const char *queue)
{
    char *pattern = queue_key(prefix, queue, "*");

    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        char *channel = queue_key(prefix, queue, channels[i]);
        const char *const words[] = {channel_commands[i], channel, i == 0 ? "1" : NULL};

        queue_command(rights, words, 3, channel, '&', pattern);
        free(channel);
    }
    free(pattern);
}

static void
queue_all_of_queue(struct rights *rights, const char *prefix, const char *queue)
{
    char *pattern = queue_key(prefix, queue, "*");
    char *probe = queue_key_of(prefix, queue, "result", "headgate-doctor");

    queue_key_access(rights, queue, queue);
    for (size_t i = 0; i < sizeof(queue_keys) / sizeof(queue_keys[0]); i++) {
        char *key = queue_key(prefix, queue, queue_keys[i]);

        queue_key_access(rights, key, pattern);
        free(key);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        queue_command(rights, commands[i], 6, probe, '~', pattern);
    queue_channels(rights, prefix, queue);
    free(probe);
    free(pattern);
}

static void
queue_all_of_model(struct rights *rights, const char *prefix)
{
    char *pattern = xasprintf("%s:{m:*}:*", prefix);

    for (size_t i = 0; i < sizeof(model_keys) / sizeof(model_keys[0]); i++) {
        char *key = xasprintf("%s:{m:any}:%s", prefix, model_keys[i]);

        queue_key_access(rights, key, pattern);
        free(key);
    }
    free(pattern);
}

static int
send_word(struct rights *rights, const char *word, struct error *err)
{
    struct redis_args args = {0};

    redis_arg(&args, word);
    return doctor_ask(rights->doctor, rights->node_key, &args, NULL, NULL, err);
}

static void
tell(struct rights *rights)
{
    const char *user = rights->doctor->session.config.redis.username;
    char *advice;

    if (rights->lacked == NULL) {
        doctor_tell(rights->doctor, CHECK_OK, "Redis rights", NULL, "%s: commands, keys, channels",
                    rights->node_key);
        return;
    }
    advice = xasprintf("ACL SETUSER %s%s(and again: a user without a command is told of no key)",
                       user[0] != '\0' ? user : "default", rights->lacked);
    doctor_tell(rights->doctor, CHECK_FAIL, "Redis rights", advice, "%s: lacks%.*s (%s)",
                rights->node_key, (int)strlen(rights->lacked) - 1, rights->lacked,
                rights->first.message);
    free(advice);
    free(rights->lacked);
}

static void
check_queue_rights(struct doctor *doctor, const char *queue)
{
    struct rights rights = {.doctor = doctor, .node_key = queue};
    const char *prefix = doctor->session.config.prefix;
    struct error err;

    if (send_word(&rights, "MULTI", &err) != 0) {
        doctor_tell(doctor, CHECK_WARN, "Redis rights",
                    "allow +multi +discard, to have them checked", "%s: %s", queue, err.message);
        return;
    }
    queue_all_of_queue(&rights, prefix, queue);
    queue_all_of_model(&rights, prefix);
    if (send_word(&rights, "DISCARD", &err) != 0) /* the connection ends with us: nothing runs */
        lack(&rights, '+', "discard");
    tell(&rights);
}

void
doctor_check_rights(struct doctor *doctor)
{
    for (int i = 0; i < doctor->session.queue_count; i++)
        check_queue_rights(doctor, doctor->session.queues[i]);
}
