/*
 * worker_internal.h - what the files of the worker share: worker.c (start, stop, signals),
 * worker_drain.c (going), worker_reload.c (SIGHUP), worker_events.c (what attempts, beats and Redis
 * tell) and worker_state.c (what it says of itself). Nobody else includes it.
 */
#ifndef WORKER_WORKER_INTERNAL_H
#define WORKER_WORKER_INTERNAL_H

#include "worker/worker.h"

#include "common/http/http_client.h"
#include "common/metrics.h"
#include "common/redis/redis_route.h"
#include "worker/attempt.h"
#include "worker/celery/node.h"
#include "worker/control/control.h"
#include "worker/gate.h"
#include "worker/model/hints.h"
#include "worker/model/model_file.h"
#include "worker/provider/bedrock.h"
#include "worker/queue/beat.h"
#include "worker/queue/desk.h"
#include "worker/queue/intake.h"
#include "worker/settings.h"

#include <event2/event.h>
#include <uthash.h>

#define WORKER_SIGNALS 6

enum phase {
    PHASE_WORKING,
    PHASE_DRAINING, /* no new jobs; running ones may finish */
    PHASE_STOPPING, /* no calls any more; what is being settled may end */
    PHASE_LEAVING,  /* Redis is told that we go */
};

struct running {
    struct attempt *attempt;
    UT_hash_handle hh;
};

struct worker {
    struct config *config; /* borrowed; a reload changes its queues' weights */
    char id[128];          /* "host:123:9f2c" */
    struct event_base *base;
    struct event *signals[WORKER_SIGNALS];
    struct event *drain_end;
    struct event *gate_timer;
    struct event *watchdog; /* tells systemd that the loop turns */
    struct model_list models;
    struct job_types *types; /* held: of jobs that start now */
    struct tenants tenants;
    struct bedrock *bedrock;
    struct provider provider;
    struct metrics *metrics;
    struct http_client *http;
    struct redis_route *route;
    struct celery_node *node;          /* NULL: no Celery */
    bool is_let_go[CONFIG_QUEUES_MAX]; /* by queue: told by Celery's control to take no more */
    struct celery *celery;             /* NULL: the queues are our own */
    struct redis *notices;             /* subscribed to the control channels */
    struct queue *queues[CONFIG_QUEUES_MAX];
    struct beat *beats[CONFIG_QUEUES_MAX];
    struct intake *intake;
    struct hints *hints;
    struct pacer *pacer; /* NULL: another HEADGATE_POLICY */
    struct desk *desk;
    struct control *control; /* NULL: no HTTP */
    struct attempt_context attempt_context;
    struct gate gate;
    struct budget budget; /* of jobs and answers */

    enum phase phase;
    bool is_quiet;
    struct running *attempts; /* by address */
    bool has_worked;          /* since memory was trimmed last */
    int slots;                /* HEADGATE_CONCURRENCY, or fewer where descriptors are few */
    int http_connections;     /* that the HTTP port may have, so that the others keep theirs */
    int slots_busy;           /* attempts whose calls are not over */
    int queues_to_leave;
    int64_t redis_lost_ms;         /* monotonic; 0: Redis is there, and takes what we write */
    int64_t redis_silent_until_ms; /* until then, no more reasons are logged */
    bool has_met_redis;
    int exit_code;
};

/* worker_drain.c */
void worker_drain(struct worker *w);
/* Ends calls that are still under way; their jobs go back. */
void worker_stop(struct worker *w);
void worker_leave_when_done(struct worker *w);
void worker_abandon_all(struct worker *w, bool calls_only);
void worker_on_drain_end(evutil_socket_t fd, short what, void *arg); /* of event w->drain_end */

/* worker_reload.c */
void worker_reload(struct worker *w);
/* Takes job types and tenants. */
void worker_take_settings(struct worker *w, struct settings *settings);

/* worker_events.c: callbacks of the rooms; `arg` is the worker. */
void worker_on_slot_free(void *arg);
void worker_on_attempt_done(struct attempt *attempt, const struct attempt_end *end, void *arg);
void worker_on_gate_timer(evutil_socket_t fd, short what, void *arg);
void worker_on_lease_lost(struct queue *queue, void *arg);
void worker_on_cancel(struct queue *queue, const char *job_id, void *arg);
void worker_on_news(struct queue *queue, bool is_paused, bool has_inbox, int64_t next_due_ms,
                    void *arg);
void worker_on_notice(const char *channel, const char *message, size_t len, void *arg);
void worker_on_redis_state(bool is_ready, const struct error *why, void *arg);

/* worker_state.c */
/* Does Redis answer for one of its queues, at least? */
bool worker_meets_redis(const struct worker *w);
bool worker_is_ready(char *why, size_t why_size, void *arg);
void worker_set_gauges(struct metrics *metrics, void *arg);
void worker_dump_state(const struct worker *w);

#endif
