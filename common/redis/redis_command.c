#include "common/redis/redis_command.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA1_BYTES  20
#define SHA1_DIGITS 40

void
redis_script_init(struct redis_script *script, const char *name, const char *source)
{
    unsigned char digest[SHA1_BYTES];
    int ok = EVP_Digest(source, strlen(source), digest, NULL, EVP_sha1(), NULL);

    assert(ok == 1);
    script->name = name;
    script->source = source;
    for (int i = 0; i < SHA1_BYTES; i++)
        snprintf(script->sha1 + 2 * i, 3, "%02x", digest[i]);
}

void
redis_arg_bytes(struct redis_args *args, const void *bytes, size_t len)
{
    assert(args->count < REDIS_ARGS_MAX);
    args->value[args->count] = bytes != NULL ? bytes : "";
    args->len[args->count++] = len;
}

void
redis_arg(struct redis_args *args, const char *text)
{
    redis_arg_bytes(args, text, strlen(text));
}

void
redis_arg_int(struct redis_args *args, int64_t value)
{
    char *text;

    assert(args->count < REDIS_ARGS_MAX);
    text = args->number[args->count];
    snprintf(text, sizeof(args->number[0]), "%" PRId64, value);
    redis_arg(args, text);
}

static int
check_size(const struct redis_args *args, struct error *err)
{
    size_t total = 0;

    if (args->count == 0)
        return error_set(err, ERROR_INPUT, "a command without a name");
    for (int i = 0; i < args->count; i++) {
        if (args->len[i] > REDIS_COMMAND_MAX - total)
            return error_set(err, ERROR_TOO_LARGE, "a command of more than %zu bytes",
                             REDIS_COMMAND_MAX);
        total += args->len[i];
    }
    return 0;
}

static size_t
head_len(size_t number)
{
    size_t digits = 1;

    for (; number >= 10; number /= 10)
        digits++;
    return digits + strlen("$\r\n");
}

/* Writes "$42\r\n"; returns the byte behind it. */
static char *
put_head(char *to, char kind, size_t number)
{
    char *behind = to + head_len(number), *at = behind - 2;

    *to = kind;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    memcpy(behind - 2, "\r\n", 2);
    return behind;
}

static char *
put_word(char *to, const char *word, size_t len)
{
    to = mempcpy(put_head(to, '$', len), word, len);
    return mempcpy(to, "\r\n", 2);
}

int
redis_command_format(struct redis_command *command, const struct redis_script *script,
                     const struct redis_args *args, struct error *err)
{
    int first = script != NULL ? 2 : 0;
    char *to;

    if (check_size(args, err) != 0)
        return -1;
    command->words = first + args->count;
    command->len = head_len((size_t)command->words) +
                   (script != NULL ? strlen("$7\r\nEVALSHA\r\n$40\r\n\r\n") + SHA1_DIGITS : 0);
    for (int i = 0; i < args->count; i++)
        command->len += head_len(args->len[i]) + args->len[i] + strlen("\r\n");
    command->bytes = to = malloc(command->len);
    if (to == NULL)
        return error_set(err, ERROR_TRANSIENT, "no memory for a command");
    to = put_head(to, '*', (size_t)command->words);
    if (script != NULL) {
        to = put_word(to, "EVALSHA", strlen("EVALSHA"));
        to = put_word(to, script->sha1, SHA1_DIGITS);
    }
    for (int i = 0; i < args->count; i++)
        to = put_word(to, args->value[i], args->len[i]);
    assert(to == command->bytes + command->len);
    return 0;
}

static int
put_bytes(struct evbuffer *out, const char *bytes, size_t len, struct error *err)
{
    if (evbuffer_add(out, bytes, len) != 0)
        return error_set(err, ERROR_TRANSIENT, "no memory to send a command of %zu bytes", len);
    return 0;
}

int
redis_command_put(const struct redis_command *command, struct evbuffer *out, struct error *err)
{
    return put_bytes(out, command->bytes, command->len, err);
}

int
redis_command_put_eval(const struct redis_command *evalsha, const struct redis_script *script,
                       struct evbuffer *out, struct error *err)
{
    const char *after_count = (const char *)memchr(evalsha->bytes, '\n', evalsha->len) + 1;
    const char *rest =
        after_count + strlen("$7\r\nEVALSHA\r\n$40\r\n") + SHA1_DIGITS + strlen("\r\n");

    if (evbuffer_add_printf(out, "*%d\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n", evalsha->words,
                            strlen(script->source), script->source) < 0)
        return error_set(err, ERROR_TRANSIENT, "no memory to send script %s", script->name);
    return put_bytes(out, rest, evalsha->len - (size_t)(rest - evalsha->bytes), err);
}

void
redis_command_release(struct redis_command *command)
{
    free(command->bytes);
    command->bytes = NULL;
}
