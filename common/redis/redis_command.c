#include "common/redis/redis_command.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA1_BYTES 20

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

/* hiredis 0.14 adds the lengths up in an int. */
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

int
redis_command_format(struct redis_command *command, const struct redis_script *script,
                     const struct redis_args *args, struct error *err)
{
    const char *word[REDIS_ARGS_MAX + 2] = {"EVALSHA", script != NULL ? script->sha1 : ""};
    size_t len[REDIS_ARGS_MAX + 2] = {strlen(word[0]), strlen(word[1])};
    int first = script != NULL ? 2 : 0;
    long long formatted;

    if (check_size(args, err) != 0)
        return -1;
    memcpy(word + first, args->value, (size_t)args->count * sizeof(word[0]));
    memcpy(len + first, args->len, (size_t)args->count * sizeof(len[0]));
    command->words = first + args->count;
    formatted = redisFormatCommandArgv(&command->bytes, command->words, word, len);
    if (formatted < 0) {
        command->bytes = NULL;
        return error_set(err, ERROR_TRANSIENT, "no memory for a command");
    }
    command->len = (size_t)formatted;
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
    const char *rest = after_count + strlen("$7\r\nEVALSHA\r\n$40\r\n") + 40 + strlen("\r\n");

    if (evbuffer_add_printf(out, "*%d\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n", evalsha->words,
                            strlen(script->source), script->source) < 0)
        return error_set(err, ERROR_TRANSIENT, "no memory to send script %s", script->name);
    return put_bytes(out, rest, evalsha->len - (size_t)(rest - evalsha->bytes), err);
}

void
redis_command_release(struct redis_command *command)
{
    redisFreeCommand(command->bytes);
    command->bytes = NULL;
}
