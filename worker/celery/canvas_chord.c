/* Chords that begin: their size, their parts, and the body that the last part sends. */
#include "common/memory.h"
#include "worker/celery/canvas_internal.h"
#include "worker/celery/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- parts ---- */

static struct signature
last_of(struct signature signature, const char *members)
{
    struct json_slice key, task;
    struct json_iter it = json_iter(signature_members(signature, members));
    struct signature last = {signature.text, {0}};

    while (json_next(&it, &key, &task))
        last.slice = task;
    return last;
}

static struct signature
body_of(struct signature chord)
{
    return (struct signature){chord.text, json_get(json_get(chord.slice, "kwargs"), "body")};
}

/* What counts of a part: a chain's last task, a chord's body, each of a group; and so on within. */
static struct signature
end_of(struct signature part)
{
    for (const char *kind; (kind = signature_kind(part))[0] == 'c';) /* chain, chord */
        part = strcmp(kind, "chain") == 0 ? last_of(part, "tasks") : body_of(part);
    return part;
}

static int
count_parts(const struct celery_text *text, struct json_slice parts)
{
    struct json_slice key, task;
    int count = 0;

    for (struct json_iter it = json_iter(parts); json_next(&it, &key, &task);) {
        struct signature end = end_of((struct signature){text, task});

        count +=
            signature_kind(end)[0] == 'g' ? count_parts(text, signature_members(end, "tasks")) : 1;
    }
    return count;
}

static bool
has_groups(const struct celery_text *text, struct json_slice parts)
{
    struct json_slice key, task;

    for (struct json_iter it = json_iter(parts); json_next(&it, &key, &task);)
        if (signature_kind(end_of((struct signature){text, task}))[0] == 'g')
            return true;
    return false;
}

/* Their results as Celery keeps them of a group within a group. */
static void
put_results(const struct celery_text *text, struct json_slice parts, struct evbuffer *out)
{
    struct json_slice key, task;

    for (struct json_iter it = json_iter(parts); json_next(&it, &key, &task);) {
        struct signature end = end_of((struct signature){text, task});
        struct evbuffer *members = xevbuffer();
        char id[JOB_ID_MAX + 1];

        signature_id(end, id);
        if (signature_kind(end)[0] == 'g') {
            put_results(text, signature_members(end, "tasks"), members);
            canvas_put_group(out, id, members);
        } else {
            canvas_put_child(out, id);
        }
        evbuffer_free(members);
    }
}

/* ["group", text]: only these tell how the values of parts belong together. */
static void
put_save(struct gathering *g, const struct celery_text *text, struct json_slice header,
         const char *group)
{
    struct evbuffer *results = xevbuffer(), *all = xevbuffer(), *document = xevbuffer();

    put_results(text, header, results);
    canvas_put_group(all, group, results);
    celery_put(document, "{\"result\": ");
    evbuffer_add_buffer(document, all);
    celery_put(document, "}");
    canvas_put_document(g->saves, group, document);
    evbuffer_free(results);
    evbuffer_free(all);
    evbuffer_free(document);
}

/* ---- the body ---- */

/* As its parts carry it: with its id, its group's, what comes behind it, and if this chord is a
 * part of another one, that one. */
static void
put_chord_body(const struct gathering *g, struct signature body, const char *id, const char *group,
               const struct sending *with, struct evbuffer *out)
{
    const char *names[7] = {"task_id", "root_id"};
    bool is_before = with->chain.len > 2, is_part = !is_before && with->chord.text != NULL;
    struct evbuffer *more = xevbuffer();
    int count = 2;

    if (is_before) {
        names[count++] = "chain";
        celery_put(more, "\"chain\": ");
        evbuffer_add(more, with->chain.text, with->chain.len);
        celery_put(more, ", ");
    }
    if (is_part) {
        names[count++] = "chord";
        names[count++] = "group_index";
        celery_put(more, "\"chord\": ");
        evbuffer_add(more, with->chord.text, with->chord.len);
        evbuffer_add_printf(more, ", \"group_index\": %d, ", with->index);
        group = with->group;
    }
    if (is_part || signature_option(body, "chord").type != JSON_OBJECT) {
        names[count++] = "group_id";
        celery_put(more, "\"group_id\": ");
        celery_put_text(more, group);
        celery_put(more, ", ");
    }
    celery_put(more, "\"task_id\": ");
    celery_put_text(more, id);
    celery_put(more, ", \"root_id\": ");
    if (g->message->root_id.type == JSON_STRING)
        json_put_slice(more, g->message->root_id);
    else
        celery_put_text(more, g->message->id);
    celery_put(more, ", ");
    canvas_put_signature(body, names, more, out);
    evbuffer_free(more);
}

static void
send_body_alone(struct gathering *g, struct signature body, struct sending *with,
                struct evbuffer *children)
{
    struct piece value = g->value;

    g->value = (struct piece){"[]", 2};
    canvas_send(g, body, with, children);
    g->value = value;
}

/* Its size is known before its parts are. */
void
canvas_send_chord(struct gathering *g, struct signature signature, struct sending *with,
                  struct evbuffer *children)
{
    struct json_slice header = signature_members(signature, "header");
    struct signature body = body_of(signature);
    struct signature as_group = {signature.text,
                                 json_get(json_get(signature.slice, "kwargs"), "header")};
    struct evbuffer *carried, *parts;
    struct sending as = {0};
    char group[JOB_ID_MAX + 1], id[JOB_ID_MAX + 1];

    if (header.type == JSON_ABSENT || body.slice.type != JSON_OBJECT)
        return;
    if (canvas_count(header) == 0) {
        send_body_alone(g, body, with, children);
        return;
    }
    carried = xevbuffer();
    parts = xevbuffer();
    signature_id(as_group, group);
    signature_id(body, id);
    put_chord_body(g, body, id, group, with, carried);
    canvas_begin_item(g->sizes);
    celery_put(g->sizes, "[");
    celery_put_text(g->sizes, group);
    evbuffer_add_printf(g->sizes, ",%d]", count_parts(signature.text, header));
    if (has_groups(signature.text, header))
        put_save(g, signature.text, header, group);
    as.group = group;
    as.chord = canvas_piece_of(carried);
    canvas_send_members(g, signature.text, header, &as, true, parts);
    canvas_put_group(children, group, parts);
    evbuffer_free(carried);
    evbuffer_free(parts);
}

static void
move_list(struct evbuffer *out, const char *name, struct evbuffer *list)
{
    evbuffer_add_printf(out, ",\"%s\":[", name);
    evbuffer_add_buffer(out, list);
    celery_put(out, "]");
    evbuffer_free(list);
}

/* A body may be a canvas itself: then several messages wait for the values, and chords may begin.
 */
void
canvas_put_body_later(struct gathering *g, struct signature body, struct evbuffer *out)
{
    struct gathering later = canvas_gathering_of(g->context, g->message);
    struct sending with = {0};

    later.has_hole = true;
    later.elsewhere = g->elsewhere + evbuffer_get_length(g->push) + evbuffer_get_length(g->ends) +
                      evbuffer_get_length(g->chords);
    canvas_send(&later, body, &with, later.children);
    g->is_cut |= later.is_cut;
    move_list(out, "bodies", later.push);
    move_list(out, "sizes", later.sizes);
    move_list(out, "saves", later.saves);
    evbuffer_free(later.ends);
    evbuffer_free(later.chords);
    evbuffer_free(later.children);
}
