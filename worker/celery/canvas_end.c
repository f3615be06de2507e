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

static void
put_ids(const struct celery_text *text, struct json_slice chain, struct evbuffer *out)
{
    struct json_slice key, link;
    int count = 0;

    for (struct json_iter it = json_iter(chain);
         chain.type == JSON_ARRAY && json_next(&it, &key, &link);) {
        struct json_slice id = signature_option((struct signature){text, link}, "task_id");

        if (id.type != JSON_STRING)
            continue;
        celery_put(out, count++ > 0 ? "," : "");
        put_string(id, out);
    }
}

/* The part of a chord that this task is: {"group", "index", "task", "member": what the list of
 * parts gets, "id": the body's, "date", "errbacks": to be sent if it can't run, "behind": ids that
 * will not come then, "body": itself, with a hole for the values of all parts}. */
static void
put_part(struct gathering *g, const struct celery_text *text, struct json_slice chord,
         struct json_slice group, struct json_slice index, const char *task_id, const char *status,
         struct piece value)
{
    struct signature body = {text, chord};
    struct sending sending = canvas_sending_of(g, body);
    struct evbuffer *out = g->chords, *errbacks = xevbuffer(), *member = xevbuffer();
    char id[JOB_ID_MAX + 1];

    signature_id(body, id);
    sending.id = id;
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
    celery_put(out, ",\"id\":");
    celery_put_text(out, id);
    celery_put(out, ",\"date\":");
    celery_put_date(g->context->now_ms, out);
    celery_put(out, ",\"errbacks\":[");
    canvas_put_errbacks(g, text, signature_option(body, "link_error"), id, errbacks);
    evbuffer_add_buffer(out, errbacks);
    celery_put(out, "],\"behind\":[");
    put_ids(text, signature_option(body, "chain"), out);
    celery_put(out, "],\"body\":{");
    sending_put_with_hole(&sending, out);
    celery_put(out, "}}");
    evbuffer_free(errbacks);
    evbuffer_free(member);
}

void
canvas_count_part(struct gathering *g, const char *status, struct piece value)
{
    const struct celery_message *message = g->message;

    if (message->chord.type == JSON_OBJECT && message->group.type == JSON_STRING)
        put_part(g, &message->embed, message->chord, message->group, message->group_index,
                 message->id, status, value);
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
    canvas_begin_item(g->ends);
    celery_put(g->ends, "[");
    celery_put_text(g->ends, id);
    celery_put(g->ends, ",");
    json_put_string(g->ends, canvas_piece_of(document).text, canvas_piece_of(document).len);
    celery_put(g->ends, "]");
    evbuffer_free(document);
}

/* Links that will not come fail as this task did, and count as parts of their chords. */
void
canvas_fail_chain(struct gathering *g, const char *exception, const char *traceback)
{
    const struct celery_text *text = &g->message->embed;
    struct json_slice key, link;

    if (g->message->chain.type != JSON_ARRAY)
        return;
    for (struct json_iter it = json_iter(g->message->chain);
         !canvas_is_full(g, g->push) && json_next(&it, &key, &link);) {
        struct signature signature = {text, link};
        char *id = celery_text_string(signature_option(signature, "task_id"), JOB_ID_MAX);
        struct json_slice chord = signature_option(signature, "chord");
        struct json_slice group = signature_option(signature, "group_id");

        if (id != NULL)
            put_end(g, id, exception, traceback);
        if (id != NULL && chord.type == JSON_OBJECT && group.type == JSON_STRING)
            put_part(g, text, chord, group, signature_option(signature, "group_index"), id,
                     "FAILURE", (struct piece){exception, strlen(exception)});
        free(id);
    }
}
