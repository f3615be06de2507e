/*
 * redis_command.h - a command as the bytes that go out. Pure. (redis_arg and its kin and
 * redis_script_init, which are redis.h's, live in the same .c.)
 */
#ifndef COMMON_REDIS_COMMAND_H
#define COMMON_REDIS_COMMAND_H

#include "common/redis/redis.h"

#include <event2/buffer.h>

#define REDIS_COMMAND_MAX ((size_t)512 << 20) /* Redis' own proto-max-bulk-len */

struct redis_command {
    char *bytes; /* owned */
    size_t len;
    int words;
};

/* Formats `args`; with a script: EVALSHA, its SHA1, then `args`. Fails with ERROR_INPUT
 * (no argument), ERROR_TOO_LARGE or, out of memory, ERROR_TRANSIENT. */
int redis_command_format(struct redis_command *command, const struct redis_script *script,
                         const struct redis_args *args, struct error *err) WARN_UNUSED;
/* Appends the command to `out`, whole or (ERROR_TRANSIENT, out of memory) not at all. */
int redis_command_put(const struct redis_command *command, struct evbuffer *out,
                      struct error *err) WARN_UNUSED;
/* Appends an EVALSHA as EVAL with the source; when it fails a part may have been appended. */
int redis_command_put_eval(const struct redis_command *evalsha, const struct redis_script *script,
                           struct evbuffer *out, struct error *err) WARN_UNUSED;
/* Fine for one that is zero. */
void redis_command_release(struct redis_command *command);

#endif
