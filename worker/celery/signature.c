#include "worker/celery/signature.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/celery/text.h"
#include "worker/queue/keys.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEP        "\x06\x16"
#define REPR_BYTES 200

static void
put_raw(const struct signature *signature, struct json_slice slice, const char *otherwise,
        struct evbuffer *out)
{
    if (slice.type == JSON_ABSENT)
        celery_put(out, otherwise);
    else
        json_put_slice(out, celery_text_raw(signature->text, slice));
}

static void
put_piece(struct piece piece, struct evbuffer *out)
{
    evbuffer_add(out, piece.text, piece.len);
}

/* ---- what it says ---- */

struct json_slice
signature_option(struct signature signature, const char *name)
{
    return celery_get(json_get(signature.slice, "options"), name);
}

void
signature_id(struct signature signature, char id[JOB_ID_MAX + 1])
{
    char *own = celery_text_string(signature_option(signature, "task_id"), JOB_ID_MAX);

    if (own != NULL && job_id_is_valid(own, strlen(own)))
        snprintf(id, JOB_ID_MAX + 1, "%s", own);
    else
        job_new_id(id);
    free(own);
}

struct piece
signature_piece(struct signature signature, struct json_slice member)
{
    struct json_slice raw = celery_text_raw(signature.text, member);

    return (struct piece){raw.text, raw.len};
}

const char *
signature_kind(struct signature signature)
{
    static const char *const kinds[] = {"group", "chord", "chain"};
    struct json_slice kind = json_get(signature.slice, "subtask_type");

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (json_equals(kind, kinds[i]))
            return kinds[i];
    return "";
}

struct json_slice
signature_members(struct signature signature, const char *name)
{
    struct json_slice members = json_get(json_get(signature.slice, "kwargs"), name);

    if (members.type == JSON_OBJECT) /* a chord's header may be a group */
        members = json_get(json_get(members, "kwargs"), "tasks");
    return members.type == JSON_ARRAY ? members : (struct json_slice){0};
}

static bool
is_immutable(struct signature signature)
{
    bool is_true = false;

    return json_bool(json_get(signature.slice, "immutable"), &is_true) && is_true;
}

static int64_t
priority_of(struct signature signature)
{
    int64_t priority;

    return json_int(signature_option(signature, "priority"), 0, 255, &priority) ? priority : 0;
}

/* options.queue, else where the parent came from: its message does not say Celery's own routes. A
 * name of ours is none: a list that stood at the name of our pause flag would stop the queue. */
static char *
queue_of(const struct sending *sending)
{
    const struct canvas_context *context = sending->context;
    char *named = celery_text_string(signature_option(sending->signature, "queue"), 256);
    char *list = xasprintf("%s%s", context->keyprefix, named == NULL ? "" : named);
    bool is_taken =
        named != NULL && (context->prefix == NULL || !queue_key_is_ours(context->prefix, list));

    free(list);
    if (is_taken)
        return named;
    free(named);
    return xstrdup(context->queue);
}

static void
put_list(const struct sending *sending, struct evbuffer *out)
{
    char *queue = queue_of(sending), *list;
    int64_t step = priority_of(sending->signature) / 3;

    step = step > 3 ? 3 : step;
    list = step == 0
               ? xasprintf("%s%s", sending->context->keyprefix, queue)
               : xasprintf("%s%s" SEP "%d", sending->context->keyprefix, queue, (int)step * 3);
    celery_put_text(out, list);
    free(list);
    free(queue);
}

/* ---- body ---- */

static struct piece
inside(struct piece array)
{
    struct piece inner = {array.text + 1, array.len - 2};

    while (inner.len > 0 && strchr(" \t\r\n", inner.text[0]) != NULL)
        inner = (struct piece){inner.text + 1, inner.len - 1};
    return inner;
}

/* Its own arguments without brackets. */
static struct piece
own_args(const struct sending *sending)
{
    struct json_slice args = json_get(sending->signature.slice, "args");
    struct json_slice raw;

    if (args.type != JSON_ARRAY)
        return (struct piece){"", 0};
    raw = celery_text_raw(sending->signature.text, args);
    return inside((struct piece){raw.text, raw.len});
}

/* link may be one signature or a list of them. */
static void
put_links(const struct sending *sending, const char *name, struct evbuffer *out)
{
    struct json_slice links = signature_option(sending->signature, name);
    bool is_one = links.type == JSON_OBJECT;

    celery_put(out, is_one ? "[" : "");
    put_raw(&sending->signature, links, "null", out);
    celery_put(out, is_one ? "]" : "");
}

