#include "common/memory.h"

#include "common/log.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <link.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_BLOCK (512 * 1024)

static void *
checked(void *block)
{
    if (block == NULL) {
        log_error("out of memory: this worker stops, its jobs go to the others");
        exit(EXIT_SOFTWARE);
    }
    return block;
}

void *
xcalloc(size_t count, size_t size)
{
    return checked(calloc(count, size));
}

void *
xreallocarray(void *block, size_t count, size_t size)
{
    return checked(reallocarray(block, count, size));
}

char *
xstrdup(const char *text)
{
    return checked(strdup(text));
}

char *
xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return checked(text);
}

static void *
xmalloc(size_t size)
{
    return checked(malloc(size));
}

/* The old block may go, but there is always one. */
static void *
xrealloc(void *block, size_t size)
{
    return checked(realloc(block, size > 0 ? size : 1));
}

void
memory_guard_libraries(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = xmalloc, .free_fn = free});
    event_set_mem_functions(xmalloc, xrealloc, free);
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc);
}

struct evbuffer *
xevbuffer(void)
{
    return checked(evbuffer_new());
}

void
free_secret(char *text)
{
    if (text == NULL)
        return;
    OPENSSL_cleanse(text, strlen(text));
    free(text);
}

/* Executable segments are never written to: what is needed again is mapped again. */
static int
forget_text(struct dl_phdr_info *info, size_t size, void *arg)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t end = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;

        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && !(segment->p_flags & PF_W))
            madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void
memory_forget_startup(void)
{
    dl_iterate_phdr(forget_text, NULL);
    memory_trim();
}

/* Said once, the threshold stays: else glibc raises it to the largest block that was freed. */
void
memory_return_large_blocks(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
}

void
memory_trim(void)
{
    malloc_trim(0);
}
