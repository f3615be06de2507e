#include "worker/celery/canvas.h"

#include "common/memory.h"
#include "worker/celery/canvas_internal.h"
#include "worker/celery/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
canvas_begin_item(struct evbuffer *list)
{
    if (evbuffer_get_length(list) > 0)
        celery_put(list, ",");
}

struct piece
canvas_piece_of(struct evbuffer *buffer)
{
    size_t len = evbuffer_get_length(buffer);

    return (struct piece){len == 0 ? "" : (const char *)evbuffer_pullup(buffer, -1), len};
}

void
canvas_put_document(struct evbuffer *list, const char *name, struct evbuffer *document)
{
    struct piece text = canvas_piece_of(document);

    canvas_begin_item(list);
    celery_put(list, "[");
    celery_put_text(list, name);
    celery_put(list, ",");
    json_put_string(list, text.text, text.len);
    celery_put(list, "]");
}

bool
canvas_is_full(struct gathering *g, const struct evbuffer *own)
{
    size_t bytes = evbuffer_get_length(g->push) + evbuffer_get_length(g->ends) +
                   evbuffer_get_length(g->chords);

    bytes += g->elsewhere + (own == g->push ? 0 : evbuffer_get_length(own));
    g->is_cut |= bytes > CANVAS_BYTES_MAX;
    return g->is_cut;
}

int
canvas_count(struct json_slice list)
{
    struct json_slice key, value;
    int count = 0;

    for (struct json_iter it = json_iter(list); json_next(&it, &key, &value);)
        count++;
    return count;
}

/* `list` as an array without its last `dropped` entries. */
static void
put_front(const struct celery_text *text, struct json_slice list, int dropped, struct evbuffer *out)
{
    struct json_slice key, value;
    int left = canvas_count(list) - dropped;

    for (struct json_iter it = json_iter(list); left > 0 && json_next(&it, &key, &value); left--) {
        canvas_begin_item(out);
        json_put_slice(out, celery_text_raw(text, value));
    }
}

/* All entries, owned by the caller. Finding each anew would take forever in a long list. */
static struct json_slice *
entries_of(struct json_slice list, int *count)
{
    struct json_slice key, *entries;
    struct json_iter it = json_iter(list);

    *count = canvas_count(list);
    entries = xcalloc((size_t)*count + 1, sizeof(*entries));
    for (int i = 0; i < *count; i++)
        json_next(&it, &key, &entries[i]);
    return entries;
}

static struct json_slice
entry_of(struct json_slice list, int index)
{
    struct json_slice key, value = {0};
    struct json_iter it = json_iter(list);

    for (int i = 0; i <= index; i++)
        if (!json_next(&it, &key, &value))
            return (struct json_slice){0};
    return value;
}

/* ---- sending ---- */

struct sending
canvas_sending_of(const struct gathering *g, struct signature signature)
{
    return (struct sending){
        .context = g->context, .parent = g->message, .signature = signature, .value = g->value};
}

void
canvas_put_child(struct evbuffer *children, const char *id)
{
    canvas_begin_item(children);
    celery_put(children, "[[");
    celery_put_text(children, id);
    celery_put(children, ", null], null]");
}

void
canvas_put_signature(struct signature signature, const char *const *names, struct evbuffer *more,
                     struct evbuffer *out)
{
    struct json_slice own = json_get(signature.slice, "options"), key, value;

    celery_put(out, "{");
    for (struct json_iter it = json_iter(signature.slice); json_next(&it, &key, &value);) {
        if (json_equals(key, "options"))
            continue;
        json_put_slice(out, celery_text_raw(signature.text, key));
        celery_put(out, ": ");
        json_put_slice(out, celery_text_raw(signature.text, value));
        celery_put(out, ", ");
    }
    celery_put(out, "\"options\": {");
    for (struct json_iter it = json_iter(own);
         own.type == JSON_OBJECT && json_next(&it, &key, &value);) {
        const char *const *name = names;

        while (*name != NULL && !json_equals(key, *name))
            name++;
        if (*name != NULL)
            continue;
        json_put_slice(out, celery_text_raw(signature.text, key));
        celery_put(out, ": ");
        json_put_slice(out, celery_text_raw(signature.text, value));
        celery_put(out, ", ");
    }
    evbuffer_add_buffer(out, more);
    celery_put(out, "\"by\": \"headgate\"}}");
}

/* The last task of a chain in a chord's header: it is the part that counts. */
static void
put_last_part(struct signature signature, const struct sending *with, struct evbuffer *out)
{
    static const char *const names[] = {"chord", "group_id", "group_index", NULL};
    struct evbuffer *more = xevbuffer();

    celery_put(more, "\"chord\": ");
    evbuffer_add(more, with->chord.text, with->chord.len);
    celery_put(more, ", \"group_id\": ");
    celery_put_text(more, with->group);
    evbuffer_add_printf(more, ", \"group_index\": %d, ", with->index);
    canvas_put_signature(signature, names, more, out);
    evbuffer_free(more);
}

