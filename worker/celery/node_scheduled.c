/* `inspect scheduled`: Redis is asked, queue by queue. */
#include "common/memory.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/text.h"
#include "worker/queue/keys.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static const char source[] =
#include "worker/celery/lua/scheduled.lua.h"
    ;

#define SCHEDULED_MOST 100 /* of each queue */

struct scheduled_request {
    struct celery_node *node;
    char *oid, *ticket; /* owned; the ticket as JSON */
    int queue;          /* that is asked now */
    int count;
    struct evbuffer *list;
    struct scheduled_request *prev, *next;
};

static void ask_scheduled(struct scheduled_request *request);

void
celery_node_init_scheduled(struct celery_node *node)
{
    redis_script_init(&node->scheduled_script, "celery_scheduled", source);
}

void
celery_node_free_scheduled(struct scheduled_request *request)
{
    DL_DELETE(request->node->scheduled, request);
    evbuffer_free(request->list);
    free(request->oid);
    free(request->ticket);
    free(request);
}

static void
end_scheduled(struct scheduled_request *request)
{
    struct json_slice ticket = {
        .text = request->ticket, .len = strlen(request->ticket), .type = JSON_STRING};

    celery_put(request->list, "]");
    celery_node_reply(request->node, request->oid, ticket, request->list);
    celery_node_free_scheduled(request);
}

static void
on_scheduled(const redisReply *reply, const struct error *error, void *arg)
{
    struct scheduled_request *request = arg;
    struct celery_node *node = request->node;
    const char *queue = node->options.config->queues[request->queue].name;
    struct evbuffer *one = xevbuffer();

    for (size_t i = 0; error == NULL && redis_at(reply, i + 1) != NULL; i += 2) {
        const redisReply *payload = redis_at(reply, i + 1);
        int64_t due_ms = redis_int(redis_at(reply, i), 0);

        if (payload->type != REDIS_REPLY_STRING ||
            !celery_command_put_scheduled(node, queue, due_ms, payload->str, payload->len, one))
            continue;
        celery_put(request->list, request->count++ > 0 ? ", " : "");
        evbuffer_add_buffer(request->list, one);
    }
    evbuffer_free(one);
    if (++request->queue < node->options.config->queue_count)
        ask_scheduled(request);
    else
        end_scheduled(request);
}

static void
ask_scheduled(struct scheduled_request *request)
{
    static const char *const names[] = {"workers", "delayed", "delayed:jobs"};
    struct celery_node *node = request->node;
    const struct config *config = node->options.config;
    struct redis_args args = {0};
    char *keys[3];

    redis_arg_int(&args, 3 + celery_node_extra_keys(node));
    for (int i = 0; i < 3; i++) {
        keys[i] = queue_key(config->prefix, config->queues[request->queue].name, names[i]);
        redis_arg(&args, keys[i]);
    }
    celery_node_put_extra_keys(node, request->queue, &args);
    redis_arg(&args, node->options.worker);
    redis_arg_int(&args, SCHEDULED_MOST);
    celery_node_put_extra_args(node, request->queue, &args);
    redis_eval(celery_node_redis(node), &node->scheduled_script, &args, 0, on_scheduled, request);
    for (int i = 0; i < 3; i++)
        free(keys[i]);
}

void
celery_node_answer_scheduled(struct celery_node *node, const char *oid, struct json_slice ticket)
{
    struct scheduled_request *request = xcalloc(1, sizeof(*request));

    request->node = node;
    request->oid = xstrdup(oid);
    request->ticket = ticket.type == JSON_STRING ? xasprintf("%.*s", (int)ticket.len, ticket.text)
                                                 : xstrdup("\"\"");
    request->list = xevbuffer();
    celery_put(request->list, "[");
    DL_APPEND(node->scheduled, request);
    ask_scheduled(request);
}
