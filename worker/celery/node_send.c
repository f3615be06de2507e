/* What a node sends: messages as kombu makes them, on channels of events and to whoever asked. */
#include "common/memory.h"
#include "worker/celery/node_internal.h"
#include "worker/celery/text.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define SEP            "\x06\x16"
#define REPLY_EXCHANGE "reply.celery.pidbox"

static const char reply_source[] =
#include "worker/celery/lua/reply.lua.h"
    ;

void
celery_node_init_replies(struct celery_node *node)
{
    redis_script_init(&node->reply_script, "celery_reply", reply_source);
}

static const char *
text_of(struct evbuffer *buffer, size_t *len)
{
    *len = evbuffer_get_length(buffer);
    return *len == 0 ? "" : (const char *)evbuffer_pullup(buffer, -1);
}

/* What kombu makes of a body: `headers` is an object's text. */
static void
put_envelope(struct evbuffer *body, struct evbuffer *headers, const char *exchange,
             const char *routing_key, struct evbuffer *out)
{
    unsigned char bytes[3072], text[sizeof(bytes) / 3 * 4 + 1];
    char tag[37];
    int len;

    job_new_id(tag);
    celery_put(out, "{\"body\": \"");
    while ((len = evbuffer_remove(body, bytes, sizeof(bytes))) > 0)
        evbuffer_add(out, text, (size_t)EVP_EncodeBlock(text, bytes, len));
    celery_put(out, "\", \"content-encoding\": \"utf-8\", \"content-type\": \"application/json\", "
                    "\"headers\": ");
    evbuffer_add_buffer(out, headers);
    evbuffer_add_printf(out,
                        ", \"properties\": {\"delivery_mode\": 1, \"delivery_info\": "
                        "{\"exchange\": \"%s\", \"routing_key\": ",
                        exchange);
    celery_put_text(out, routing_key);
    evbuffer_add_printf(out,
                        "}, \"priority\": 0, \"body_encoding\": \"base64\", "
                        "\"delivery_tag\": \"%s\"}}",
                        tag);
}

static void
publish_on(struct celery_node *node, const char *events, const char *kind, const char *text,
           size_t len)
{
    char *channel = xasprintf("%s%s", events, kind);
    struct redis_args args = {0};

    redis_arg(&args, "PUBLISH");
    redis_arg(&args, channel);
    redis_arg_bytes(&args, text, len);
    redis_send(celery_node_redis(node), &args, 0, NULL, NULL);
    free(channel);
}

void
celery_node_publish(struct celery_node *node, const char *kind, struct evbuffer *body)
{
    struct evbuffer *headers = xevbuffer(), *envelope = xevbuffer();
    const char *text;
    size_t len;

    celery_put(headers, "{\"hostname\": ");
    celery_put_text(headers, node->name);
    celery_put(headers, "}");
    put_envelope(body, headers, "celeryev", kind, envelope);
    text = text_of(envelope, &len);
    for (int i = 0; node->events[i] != NULL; i++)
        publish_on(node, node->events[i], kind, text, len);
    evbuffer_free(headers);
    evbuffer_free(envelope);
}

static void
send_reply(struct celery_node *node, const char *oid, const char *envelope, size_t len)
{
    char *binding = xasprintf("%s_kombu.binding." REPLY_EXCHANGE, celery_node_keyprefix(node));
    char *list = xasprintf("%s%s." REPLY_EXCHANGE, celery_node_keyprefix(node), oid);
    char *member = xasprintf("%s" SEP SEP "%s." REPLY_EXCHANGE, oid, oid);
    struct redis_args args = {0};

    redis_arg_int(&args, 2 + celery_node_extra_keys(node));
    redis_arg(&args, binding);
    redis_arg(&args, list);
    celery_node_put_extra_keys(node, 0, &args);
    redis_arg(&args, member);
    redis_arg_bytes(&args, envelope, len);
    celery_node_put_extra_args(node, 0, &args);
    redis_eval(celery_node_redis(node), &node->reply_script, &args, 0, NULL, NULL);
    free(binding);
    free(list);
    free(member);
}

void
celery_node_reply(struct celery_node *node, const char *oid, struct json_slice ticket,
                  struct evbuffer *reply)
{
    struct evbuffer *body = xevbuffer(), *headers = xevbuffer(), *envelope = xevbuffer();
    const char *text;
    size_t len;

    celery_put(body, "{");
    celery_put_text(body, node->name);
    celery_put(body, ": ");
    evbuffer_add_buffer(body, reply);
    celery_put(body, "}");
    celery_put(headers, "{\"ticket\": ");
    if (ticket.type == JSON_STRING)
        json_put_slice(headers, ticket);
    else
        celery_put(headers, "null");
    evbuffer_add_printf(headers, ", \"clock\": %" PRId64 "}", ++node->clock);
    put_envelope(body, headers, REPLY_EXCHANGE, oid, envelope);
    text = text_of(envelope, &len);
    send_reply(node, oid, text, len);
    evbuffer_free(body);
    evbuffer_free(headers);
    evbuffer_free(envelope);
}

struct celery_question *
celery_question_new(struct celery_node *node, const char *oid, struct json_slice ticket)
{
    struct celery_question *question = xcalloc(1, sizeof(*question));

    question->node = node;
    question->oid = xstrdup(oid);
    question->ticket = ticket.type == JSON_STRING ? xasprintf("%.*s", (int)ticket.len, ticket.text)
                                                  : xstrdup("\"\"");
    question->answer = xevbuffer();
    DL_APPEND(node->questions, question);
    return question;
}

void
celery_question_end(struct celery_question *question)
{
    struct json_slice ticket = {
        .text = question->ticket, .len = strlen(question->ticket), .type = JSON_STRING};

    celery_node_reply(question->node, question->oid, ticket, question->answer);
    celery_question_free(question);
}

void
celery_question_free(struct celery_question *question)
{
    DL_DELETE(question->node->questions, question);
    evbuffer_free(question->answer);
    free(question->oid);
    free(question->ticket);
    free(question);
}
