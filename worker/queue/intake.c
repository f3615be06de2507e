#include "worker/queue/intake.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>

/* After a failed claim or pop, while Redis is still there. */
#define REPEAT_MS         100
#define COMPLAIN_EVERY_MS 10000
/* A claim that is not answered for so long keeps the other queues waiting no more. */
#define HANGS_MS 200
/* How long a pop that only asks whether a queue is well may block. */
#define PROBE_MS 10

/* A queue, as the intake sees it. */
struct source {
    struct intake *intake;
    struct queue *queue; /* borrowed */
    int weight;
    double served;
    struct redis *pop; /* blocking connection; owned; NULL at most once */
    struct event *due; /* the next delayed job */
    int64_t due_at_ms; /* monotonic; when that fires */
    bool may_have_jobs;
    bool has_inbox; /* a pop has brought a job that is not claimed yet */
    bool is_paused;
    bool is_claiming; /* one claim is under way */
    int asked;        /* for how many */
    int64_t claiming_since_ms;
    bool is_waiting; /* a blocking pop is under way */
    int64_t silent_until_ms;
    bool has_complained;   /* and has not said yet that all is well again */
    int64_t shut_until_ms; /* after a claim that failed: others have their turn */
    bool is_suspect;       /* at most once: a pop that it had a part in was refused */
    char trouble[448];     /* what Redis said to the last claim that it refused; "": all is well */
};

struct intake {
    struct intake_options options;
    struct source *sources;
    int count;
    struct redis *pop; /* at most once: one pop for all queues; owned */
    bool is_popping;
    struct source *popped[CONFIG_QUEUES_MAX]; /* whose keys the last pop named */
    int popped_count;
    bool is_quiet;
    struct event *turn;
    struct event *repeat;
};

void
intake_kick(struct intake *intake)
{
    event_active(intake->turn, EV_TIMEOUT, 0);
}

static void
repeat_soon(struct intake *intake)
{
    struct timeval wait = clock_timeval(REPEAT_MS + 1);

    event_add(intake->repeat, &wait);
}

/* ---- claims ---- */

static bool
is_open(const struct source *source)
{
    const struct intake_options *options = &source->intake->options;

    return !source->is_paused && !source->intake->is_quiet &&
           clock_mono_ms() >= source->shut_until_ms &&
           options->may_claim(source->queue, options->arg);
}

/* A queue that was idle does not save up a share for later. */
static void
forgive_idleness(struct source *source)
{
    const struct intake *intake = source->intake;
    double least = source->served;
    bool found = false;

    for (int i = 0; i < intake->count; i++) {
        const struct source *other = &intake->sources[i];

        if (other == source || !other->may_have_jobs || other->weight == 0)
            continue;
        if (!found || other->served < least)
            least = other->served;
        found = true;
    }
    if (found && least > source->served)
        source->served = least;
}

static void
may_have_jobs(struct source *source)
{
    if (!source->may_have_jobs && source->weight > 0)
        forgive_idleness(source);
    source->may_have_jobs = true;
    intake_kick(source->intake);
}

static void
take_claims(struct source *source, struct claim *claims, int count)
{
    const struct intake_options *options = &source->intake->options;

    if (source->weight > 0)
        source->served += (double)count / source->weight;
    for (int i = 0; i < count; i++)
        options->on_claim(source->queue, &claims[i], options->arg);
}

static void
arm_due(struct source *source, int64_t due_in_ms)
{
    /* One ms late rather than early: early finds nothing. */
    int64_t due_at_ms = clock_mono_ms() + due_in_ms + 1;
    struct timeval wait = clock_timeval(due_in_ms + 1);

    if (event_pending(source->due, EV_TIMEOUT, NULL) && source->due_at_ms <= due_at_ms)
        return;
    source->due_at_ms = due_at_ms;
    event_add(source->due, &wait);
}

/* Redis away is told once, by the connection. This is what it answers to a claim: no list, no right
 * to it, no memory left. */
static bool
is_refusal(const struct error *error)
{
    return error->kind == ERROR_REFUSED || error->kind == ERROR_INTERNAL ||
           error->kind == ERROR_TRANSIENT;
}

