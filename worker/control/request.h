/*
 * request.h - one exchange that waits for Redis.
 *
 * It asks the desk, once per queue, or the hints; when all answers of that round are there its
 * `complete` runs, which asks again, sleeps, or answers. Should the client or the port go away
 * first, it ends by itself and nothing of it runs any more.
 */
#ifndef WORKER_CONTROL_REQUEST_H
#define WORKER_CONTROL_REQUEST_H

#include "worker/control/control_internal.h"

struct request;
typedef void request_fn(struct request *request);
/* Sends one question about one queue. */
typedef struct redis_call *request_ask_fn(struct request *request, const char *queue,
                                          redis_reply_fn *fn, void *arg);
/* One answer, borrowed until it returns; `queue` indexes request->queues. */
typedef void request_reply_fn(struct request *request, int queue, const redisReply *reply);
/* hints_read or hints_reset. */
typedef struct hints_query *request_hints_fn(struct hints *hints, hints_figures_fn *fn, void *arg);

struct request_call {
    struct request *request;
    struct redis_call *call; /* NULL: not under way */
    int queue;
};

struct request {
    struct control *control;
    struct http_exchange *exchange; /* taken when it is answered */
    request_fn *complete;
    request_fn *release; /* frees what a longer struct holds; may be NULL */
    request_reply_fn *on_reply;
    struct error failure; /* the first of this round; ERROR_NONE: all is well */
    const char *queues[CONFIG_QUEUES_MAX];
    int queue_count;
    char own_queue[CONFIG_QUEUE_NAME_MAX]; /* the one that the caller chose */
    struct request_call calls[CONFIG_QUEUES_MAX];
    int open_calls;
    struct hints_figures *figures; /* one per model; owned; NULL: none read */
    struct hints_query *query;     /* to the hints; NULL: not under way */
    struct request *prev, *next;
};

/* `size` is that of a struct that begins with struct request; zeroed. Its queues are all the
 * configured ones. */
void *request_new(struct control *control, struct http_exchange *exchange, size_t size,
                  request_fn *complete);
/* Narrows it to one queue. Returns -1 when this is no name of a queue. */
int request_choose_queue(struct request *request, const char *queue) WARN_UNUSED;

/* Both may be under way at once. */
void request_ask(struct request *request, request_ask_fn *ask, request_reply_fn *on_reply);
void request_ask_hints(struct request *request, request_hints_fn *ask);

/* Ends the request; the exchange is the caller's to answer. */
struct http_exchange *request_take_exchange(struct request *request);
/* Each of these answers and ends the request. */
void request_answer_json(struct request *request, int status, struct evbuffer *body); /* taken */
void request_answer_error(struct request *request, int status, const char *kind,
                          const char *message);
/* 503 with what Redis or the way to it said. */
void request_answer_failure(struct request *request);
/* Ends it without an answer: the client is gone, or the port. */
void request_end(struct request *request);

#endif