static void
put_embedded(const struct sending *sending, const char *name, struct piece given,
             struct evbuffer *out)
{
    if (given.text != NULL)
        put_piece(given, out);
    else
        put_raw(&sending->signature, signature_option(sending->signature, name), "null", out);
}

/* What stands in the body behind the arguments. */
static void
put_after_args(const struct sending *sending, struct evbuffer *out)
{
    celery_put(out, "], ");
    put_raw(&sending->signature, celery_get(sending->signature.slice, "kwargs"), "{}", out);
    celery_put(out, ", {\"callbacks\": ");
    put_links(sending, "link", out);
    celery_put(out, ", \"errbacks\": ");
    put_links(sending, "link_error", out);
    celery_put(out, ", \"chain\": ");
    put_embedded(sending, "chain", sending->chain, out);
    celery_put(out, ", \"chord\": ");
    put_embedded(sending, "chord", sending->chord, out);
    celery_put(out, "}]");
}

static void
put_body(const struct sending *sending, struct evbuffer *out)
{
    struct piece args = own_args(sending);
    bool has_value = sending->value.text != NULL && !is_immutable(sending->signature);

    celery_put(out, "[[");
    if (has_value)
        put_piece(sending->value, out);
    if (has_value && args.len > 0)
        celery_put(out, ", ");
    put_piece(args, out);
    put_after_args(sending, out);
}

/* ---- headers ---- */

/* A date, or seconds from now. */
static void
put_moment(const struct sending *sending, const char *date, const char *seconds,
           struct evbuffer *out)
{
    struct json_slice given = signature_option(sending->signature, date);
    struct json_slice delay = signature_option(sending->signature, seconds);
    double number;

    if (delay.type == JSON_NUMBER && json_double(delay, &number) && fabs(number) < 1e9)
        celery_put_date(sending->context->now_ms + llround(number * 1000), out);
    else
        put_raw(&sending->signature, given.type == JSON_STRING ? given : (struct json_slice){0},
                "null", out);
}

static void
put_group(const struct sending *sending, struct evbuffer *out)
{
    celery_put(out, ", \"group\": ");
    if (sending->group != NULL)
        celery_put_text(out, sending->group);
    else
        put_raw(&sending->signature, signature_option(sending->signature, "group_id"), "null", out);
    celery_put(out, ", \"group_index\": ");
    if (sending->group != NULL)
        evbuffer_add_printf(out, "%d", sending->index);
    else
        put_raw(&sending->signature, signature_option(sending->signature, "group_index"), "null",
                out);
}

static void
put_parents(const struct sending *sending, struct evbuffer *out)
{
    const struct celery_message *parent = sending->parent;

    celery_put(out, ", \"root_id\": ");
    if (parent->root_id.type == JSON_STRING)
        json_put_slice(out, parent->root_id);
    else
        celery_put_text(out, parent->id);
    celery_put(out, ", \"parent_id\": ");
    celery_put_text(out, parent->id);
}

/* Text for people, cut. */
static void
put_repr(const struct sending *sending, const char *name, const char *member, struct evbuffer *out)
{
    struct json_slice value =
        celery_text_raw(sending->signature.text, celery_get(sending->signature.slice, member));

    evbuffer_add_printf(out, ", \"%s\": ", name);
    json_put_string(out, value.text == NULL ? "" : value.text,
                    value.len < REPR_BYTES ? value.len : REPR_BYTES);
}