static void
complain(struct source *source, const struct error *error)
{
    int64_t now = clock_mono_ms();

    if (!is_refusal(error))
        return;
    snprintf(source->trouble, sizeof(source->trouble), "queue %s: %s", queue_name(source->queue),
             error->message);
    if (now < source->silent_until_ms)
        return;
    source->silent_until_ms = now + COMPLAIN_EVERY_MS;
    source->has_complained = true;
    log_error("no jobs can be taken from this queue", LOG_STR("queue", queue_name(source->queue)),
              LOG_STR("error", error->message));
}

static void
end_complaint(struct source *source)
{
    source->trouble[0] = '\0';
    if (!source->has_complained)
        return;
    source->has_complained = false;
    log_info("jobs can be taken from this queue again",
             LOG_STR("queue", queue_name(source->queue)));
}

static void
on_claims(enum claim_status status, struct claim *claims, int count, int64_t next_due_ms,
          const struct error *error, void *arg)
{
    struct source *source = arg;
    struct intake *intake = source->intake;

    source->is_claiming = false;
    if (error != NULL) {
        complain(source, error);
        source->shut_until_ms = clock_mono_ms() + REPEAT_MS;
        repeat_soon(intake);
        intake_kick(intake);
        return;
    }
    end_complaint(source);
    source->has_inbox = false;
    /* Fewer than asked for means that the queue is empty. */
    if (source->asked > 0 && count < source->asked && status != CLAIM_FULL)
        source->may_have_jobs = false;
    if (status == CLAIM_PAUSED)
        source->is_paused = true;
    if (status == CLAIM_UNREGISTERED) {
        source->may_have_jobs = true;
        intake->options.on_unregistered(source->queue, intake->options.arg);
    }
    if (next_due_ms >= 0)
        arm_due(source, next_due_ms);
    take_claims(source, claims, count);
    if (status != CLAIM_UNREGISTERED)
        intake_kick(intake);
}

static int64_t
room_bytes(const struct intake *intake)
{
    int open_claims = 0;

    for (int i = 0; i < intake->count; i++)
        open_claims += intake->sources[i].is_claiming;
    return intake->options.room_bytes(open_claims, QUEUE_CLAIM_BYTES, intake->options.arg);
}

static void
claim(struct source *source, int max)
{
    int64_t max_bytes = room_bytes(source->intake);

    source->is_claiming = true;
    source->asked = max;
    source->claiming_since_ms = clock_mono_ms();
    queue_claim(source->queue, max, max_bytes, on_claims, source);
}

/* A job that a pop brought when no slot is left, or none may start, goes back to the head. */
static bool
give_back_inbox(struct intake *intake, int room)
{
    for (int i = 0; i < intake->count; i++) {
        struct source *source = &intake->sources[i];

        if (!source->has_inbox || source->is_claiming || clock_mono_ms() < source->shut_until_ms ||
            (room > 0 && is_open(source)))
            continue;
        claim(source, 0);
        return true;
    }
    return false;
}

/* One claim at a time, so that the order of the queues holds. One whose server hangs keeps its
 * room, but not the others: in a cluster they live elsewhere. */
static bool
is_anyone_claiming(struct intake *intake, int *room)
{
    for (int i = 0; i < intake->count; i++) {
        const struct source *source = &intake->sources[i];

        if (!source->is_claiming)
            continue;
        if (clock_mono_ms() - source->claiming_since_ms < HANGS_MS) {
            repeat_soon(intake);
            return true;
        }
        *room -= source->asked;
    }
    return false;
}

static void
claim_next(struct intake *intake, int room)
{
    struct intake_choice choices[CONFIG_QUEUES_MAX];
    int batch, chosen;

    if (is_anyone_claiming(intake, &room) || give_back_inbox(intake, room) || room <= 0)
        return;
    for (int i = 0; i < intake->count; i++)
        choices[i] = (struct intake_choice){
            .weight = intake->sources[i].weight,
            .is_ready = intake->sources[i].may_have_jobs && !intake->sources[i].is_claiming &&
                        is_open(&intake->sources[i]),
            .served = intake->sources[i].served,
        };
    chosen = intake_choose(choices, intake->count, room, &batch);
    if (chosen >= 0)
        claim(&intake->sources[chosen], batch);
}

/* ---- waiting ---- */

