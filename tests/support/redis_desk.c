#include "tests/support/redis_desk.h"

#include "common/memory.h"
#include "tests/support/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int
redis_desk_setup_alone(void **state)
{
    struct redis_desk *desk = xcalloc(1, sizeof(*desk));

    signal(SIGPIPE, SIG_IGN);
    desk->base = event_base_new();
    *state = desk;
    return 0;
}

int
redis_desk_setup(void **state)
{
    struct redis_desk *desk;

    redis_desk_setup_alone(state);
    desk = *state;
    desk->server = redis_server_new(NULL);
    snprintf(desk->url.path, sizeof(desk->url.path), "%s", desk->server->socket);
    return 0;
}

int
redis_desk_teardown(void **state)
{
    struct redis_desk *desk = *state;

    redis_free(desk->redis);
    redis_server_free(desk->server);
    event_base_free(desk->base);
    free(desk);
    return 0;
}

void
redis_desk_use_tcp(struct redis_desk *desk, int port)
{
    desk->url.path[0] = '\0';
    snprintf(desk->url.host, sizeof(desk->url.host), "127.0.0.1");
    desk->url.port = port;
}

static void
on_state(bool is_ready, const struct error *why, void *arg)
{
    struct redis_desk *desk = arg;

    assert_true(is_ready == (why == NULL));
    desk->states++;
    desk->is_ready = is_ready;
    desk->why = why != NULL ? *why : (struct error){0};
}

static void
on_push(const char *channel, const char *message, size_t len, void *arg)
{
    struct redis_desk *desk = arg;

    desk->pushes++;
    snprintf(desk->pushed, sizeof(desk->pushed), "%s=%.*s", channel, (int)len, message);
}

void
redis_desk_open(struct redis_desk *desk)
{
    desk->redis = redis_new(&(struct redis_options){
        .base = desk->base,
        .url = &desk->url,
        .client_name = "headgate-test",
        .connect_timeout_ms = 1000,
        .call_timeout_ms = 3000,
        .on_state = on_state,
        .on_push = on_push,
        .arg = desk,
    });
}

void
redis_desk_wait_ready(struct redis_desk *desk)
{
    assert_true(loop_until_flag(desk->base, &desk->is_ready, true, LIMIT_MS));
    assert_true(redis_is_ready(desk->redis));
}

void
redis_desk_connect(struct redis_desk *desk)
{
    redis_desk_open(desk);
    redis_desk_wait_ready(desk);
}

struct failure {
    const struct redis_desk *desk;
    enum error_kind kind;
    const char *part;
};

static bool
has_failed(void *arg)
{
    const struct failure *failure = arg;
    const struct redis_desk *desk = failure->desk;

    return desk->states > 0 && !desk->is_ready && desk->why.kind == failure->kind &&
           strstr(desk->why.message, failure->part) != NULL;
}

void
redis_desk_wait_failure(struct redis_desk *desk, enum error_kind kind, const char *part)
{
    if (!loop_until(desk->base, has_failed, &(struct failure){desk, kind, part}, LIMIT_MS))
        fail_msg("told: %s: %s", error_kind_name(desk->why.kind), desk->why.message);
}

static void
keep_text(struct answer *answer, const char *text, size_t len)
{
    size_t kept = len < sizeof(answer->text) ? len : sizeof(answer->text) - 1;

    memset(answer->text, 0, sizeof(answer->text));
    memcpy(answer->text, text, kept);
    answer->len = len;
}

void
take_answer(const redisReply *reply, const struct error *error, void *arg)
{
    struct answer *answer = arg;

    assert_true((reply == NULL) == (error != NULL));
    answer->count++;
    answer->type = reply != NULL ? reply->type : 0;
    answer->kind = error != NULL ? error->kind : ERROR_NONE;
    answer->number = redis_int(reply, -1);
    if (error != NULL)
        keep_text(answer, error->message, strlen(error->message));
    else if (redis_str(reply, NULL) != NULL)
        keep_text(answer, reply->str, reply->len);
}

struct redis_call *
redis_desk_send(struct redis_desk *desk, const char *line, struct answer *answer)
{
    struct redis_args args = {0};
    char *words = xstrdup(line);
    char *rest = NULL;
    struct redis_call *call;

    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        redis_arg(&args, word);
    call = redis_send(desk->redis, &args, 0, take_answer, answer);
    free(words);
    return call;
}

struct answer
redis_desk_ask(struct redis_desk *desk, const char *line)
{
    struct answer answer = {0};

    redis_desk_send(desk, line, &answer);
    assert_true(loop_until_count(desk->base, &answer.count, 1, LIMIT_MS));
    return answer;
}