static bool
is_ours(struct json_slice name)
{
    static const char *const names[] = {"lang",
                                        "task",
                                        "id",
                                        "shadow",
                                        "eta",
                                        "expires",
                                        "group",
                                        "group_index",
                                        "retries",
                                        "timelimit",
                                        "root_id",
                                        "parent_id",
                                        "argsrepr",
                                        "kwargsrepr",
                                        "origin",
                                        "ignore_result",
                                        "stamps",
                                        "stamped_headers",
                                        "replaced_task_nesting",
                                        "compression"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (json_equals(name, names[i]))
            return true;
    return false;
}

static void
put_user_headers(const struct sending *sending, struct evbuffer *out)
{
    struct json_slice headers = signature_option(sending->signature, "headers"), key, value;

    if (headers.type != JSON_OBJECT)
        return;
    for (struct json_iter it = json_iter(headers); json_next(&it, &key, &value);) {
        if (is_ours(key))
            continue;
        celery_put(out, ", ");
        put_raw(&sending->signature, key, "", out);
        celery_put(out, ": ");
        put_raw(&sending->signature, value, "null", out);
    }
}

static void
put_headers(const struct sending *sending, struct evbuffer *out)
{
    const struct signature *signature = &sending->signature;

    celery_put(out, "{\"lang\": \"py\", \"task\": ");
    put_raw(signature, celery_get(signature->slice, "task"), "\"\"", out);
    celery_put(out, ", \"id\": ");
    celery_put_text(out, sending->id);
    celery_put(out, ", \"shadow\": ");
    put_raw(signature, signature_option(*signature, "shadow"), "null", out);
    celery_put(out, ", \"eta\": ");
    put_moment(sending, "eta", "countdown", out);
    celery_put(out, ", \"expires\": ");
    put_moment(sending, "expires", "expires", out);
    put_group(sending, out);
    celery_put(out, ", \"retries\": 0, \"timelimit\": [");
    put_raw(signature, signature_option(*signature, "time_limit"), "null", out);
    celery_put(out, ", ");
    put_raw(signature, signature_option(*signature, "soft_time_limit"), "null", out);
    celery_put(out, "]");
    put_parents(sending, out);
    put_repr(sending, "argsrepr", "args", out);
    put_repr(sending, "kwargsrepr", "kwargs", out);
    celery_put(out, ", \"origin\": ");
    celery_put_text(out, sending->context->worker);
    celery_put(out, ", \"ignore_result\": ");
    put_raw(signature, signature_option(*signature, "ignore_result"), "false", out);
    celery_put(out, ", \"replaced_task_nesting\": 0, \"stamped_headers\": null, \"stamps\": {}");
    put_user_headers(sending, out);
    celery_put(out, "}");
}

/* What stands in the envelope behind the body. */
static void
put_tail(const struct sending *sending, bool is_base64, struct evbuffer *out)
{
    char tag[37], *queue = queue_of(sending);

    job_new_id(tag);
    celery_put(out, ", \"content-encoding\": \"utf-8\", \"content-type\": \"application/json\", "
                    "\"headers\": ");
    put_headers(sending, out);
    celery_put(out, ", \"properties\": {\"correlation_id\": ");
    celery_put_text(out, sending->id);
    celery_put(out, ", \"reply_to\": ");
    put_raw(&sending->signature, signature_option(sending->signature, "reply_to"), "\"\"", out);
    celery_put(out,
               ", \"delivery_mode\": 2, \"delivery_info\": {\"exchange\": \"\", \"routing_key\": ");
    celery_put_text(out, queue);
    evbuffer_add_printf(out, "}, \"priority\": %" PRId64 "%s, \"delivery_tag\": \"%s\"}}",
                        priority_of(sending->signature),
                        is_base64 ? ", \"body_encoding\": \"base64\"" : "", tag);
    free(queue);
}

/* Appends what `from` holds as a JSON string, and empties it. */
static void
put_as_string(struct evbuffer *from, struct evbuffer *out)
{
    size_t len = evbuffer_get_length(from);

    json_put_string(out, len == 0 ? "" : (const char *)evbuffer_pullup(from, -1), len);
    evbuffer_drain(from, len);
}

static void
put_base64(struct evbuffer *from, struct evbuffer *out)
{
    unsigned char bytes[3072], text[sizeof(bytes) / 3 * 4 + 1];
    int len;

    while ((len = evbuffer_remove(from, bytes, sizeof(bytes))) > 0)
        evbuffer_add(out, text, (size_t)EVP_EncodeBlock(text, bytes, len));
}

void
sending_put(const struct sending *sending, struct evbuffer *out)
{
    struct evbuffer *body = xevbuffer(), *envelope = xevbuffer();

    put_body(sending, body);
    celery_put(envelope, "{\"body\": \"");
    put_base64(body, envelope);
    celery_put(envelope, "\"");
    put_tail(sending, true, envelope);
    celery_put(out, "[");
    put_list(sending, out);
    celery_put(out, ",");
    put_as_string(envelope, out);
    celery_put(out, "]");
    evbuffer_free(body);
    evbuffer_free(envelope);
}

void
sending_put_with_hole(const struct sending *sending, struct evbuffer *out)
{
    struct evbuffer *text = xevbuffer();
    struct piece args = own_args(sending);
    bool takes_values = !is_immutable(sending->signature);

    celery_put(out, "{\"list\":");
    put_list(sending, out);
    celery_put(out, ",\"tail\":");
    put_tail(sending, false, text);
    put_as_string(text, out);
    celery_put(out, ",\"before\":\"[[\",\"after\":");
    if (takes_values && args.len > 0)
        celery_put(text, ", ");
    put_piece(args, text);
    put_after_args(sending, text);
    put_as_string(text, out);
    celery_put(out, takes_values ? ",\"takes_values\":true}" : ",\"takes_values\":false}");
    evbuffer_free(text);
}
