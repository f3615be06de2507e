/* Ends of a canvas: a task's part of a chord, and what a failure means for those that come behind.
 */
#include "common/memory.h"
#include "worker/celery/canvas_internal.h"
#include "worker/celery/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A string for the script, which refuses half a surrogate. */
static void
put_string(struct json_slice string, struct evbuffer *out)
{
    size_t len = 0;
    char *text = json_string(string, &len);

    json_put_string(out, text, text == NULL ? 0 : len);
    free(text);
}

/* ---- chords ---- */

/* What comes when the body can't run: its errbacks with its id. */
void
canvas_put_errbacks(struct gathering *g, const struct celery_text *text, struct json_slice errbacks,
                    const char *id, struct evbuffer *out)
{
    struct json_slice key, task, one = errbacks;
    struct json_iter it = json_iter(errbacks);
    struct evbuffer *value = xevbuffer();
    char group[37], own[JOB_ID_MAX + 1];
    int index = 0;

    job_new_id(group);
    celery_put_text(value, id);
    while (errbacks.type == JSON_OBJECT
               ? index == 0
               : errbacks.type == JSON_ARRAY && json_next(&it, &key, &one)) {
        struct sending sending = canvas_sending_of(g, (struct signature){text, one});

        task = json_get(one, "task");
        sending.value = canvas_piece_of(value);
        sending.id = own;
        sending.group = group;
        sending.index = index++;
        if (task.type != JSON_STRING)
            continue;
        if (canvas_is_full(g, out))
            break;
        signature_id(sending.signature, own);
        canvas_begin_item(out);
        sending_put(&sending, out);
    }
    evbuffer_free(value);
}

/* Who will not come when the values don't, the first by its own id: ids and errbacks. */
static void
put_missed(struct gathering *g, struct signature signature, struct evbuffer *ids,
           struct evbuffer *errbacks)
{
    static const char *const within[] = {"tasks", "header"};
    struct signature inner = {signature.text, {0}};
    struct json_slice key;
    char id[JOB_ID_MAX + 1];

    if (canvas_is_full(g, ids))
        return;
    signature_id(signature, id);
    canvas_begin_item(ids);
    celery_put_text(ids, id);
    canvas_put_errbacks(g, signature.text, signature_option(signature, "link_error"), id, errbacks);
    for (int i = 0; i < 2; i++)
        for (struct json_iter it = json_iter(signature_members(signature, within[i]));
             json_next(&it, &key, &inner.slice);)
            put_missed(g, inner, ids, errbacks);
    inner.slice = json_get(json_get(signature.slice, "kwargs"), "body");
    if (strcmp(signature_kind(signature), "chord") == 0 && inner.slice.type == JSON_OBJECT)
        put_missed(g, inner, ids, errbacks);
}

/* What comes behind it. */
static void
put_behind(struct signature signature, struct evbuffer *ids)
{
    struct json_slice chain = signature_option(signature, "chain"), key, link;

    for (struct json_iter it = json_iter(chain);
         chain.type == JSON_ARRAY && json_next(&it, &key, &link);) {
        struct json_slice id =
            signature_option((struct signature){signature.text, link}, "task_id");

        if (id.type != JSON_STRING)
            continue;
        canvas_begin_item(ids);
        put_string(id, ids);
    }
}

/* The part of a chord that this task is: {"group", "index", "task", "member": what the list of
 * parts gets, "date", and for the body: "ids" that will not come if it can't run, "errbacks" to be
 * sent then; else "bodies", "sizes" and "saves" (canvas_put_body_later)}. */
static void
put_part(struct gathering *g, struct signature body, struct json_slice group,
         struct json_slice index, const char *task_id, const char *status, struct piece value)
{
    struct evbuffer *out = g->chords, *ids = xevbuffer(), *errbacks = xevbuffer();
    struct evbuffer *member = xevbuffer();

