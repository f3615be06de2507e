#include "common/redis/redis_private.h"

#include "common/redis/redis_reply.h"

#include <stdio.h>
#include <string.h>

#define PROBE_AGAIN_MS 100 /* while Redis loads its data, or waits for its primary */

static void
on_auth(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    if (error != NULL)
        redis_refused(arg, "AUTH", error);
}

static void
on_select(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    if (error != NULL)
        redis_refused(arg, "SELECT", error);
}

bool
redis_is_answer(const struct error *error)
{
    return error == NULL || redis_error_is(error->message, "NOPERM") ||
           redis_error_is(error->message, "ASK");
}

/* Of a ROLE: a replica takes none of our commands. */
static bool
is_replica(const redisReply *reply)
{
    const char *role = redis_str(redis_at(reply, 0), "master");

    return strcmp(role, "master") != 0;
}

static void
refuse_replica(struct redis *redis)
{
    struct error why;

    error_set(&why, ERROR_TRANSIENT,
              "%s:%d is a replica: waiting for the sentinels to name the "
              "primary",
              redis->url.host, redis->url.port);
    redis_give_up(redis, &why);
}

static void
on_probe(const redisReply *reply, const struct error *error, void *arg)
{
    struct redis *redis = arg;

    if (error == NULL && redis->options.sentinel != NULL && is_replica(reply)) {
        refuse_replica(redis);
    } else if (redis_is_answer(error) && redis->is_listener) {
        redis_listener_start(redis);
    } else if (redis_is_answer(error)) {
        redis_become_ready(redis);
    } else if (error->kind == ERROR_TRANSIENT && !redis_follows(redis)) {
        redis->last_error = *error;
        redis_ring_in(redis->wake_timer, PROBE_AGAIN_MS);
        redis_ring_in(redis->tell_timer, 0);
    } else {
        redis_refused(redis, "PING", error);
    }
}

void
redis_login_probe(struct redis *redis)
{
    const char *const ping[] = {"PING", NULL}, *const role[] = {"ROLE", NULL};
    const char *const exists[] = {"EXISTS", redis->key, NULL};
    const char *const *words = ping;

    /* A node that does not own the slot answers PING all the same, and so does a replica. */
    if (redis->key != NULL && redis_follows(redis))
        words = exists;
    else if (redis->options.sentinel != NULL)
        words = role;
    redis_say(redis, redis->options.connect_timeout_ms, on_probe, words);
}

static void
authenticate(struct redis *redis)
{
    const char *username = redis->url.username;
    const char *password = redis->url.password;
    const char *const as_user[] = {"AUTH", username, password, NULL};
    const char *const as_default[] = {"AUTH", password, NULL};

    if (username[0] != '\0' || password[0] != '\0')
        redis_say(redis, redis->options.connect_timeout_ms, on_auth,
                  username[0] != '\0' ? as_user : as_default);
}

static void
select_db(struct redis *redis)
{
    char db[16];

    snprintf(db, sizeof(db), "%d", redis->url.db);
    if (redis->url.db != 0)
        redis_say(redis, redis->options.connect_timeout_ms, on_select,
                  (const char *const[]){"SELECT", db, NULL});
}

/* All in one write. The name comes last, because its errors do not count: what Redis says
 * before it hangs up on one client too many must be the answer to a command that does. */
void
redis_login_start(struct redis *redis)
{
    redis->state = REDIS_LOGIN;
    authenticate(redis);
    select_db(redis);
    redis_follow_learn(redis);
    redis_login_probe(redis);
    if (redis->client_name != NULL)
        redis_say(redis, redis->options.connect_timeout_ms, NULL,
                  (const char *const[]){"CLIENT", "SETNAME", redis->client_name, NULL});
}
