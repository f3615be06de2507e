#include "worker/queue/beat.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEATS_PER_LEASE 4
#define REPEAT_MS       200
/* After Redis was away every lease may have ended although all workers live. Nobody reaps before
 * they could come back: a connection, or a beat that was refused, is tried at least once a second.
 */
#define COME_BACK_MS 2000
/* After its clock has jumped they need one round of beats, and this much more. */
#define ROUND_EXTRA_MS 1000
/* Redis' clock against ours, from one beat to the next: more is no delay of a reply. */
#define CLOCK_JUMP_MS 1000
/* What beat.lua says of keys that are not ours to touch: no claims, from now on. */
#define NEWER_LAYOUT "LAYOUT "
/* Cancels are asked for again by this much, so that none falls between two beats. */
#define OVERLAP_MS 1000

struct beat {
    struct beat_options options;
    struct event *timer;
    bool is_open; /* a beat is under way */
    bool is_stopped;
    bool has_beaten;
    int64_t sent_ms;        /* monotonic, as all here */
    int64_t reap_from_ms;   /* ended leases mean dead workers from then on; 0: beats fail */
    int64_t redis_ahead_ms; /* Redis' clock minus ours, at the last beat */
    int64_t alive_until_ms;
    int64_t cancels_since_ms; /* Redis' clock */
    char trouble[448]; /* what Redis, which is there, said as it refused our beat; "": it takes them
                        */
    int64_t last_held; /* claims held in memory when the last beat found more on record; -1: it did
                          not */
};

static void
beat_again_in(struct beat *beat, int64_t ms)
{
    struct timeval wait = clock_timeval(ms);

    event_add(beat->timer, &wait);
}

static void
reap_expired(const struct beat *beat, const redisReply *workers)
{
    if (clock_mono_ms() < beat->reap_from_ms)
        return;
    for (size_t i = 0; workers != NULL && i < workers->elements; i++)
        queue_reap(beat->options.queue, redis_str(redis_at(workers, i), ""));
}

/* And looks again as soon as that is over. */
static void
let_others_beat(struct beat *beat, int64_t ms)
{
    beat->reap_from_ms = clock_mono_ms() + ms;
    if (ms < beat->options.lease_ms / BEATS_PER_LEASE)
        beat_again_in(beat, ms);
}

/* Redis' clock ends the leases: when it leaps forward it ends those of the living too. */
static void
watch_clock(struct beat *beat, int64_t redis_now_ms)
{
    int64_t ahead_ms = redis_now_ms - beat->sent_ms;
    int64_t jump_ms = ahead_ms - beat->redis_ahead_ms;

    beat->redis_ahead_ms = ahead_ms;
    if (beat->reap_from_ms == 0) {
        let_others_beat(beat, COME_BACK_MS);
    } else if (llabs(jump_ms) > CLOCK_JUMP_MS) {
        log_warn("Redis' clock has jumped; ended leases are not believed for a moment",
                 LOG_STR("queue", queue_name(beat->options.queue)), LOG_INT("jump_ms", jump_ms));
        let_others_beat(beat, beat->options.lease_ms / BEATS_PER_LEASE + ROUND_EXTRA_MS);
    }
}

static void
tell_cancels(const struct beat *beat, const redisReply *ids)
{
    for (size_t i = 0; ids != NULL && i < ids->elements; i++)
        beat->options.on_cancel(beat->options.queue, redis_str(redis_at(ids, i), ""),
                                beat->options.arg);
}

/* One beat may overtake what is just being settled; two in a row may not. */
static void
compare_record(struct beat *beat, int64_t on_record)
{
    int64_t held = queue_claims_held(beat->options.queue);
    bool has_more = on_record > held;

    if (has_more && beat->last_held >= 0)
        queue_reconcile(beat->options.queue);
    beat->last_held = has_more ? held : -1;
}

/* Redis away is told by the connection. This is a Redis that answers: no right, no memory, no
 * replicas. Without a beat the lease ends. */
