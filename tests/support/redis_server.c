#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STARTS_MAX  10 /* somebody else may take the port we found free */
#define POLL_MS     5
#define START_POLLS 2000 /* 10 s */
#define STOP_POLLS  1000 /* 5 s */

static void __attribute__((noreturn)) give_up(const char *what)
{
    fprintf(stderr, "redis-server for a test: %s: %s\n", what, strerror(errno));
    abort();
}

static void
pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Is nobody there, or on the way to somebody, with this port? */
static bool
is_free(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return is_free;
}

/* Whoever binds a port's name, an abstract Unix socket, has the port as long as its process lives:
 * so no other test process of this machine takes it, not even between two starts of a server. */
static bool
reserve(int port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "headgate-test-port-%d", port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, size) == 0)
        return true;
    close(fd);
    return false;
}

/* Below the ephemeral range, and below the ports of the end-to-end tests. */
static int
free_port(void)
{
    const int first = 6500, count = 3500;

    for (int i = 0; i < count; i++) {
        int port = first + (getpid() + i) % count;

        if (reserve(port) && is_free(port))
            return port;
    }
    give_up("no free port");
}

static void __attribute__((noreturn)) become_server(const struct redis_server *server)
{
    const char *binary = getenv("HEADGATE_TEST_REDIS");
    char port[16];
    const char *arguments[REDIS_SERVER_ARGUMENTS_MAX + 24] = {
        "redis-server", "--port",       port,    "--bind",       "127.0.0.1",
        "--unixsocket", server->socket, "--dir", server->dir,    "--logfile",
        "redis.log",    "--save",       "",      "--appendonly", "no",
    };
    int count = 15;

    snprintf(port, sizeof(port), "%d", server->port);
    for (int i = 0; server->extra[i] != NULL; i++)
        arguments[count++] = server->extra[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(binary != NULL ? binary : arguments[0], (char *const *)(void *)arguments);
    _exit(127);
}

/* NULL while it does not listen. */
static redisContext *
dial(const struct redis_server *server)
{
    redisContext *context = redisConnectUnix(server->socket);

    if (context != NULL && context->err == 0)
        return context;
    if (context != NULL)
        redisFree(context);
    return NULL;
}

/* An error is an answer too, but for LOADING. */
static bool
answers(const struct redis_server *server)
{
    redisContext *context = dial(server);
    redisReply *reply = context != NULL ? redisCommand(context, "PING") : NULL;
    bool is_answer = reply != NULL && strncmp(reply->str, "LOADING", strlen("LOADING")) != 0;

    if (reply != NULL)
        freeReplyObject(reply);
    if (context != NULL)
        redisFree(context);
    return is_answer;
}

static bool
has_ended(struct redis_server *server)
{
    if (server->pid != 0 && waitpid(server->pid, NULL, WNOHANG) == server->pid)
        server->pid = 0;
    return server->pid == 0;
}

static bool
start(struct redis_server *server)
{
    unlink(server->socket);
    server->pid = fork();
    if (server->pid < 0)
        give_up("fork");
    if (server->pid == 0)
        become_server(server);
    for (int i = 0; i < START_POLLS && !has_ended(server); i++) {
        if (answers(server))
            return true;
        pause_ms(POLL_MS);
    }
    redis_server_kill(server);
    return false;
}

struct redis_server *
redis_server_new(const char *const *extra)
{
    struct redis_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        give_up("memory");
    snprintf(server->dir, sizeof(server->dir), "/tmp/headgate-test-XXXXXX");
    if (mkdtemp(server->dir) == NULL)
        give_up("mkdtemp");
    snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->dir);
    for (int i = 0; extra != NULL && extra[i] != NULL && i < REDIS_SERVER_ARGUMENTS_MAX - 1; i++)
        server->extra[i] = extra[i];
    for (int i = 0; i < STARTS_MAX; i++) {
        server->port = free_port();
        if (start(server))
            return server;
    }
    give_up("it does not start");
}

void
redis_server_restart(struct redis_server *server)
{
    if (!start(server))
        give_up("it does not start again");
}

void
redis_server_signal(struct redis_server *server, int number)
{
    if (server->pid != 0)
        kill(server->pid, number);
}

void
redis_server_kill(struct redis_server *server)
{
    redis_server_signal(server, SIGKILL);
    if (server->pid != 0)
        waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void
redis_server_stop(struct redis_server *server)
{
    redis_server_signal(server, SIGCONT);
    redis_server_signal(server, SIGTERM);
    for (int i = 0; i < STOP_POLLS && !has_ended(server); i++)
        pause_ms(POLL_MS);
    redis_server_kill(server);
}

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void
redis_server_free(struct redis_server *server)
{
    if (server == NULL)
        return;
    redis_server_stop(server);
    nftw(server->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(server);
}

static redisReply *
ask(struct redis_server *server, const char *format, va_list arguments)
{
    redisContext *context = dial(server);
    redisReply *reply = context != NULL ? redisvCommand(context, format, arguments) : NULL;

    if (reply == NULL)
        give_up(format);
    redisFree(context);
    return reply;
}

redisReply *
redis_server_ask(struct redis_server *server, const char *format, ...)
{
    redisReply *reply;
    va_list arguments;

    va_start(arguments, format);
    reply = ask(server, format, arguments);
    va_end(arguments);
    return reply;
}

void
redis_server_do(struct redis_server *server, const char *format, ...)
{
    redisReply *reply;
    va_list arguments;

    va_start(arguments, format);
    reply = ask(server, format, arguments);
    va_end(arguments);
    if (reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "redis-server for a test: %s: %s\n", format, reply->str);
        abort();
    }
    freeReplyObject(reply);
}
