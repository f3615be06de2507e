#include "common/redis/redis_sentinel.h"

#include "common/memory.h"
#include "common/redis/redis_private.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* One sentinel that hangs costs a failover no more than this. */
#define ASK_TIMEOUT_MS 500
#define SWITCH_CHANNEL "+switch-master"

struct redis_sentinel {
    struct event_base *base; /* borrowed */
    struct redis_url url;
    char *client_name;
    struct redis *listeners[REDIS_SEEDS_MAX]; /* one per seed; owned */
    struct redis *asker;                      /* NULL: nobody is asked */
    int seed;                                 /* that is asked, or was last */
    int asked;                                /* seeds in this round */
    struct redis_seed primary;                /* port 0: not known yet */
    char said[REDIS_SEEDS_MAX][96];           /* why each could not tell; "": it could */
    struct redis *joined;                     /* borrowed */
};

/* ---- what sentinels say ---- */

static bool
set_seed(struct redis_seed *seed, const char *host, size_t len, int64_t port)
{
    if (len == 0 || len >= sizeof(seed->host) || memchr(host, '\0', len) != NULL || port < 1 ||
        port > 65535)
        return false;
    memcpy(seed->host, host, len);
    seed->host[len] = '\0';
    seed->port = (int)port;
    return true;
}

bool
redis_sentinel_read_address(const redisReply *reply, struct redis_seed *primary)
{
    const redisReply *host = redis_at(reply, 0);

    return redis_str(host, NULL) != NULL &&
           set_seed(primary, host->str, host->len, redis_int(redis_at(reply, 1), 0));
}

bool
redis_sentinel_read_switch(const char *message, size_t len, const char *master_name,
                           struct redis_seed *primary)
{
    size_t name_len = strlen(master_name);
    char text[640], host[256], rest[2];
    int port;

    /* The name itself may have blanks. */
    if (len >= sizeof(text) || len <= name_len || memcmp(message, master_name, name_len) != 0)
        return false;
    memcpy(text, message + name_len, len - name_len);
    text[len - name_len] = '\0';
    return sscanf(text, " %*s %*d %255s %d%1s", host, &port, rest) == 2 && text[0] == ' ' &&
           set_seed(primary, host, strlen(host), port);
}

/* ---- the primary ---- */

static void
set_primary(struct redis_sentinel *sentinel, const struct redis_seed *primary)
{
    struct redis *redis, *next;

    /* The same again is no news: its connections keep to their backoff. */
    if (primary->port == sentinel->primary.port &&
        strcmp(primary->host, sentinel->primary.host) == 0)
        return;
    sentinel->primary = *primary;
    DL_FOREACH_SAFE2(sentinel->joined, redis, next, joined_next)
    redis_follow_primary(redis);
}

int
redis_sentinel_locate(const struct redis_sentinel *sentinel, struct redis_url *url,
                      struct error *err)
{
    char said[200] = "";
    size_t len = 0;

    if (sentinel->primary.port != 0) {
        snprintf(url->host, sizeof(url->host), "%s", sentinel->primary.host);
        url->port = sentinel->primary.port;
        return 0;
    }
    for (int i = 0; i < sentinel->url.seed_count && len < sizeof(said) - 1; i++) {
        if (sentinel->said[i][0] == '\0')
            continue;
        len += (size_t)snprintf(said + len, sizeof(said) - len, "%s%s", len > 0 ? "; " : "",
                                sentinel->said[i]);
    }
    return error_set(err, ERROR_UNREACHABLE, "no sentinel names the primary%s%s",
                     len > 0 ? ": " : " yet", said);
}

void
redis_sentinel_join(struct redis_sentinel *sentinel, struct redis *redis)
{
    DL_APPEND2(sentinel->joined, redis, joined_prev, joined_next);
}

void
redis_sentinel_leave(struct redis_sentinel *sentinel, struct redis *redis)
{
    DL_DELETE2(sentinel->joined, redis, joined_prev, joined_next);
}

/* ---- asking ---- */

static void ask_next(struct redis_sentinel *sentinel);

static void
end_asking(struct redis_sentinel *sentinel)
{
    redis_free(sentinel->asker);
    sentinel->asker = NULL;
}

static void
cannot_tell(struct redis_sentinel *sentinel, const char *why)
{
    snprintf(sentinel->said[sentinel->seed], sizeof(sentinel->said[0]), "%s", why);
    end_asking(sentinel);
    if (sentinel->asked < sentinel->url.seed_count)
        ask_next(sentinel);
}

