/*
 * redis_reply.h - what an error of Redis means. Pure. (redis_int, redis_str and redis_at,
 * which are redis.h's, live in the same .c.)
 */
#ifndef COMMON_REDIS_REPLY_H
#define COMMON_REDIS_REPLY_H

#include "common/error.h"

#include <stdbool.h>

/* Fills *err from an error as Redis words it: "OOM command not allowed ...". The kind
 * comes from its first word; that of an error inside a script too, also as Redis before 7
 * wraps it: "ERR Error running script (call to f_...): @user_script:1: -OOM ...". The
 * message is Redis' own; that of a redirect says besides what REDIS_URL should be. */
void redis_error_read(const char *text, struct error *err);
/* Does the error, wrapped or not, begin with this word? "READONLY", "NOSCRIPT". */
bool redis_error_is(const char *text, const char *code);

#endif