/* A chain within: its first task, with the others, last first, in front of what comes behind it. */
static void
send_chain(struct gathering *g, struct signature signature, struct sending *with,
           struct evbuffer *children)
{
    int count;
    struct json_slice *tasks = entries_of(signature_members(signature, "tasks"), &count);
    struct signature first = {signature.text, tasks[0]};
    struct evbuffer *rest = xevbuffer(), *inner = xevbuffer();

    celery_put(rest, "[");
    if (with->chain.len > 2) /* "[...]" without its brackets */
        evbuffer_add(inner, with->chain.text + 1, with->chain.len - 2);
    for (int i = count - 1; i > 0; i--) {
        canvas_begin_item(inner);
        if (i == count - 1 && with->chord.text != NULL && with->chain.len <= 2)
            put_last_part((struct signature){signature.text, tasks[i]}, with, inner);
        else
            json_put_slice(inner, celery_text_raw(signature.text, tasks[i]));
    }
    evbuffer_add_buffer(rest, inner);
    celery_put(rest, "]");
    with->chain = canvas_piece_of(rest);
    if (count > 0)
        canvas_send(g, first, with, children);
    evbuffer_free(rest);
    evbuffer_free(inner);
    free(tasks);
}

/* Does it know itself whose part it is? */
static bool
has_place(struct signature signature)
{
    return signature_option(signature, "chord").type == JSON_OBJECT &&
           signature_option(signature, "group_id").type == JSON_STRING;
}

void
canvas_send_members(struct gathering *g, const struct celery_text *text, struct json_slice tasks,
                    const struct sending *as, bool is_header, struct evbuffer *children)
{
    struct json_slice key, task;
    int index = 0;

    for (struct json_iter it = json_iter(tasks); json_next(&it, &key, &task); index++) {
        struct signature member = {text, task};
        struct sending with = {.chain = as->chain};

        if (is_header || !has_place(member)) {
            with.group = as->group;
            with.index = index;
            with.chord = as->chord;
        }
        canvas_send(g, member, &with, children);
    }
}

void
canvas_put_group(struct evbuffer *children, const char *group, struct evbuffer *members)
{
    canvas_begin_item(children);
    celery_put(children, "[[");
    celery_put_text(children, group);
    celery_put(children, ", null], [");
    evbuffer_add_buffer(children, members);
    celery_put(children, "]]");
}

/* In a chord's header its tasks are the parts. What comes behind it comes behind each. */
static void
send_group(struct gathering *g, struct signature signature, const struct sending *with,
           struct evbuffer *children)
{
    struct evbuffer *members = xevbuffer();
    struct sending as = {.chord = with->chord, .chain = with->chain};
    char group[JOB_ID_MAX + 1];

    signature_id(signature, group);
    as.group = with->chord.text == NULL ? group : with->group;
    canvas_send_members(g, signature.text, signature_members(signature, "tasks"), &as, false,
                        members);
    canvas_put_group(children, group, members);
    evbuffer_free(members);
}

/* What comes behind a chain, group or chord, and whose part it is, unless `with` says so. */
static void
add_own_options(struct signature signature, struct sending *with, char group[JOB_ID_MAX + 1])
{
    struct json_slice chain = signature_option(signature, "chain");
    struct json_slice chord = signature_option(signature, "chord");
    char *own = celery_text_string(signature_option(signature, "group_id"), JOB_ID_MAX);
    int64_t index = 0;

    if (with->chain.len <= 2 && chain.type == JSON_ARRAY)
        with->chain = signature_piece(signature, chain);
    if (with->chord.text == NULL && chord.type == JSON_OBJECT && own != NULL) {
        snprintf(group, JOB_ID_MAX + 1, "%s", own);
        json_int(signature_option(signature, "group_index"), 0, INT32_MAX, &index);
        with->chord = signature_piece(signature, chord);
        with->group = group;
        with->index = (int)index;
    }
    free(own);
}

static void
send_task(struct gathering *g, struct signature signature, const struct sending *with,
          struct evbuffer *children)
{
    struct sending sending = canvas_sending_of(g, signature);
    char id[JOB_ID_MAX + 1];

    signature_id(signature, id);
    sending.id = id;
    sending.chain = with->chain;
    /* In a chord the last task of a chain is the part that counts. */
    if (with->chain.len <= 2 || with->chord.text == NULL) {
        sending.group = with->group;
        sending.index = with->index;
        sending.chord = with->chord;
    }
    canvas_begin_item(g->push);
    if (g->has_hole)
        sending_put_with_hole(&sending, g->push);
    else
        sending_put(&sending, g->push);
    canvas_put_child(children, id);
}

void
canvas_send(struct gathering *g, struct signature signature, struct sending *with,
            struct evbuffer *children)
{
    const char *kind = signature_kind(signature);
    char group[JOB_ID_MAX + 1];

