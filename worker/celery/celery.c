#include "worker/celery/celery.h"

#include "common/memory.h"
#include "worker/celery/meta.h"
#include "worker/celery/queue_names.h"
#include "worker/celery/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct celery {
    const struct config *config; /* borrowed */
    struct celery_tasks tasks;
    struct wire wire;
    struct celery_queue *queues; /* one per config->queues; owned */
};

struct wire_message {
    struct celery_message message;
};

/* ---- the wire ---- */

static struct wire_message *
wire_keep(void *self, char *payload, size_t len)
{
    struct wire_message *kept = xcalloc(1, sizeof(*kept));

    (void)self;
    kept->message.payload = payload;
    kept->message.payload_len = len;
    return kept;
}

static int
wire_read(void *self, const char *queue, char *payload, size_t len, const struct job_limits *limits,
          struct job *job, struct wire_message **out, struct error *err)
{
    struct celery *celery = self;
    struct celery_message *message;
    int result;

    (void)queue;
    *job = (struct job){0};
    *out = xcalloc(1, sizeof(**out));
    message = &(*out)->message;
    result = celery_message_init(message, payload, len, limits->max_bytes, err);
    if (result == 0)
        result = celery_task_job(&celery->tasks, message, limits, job, err);
    memcpy(job->id, message->id, sizeof(job->id));
    job->has_own_id = job->id[0] != '\0';
    celery_text_release(&message->body);
    message->args = message->kwargs = (struct json_slice){0};
    return result;
}

static void
wire_put_result(void *self, const struct wire_message *kept, const struct result *result,
                struct evbuffer *document)
{
    (void)self;
    if (!kept->message.ignore_result && kept->message.id[0] != '\0')
        celery_meta_print(&kept->message, result, "", document);
}

static void
wire_put_follow(void *self, const struct wire_message *kept, const struct result *result,
                struct evbuffer *document, struct evbuffer *follow)
{
    (void)self;
    (void)kept;
    (void)result;
    (void)document;
    (void)follow;
}

static const char *
wire_payload(const struct wire_message *kept, size_t *len)
{
    *len = kept->message.payload_len;
    return kept->message.payload;
}

static void
wire_forget_payload(struct wire_message *kept)
{
    celery_message_forget(&kept->message);
}

static void
wire_release(struct wire_message *kept)
{
    if (kept == NULL)
        return;
    celery_message_release(&kept->message);
    free(kept);
}

/* ---- life ---- */

struct celery *
celery_new(const struct config *config, struct error *err)
{
    struct celery *celery = xcalloc(1, sizeof(*celery));
    struct error why = {0};

    celery->config = config;
    celery->wire = (struct wire){
        .self = celery,
        .read = wire_read,
        .keep = wire_keep,
        .put_result = wire_put_result,
        .put_follow = wire_put_follow,
        .payload = wire_payload,
        .forget_payload = wire_forget_payload,
        .release = wire_release,
    };
    if (celery_tasks_init(&celery->tasks, config->celery_tasks, &why) < 0) {
        error_set(err, ERROR_CONFIG, "HEADGATE_CELERY_TASKS=%.100s: %s", config->celery_tasks,
                  why.message);
        free(celery);
        return NULL;
    }
    celery->queues = xcalloc((size_t)config->queue_count, sizeof(*celery->queues));
    for (int i = 0; i < config->queue_count; i++)
        celery_queue_init(&celery->queues[i], config, config->queues[i].name);
    return celery;
}

void
celery_free(struct celery *celery)
{
    if (celery == NULL)
        return;
    for (int i = 0; i < celery->config->queue_count; i++)
        celery_queue_release(&celery->queues[i]);
    free(celery->queues);
    celery_tasks_release(&celery->tasks);
    free(celery);
}

const struct wire *
celery_wire(const struct celery *celery)
{
    return &celery->wire;
}

const struct queue_flavour *
celery_flavour(const struct celery *celery, int index)
{
    return &celery->queues[index].flavour;
}
