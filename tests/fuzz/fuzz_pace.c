/* pace: Redis' answers to those who want permits.
 * Input: a byte for how many jobs want one of which models, then bytes for hiredis' reader. */
#include "common/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/redis_stand_in.h"
#include "worker/model/pacer.h"

#define WISHES_MAX 8
#define BYTES_MAX  512

/* One that wants a permit. */
struct job {
    struct pacer_wait *wait; /* NULL: it has its answer */
};

static void
on_permit(int choice, struct pacer_permit permit, int64_t room_in_ms, void *arg)
{
    struct job *job = arg;

    MUST(job->wait != NULL && choice >= -1 && choice < 2);
    MUST(choice >= 0 || permit.number == 0);
    MUST(room_in_ms >= -REDIS_INT_MAX && room_in_ms <= INT64_C(2) * REDIS_INT_MAX);
    job->wait = NULL;
}

static void
on_room(void *arg)
{
    (void)arg;
}

static void
check_room(struct pacer *pacer)
{
    struct metrics *metrics = metrics_new();

    MUST(pacer_room(pacer) >= 0);
    pacer_set_gauges(pacer, metrics);
    metrics_free(metrics);
}

static void
ask(struct pacer *pacer, const struct model_list *models, const int *order, int wishes,
    struct event_base *base)
{
    struct pacer_wish wish = {.models = models->models,
                              .order = order,
                              .count = 1 + wishes % 2,
                              .tokens = 1000,
                              .patience_ms = 1000,
                              .last_resort_ms = 30000};
    struct job jobs[WISHES_MAX];

    for (int i = 0; i < wishes; i++) {
        wish.tenant = (uint32_t)i % 3;
        jobs[i].wait = pacer_ask(pacer, &wish, on_permit, &jobs[i]);
    }
    redis_stand_in_answer();
    check_room(pacer);
    event_base_loop(base, EVLOOP_NONBLOCK);
    redis_stand_in_answer();
    for (int i = 0; i < wishes; i++)
        pacer_cancel(jobs[i].wait);
    check_room(pacer);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const struct call throttled = {.model = "a", .outcome = OUTCOME_THROTTLED};
    const struct call answered = {.model = "b", .output_tokens = 300};
    struct input input = {(const char *)data, size};
    int wishes = 1 + (int)(input_byte(&input) % WISHES_MAX);
    struct event_base *base = event_base_new();
    struct model_list models;
    struct pacer *pacer;

    log_setup(LOG_LEVEL_ERROR, false);
    redis_stand_in_feed(input.at, input.len < BYTES_MAX ? input.len : BYTES_MAX);
    MUST(model_list_init(&models, "bedrock/a,bedrock/b", false, NULL) == 0);
    pacer = pacer_new(&(struct pacer_options){.base = base,
                                              .route = redis_stand_in,
                                              .prefix = "headgate",
                                              .models = &models,
                                              .on_room = on_room});
    ask(pacer, &models, (const int[]){0, 1}, wishes, base);
    pacer_tell(pacer, (struct pacer_permit){1, 1000}, &throttled);
    pacer_tell(pacer, (struct pacer_permit){2, 1000}, &answered);
    redis_stand_in_answer();
    ask(pacer, &models, (const int[]){1, 0}, wishes, base);
    pacer_free(pacer);
    redis_stand_in_end();
    model_list_release(&models);
    event_base_free(base);
    return 0;
}