    if (signature.slice.type != JSON_OBJECT || canvas_is_full(g, children))
        return;
    if (kind[0] == '\0') {
        send_task(g, signature, with, children);
        return;
    }
    add_own_options(signature, with, group);
    if (strcmp(kind, "chain") == 0)
        send_chain(g, signature, with, children);
    else if (strcmp(kind, "group") == 0)
        send_group(g, signature, with, children);
    else
        canvas_send_chord(g, signature, with, children);
}

/* ---- callbacks and chain ---- */

static void
send_callbacks(struct gathering *g)
{
    const struct celery_text *text = &g->message->embed;
    struct json_slice callbacks = g->message->callbacks;
    struct evbuffer *members;
    struct sending alone = {0}, as = {0};
    char group[37];

    if (callbacks.type != JSON_ARRAY || canvas_count(callbacks) == 0)
        return;
    if (canvas_count(callbacks) == 1) {
        canvas_send(g, (struct signature){text, entry_of(callbacks, 0)}, &alone, g->children);
        return;
    }
    members = xevbuffer();
    job_new_id(group);
    as.group = group;
    canvas_send_members(g, text, callbacks, &as, false, members);
    canvas_put_group(g->children, group, members);
    evbuffer_free(members);
}

static void
send_next(struct gathering *g)
{
    struct json_slice chain = g->message->chain;
    int count = chain.type == JSON_ARRAY ? canvas_count(chain) : 0;
    struct signature next = {&g->message->embed, entry_of(chain, count - 1)};
    struct evbuffer *front, *rest;
    struct sending with = {0};

    if (count == 0)
        return;
    front = xevbuffer();
    rest = xevbuffer();
    put_front(&g->message->embed, chain, 1, front);
    celery_put(rest, "[");
    evbuffer_add_buffer(rest, front);
    celery_put(rest, "]");
    with.chain = canvas_piece_of(rest);
    canvas_send(g, next, &with, g->children);
    evbuffer_free(front);
    evbuffer_free(rest);
}

/* ---- all of it ---- */

struct gathering
canvas_gathering_of(const struct canvas_context *context, const struct celery_message *message)
{
    return (struct gathering){
        .context = context,
        .message = message,
        .push = xevbuffer(),
        .ends = xevbuffer(),
        .sizes = xevbuffer(),
        .saves = xevbuffer(),
        .chords = xevbuffer(),
        .children = xevbuffer(),
    };
}

static struct gathering
gather(struct canvas *canvas, const struct canvas_context *context,
       const struct celery_message *message)
{
    *canvas = (struct canvas){.deeds = xevbuffer(), .children = xevbuffer()};
    return canvas_gathering_of(context, message);
}

static void
put_list(struct evbuffer *deeds, const char *name, struct evbuffer *list)
{
    if (evbuffer_get_length(list) > 0) {
        evbuffer_add_printf(deeds, "%s\"%s\":[", evbuffer_get_length(deeds) == 0 ? "{" : ",", name);
        evbuffer_add_buffer(deeds, list);
        celery_put(deeds, "]");
    }
    evbuffer_free(list);
}

static void
finish(struct canvas *canvas, struct gathering *g)
{
    put_list(canvas->deeds, "push", g->push);
    put_list(canvas->deeds, "ends", g->ends);
    put_list(canvas->deeds, "sizes", g->sizes);
    put_list(canvas->deeds, "saves", g->saves);
    put_list(canvas->deeds, "chords", g->chords);
    if (evbuffer_get_length(canvas->deeds) > 0)
        celery_put(canvas->deeds, "}");
    canvas->is_cut = g->is_cut;
    celery_put(canvas->children, "[");
    evbuffer_add_buffer(canvas->children, g->children);
    evbuffer_add(canvas->children, "]", 2); /* a string */
    evbuffer_free(g->children);
}

void
canvas_succeed(struct canvas *canvas, const struct canvas_context *context,
               const struct celery_message *message, const char *value, size_t len)
{
    struct gathering g = gather(canvas, context, message);

    g.value = (struct piece){value, len};
    send_callbacks(&g);
    send_next(&g);
    canvas_count_part(&g, "SUCCESS", g.value);
    finish(canvas, &g);
}

void
canvas_fail(struct canvas *canvas, const struct canvas_context *context,
            const struct celery_message *message, bool is_revoked, const char *exception,
            const char *traceback)
{
    struct gathering g = gather(canvas, context, message);

    canvas_count_part(&g, is_revoked ? "REVOKED" : "FAILURE",
                      (struct piece){exception, strlen(exception)});
    if (!is_revoked) {
        canvas_fail_chain(&g, exception, traceback);
        canvas_put_errbacks(&g, &message->embed, message->errbacks, message->id, g.push);
    }
    finish(canvas, &g);
}

void
canvas_release(struct canvas *canvas)
{
    if (canvas->deeds != NULL)
        evbuffer_free(canvas->deeds);
    if (canvas->children != NULL)
        evbuffer_free(canvas->children);
    *canvas = (struct canvas){0};
}
