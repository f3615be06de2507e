#include "worker/queue/desk_view.h"

#include "common/memory.h"
#include "common/redis/redis.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What somebody else wrote there counts as final, as it does for the scripts, and as failed. */
static enum result_state
state_of(struct json_slice root)
{
    struct json_slice state = json_get(root, "state");

    for (int i = STATE_RUNNING; i <= STATE_CANCELLED; i++)
        if (state.type == JSON_STRING &&
            json_equals(state, result_state_name((enum result_state)i)))
            return (enum result_state)i;
    return STATE_FAILED;
}

struct job_view
job_view_of(const char *document, size_t len)
{
    struct job_view view = {.document = document, .document_len = len};

    if (json_check(document, len, &view.root, NULL) != 0)
        view.root = (struct json_slice){0};
    view.state = state_of(view.root);
    view.standing = view.state == STATE_RUNNING ? STANDING_RUNNING : STANDING_FINAL;
    return view;
}

struct job_view
job_view_read(const redisReply *reply)
{
    const redisReply *document = redis_at(reply, 0);
    struct job_view view = {0};

    if (document != NULL && document->type == REDIS_REPLY_STRING)
        view = job_view_of(document->str, document->len);
    if (view.standing == STANDING_FINAL)
        return view;
    if (redis_int(redis_at(reply, 1), 0) == 1)
        view.standing = STANDING_RUNNING;
    else if (redis_int(redis_at(reply, 3), 0) == 1)
        view.standing = STANDING_CANCELLED; /* a delayed one too: it will not run any more */
    else if (redis_int(redis_at(reply, 2), 0) == 1)
        view.standing = STANDING_DELAYED; /* a `running` document is then of an earlier attempt */
    return view;
}

/* The length of the members that are whole, up to the last comma between two of them. */
static size_t
whole_members(const char *text, size_t len)
{
    size_t end = 0;
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (in_string)
            continue;
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (c == ',' && depth == 1)
            end = i;
    }
    return end;
}

static double
enqueued_at_in(const char *text, size_t len)
{
    struct json_slice root;
    double seconds = 0;

    if (json_check(text, len, &root, NULL) != 0 ||
        !json_double(json_get(root, "enqueued_at"), &seconds) || seconds < 0)
        return 0;
    return seconds;
}

/* A job's content is often longer than what the script hands out, and its time stands before. */
double
enqueued_at_of(const char *payload, size_t len)
{
    double seconds = enqueued_at_in(payload, len);
    size_t whole = whole_members(payload, len);
    char *closed;

    if (seconds > 0 || whole == 0)
        return seconds;
    closed = xcalloc(1, whole + 2);
    memcpy(closed, payload, whole);
    closed[whole] = '}';
    seconds = enqueued_at_in(closed, whole + 1);
    free(closed);
    return seconds;
}

static double
waited_seconds(const redisReply *payload, int64_t now_ms)
{
    double enqueued_at = 0, waited;

    if (payload != NULL && payload->type == REDIS_REPLY_STRING)
        enqueued_at = enqueued_at_of(payload->str, payload->len);
    if (enqueued_at <= 0)
        return -1;
    waited = (double)now_ms / 1000 - enqueued_at;
    return waited > 0 ? waited : 0; /* the producer's clock may be ahead */
}

struct queue_view
queue_view_read(const redisReply *reply)
{
    return (struct queue_view){
        .is_paused = redis_int(redis_at(reply, 0), 0) == 1,
        .waiting = redis_int(redis_at(reply, 1), 0),
        .in_flight = redis_int(redis_at(reply, 2), 0),
        .delayed = redis_int(redis_at(reply, 3), 0),
        .dead = redis_int(redis_at(reply, 4), 0),
        .workers = redis_int(redis_at(reply, 5), 0),
        .oldest_seconds = waited_seconds(redis_at(reply, 7), redis_int(redis_at(reply, 6), 0)),
    };
}

void
queue_put_json(const char *name, const struct queue_view *view, const char *waits_for,
               int64_t waits_ms, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{\"name\":");
    json_put_string(out, name, strlen(name));
    evbuffer_add_printf(out, ",\"paused\":%s,\"waiting\":%" PRId64 ",\"in_flight\":%" PRId64,
                        view->is_paused ? "true" : "false", view->waiting, view->in_flight);
    evbuffer_add_printf(out, ",\"delayed\":%" PRId64 ",\"dead\":%" PRId64 ",\"oldest_seconds\":",
                        view->delayed, view->dead);
    if (view->oldest_seconds < 0)
        evbuffer_add_printf(out, "null");
    else
        evbuffer_add_printf(out, "%.1f", view->oldest_seconds);
    evbuffer_add_printf(out, ",\"workers\":%" PRId64 ",\"waits_for\":", view->workers);
    if (waits_for == NULL)
        evbuffer_add_printf(out, "null");
    else
        json_put_string(out, waits_for, strlen(waits_for));
    if (waits_for == NULL || waits_ms < 0)
        evbuffer_add_printf(out, ",\"waits_seconds\":null}");
    else
        evbuffer_add_printf(out, ",\"waits_seconds\":%.1f}", (double)waits_ms / 1000);
}
