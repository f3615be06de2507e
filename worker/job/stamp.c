#include "worker/job/stamp.h"

#include "common/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Starts the member `name` unless the job has it. */
static bool
begin_member(struct evbuffer *out, struct json_slice object, const char *name)
{
    if (json_get(object, name).type != JSON_ABSENT)
        return false;
    evbuffer_add_printf(out, "%s\"%s\":", evbuffer_get_length(out) > 1 ? "," : "", name);
    return true;
}

static void
put_missing(const struct stamp *stamp, struct json_slice object, struct evbuffer *out)
{
    char new_id[37];
    const char *id = stamp->id;

    if (id == NULL) {
        job_new_id(new_id);
        id = new_id;
    }
    if (begin_member(out, object, "id"))
        json_put_string(out, id, strlen(id));
    if (stamp->type != NULL && begin_member(out, object, "type"))
        json_put_string(out, stamp->type, strlen(stamp->type));
    if (stamp->track_started && begin_member(out, object, "track_started"))
        evbuffer_add_printf(out, "true");
    if (begin_member(out, object, "enqueued_at"))
        evbuffer_add_printf(out, "%" PRId64 ".%03d", stamp->now_ms / 1000,
                            (int)(stamp->now_ms % 1000));
}

static bool
is_empty(struct json_slice object)
{
    struct json_slice key, value;
    struct json_iter it = json_iter(object);

    return !json_next(&it, &key, &value);
}

/* The object with what it lacked, malloced; NULL when there is no memory for it. */
static char *
splice(const struct stamp *stamp, struct json_slice object, size_t *len)
{
    struct evbuffer *front = xevbuffer();
    size_t front_len;
    char *spliced;

    evbuffer_add(front, "{", 1);
    put_missing(stamp, object, front);
    if (evbuffer_get_length(front) > 1 && !is_empty(object))
        evbuffer_add(front, ",", 1);
    front_len = evbuffer_get_length(front);
    *len = front_len + object.len - 1;
    spliced = malloc(*len + 1);
    if (spliced != NULL) {
        evbuffer_copyout(front, spliced, front_len);
        memcpy(spliced + front_len, object.text + 1, object.len - 1);
        spliced[*len] = '\0';
    }
    evbuffer_free(front);
    return spliced;
}

int
stamp_job(const char *text, size_t len, const struct stamp *stamp, const struct job_limits *limits,
          struct job *job, struct error *err)
{
    struct json_slice root;
    char *payload;
    size_t payload_len;

    *job = (struct job){0};
    if (len > limits->max_bytes)
        return error_set(err, ERROR_INPUT, "a job has at most %zu bytes, this one %zu",
                         limits->max_bytes, len);
    if (json_check(text, len, &root, err) != 0)
        return -1;
    if (root.type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a job is a JSON object");
    payload = splice(stamp, root, &payload_len);
    if (payload == NULL)
        return error_set(err, ERROR_INTERNAL, "no memory for a job of %zu bytes", payload_len);
    if (job_init(job, payload, payload_len, limits, err) != 0)
        return -1;
    if (!job->has_own_id)
        return error_set(err, ERROR_INPUT, "id must be a string");
    return 0;
}