static void
on_waited(bool has_come, const struct error *error, void *arg)
{
    struct source *source = arg;

    source->is_waiting = false;
    if (error != NULL) {
        /* The pop may have brought a job all the same: the next claim finds it in the inbox. */
        source->may_have_jobs = true;
        source->has_inbox = true;
        source->shut_until_ms = clock_mono_ms() + REPEAT_MS;
        repeat_soon(source->intake);
        return;
    }
    if (has_come) {
        source->has_inbox = true;
        may_have_jobs(source);
    }
    intake_kick(source->intake);
}

static void
wait_for_jobs(struct intake *intake, int room)
{
    for (int i = 0; i < intake->count && room > 0; i++) {
        struct source *source = &intake->sources[i];

        if (source->may_have_jobs || source->is_waiting || !is_open(source) ||
            !redis_is_ready(source->pop))
            continue;
        source->is_waiting = true;
        queue_wait(source->queue, source->pop, intake->options.block_ms, on_waited, source);
    }
}

/* ---- at most once ---- */

/* A pop of several queues does not say which of them Redis refused: each is tried alone, and
 * those that are well go on together. */
static void
pop_refused(struct intake *intake, const struct error *error)
{
    struct source *only = intake->popped[0];

    for (int i = 0; i < intake->popped_count; i++)
        intake->popped[i]->is_suspect = true;
    if (intake->popped_count > 1)
        return;
    complain(only, error);
    only->shut_until_ms = clock_mono_ms() + REPEAT_MS;
}

static void
on_popped(struct queue *queue, struct claim *claim, const struct error *error, void *arg)
{
    struct intake *intake = arg;

    intake->is_popping = false;
    if (error != NULL) {
        if (is_refusal(error))
            pop_refused(intake, error);
        repeat_soon(intake);
        return;
    }
    for (int i = 0; i < intake->popped_count; i++) {
        intake->popped[i]->is_suspect = false;
        end_complaint(intake->popped[i]);
    }
    if (claim != NULL) {
        for (int i = 0; i < intake->count; i++)
            if (intake->sources[i].queue == queue)
                take_claims(&intake->sources[i], claim, 1);
    }
    intake_kick(intake);
}

/* Strict queues in their order, then the others, the least served first. */
static int
by_turn(const void *a, const void *b)
{
    const struct source *left = *(const struct source *const *)a;
    const struct source *right = *(const struct source *const *)b;

    if (left->weight == 0 || right->weight == 0) {
        if (left->weight == 0 && right->weight == 0)
            return left < right ? -1 : 1;
        return left->weight == 0 ? -1 : 1;
    }
    return left->served < right->served ? -1 : left->served > right->served;
}

/* The open queues by turn; a suspect one alone. */
static void
choose_popped(struct intake *intake)
{
    intake->popped_count = 0;
    for (int i = 0; i < intake->count; i++) {
        struct source *source = &intake->sources[i];

        if (!is_open(source))
            continue;
        intake->popped[intake->popped_count++] = source;
        if (source->is_suspect) {
            intake->popped[0] = source;
            intake->popped_count = 1;
            return;
        }
    }
    qsort(intake->popped, (size_t)intake->popped_count, sizeof(intake->popped[0]), by_turn);
}

static void
pop_next(struct intake *intake, int room)
{
    struct queue *queues[CONFIG_QUEUES_MAX];

    if (intake->is_popping || room <= 0 || !redis_is_ready(intake->pop))
        return;
    choose_popped(intake);
    if (intake->popped_count == 0)
        return;
    for (int i = 0; i < intake->popped_count; i++)
        queues[i] = intake->popped[i]->queue;
    intake->is_popping = true;
    queue_pop(queues, intake->popped_count, intake->pop,
              intake->popped[0]->is_suspect ? PROBE_MS : intake->options.block_ms, on_popped,
              intake);
}

/* ---- the policy, once per turn ---- */

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct intake *intake = arg;
    int room = room_bytes(intake) > 0 ? intake->options.room(intake->options.arg) : 0;

    (void)fd;
    (void)what;
    if (intake->pop != NULL) {
        pop_next(intake, room);
        return;
    }
    claim_next(intake, room);
    wait_for_jobs(intake, room);
}

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    may_have_jobs(arg);
}

static void
on_pop_state(bool is_ready, const struct error *why, void *arg)
{
    (void)why;
    if (is_ready)
        intake_kick(arg);
}

/* ---- news ---- */

