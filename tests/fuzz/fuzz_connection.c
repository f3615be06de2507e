/* connection: what a Redis server, a node of a cluster or a server behind sentinels says from the
 * first byte on: the login, the map, redirects, messages, answers to calls.
 * Input: a byte for what we are, then what each connection in turn is told, with 0x01 between them.
 *
 * This file stands in for the names (redis_resolve.h): wherever a redirect leads, it is here. */
#include "common/log.h"
#include "common/redis/redis.h"
#include "common/redis/redis_resolve.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 8
#define TURNS_MAX       60

/* ---- the one server there is ---- */

static struct redis_address server;
static int listener = -1;

static void
open_server(void)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX};

    server.len = sizeof(server.socket);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MUST(listener >= 0);
    /* The kernel finds a name that no file has. */
    MUST(bind(listener, (struct sockaddr *)&any, offsetof(struct sockaddr_un, sun_path)) == 0);
    MUST(getsockname(listener, (struct sockaddr *)&server.socket, &server.len) == 0);
    MUST(listen(listener, 64) == 0);
}

bool
redis_resolve_now(const struct redis_url *url, struct redis_addresses *found)
{
    MUST(url->host[0] != '\0' && url->port >= 1 && url->port <= 65535);
    found->count = 1;
    found->at[0] = server;
    return true;
}

struct redis_lookup *
redis_lookup_start(const struct redis_url *url, struct error *err)
{
    (void)url, (void)err;
    abort(); /* all is found at once */
}

bool
redis_lookup_is_done(const struct redis_lookup *lookup)
{
    return lookup != NULL;
}

int
redis_lookup_finish(struct redis_lookup *lookup, struct redis_addresses *found, struct error *err)
{
    (void)lookup, (void)found, (void)err;
    abort();
}

void
redis_lookup_abandon(struct redis_lookup *lookup)
{
    MUST(lookup == NULL);
}

/* ---- who connects ---- */

struct client {
    struct redis *redis;
    int open_calls;
};

static void
on_state(bool is_ready, const struct error *why, void *arg)
{
    (void)arg;
    MUST(is_ready == (why == NULL));
    MUST(is_ready ||
         (why->kind != ERROR_NONE && utf8_is_valid(why->message, strlen(why->message))));
}

static void
on_push(const char *channel, const char *message, size_t len, void *arg)
{
    (void)arg;
    MUST(strcmp(channel, "news") == 0 && message[len] == '\0');
}

static void
on_reply(const redisReply *reply, const struct error *error, void *arg)
{
    struct client *client = arg;

    MUST((reply == NULL) == (error != NULL));
    MUST(reply == NULL || reply->type != REDIS_REPLY_ERROR);
    MUST(error == NULL || utf8_is_valid(error->message, strlen(error->message)));
    MUST(client->open_calls-- > 0);
}

static void
call(struct client *client)
{
    static struct redis_script script;
    struct redis_args get = {0}, keys = {0};

    if (script.source == NULL)
        redis_script_init(&script, "one", "return 1");
    redis_arg(&get, "GET");
    redis_arg(&get, "{q}");
    redis_arg_int(&keys, 1);
    redis_arg(&keys, "{q}");
    client->open_calls += 2;
    redis_send(client->redis, &get, 0, on_reply, client);
    redis_eval(client->redis, &script, &keys, 0, on_reply, client);
}

/* ---- one input ---- */

static void
drain(int fd)
{
    char bytes[4096];

    while (read(fd, bytes, sizeof(bytes)) > 0) {
    }
}

/* Each connection hears its part and is hung up on when the next one comes. */
static void
serve(struct event_base *base, struct client *client, struct input *input)
{
    int fd = -1, connections = 0;

    for (int turn = 0; turn < TURNS_MAX && connections < CONNECTIONS_MAX; turn++) {
        int next = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        event_base_loop(base, EVLOOP_NONBLOCK);
        if (next < 0)
            continue;
        if (fd >= 0) {
            drain(fd);
            close(fd);
        }
        if (input->len > 0) {
            const char *end = memchr(input->at, '\x01', input->len);
            size_t len = end == NULL ? input->len : (size_t)(end - input->at);

            MUST(send(next, input->at, len, MSG_NOSIGNAL) >= 0 || len > 0);
            input->at += end == NULL ? len : len + 1;
            input->len -= end == NULL ? len : len + 1;
        }
        fd = next;
        connections++;
        if (client->open_calls == 0 && redis_is_ready(client->redis))
            call(client);
    }
    if (redis_is_ready(client->redis))
        call(client);
    event_base_loop(base, EVLOOP_NONBLOCK);
    if (fd >= 0)
        close(fd);
    for (int turn = 0; turn < 3; turn++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
forget_waiting_connections(void)
{
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0)
        close(fd);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    unsigned chosen = input_byte(&input);
    bool is_cluster = chosen % 2 == 1, is_listener = chosen / 2 % 2 == 1;
    struct event_base *base = event_base_new();
    struct redis_cluster *cluster;
    struct redis_url url;
    struct error err;
    struct client client = {0};

    log_setup(LOG_LEVEL_ERROR, false);
    if (listener < 0)
        open_server();
    MUST(redis_url_parse("redis+cluster://user:secret@a:1,b:2", &url, &err) == 0);
    cluster = is_cluster ? redis_cluster_new(&url) : NULL;
    url.topology = REDIS_SINGLE;
    client.redis = redis_new(&(struct redis_options){.base = base,
                                                     .url = &url,
                                                     .client_name = "fuzz",
                                                     .cluster = cluster,
                                                     .key = is_cluster ? "{q}" : NULL,
                                                     .goes_aside = chosen / 4 % 2 == 1,
                                                     .on_state = on_state,
                                                     .on_push = on_push,
                                                     .arg = &client});
    if (is_listener)
        redis_subscribe(client.redis, "news");
    else if (is_cluster)
        call(&client);
    serve(base, &client, &input);
    redis_free(client.redis);
    forget_waiting_connections();
    redis_cluster_free(cluster);
    event_base_free(base);
    return 0;
}