/* What the way to a sentinel says names it; what the sentinel itself says does not. */
static void
refused(struct redis_sentinel *sentinel, const struct error *error)
{
    const struct redis_seed *seed = &sentinel->url.seeds[sentinel->seed];
    char why[96];

    if (error->kind == ERROR_UNREACHABLE || error->kind == ERROR_LOST) {
        cannot_tell(sentinel, error->message);
        return;
    }
    snprintf(why, sizeof(why), "%.40s:%d: %.40s", seed->host, seed->port, error->message);
    cannot_tell(sentinel, why);
}

static void
on_address(const redisReply *reply, const struct error *error, void *arg)
{
    struct redis_sentinel *sentinel = arg;
    const struct redis_seed *seed = &sentinel->url.seeds[sentinel->seed];
    struct redis_seed primary;
    char why[96];

    if (error == NULL && redis_sentinel_read_address(reply, &primary)) {
        sentinel->said[sentinel->seed][0] = '\0';
        end_asking(sentinel);
        set_primary(sentinel, &primary);
        return;
    }
    if (error != NULL) {
        refused(sentinel, error);
        return;
    }
    snprintf(why, sizeof(why), "%.40s:%d has no master %.24s", seed->host, seed->port,
             sentinel->url.master_name);
    cannot_tell(sentinel, why);
}

static void
on_asker_state(bool is_ready, const struct error *why, void *arg)
{
    struct redis_sentinel *sentinel = arg;
    struct redis_args args = {0};

    if (!is_ready) {
        refused(sentinel, why);
        return;
    }
    redis_arg(&args, "SENTINEL");
    redis_arg(&args, "GET-MASTER-ADDR-BY-NAME");
    redis_arg(&args, sentinel->url.master_name);
    redis_send(sentinel->asker, &args, ASK_TIMEOUT_MS, on_address, sentinel);
}

/* To one sentinel, with what sentinels want to hear. */
static struct redis *
connect_to(struct redis_sentinel *sentinel, int seed, redis_state_fn *on_state,
           redis_push_fn *on_push)
{
    struct redis_url url = {.is_tls = sentinel->url.is_tls, .tls = sentinel->url.tls};
    struct redis *redis;

    snprintf(url.host, sizeof(url.host), "%s", sentinel->url.seeds[seed].host);
    url.port = sentinel->url.seeds[seed].port;
    memcpy(url.username, sentinel->url.sentinel_username, sizeof(url.username));
    memcpy(url.password, sentinel->url.sentinel_password, sizeof(url.password));
    redis = redis_new(&(struct redis_options){
        .base = sentinel->base,
        .url = &url,
        .client_name = sentinel->client_name,
        .connect_timeout_ms = ASK_TIMEOUT_MS,
        .on_state = on_state,
        .on_push = on_push,
        .arg = sentinel,
    });
    OPENSSL_cleanse(&url, sizeof(url));
    return redis;
}

static void
ask_next(struct redis_sentinel *sentinel)
{
    sentinel->seed = (sentinel->seed + 1) % sentinel->url.seed_count;
    sentinel->asked++;
    sentinel->asker = connect_to(sentinel, sentinel->seed, on_asker_state, NULL);
}

void
redis_sentinel_ask(struct redis_sentinel *sentinel)
{
    if (sentinel->asker != NULL)
        return;
    sentinel->asked = 0;
    ask_next(sentinel);
}

/* ---- hearing ---- */

static void
on_switch(const char *channel, const char *message, size_t len, void *arg)
{
    struct redis_sentinel *sentinel = arg;
    struct redis_seed primary;

    (void)channel;
    if (redis_sentinel_read_switch(message, len, sentinel->url.master_name, &primary))
        set_primary(sentinel, &primary);
}

/* ---- life ---- */

struct redis_sentinel *
redis_sentinel_new(struct event_base *base, const struct redis_url *url, const char *client_name)
{
    struct redis_sentinel *sentinel = xcalloc(1, sizeof(*sentinel));

    sentinel->base = base;
    sentinel->url = *url;
    sentinel->client_name = xasprintf("%s:sentinel", client_name);
    sentinel->seed = url->seed_count - 1;
    for (int i = 0; i < url->seed_count; i++) {
        sentinel->listeners[i] = connect_to(sentinel, i, NULL, on_switch);
        redis_subscribe(sentinel->listeners[i], SWITCH_CHANNEL);
    }
    redis_sentinel_ask(sentinel);
    return sentinel;
}

void
redis_sentinel_free(struct redis_sentinel *sentinel)
{
    if (sentinel == NULL)
        return;
    for (int i = 0; i < sentinel->url.seed_count; i++)
        redis_free(sentinel->listeners[i]);
    end_asking(sentinel);
    free(sentinel->client_name);
    OPENSSL_cleanse(&sentinel->url, sizeof(sentinel->url));
    free(sentinel);
}
