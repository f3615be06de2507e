/*
 * session.h - a verb's time with Redis: configuration, connection, desk, one question at a time.
 *
 * A verb is a straight line, the rooms below are asynchronous: this room turns the loop until
 * the answer is there. Whatever fails is said on stderr, once, and comes back as an exit code.
 */
#ifndef WORKER_CLI_SESSION_H
#define WORKER_CLI_SESSION_H

#include "common/config.h"
#include "worker/queue/desk.h"
#include "worker/queue/desk_view.h"

#include <event2/event.h>

struct session {
    struct config config;
    struct event_base *base;
    struct event *limit; /* ends a turn of the loop */
    struct redis_route *route;
    struct desk *desk;
    const char *queues[CONFIG_QUEUES_MAX]; /* those the verb is about */
    int queue_count;
    struct error last_error; /* why there is no connection */
    bool is_ready;
};

/* Reads the configuration and connects, within 5 s. `queue`: only this one; NULL: all that are
 * configured. Returns EXIT_OK, or an exit code with nothing left to close. */
int session_open(struct session *session, const char *queue) WARN_UNUSED;
/* The same without waiting for the connection: last_error tells how it went so far. */
int session_prepare(struct session *session, const char *queue) WARN_UNUSED;
void session_close(struct session *session);

/* Waits until Redis is ready; EXIT_UNREACHABLE says nothing yet, see last_error. */
int session_connect(struct session *session) WARN_UNUSED;
/* Lets time pass; the loop turns meanwhile. */
void session_sleep(struct session *session, int64_t ms);

/* One question:
 *     struct session_call call = {.read = on_stats, .arg = &stats};
 *     desk_stats(session.desk, queue, session_on_reply, &call);
 *     if ((exit_code = session_wait(&session, &call)) != EXIT_OK) ...
 */
typedef void session_read_fn(const redisReply *reply, void *arg);
struct session_call {
    session_read_fn *read; /* gets the reply, borrowed; NULL: nobody needs it */
    void *arg;
    bool is_over;
    struct error error;
};
void session_on_reply(const redisReply *reply, const struct error *error, void *call);
/* EXIT_OK, or says why not. */
int session_wait(struct session *session, struct session_call *call) WARN_UNUSED;

/* Where a job is, asked of all the session's queues. */
struct found_job {
    const char *queue; /* NULL: none knows it */
    enum standing standing;
    enum result_state state; /* of a final one */
    char *document;          /* the result when final; owned */
    size_t document_len;
};
int session_find_job(struct session *session, const char *id, struct found_job *found) WARN_UNUSED;
void found_job_release(struct found_job *found);

#endif
