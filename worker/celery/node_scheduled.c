/* `inspect scheduled`: Redis is asked, queue by queue. */
#include "common/memory.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/text.h"
#include "worker/queue/keys.h"

#include <stdlib.h>

static const char source[] =
#include "worker/celery/lua/scheduled.lua.h"
    ;

#define SCHEDULED_MOST 100 /* of each queue */

static void ask_scheduled(struct celery_question *question);

void
celery_node_init_scheduled(struct celery_node *node)
{
    redis_script_init(&node->scheduled_script, "celery_scheduled", source);
}

static void
on_scheduled(const redisReply *reply, const struct error *error, void *arg)
{
    struct celery_question *question = arg;
    struct celery_node *node = question->node;
    const char *queue = node->options.config->queues[question->queue].name;
    struct evbuffer *one = xevbuffer();

    for (size_t i = 0; error == NULL && redis_at(reply, i + 1) != NULL; i += 2) {
        const redisReply *payload = redis_at(reply, i + 1);
        int64_t due_ms = redis_int(redis_at(reply, i), 0);

        if (payload->type != REDIS_REPLY_STRING ||
            !celery_command_put_scheduled(node, queue, due_ms, payload->str, payload->len, one))
            continue;
        celery_put(question->answer, question->count++ > 0 ? ", " : "");
        evbuffer_add_buffer(question->answer, one);
    }
    evbuffer_free(one);
    if (++question->queue < node->options.config->queue_count) {
        ask_scheduled(question);
        return;
    }
    celery_put(question->answer, "]");
    celery_question_end(question);
}

static void
ask_scheduled(struct celery_question *question)
{
    static const char *const names[] = {"workers", "delayed", "delayed:jobs"};
    struct celery_node *node = question->node;
    const struct config *config = node->options.config;
    struct redis_args args = {0};
    char *keys[3];

    redis_arg_int(&args, 3 + celery_node_extra_keys(node));
    for (int i = 0; i < 3; i++) {
        keys[i] = queue_key(config->prefix, config->queues[question->queue].name, names[i]);
        redis_arg(&args, keys[i]);
    }
    celery_node_put_extra_keys(node, question->queue, &args);
    redis_arg(&args, node->options.worker);
    redis_arg_int(&args, SCHEDULED_MOST);
    celery_node_put_extra_args(node, question->queue, &args);
    redis_eval(celery_node_redis(node), &node->scheduled_script, &args, 0, on_scheduled, question);
    for (int i = 0; i < 3; i++)
        free(keys[i]);
}

void
celery_node_answer_scheduled(struct celery_question *question)
{
    celery_put(question->answer, "[");
    ask_scheduled(question);
}
