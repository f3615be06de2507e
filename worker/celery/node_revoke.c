/* Revoke: Redis keeps what is not to run, for all workers of ours, those that come later too. */
#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/meta.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/text.h"
#include "worker/queue/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char source[] =
#include "worker/celery/lua/revoke.lua.h"
    ;
#define REVOKED_MOST 5000 /* that are told */

void
celery_node_init_revoke(struct celery_node *node)
{
    redis_script_init(&node->revoke_script, "celery_revoke", source);
}

static void
put_revoked(const char *id, bool is_terminated, struct evbuffer *out)
{
    struct celery_message message = {0};
    const struct job job = {0};
    const struct result result = {.state = STATE_CANCELLED,
                                  .job = &job,
                                  .worker = "",
                                  .error_kind = "cancelled",
                                  .started_at_ms = is_terminated,
                                  .finished_at_ms = clock_wall_ms()};

    snprintf(message.id, sizeof(message.id), "%s", id);
    celery_meta_print(&message, &result, "", out);
}

static void
revoke_in(struct celery_node *node, int queue, const char *id, bool is_terminated)
{
    static const char *const names[] = {"owners", "delayed", "delayed:jobs", "cancelled"};
    const struct config *config = node->options.config;
    char *keys[5];
    struct evbuffer *document = xevbuffer();
    struct redis_args args = {0};
    const char *text;
    size_t len;

    for (int i = 0; i < 4; i++)
        keys[i] = queue_key(config->prefix, config->queues[queue].name, names[i]);
    keys[4] = xasprintf("%s%s", celery_flavour(node->options.celery, queue)->result_prefix, id);
    put_revoked(id, is_terminated, document);
    len = evbuffer_get_length(document);
    text = (const char *)evbuffer_pullup(document, -1);
    redis_arg_int(&args, 5 + celery_node_extra_keys(node));
    for (int i = 0; i < 5; i++)
        redis_arg(&args, keys[i]);
    celery_node_put_extra_keys(node, queue, &args);
    redis_arg(&args, id);
    redis_arg(&args, is_terminated ? "1" : "0");
    redis_arg_bytes(&args, text, len);
    redis_arg_int(&args, config->result_ttl_ms);
    celery_node_put_extra_args(node, queue, &args);
    redis_eval(celery_node_redis(node), &node->revoke_script, &args, 0, NULL, NULL);
    evbuffer_free(document);
    for (int i = 0; i < 5; i++)
        free(keys[i]);
}

void
celery_node_revoke(struct celery_node *node, const char *id, bool is_terminated)
{
    for (int i = 0; i < node->options.config->queue_count; i++) {
        revoke_in(node, i, id, is_terminated);
        if (is_terminated)
            node->options.terminate(i, id, node->options.arg);
    }
}

static void
on_revoked(const redisReply *reply, const struct error *error, void *arg)
{
    struct celery_question *question = arg;
    struct evbuffer *out = question->answer;

    celery_put(out, question->is_hello ? "{\"revoked\": [" : "[");
    for (size_t i = 0; error == NULL && i < REVOKED_MOST && redis_at(reply, i) != NULL; i++) {
        celery_put(out, i > 0 ? ", " : "");
        celery_put_text(out, redis_str(redis_at(reply, i), ""));
    }
    celery_put(out, "]");
    if (question->is_hello)
        evbuffer_add_printf(out, ", \"clock\": %" PRId64 "}", question->node->clock);
    celery_question_end(question);
}

/* Every queue keeps all of them, less those that it has met itself: two have all. */
void
celery_node_answer_revoked(struct celery_question *question)
{
    const struct config *config = question->node->options.config;
    const struct config_queue *first = &config->queues[0], *last = first + config->queue_count - 1;
    char *keys[] = {queue_key(config->prefix, first->name, "cancelled"),
                    queue_key(config->prefix, last->name, "cancelled")};
    struct redis_args args = {0};

    redis_arg(&args, "ZUNION");
    redis_arg_int(&args, 2);
    redis_arg(&args, keys[0]);
    redis_arg(&args, keys[1]);
    redis_send(celery_node_redis(question->node), &args, 0, on_revoked, question);
    free(keys[0]);
    free(keys[1]);
}