    canvas_begin_item(out);
    celery_put(out, "{\"group\":");
    put_string(group, out);
    celery_put(out, ",\"index\":");
    if (index.type == JSON_NUMBER)
        json_put_slice(out, index);
    else
        celery_put(out, "null");
    celery_put(out, ",\"task\":");
    celery_put_text(out, task_id);
    celery_put(member, "[1, ");
    celery_put_text(member, task_id);
    evbuffer_add_printf(member, ", \"%s\", ", status);
    evbuffer_add(member, value.text, value.len);
    celery_put(member, "]");
    celery_put(out, ",\"member\":");
    json_put_string(out, canvas_piece_of(member).text, canvas_piece_of(member).len);
    celery_put(out, ",\"date\":");
    celery_put_date(g->context->now_ms, out);
    put_missed(g, body, ids, errbacks);
    put_behind(body, ids);
    celery_put(out, ",\"ids\":[");
    evbuffer_add_buffer(out, ids);
    celery_put(out, "],\"errbacks\":[");
    evbuffer_add_buffer(out, errbacks);
    celery_put(out, "]");
    canvas_put_body_later(g, body, out);
    celery_put(out, "}");
    evbuffer_free(ids);
    evbuffer_free(errbacks);
    evbuffer_free(member);
}

void
canvas_count_part(struct gathering *g, const char *status, struct piece value)
{
    const struct celery_message *message = g->message;

    if (message->chord.type == JSON_OBJECT && message->group.type == JSON_STRING)
        put_part(g, (struct signature){&message->embed, message->chord}, message->group,
                 message->group_index, message->id, status, value);
}

/* ---- ends of others ---- */

static void
put_end(struct gathering *g, const char *id, const char *exception, const char *traceback)
{
    struct evbuffer *document = xevbuffer();

    evbuffer_add_printf(document,
                        "{\"status\":\"FAILURE\",\"result\":%s,\"traceback\":%s,"
                        "\"children\":[],\"date_done\":",
                        exception, traceback);
    celery_put_date(g->context->now_ms, document);
    celery_put(document, ",\"task_id\":");
    celery_put_text(document, id);
    celery_put(document, "}");
    canvas_put_document(g->ends, id, document);
    evbuffer_free(document);
}

static void
fail_task(struct gathering *g, struct signature task, struct signature part, const char *exception,
          const char *traceback)
{
    char *id = celery_text_string(signature_option(task, "task_id"), JOB_ID_MAX);
    struct signature body = {part.text, signature_option(part, "chord")};
    struct json_slice group = signature_option(part, "group_id");
    bool is_told = id != NULL && !canvas_is_full(g, g->push);

    if (is_told)
        put_end(g, id, exception, traceback);
    if (is_told && body.slice.type == JSON_OBJECT && group.type == JSON_STRING)
        put_part(g, body, group, signature_option(part, "group_index"), id, "FAILURE",
                 (struct piece){exception, strlen(exception)});
    free(id);
}

/* A link of any kind: what stands at its end, with `part` or its own options as those that tell of
 * a chord. The tasks of a chord's header stay as they are, as with Celery. */
static void
fail_link(struct gathering *g, struct signature link, struct signature part, const char *exception,
          const char *traceback)
{
    const char *kind = signature_kind(link);
    struct json_slice members = signature_members(link, "tasks"), key;
    struct signature inner = {link.text, json_get(json_get(link.slice, "kwargs"), "body")};
    int left = canvas_count(members);

    if (signature_option(link, "chord").type == JSON_OBJECT)
        part = link;
    if (kind[0] == '\0')
        fail_task(g, link, part, exception, traceback);
    else if (strcmp(kind, "chord") == 0)
        fail_link(g, inner, part, exception, traceback);
    for (struct json_iter it = json_iter(members);
         kind[0] != '\0' && json_next(&it, &key, &inner.slice);)
        fail_link(g, inner, --left > 0 && strcmp(kind, "chain") == 0 ? inner : part, exception,
                  traceback);
}

void
canvas_fail_chain(struct gathering *g, const char *exception, const char *traceback)
{
    const struct celery_text *text = &g->message->embed;
    struct json_slice key, link;

    if (g->message->chain.type != JSON_ARRAY)
        return;
    for (struct json_iter it = json_iter(g->message->chain);
         !canvas_is_full(g, g->push) && json_next(&it, &key, &link);)
        fail_link(g, (struct signature){text, link}, (struct signature){text, link}, exception,
                  traceback);
}
