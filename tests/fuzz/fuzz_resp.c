/* resp: bytes of a Redis server, through hiredis' reader, into all that reads replies: the worker's
 * side of a queue, the desk's views, the hints. */
#include "common/clock.h"
#include "common/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/redis_stand_in.h"
#include "worker/model/hints.h"
#include "worker/queue/beat.h"
#include "worker/queue/desk_view.h"
#include "worker/queue/queue.h"

struct world {
    struct event_base *base;
    struct queue *queue;
    struct hints *hints;
    struct model_list models;
};

/* Time and such can be added to it. */
static void
must_be_bounded(int64_t value)
{
    MUST(value <= REDIS_INT_MAX && value >= -REDIS_INT_MAX);
}

static void
on_claims(enum claim_status status, struct claim *claims, int count, int64_t next_due_ms,
          const struct error *error, void *arg)
{
    (void)status, (void)arg;
    must_be_bounded(next_due_ms);
    MUST(error == NULL || count == 0);
    for (int i = 0; i < count; i++) {
        MUST(claims[i].token != 0 && claims[i].payload[claims[i].payload_len] == '\0');
        MUST(strlen(claims[i].id) <= JOB_ID_MAX && claims[i].deaths >= 0);
        MUST(claims[i].history.attempts >= 0 && claims[i].history.attempts <= 1000000);
        MUST(claims[i].history.waits >= 0 && claims[i].history.waits <= 1000000);
        must_be_bounded(claims[i].history.since_ms);
        free(claims[i].payload);
    }
}

static void
on_begun(enum begin_status status, int64_t now_ms, void *arg)
{
    (void)status, (void)arg;
    must_be_bounded(now_ms);
}

static void
on_settled(enum settle_status status, void *arg)
{
    (void)status, (void)arg;
}

static void
on_delayed(int64_t due_ms, void *arg)
{
    (void)arg;
    must_be_bounded(due_ms);
}

static void
on_popped(struct queue *queue, struct claim *claim, const struct error *error, void *arg)
{
    (void)error, (void)arg;
    MUST((queue == NULL) == (claim == NULL));
    if (claim != NULL)
        free(claim->payload);
}

static void
on_left(int64_t given_back, const struct error *error, void *arg)
{
    (void)error, (void)arg;
    MUST(given_back >= 0);
    must_be_bounded(given_back / 200);
}

static void
on_figures(const struct hints_figures *figures, int count, const struct error *error, void *arg)
{
    (void)arg;
    MUST((error == NULL) == (figures != NULL) && (error != NULL || count == 1));
}

static void
on_lost(struct queue *queue, void *arg)
{
    (void)queue, (void)arg;
}

static void
on_cancelled(struct queue *queue, const char *id, void *arg)
{
    (void)queue, (void)arg;
    MUST(id != NULL);
}

static void
on_news(struct queue *queue, bool is_paused, bool has_inbox, int64_t next_due_ms, void *arg)
{
    (void)queue, (void)is_paused, (void)has_inbox, (void)arg;
    must_be_bounded(next_due_ms);
}

static void
on_view(const redisReply *reply, const struct error *error, void *arg)
{
    struct evbuffer *out = evbuffer_new();
    struct queue_view view;
    struct job_view job;

    (void)arg;
    if (error == NULL) {
        job = job_view_read(reply);
        MUST(job.standing != STANDING_FINAL || job.document != NULL);
        MUST(json_get(job.root, "result").len <= job.document_len);
        view = queue_view_read(reply);
        queue_put_json("q", &view, NULL, -1, out);
        must_be_json(out);
    }
    evbuffer_free(out);
}

static void
claim(struct world *world)
{
    queue_claim(world->queue, 10, QUEUE_CLAIM_BYTES, on_claims, NULL);
}

static void
begin(struct world *world)
{
    const struct claim one = {.token = 1};

    queue_begin(world->queue, &one, "id", NULL, on_begun, NULL);
}

static void
settle(struct world *world)
{
    const struct settlement settlement = {.id = "id", .state = "failed", .reply_to = "list"};

    queue_settle(world->queue, 1, &settlement, on_settled, NULL);
}

static void
delay(struct world *world)
{
    const struct delay later = {.id = "id", .counter = "retried"};

    queue_delay(world->queue, 1, &later, on_delayed, NULL);
}

static void
pop(struct world *world)
{
    queue_pop(&world->queue, 1, NULL, 1000, on_popped, NULL);
}

static void
reconcile(struct world *world)
{
    queue_claim(world->queue, 10, QUEUE_CLAIM_BYTES, on_claims, NULL);
    queue_reconcile(world->queue);
}

static void
leave(struct world *world)
{
    queue_reap(world->queue, "w:2");
    queue_leave(world->queue, on_left, NULL);
}

static void
beat_once(struct world *world)
{
    struct beat *beat = beat_new(&(struct beat_options){.base = world->base,
                                                        .queue = world->queue,
                                                        .lease_ms = 12000,
                                                        .on_lease_lost = on_lost,
                                                        .on_cancel = on_cancelled,
                                                        .on_news = on_news});

    redis_stand_in_answer();
    beat_now(beat);
    redis_stand_in_answer();
    beat_free(beat);
}

static void
ask_hints(struct world *world)
{
    const struct call throttled = {.model = "m", .outcome = OUTCOME_THROTTLED};
    const struct call ok = {.model = "m", .outcome = OUTCOME_OK};

    hints_refresh(world->hints, NULL);
    redis_stand_in_answer();
    hints_of(world->hints, "m");
    hints_tell(world->hints, "m", true, &throttled);
    hints_tell(world->hints, "m", true, &ok);
    hints_read(world->hints, on_figures, NULL);
}

static void
view(struct world *world)
{
    redis_send((struct redis *)world->queue, &(struct redis_args){0}, 0, on_view, NULL);
}

typedef void ask_fn(struct world *world);
static ask_fn *const asks[] = {claim,     begin, settle,    delay,     pop,
                               reconcile, leave, beat_once, ask_hints, view};

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    unsigned chosen = input_byte(&input);
    struct world world = {.base = event_base_new()};

    log_setup(LOG_LEVEL_ERROR, false);
    redis_stand_in_feed(input.at, input.len);
    MUST(model_list_init(&world.models, "bedrock/m", false, NULL) == 0);
    world.queue = queue_new(&(struct queue_options){.base = world.base,
                                                    .route = redis_stand_in,
                                                    .prefix = "headgate",
                                                    .name = "analyze",
                                                    .worker = "w:1"});
    world.hints = hints_new(world.base, redis_stand_in, "headgate", &world.models);
    asks[chosen % (sizeof(asks) / sizeof(asks[0]))](&world);
    redis_stand_in_answer();
    hints_free(world.hints);
    queue_free(world.queue);
    model_list_release(&world.models);
    redis_stand_in_end();
    event_base_free(world.base);
    return 0;
}
