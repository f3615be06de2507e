/*
 * shim.c - make torture: fails one call of a process, the TORTURE_NTH of its kind.
 *
 * Preloaded. TORTURE names the kind: `memory`, an allocation that a library asks for (our own end
 * the process by design, see common/memory.h), or `calls`, a system call of anybody. When the call
 * has come and failed, its name is appended to the file TORTURE_REPORT.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* AddressSanitizer's, where the process has it. */
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *block, size_t size) __attribute__((weak));
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static const char *const libraries[] = {"libevent", "libhiredis", "libcurl", "libcjson"};

static struct range {
    uintptr_t first, last;
} ranges[16];
static int range_count;
static bool fails_memory, fails_calls;
static char report_path[512];
static atomic_long left; /* until the call that fails */

static bool
is_tortured(const char *path)
{
    const char *slash = strrchr(path, '/');

    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
        if (slash != NULL && strncmp(slash + 1, libraries[i], strlen(libraries[i])) == 0)
            return true;
    return false;
}

static int
note_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum && is_tortured(info->dlpi_name); i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t first = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && range_count < 16)
            ranges[range_count++] = (struct range){first, first + segment->p_memsz};
    }
    return 0;
}

/* The process that is meant, not what started it. */
static void __attribute__((constructor)) begin(void)
{
    const char *kind = getenv("TORTURE"), *nth = getenv("TORTURE_NTH");

    if (kind == NULL || nth == NULL || strcmp(program_invocation_short_name, "headgate") != 0)
        return;
    dl_iterate_phdr(note_library, NULL);
    snprintf(report_path, sizeof(report_path), "%s", getenv("TORTURE_REPORT"));
    left = atol(nth);
    fails_memory = strcmp(kind, "memory") == 0;
    fails_calls = strcmp(kind, "calls") == 0;
}

/* Is this the one? Says so in the report. */
static bool
falls(const char *name)
{
    int fd;

    if (atomic_fetch_sub(&left, 1) != 1)
        return false;
    fd = open(report_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dprintf(fd, "%s\n", name);
        close(fd);
    }
    return true;
}

/* ---- memory ---- */

static bool
no_memory(const char *name, const void *caller)
{
    uintptr_t at = (uintptr_t)caller;

    for (int i = 0; fails_memory && i < range_count; i++)
        if (at >= ranges[i].first && at < ranges[i].last)
            return falls(name);
    return false;
}

void *
malloc(size_t size)
{
    if (no_memory("malloc", __builtin_return_address(0)))
        return NULL;
    return __interceptor_malloc != NULL ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    if (no_memory("calloc", __builtin_return_address(0)))
        return NULL;
    return __interceptor_calloc != NULL ? __interceptor_calloc(count, size)
                                        : __libc_calloc(count, size);
}

void *
realloc(void *block, size_t size)
{
    if (no_memory("realloc", __builtin_return_address(0)))
        return NULL;
    return __interceptor_realloc != NULL ? __interceptor_realloc(block, size)
                                         : __libc_realloc(block, size);
}

char *
strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = no_memory("strdup", __builtin_return_address(0)) ? NULL : (malloc)(size);

    return copy == NULL ? NULL : memcpy(copy, text, size);
}

/* ---- system calls ---- */

/* A function that fails with `failure` and errno `error` when its turn has come. */
#define FALLIBLE(type, name, params, args, failure, error)                                         \
    type name params                                                                               \
    {                                                                                              \
        static type(*next) params;                                                                 \
                                                                                                   \
        if (next == NULL)                                                                          \
            *(void **)(void *)&next = dlsym(RTLD_NEXT, #name);                                     \
        if (fails_calls && falls(#name)) {                                                         \
            errno = error;                                                                         \
            return failure;                                                                        \
        }                                                                                          \
        return next args;                                                                          \
    }

FALLIBLE(int, socket, (int family, int type, int protocol), (family, type, protocol), -1, EMFILE)
FALLIBLE(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), -1,
         ENETUNREACH)
FALLIBLE(int, bind, (int fd, const struct sockaddr *at, socklen_t len), (fd, at, len), -1, ENOBUFS)
FALLIBLE(int, listen, (int fd, int backlog), (fd, backlog), -1, ENOBUFS)
FALLIBLE(int, accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags),
         (fd, from, len, flags), -1, EMFILE)
FALLIBLE(int, getsockname, (int fd, struct sockaddr *at, socklen_t *len), (fd, at, len), -1,
         ENOBUFS)
FALLIBLE(int, getpeername, (int fd, struct sockaddr *at, socklen_t *len), (fd, at, len), -1,
         ENOTCONN)
FALLIBLE(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
         (fd, level, name, value, len), -1, ENOMEM)
FALLIBLE(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
         (fd, level, name, value, len), -1, ENOBUFS)
FALLIBLE(int, epoll_create1, (int flags), (flags), -1, EMFILE)
FALLIBLE(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event),
         (epoll, op, fd, event), -1, ENOMEM)
FALLIBLE(int, eventfd, (unsigned count, int flags), (count, flags), -1, EMFILE)
FALLIBLE(int, pipe2, (int fds[2], int flags), (fds, flags), -1, EMFILE)
FALLIBLE(int, timerfd_create, (int clock, int flags), (clock, flags), -1, EMFILE)
FALLIBLE(int, socketpair, (int family, int type, int protocol, int fds[2]),
         (family, type, protocol, fds), -1, EMFILE)
FALLIBLE(ssize_t, recv, (int fd, void *bytes, size_t len, int flags), (fd, bytes, len, flags), -1,
         ECONNRESET)
FALLIBLE(ssize_t, readv, (int fd, const struct iovec *pieces, int count), (fd, pieces, count), -1,
         ECONNRESET)
FALLIBLE(ssize_t, send, (int fd, const void *bytes, size_t len, int flags), (fd, bytes, len, flags),
         -1, EPIPE)
FALLIBLE(ssize_t, writev, (int fd, const struct iovec *pieces, int count), (fd, pieces, count), -1,
         EPIPE)
FALLIBLE(int, getaddrinfo,
         (const char *host, const char *service, const struct addrinfo *hints,
          struct addrinfo **found),
         (host, service, hints, found), EAI_MEMORY, ENOMEM)
FALLIBLE(int, pthread_create,
         (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg),
         (thread, attributes, run, arg), EAGAIN, EAGAIN)
