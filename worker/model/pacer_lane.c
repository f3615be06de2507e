#include "worker/model/pacer_internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#define OP_TIMEOUT_MS 2000
/* What Redis said is believed for so long. */
#define STALE_MS 1000
/* A faster rate is no limit, and sums of rates stay countable. */
#define RATE_MAX_MILLI INT64_C(1000000000)
/* Tokens that were not used go back to Redis at most so often. */
#define REFUND_MS 100
/* What one call adds to what a call of its model is known to take. */
#define CALL_MEMORY 0.1
/* Demand that the rate is to grow for is not older. */
#define TURNED_AWAY_MS 1000
/* After an error Redis is not asked for so long. */
#define DEAF_MS 1000

static struct redis *
commands(const struct lane *lane)
{
    return redis_route_commands(lane->pacer->options.route, lane->key);
}

/* ---- permits ---- */

/* Those who wait get the permits that were asked for; what nobody waits for any more goes back. */
static void
grant(struct lane *lane, int count, int64_t first)
{
    struct pacer *pacer = lane->pacer;

    for (int i = 0; i < count && i < lane->asked; i++) {
        struct pacer_wait *wait = lane->queue;

        if (wait == NULL) {
            lane->unused += lane->asked_tokens[i];
            continue;
        }
        wait_leave(wait);
        lane_served(lane, wait);
        wait_tell(wait, (struct pacer_permit){first + i, lane->asked_tokens[i]});
    }
    pacer->options.on_room(pacer->options.arg);
}

/* What is known has changed: each of those who are left looks again, in their order. */
static void
place_again(struct lane *lane)
{
    struct pacer_wait *queue = lane->queue, *wait, *next;
    int64_t drained_ms = lane->drained_ms;

    lane->queue = NULL;
    lane->waiting = 0;
    memset(lane->turns.waiting, 0, sizeof(lane->turns.waiting));
    DL_FOREACH_SAFE(queue, wait, next)
    {
        DL_DELETE(queue, wait);
        wait_place(wait);
    }
    if (lane->queue != NULL)
        lane->drained_ms = drained_ms;
}

static void
read_reply(struct lane *lane, const redisReply *reply, int granted, int64_t first)
{
    int64_t now = clock_mono_ms();
    int64_t wait_ms = redis_int(redis_at(reply, 2), 0);
    int64_t rate = redis_int(redis_at(reply, 3), -1);

    lane->ready_ms = now + wait_ms;
    lane->ask_ms = now + (wait_ms < STALE_MS ? wait_ms : STALE_MS);
    lane->rate = rate < 0 || rate > RATE_MAX_MILLI ? -1 : (double)rate / 1000;
    lane->has_tokens = redis_int(redis_at(reply, 4), 0) == 1;
    pace_local_hear(&lane->local, granted, first + granted - 1, lane->rate, now);
}

static void
on_taken(const redisReply *reply, const struct error *error, void *arg)
{
    struct lane *lane = arg;
    int64_t told = redis_int(redis_at(reply, 0), 0), first = redis_int(redis_at(reply, 1), 0);
    int granted = told > 0 && told <= lane->asked ? (int)told : 0;

    if (error != NULL) {
        log_debug("no permits from Redis", LOG_STR("model", lane->name),
                  LOG_STR("error", error->message));
        lane->deaf_ms = clock_mono_ms() + DEAF_MS;
    } else {
        read_reply(lane, reply, granted, first);
        grant(lane, granted, first);
    }
    /* Where all who were asked for got theirs nothing has changed for the others. */
    if (error != NULL || granted < lane->asked || lane->rate > 0)
        place_again(lane);
    lane->is_asking = false; /* only now: one question for all who are left */
    lane_ask(lane);
}

/* Without Redis: those who may go now, at this worker's own pace. */
static void
serve_alone(struct lane *lane)
{
    int64_t now = clock_mono_ms();

    while (lane->queue != NULL && pace_local_holds(&lane->local, now) &&
           pace_local_wait_ms(&lane->local, now) == 0) {
        struct pacer_wait *wait = lane->queue;

        pace_local_spend(&lane->local, now);
        wait_leave(wait);
        wait_tell(wait, (struct pacer_permit){0});
    }
    place_again(lane);
}

void
lane_on_due(evutil_socket_t fd, short what, void *arg)
{
    struct lane *lane = arg;

    (void)fd;
    (void)what;
    if (lane_is_blind(lane) && !lane->is_asking)
        serve_alone(lane);
    else
        lane_ask(lane);
}

/* Did somebody go on to another model just now? What is longer ago was another burst of jobs. */
static bool
was_turned_away(const struct lane *lane)
{
    return lane->turned_away_ms > 0 && clock_mono_ms() - lane->turned_away_ms < TURNED_AWAY_MS;
}

