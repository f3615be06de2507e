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

void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
/* A formatted new string. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
struct evbuffer *xevbuffer(void) __attribute__((returns_nonnull));
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