static void
tell_refusal(struct beat *beat, const struct error *error)
{
    bool is_refused = error != NULL && error->kind != ERROR_UNREACHABLE &&
                      error->kind != ERROR_LOST && error->kind != ERROR_TIMEOUT;
    bool was_refused = beat->trouble[0] != '\0';
    const char *queue = queue_name(beat->options.queue);

    if (is_refused && !was_refused)
        log_error("Redis refuses this worker's beat: its lease will end", LOG_STR("queue", queue),
                  LOG_STR("error", error->message));
    if (error == NULL && was_refused)
        log_info("Redis takes this worker's beat again", LOG_STR("queue", queue));
    if (is_refused || error == NULL)
        snprintf(beat->trouble, sizeof(beat->trouble), "%s", is_refused ? error->message : "");
}

/* After an outage every lease has ended: only what it costs us is worth a warning. */
static void
tell_loss(const struct queue *queue)
{
    int64_t claims = queue_claims_held(queue);

    if (claims > 0)
        log_warn("lease lost: this worker's jobs went to others",
                 LOG_STR("queue", queue_name(queue)), LOG_INT("claims", claims));
    else
        log_info("lease lost while no job was held", LOG_STR("queue", queue_name(queue)));
}

/* Redis has not registered us anew: had this reply been lost, the next one would have said the
 * same. */
static void
lose(struct beat *beat)
{
    beat->has_beaten = false;
    beat->alive_until_ms = 0;
    beat_again_in(beat, 0);
    tell_loss(beat->options.queue);
    beat->options.on_lease_lost(beat->options.queue, beat->options.arg);
}

static void
on_beat(const struct beat_reply *reply, const struct error *error, void *arg)
{
    struct beat *beat = arg;
    const struct beat_options *options = &beat->options;

    beat->is_open = false;
    if (beat->is_stopped)
        return;
    tell_refusal(beat, error);
    if (error != NULL) {
        beat->reap_from_ms = 0;
        if (strncmp(error->message, NEWER_LAYOUT, strlen(NEWER_LAYOUT)) == 0)
            beat->alive_until_ms = 0;
        beat_again_in(beat, REPEAT_MS);
        return;
    }
    if (!reply->was_registered && beat->has_beaten) {
        lose(beat);
        return;
    }
    beat_again_in(beat, options->lease_ms / BEATS_PER_LEASE);
    watch_clock(beat, reply->now_ms);
    beat->alive_until_ms = beat->sent_ms + options->lease_ms;
    beat->cancels_since_ms = reply->now_ms - OVERLAP_MS;
    beat->has_beaten = true;
    compare_record(beat, reply->claims_on_record);
    reap_expired(beat, reply->expired);
    tell_cancels(beat, reply->cancelled);
    options->on_news(options->queue, reply->is_paused, reply->inbox_len > 0, reply->next_due_ms,
                     options->arg);
}

void
beat_now(struct beat *beat)
{
    if (beat->is_open || beat->is_stopped)
        return;
    beat->is_open = true;
    beat->sent_ms = clock_mono_ms();
    queue_beat(beat->options.queue, beat->cancels_since_ms, beat->has_beaten, on_beat, beat);
}

void
beat_stop(struct beat *beat)
{
    beat->is_stopped = true;
    event_del(beat->timer);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    beat_now(arg);
}

struct beat *
beat_new(const struct beat_options *options)
{
    struct beat *beat = xcalloc(1, sizeof(*beat));

    beat->options = *options;
    beat->timer = evtimer_new(options->base, on_timer, beat);
    beat->last_held = -1;
    beat_now(beat);
    return beat;
}

void
beat_free(struct beat *beat)
{
    if (beat == NULL)
        return;
    event_free(beat->timer);
    free(beat);
}

bool
beat_is_alive(const struct beat *beat)
{
    return !beat->is_stopped && clock_mono_ms() < beat->alive_until_ms;
}

const char *
beat_trouble(const struct beat *beat)
{
    return beat->trouble;
}
