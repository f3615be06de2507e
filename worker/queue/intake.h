/*
 * intake.h - which jobs are claimed now: from which queue, how many.
 *
 * One policy, run once per turn of the loop when something has changed. Jobs are claimed only
 * for free slots, in batches, one claim under way at a time (but
 * none waits for a server that hangs); what has no slot stays in its list
 * for others to see. When a queue is empty a blocking pop on a connection of its own waits for it.
 * Queues without a weight come strictly first, in their order; those with one share what is left.
 */
#ifndef WORKER_QUEUE_INTAKE_H
#define WORKER_QUEUE_INTAKE_H

#include "common/config.h"
#include "worker/queue/queue.h"

struct intake;

struct intake_options {
    struct event_base *base;     /* borrowed */
    struct redis_route *route;   /* borrowed */
    const struct config *config; /* borrowed; queues and delivery */
    struct queue *const *queues; /* borrowed; one per config->queues */
    int64_t block_ms;            /* of a blocking pop: well below a lease */
    /* How many jobs may be claimed right now: free slots, 0 while nothing may start. */
    int (*room)(void *arg);
    /* How many bytes of jobs one more claim may bring beside `open_claims` whose servers hang, at
     * most `most`; 0: none may be claimed. */
    int64_t (*room_bytes)(int open_claims, int64_t most, void *arg);
    /* Does this worker's lease on the queue hold? */
    bool (*may_claim)(struct queue *queue, void *arg);
    /* A job; the claim is the callee's. */
    void (*on_claim)(struct queue *queue, struct claim *claim, void *arg);
    /* Redis does not know this worker (any more): it should beat at once. */
    void (*on_unregistered)(struct queue *queue, void *arg);
    void *arg;
};

struct intake *intake_new(const struct intake_options *options);
void intake_free(struct intake *intake);

/* Something changed (a slot, a lease, a gate): look again, once, in the next turn. */
void intake_kick(struct intake *intake);
/* There may be jobs everywhere: after a reconnect. */
void intake_look_everywhere(struct intake *intake);
/* What a beat said, or a notice. A pause also ends the blocking pop, and a job it has brought goes
 * back to the head of its queue. */
void intake_set_paused(struct intake *intake, struct queue *queue, bool is_paused);
void intake_set_inbox(struct intake *intake, struct queue *queue);
void intake_set_due(struct intake *intake, struct queue *queue, int64_t due_in_ms);
/* As struct config_queue has it. */
void intake_set_weight(struct intake *intake, struct queue *queue, int weight);
/* Quiet: as if every queue were paused, for this worker alone. */
void intake_set_quiet(struct intake *intake, bool is_quiet);

/* Why Redis refuses the claims from one of the queues, or "": then each one's last was taken. */
const char *intake_trouble(const struct intake *intake);

/*
 * The choice of a queue alone, pure, for tests. Returns the index of the queue to claim from, or
 * -1; *batch is set to how many of `room` jobs to ask it for.
 */
struct intake_choice {
    int weight;    /* 0: strict */
    bool is_ready; /* may have jobs, may be claimed from */
    double served; /* jobs taken so far divided by weight */
};
int intake_choose(const struct intake_choice *queues, int count, int room, int *batch);

#endif
