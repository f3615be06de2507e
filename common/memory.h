/*
 * memory.h - small allocations that may not fail.
 *
 * For sizes that we chose. On failure they log and exit with 70: a worker that stops
 * is safe, its jobs are given to others. A size chosen from outside is checked against a
 * bound first and uses malloc, whose failure is an ordinary error.
 */
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include <event2/buffer.h>
#include <stddef.h>

/* How a process ends that can't go on; sysexits.h: EX_SOFTWARE. */
#define EXIT_SOFTWARE 70

void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xreallocarray(void *block, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
/* A formatted new string. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
struct evbuffer *xevbuffer(void) __attribute__((returns_nonnull));
/* From here on allocations of libevent, libcurl and cJSON end the process as ours do. What they
 * hand back without memory nobody could go on with: half of a command, an endpoint without its
 * port, no JSON where there is some. Before any other call to them. hiredis gives up a connection,
 * which is fine, and OpenSSL a handshake. */
void memory_guard_libraries(void);
/* Wipes, then frees. NULL is fine. */
void free_secret(char *text);
/* Gives back what only the start needed: pages of library code that ran once. A third of an idle
 * worker's resident memory. */
void memory_forget_startup(void);
/* Large blocks go back to the system as they are freed, and leave no holes. */
void memory_return_large_blocks(void);
/* Gives back what the allocator keeps of a burst of work. */
void memory_trim(void);

#endif