static void
put_question(struct lane *lane, struct redis_args *args)
{
    const struct pacer_wait *wait;

    redis_arg_int(args, 2);
    redis_arg(args, lane->key);
    redis_arg(args, lane->tokens_key);
    redis_arg(args, "take");
    for (size_t i = 0; i < 2; i++) {
        snprintf(lane->limit_text[i], sizeof(lane->limit_text[i]), "%.15g", lane->limits[i]);
        redis_arg(args, lane->limit_text[i]);
    }
    redis_arg_int(args, lane->unused);
    redis_arg_int(args, was_turned_away(lane));
    lane->asked = 0;
    DL_FOREACH(lane->queue, wait)
    {
        if (lane->asked == (lane->rate < 0 ? OPEN_BATCH_MAX : BATCH_MAX))
            break;
        redis_arg_int(args, wait->tokens);
        lane->asked_tokens[lane->asked++] = wait->tokens;
    }
}

/* How long those who wait may be left alone while Redis is out of reach; it may come back. */
static int64_t
wait_alone_ms(const struct lane *lane)
{
    int64_t now = clock_mono_ms(), wait_ms;

    if (lane->queue == NULL)
        return -1;
    if (!pace_local_holds(&lane->local, now))
        return 0;
    wait_ms = pace_local_wait_ms(&lane->local, now);
    return wait_ms < STALE_MS ? wait_ms : STALE_MS;
}

/* How long until the next question is due; < 0: there is none to ask. */
static int64_t
question_in_ms(const struct lane *lane)
{
    int64_t now = clock_mono_ms();
    int64_t due_ms = lane->queue == NULL ? INT64_MAX : lane->ask_ms + lane_courtesy_ms(lane, now);

    if (lane->unused != 0 && lane->asked_ms + REFUND_MS < due_ms)
        due_ms = lane->asked_ms + REFUND_MS;
    if (due_ms == INT64_MAX)
        return -1;
    return due_ms > now ? due_ms - now : 0;
}

/* Asks for those who wait, when the next permit is due, and gives back what was not used. */
void
lane_ask(struct lane *lane)
{
    bool is_alone = lane_is_blind(lane);
    int64_t wait_ms = is_alone ? wait_alone_ms(lane) : question_in_ms(lane);
    struct timeval wait = clock_timeval(wait_ms);
    struct redis_args args = {0};

    if (lane->is_asking || wait_ms < 0)
        return;
    if (wait_ms > 0 || is_alone) {
        event_add(lane->timer, &wait);
        return;
    }
    put_question(lane, &args);
    lane->is_asking = true;
    lane->asked_ms = clock_mono_ms();
    lane->turned_away_ms = 0;
    lane->unused = 0;
    redis_eval(commands(lane), &lane->pacer->script, &args, OP_TIMEOUT_MS, on_taken, lane);
}

/* ---- what permits led to ---- */

static void
on_told(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    (void)arg;
    if (error != NULL)
        log_debug("a refusal was not told", LOG_STR("error", error->message));
}

static void
tell_refusal(struct lane *lane, struct pacer_permit permit, const struct call *call)
{
    static const char *const limits[] = {
        [LIMIT_UNKNOWN] = "", [LIMIT_REQUESTS] = "requests", [LIMIT_TOKENS] = "tokens"};
    struct redis_args args = {0};

    redis_arg_int(&args, 2);
    redis_arg(&args, lane->key);
    redis_arg(&args, lane->tokens_key);
    redis_arg(&args, call->outcome == OUTCOME_THROTTLED ? "throttled" : "failed");
    redis_arg_int(&args, permit.number);
    redis_arg_int(&args, permit.tokens);
    redis_arg_int(&args, call->retry_after_ms);
    redis_arg(&args, limits[call->limit]);
    redis_eval(commands(lane), &lane->pacer->script, &args, OP_TIMEOUT_MS, on_told, NULL);
}

static void
learn_duration(struct lane *lane, int64_t ms)
{
    lane->call_ms += (lane->call_ms == 0 ? 1 : CALL_MEMORY) * ((double)ms - lane->call_ms);
}

/* Does the call say by its tokens what it took of the quota? One that we gave up on does not. */
static bool
has_usage(const struct call *call)
{
    return call->outcome != OUTCOME_TIMEOUT && call->outcome != OUTCOME_CANCELLED;
}

void
pacer_tell(struct pacer *pacer, struct pacer_permit permit, const struct call *call)
{
    struct lane *lane = lane_find(pacer, call->model);
    bool is_throttle = call->outcome == OUTCOME_THROTTLED;
    bool is_refusal =
        is_throttle || call->outcome == OUTCOME_TRANSIENT || call->outcome == OUTCOME_UNREACHABLE;

    if (lane != NULL && call->outcome == OUTCOME_OK)
        learn_duration(lane, call->duration_ms);
    if (lane != NULL && lane_is_blind(lane) && is_throttle)
        pace_local_throttled(&lane->local, clock_mono_ms());
    if (permit.number == 0 || lane_is_blind(lane))
        return;
    if (is_refusal) {
        tell_refusal(lane, permit, call);
    } else if (lane->has_tokens && has_usage(call)) {
        lane->unused += permit.tokens - call->input_tokens - call->output_tokens;
        lane_ask(lane);
    }
}
