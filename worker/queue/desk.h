/*
 * desk.h - what producers and operators do to queues: push, look, cancel, pause.
 *
 * The counterpart of queue.h, which is the worker's side. The HTTP port and the command
 * line both stand on this room. Every call is one trip to Redis; its callback gets Redis'
 * reply or the error, as redis.h promises.
 */
#ifndef WORKER_QUEUE_DESK_H
#define WORKER_QUEUE_DESK_H

#include "common/redis/redis_route.h"

struct desk;

/* `prefix` is copied, `route` borrowed. */
struct desk *desk_new(struct redis_route *route, const char *prefix);
void desk_free(struct desk *desk);
/* From now on queues are kombu's: the name of each list begins with `keyprefix` (NULL: nothing),
 * and what waits is counted in all four lists of a queue. */
void desk_set_kombu(struct desk *desk, const char *keyprefix);

/* Pushes a job to the right end. Reply: the list's new length. */
struct redis_call *desk_push(struct desk *desk, const char *queue, const char *payload, size_t len,
                             redis_reply_fn *fn, void *arg);

/* Where a job stands. Reply: an array of four: the result document or nil; 1 when a worker
 * runs it; 1 when it is in the delayed set; 1 when it was asked to be cancelled. */
struct redis_call *desk_status(struct desk *desk, const char *queue, const char *id,
                               redis_reply_fn *fn, void *arg);

/* Asks for a cancel. Reply: an array: "final" and the result document, or "running" (its
 * worker was told), or "waiting" (whoever takes it will drop it with a `cancelled` result). */
struct redis_call *desk_cancel(struct desk *desk, const char *queue, const char *id,
                               redis_reply_fn *fn, void *arg);

/* Stops or lets go all workers' claims from a queue. What the reply is does not matter. */
struct redis_call *desk_pause(struct desk *desk, const char *queue, bool is_paused,
                              redis_reply_fn *fn, void *arg);

/* Reply: an array of seven integers and a string: paused (0/1), waiting (due ones of the
 * delayed set included), in flight, delayed, dead, live workers, now in Unix ms; then the first
 * 4096 bytes of the oldest waiting payload or nil. */
struct redis_call *desk_stats(struct desk *desk, const char *queue, redis_reply_fn *fn, void *arg);

/* Dead letters from the oldest on, [first, last] as LRANGE counts. Reply: array of JSON. */
struct redis_call *desk_dead_list(struct desk *desk, const char *queue, int64_t first, int64_t last,
                                  redis_reply_fn *fn, void *arg);
/* Puts one dead letter (its exact JSON text) back into the queue as `payload`, and forgets the
 * job's old result so that it runs again; `id` may be "". Reply: 1, or 0 when it is not there. */
struct redis_call *desk_dead_retry(struct desk *desk, const char *queue, const char *letter,
                                   size_t letter_len, const char *id, const char *payload,
                                   size_t payload_len, redis_reply_fn *fn, void *arg);
/* Reply: 1, or 0 when it is not there. */
struct redis_call *desk_dead_drop(struct desk *desk, const char *queue, const char *letter,
                                  size_t letter_len, redis_reply_fn *fn, void *arg);

/* The channel on which ids of finished jobs are published, for redis_subscribe; a new
 * string (free). */
char *desk_done_channel(const struct desk *desk, const char *queue);

#endif