const char *
intake_trouble(const struct intake *intake)
{
    for (int i = 0; i < intake->count; i++)
        if (intake->sources[i].trouble[0] != '\0')
            return intake->sources[i].trouble;
    return "";
}

static struct source *
source_of(struct intake *intake, const struct queue *queue)
{
    struct source *source = intake->sources;

    while (source->queue != queue)
        source++;
    return source;
}

/* Ends the blocking pop, so that it takes no more jobs. What it brought meanwhile goes back. */
static void
stop_waiting(struct source *source)
{
    struct intake *intake = source->intake;

    if (source->pop == NULL) { /* at most once: one pop for all queues */
        if (intake->is_popping)
            redis_reconnect(intake->pop);
        return;
    }
    source->has_inbox = true;
    if (source->is_waiting)
        redis_reconnect(source->pop);
    intake_kick(source->intake);
}

void
intake_set_paused(struct intake *intake, struct queue *queue, bool is_paused)
{
    struct source *source = source_of(intake, queue);

    if (source->is_paused == is_paused)
        return;
    source->is_paused = is_paused;
    log_info(is_paused ? "queue is paused" : "queue goes on", LOG_STR("queue", queue_name(queue)));
    if (is_paused)
        stop_waiting(source);
    else
        may_have_jobs(source);
}

void
intake_set_quiet(struct intake *intake, bool is_quiet)
{
    intake->is_quiet = is_quiet;
    if (is_quiet && intake->pop != NULL && intake->is_popping)
        redis_reconnect(intake->pop);
    for (int i = 0; is_quiet && i < intake->count; i++)
        stop_waiting(&intake->sources[i]);
    if (!is_quiet)
        intake_look_everywhere(intake);
}

/* It starts level with the others: what it was served under another weight says nothing. */
void
intake_set_weight(struct intake *intake, struct queue *queue, int weight)
{
    struct source *changed = source_of(intake, queue);

    if (changed->weight == weight)
        return;
    log_info("queue has another weight", LOG_STR("queue", queue_name(queue)),
             LOG_INT("weight", weight));
    changed->weight = weight;
    for (int i = 0; i < intake->count; i++)
        intake->sources[i].served = 0;
}

void
intake_set_inbox(struct intake *intake, struct queue *queue)
{
    struct source *source = source_of(intake, queue);

    source->has_inbox = true;
    may_have_jobs(source);
}

void
intake_set_due(struct intake *intake, struct queue *queue, int64_t due_in_ms)
{
    arm_due(source_of(intake, queue), due_in_ms);
}

void
intake_look_everywhere(struct intake *intake)
{
    for (int i = 0; i < intake->count; i++)
        may_have_jobs(&intake->sources[i]);
}

/* ---- life ---- */

static void
source_init(struct source *source, struct intake *intake, int index)
{
    const struct intake_options *options = &intake->options;

    source->intake = intake;
    source->queue = options->queues[index];
    source->weight = options->config->queues[index].weight;
    source->may_have_jobs = true;
    source->due = evtimer_new(options->base, on_due, source);
    if (options->config->delivery == DELIVERY_AT_LEAST_ONCE)
        source->pop = redis_route_dedicated(options->route, queue_name(source->queue), "pop",
                                            on_pop_state, NULL, intake);
}

struct intake *
intake_new(const struct intake_options *options)
{
    struct intake *intake = xcalloc(1, sizeof(*intake));

    intake->options = *options;
    intake->count = options->config->queue_count;
    intake->sources = xcalloc((size_t)intake->count, sizeof(*intake->sources));
    intake->turn = event_new(options->base, -1, 0, on_turn, intake);
    intake->repeat = evtimer_new(options->base, on_turn, intake);
    for (int i = 0; i < intake->count; i++)
        source_init(&intake->sources[i], intake, i);
    if (options->config->delivery == DELIVERY_AT_MOST_ONCE)
        intake->pop = redis_route_dedicated(options->route, queue_name(options->queues[0]), "pop",
                                            on_pop_state, NULL, intake);
    return intake;
}

void
intake_free(struct intake *intake)
{
    if (intake == NULL)
        return;
    for (int i = 0; i < intake->count; i++) {
        event_free(intake->sources[i].due);
        redis_free(intake->sources[i].pop);
    }
    redis_free(intake->pop);
    event_free(intake->turn);
    event_free(intake->repeat);
    free(intake->sources);
    free(intake);
}
