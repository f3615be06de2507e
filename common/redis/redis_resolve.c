#include "common/redis/redis_resolve.h"

#include "common/memory.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum lookup_state { LOOKUP_RUNNING, LOOKUP_DONE, LOOKUP_ABANDONED };

struct redis_lookup {
    _Atomic enum lookup_state state;
    char host[sizeof(((struct redis_url *)0)->host)];
    int port;
    /* the thread's until the state says LOOKUP_DONE */
    int failure; /* EAI_*, 0: none */
    struct redis_addresses found;
};

static void
add_address(struct redis_addresses *found, const struct sockaddr *address, socklen_t len)
{
    if (found->count == REDIS_ADDRESSES_MAX || len > sizeof(found->at[0].socket))
        return;
    memcpy(&found->at[found->count].socket, address, len);
    found->at[found->count++].len = len;
}

static int
ask(const char *host, int port, int flags, struct redis_addresses *found)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[16];
    int failure;

    snprintf(service, sizeof(service), "%d", port);
    failure = getaddrinfo(host, service, &hints, &list);
    if (failure != 0)
        return failure;
    for (struct addrinfo *each = list; each != NULL; each = each->ai_next)
        add_address(found, each->ai_addr, each->ai_addrlen);
    freeaddrinfo(list);
    return found->count > 0 ? 0 : EAI_NONAME;
}

bool
redis_resolve_now(const struct redis_url *url, struct redis_addresses *found)
{
    struct sockaddr_un socket = {.sun_family = AF_UNIX};

    found->count = 0;
    if (url->path[0] == '\0')
        return ask(url->host, url->port, AI_NUMERICHOST, found) == 0;
    snprintf(socket.sun_path, sizeof(socket.sun_path), "%s", url->path);
    add_address(found, (struct sockaddr *)&socket, sizeof(socket));
    return true;
}

static void *
run_lookup(void *arg)
{
    struct redis_lookup *lookup = arg;

    lookup->failure = ask(lookup->host, lookup->port, 0, &lookup->found);
    if (atomic_exchange(&lookup->state, LOOKUP_DONE) == LOOKUP_ABANDONED)
        free(lookup);
    return NULL;
}

/* The new thread takes no signals: they belong to the loop. */
static int
start_thread(struct redis_lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int failure;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    failure = pthread_create(&thread, &attributes, run_lookup, lookup);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

struct redis_lookup *
redis_lookup_start(const struct redis_url *url, struct error *err)
{
    struct redis_lookup *lookup = xcalloc(1, sizeof(*lookup));
    int failure;

    snprintf(lookup->host, sizeof(lookup->host), "%s", url->host);
    lookup->port = url->port;
    failure = start_thread(lookup);
    if (failure != 0) {
        error_set(err, ERROR_UNREACHABLE, "looking up %s: %s", url->host, strerror(failure));
        free(lookup);
        return NULL;
    }
    return lookup;
}

bool
redis_lookup_is_done(const struct redis_lookup *lookup)
{
    return atomic_load(&lookup->state) == LOOKUP_DONE;
}

int
redis_lookup_finish(struct redis_lookup *lookup, struct redis_addresses *found, struct error *err)
{
    int failure = lookup->failure;

    if (failure != 0)
        error_set(err, ERROR_UNREACHABLE, "looking up %s: %s", lookup->host, gai_strerror(failure));
    *found = lookup->found;
    free(lookup);
    return failure == 0 ? 0 : -1;
}

void
redis_lookup_abandon(struct redis_lookup *lookup)
{
    if (lookup == NULL)
        return;
    if (atomic_exchange(&lookup->state, LOOKUP_ABANDONED) == LOOKUP_DONE)
        free(lookup);
}
