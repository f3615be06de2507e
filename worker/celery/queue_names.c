#include "worker/celery/queue_names.h"

#include "common/json/json.h"
#include "common/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SEP "\x06\x16"

static const struct script_source sources[SCRIPT_COUNT] = {
    [SCRIPT_CLAIM] =
        {
            "celery_claim",
#include "worker/celery/lua/claim.lua.h"
        },
    [SCRIPT_BEGIN] =
        {
            "celery_begin",
#include "worker/celery/lua/begin.lua.h"
        },
    [SCRIPT_SETTLE] =
        {
            "celery_settle",
#include "worker/celery/lua/settle.lua.h"
        },
    [SCRIPT_DEAD] =
        {
            "celery_dead",
#include "worker/celery/lua/dead.lua.h"
        },
    [SCRIPT_RETRY] =
        {
            "celery_retry",
#include "worker/celery/lua/retry.lua.h"
        },
    [SCRIPT_RELEASE] =
        {
            "celery_release",
#include "worker/celery/lua/release.lua.h"
        },
    [SCRIPT_REAP] =
        {
            "celery_reap",
#include "worker/celery/lua/reap.lua.h"
        },
    [SCRIPT_BEAT] =
        {
            "celery_beat",
#include "worker/celery/lua/beat.lua.h"
        },
};

/* Takes `text`. */
static const char *
keep(struct celery_queue *queue, char *text)
{
    queue->texts[queue->text_count++] = text;
    return text;
}

static void
add_key(struct celery_queue *queue, char *key)
{
    queue->flavour.keys[queue->flavour.key_count++] = keep(queue, key);
}

static void
add_arg(struct celery_queue *queue, char *arg)
{
    queue->flavour.args[queue->flavour.arg_count++] = keep(queue, arg);
}

static char *
as_json(const char *text)
{
    struct evbuffer *out = xevbuffer();
    char *json;

    json_put_string(out, text, strlen(text));
    json = xasprintf("%.*s", (int)evbuffer_get_length(out), (char *)evbuffer_pullup(out, -1));
    evbuffer_free(out);
    return json;
}

static void
add_keys(struct celery_queue *queue, const struct config *config, const char *name)
{
    const char *prefix = config->celery_keyprefix == NULL ? "" : config->celery_keyprefix;

    add_key(queue, xasprintf("%s%s", prefix, name));
    add_key(queue, xasprintf("%s%s" SEP "3", prefix, name));
    add_key(queue, xasprintf("%s%s" SEP "6", prefix, name));
    add_key(queue, xasprintf("%s%s" SEP "9", prefix, name));
    add_key(queue, xasprintf("%sunacked", prefix));
    add_key(queue, xasprintf("%sunacked_index", prefix));
    add_key(queue, xasprintf("%sunacked_mutex", prefix));
    add_key(queue, xasprintf("%s:{%s}:kept", config->prefix, name));
    add_key(queue, xasprintf("%s:celery:swept", config->prefix));
    add_key(queue, xasprintf("%s_kombu.binding.%s", prefix, name));
    add_key(queue, xasprintf("%s_kombu.binding_permanent.%s", prefix, name));
    add_key(queue, xasprintf("%s:{%s}:chords", config->prefix, name));
}

/* An '_' is added to a prefix of results unless it ends in one of these. */
static char *
result_prefix(const struct config *config)
{
    const char *prefix = config->celery_result_keyprefix;
    size_t len = prefix == NULL ? 0 : strlen(prefix);

    if (len == 0)
        return xstrdup("celery-task-meta-");
    return xasprintf("%s%scelery-task-meta-", prefix,
                     strchr(":_-.", prefix[len - 1]) != NULL ? "" : "_");
}

void
celery_queue_init(struct celery_queue *queue, const struct config *config, const char *name)
{
    struct queue_flavour *flavour = &queue->flavour;

    *queue = (struct celery_queue){0};
    memcpy(flavour->scripts, sources, sizeof(sources));
    flavour->waits_in_place = true;
    flavour->result_prefix = keep(queue, result_prefix(config));
    add_keys(queue, config, name);
    flavour->list = flavour->keys[0];
    add_arg(queue, as_json(name));
    add_arg(queue, xasprintf("%d", config->redis.db));
    add_arg(queue, xasprintf("%d", config->celery_results_db));
    add_arg(queue, xasprintf("%" PRId64, config->celery_visibility_ms));
    add_arg(queue, xstrdup(config->celery_keyprefix == NULL ? "" : config->celery_keyprefix));
}

void
celery_queue_release(struct celery_queue *queue)
{
    for (int i = 0; i < queue->text_count; i++)
        free(queue->texts[i]);
    queue->text_count = 0;
}
