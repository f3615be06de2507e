#include "tests/support/fake_redis.h"

#include "common/memory.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct client {
    struct client *prev, *next;
    struct fake_redis *fake;
    int number;
    struct bufferevent *stream;
    redisReader *reader;
};

struct fake_redis {
    struct event_base *base;
    struct evconnlistener *listener;
    fake_redis_fn *answer;
    void *arg;
    struct client *clients;
    int connections;
};

static void
free_client(struct client *client)
{
    DL_DELETE(client->fake->clients, client);
    bufferevent_free(client->stream);
    redisReaderFree(client->reader);
    free(client);
}

/* False when the client is gone. */
static bool
answer(struct client *client, const redisReply *command)
{
    const char *text = client->fake->answer(command, client->number, client->fake->arg);

    if (text != NULL && strcmp(text, FAKE_REDIS_HANG_UP) == 0) {
        free_client(client);
        return false;
    }
    if (text != NULL)
        bufferevent_write(client->stream, text, strlen(text));
    return true;
}

static void
on_readable(struct bufferevent *stream, void *arg)
{
    struct client *client = arg;
    bool is_there = true;
    char bytes[4096];
    size_t len;
    void *command;

    while ((len = bufferevent_read(stream, bytes, sizeof(bytes))) > 0)
        redisReaderFeed(client->reader, bytes, len);
    while (is_there && redisReaderGetReply(client->reader, &command) == REDIS_OK &&
           command != NULL) {
        is_there = answer(client, command);
        freeReplyObject(command);
    }
}

static void
on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    (void)what;
    free_client(arg);
}

static void
on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len,
          void *arg)
{
    struct fake_redis *fake = arg;
    struct client *client = xcalloc(1, sizeof(*client));

    (void)listener;
    (void)address;
    (void)len;
    client->fake = fake;
    client->number = ++fake->connections;
    client->reader = redisReaderCreate();
    client->stream = bufferevent_socket_new(fake->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(client->stream, on_readable, NULL, on_end, client);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
    DL_APPEND(fake->clients, client);
}

struct fake_redis *
fake_redis_new(struct event_base *base, fake_redis_fn *answer_fn, void *arg)
{
    struct fake_redis *fake = xcalloc(1, sizeof(*fake));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    fake->base = base;
    fake->answer = answer_fn;
    fake->arg = arg;
    fake->listener = evconnlistener_new_bind(base, on_client, fake, LEV_OPT_CLOSE_ON_FREE, 16,
                                             (struct sockaddr *)&address, sizeof(address));
    return fake;
}

void
fake_redis_free(struct fake_redis *fake)
{
    while (fake->clients != NULL)
        free_client(fake->clients);
    evconnlistener_free(fake->listener);
    free(fake);
}

int
fake_redis_port(const struct fake_redis *fake)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);

    getsockname(evconnlistener_get_fd(fake->listener), (struct sockaddr *)&address, &len);
    return ntohs(address.sin_port);
}

int
fake_redis_connections(const struct fake_redis *fake)
{
    return fake->connections;
}
