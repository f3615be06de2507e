/*
 * control.h - the HTTP port of a worker: enqueue, look, cancel, metrics, health.
 *
 * Routes and their answers are the public contract (docs/http.md). Who may call: anybody on
 * loopback, or the bearer of HEADGATE_HTTP_TOKEN; a browser on another site may not (Host
 * and Origin are checked).
 */
#ifndef WORKER_CONTROL_CONTROL_H
#define WORKER_CONTROL_CONTROL_H

#include "common/config.h"
#include "common/metrics.h"
#include "worker/model/hints.h"
#include "worker/model/pacer.h"
#include "worker/queue/desk.h"

struct control;

/* Is this worker able to take jobs? Fills `why` (a sentence) when it is not. */
typedef bool control_ready_fn(char *why, size_t why_size, void *arg);
/* Sets the gauges that are only looked at when somebody asks (/metrics). */
typedef void control_gauges_fn(struct metrics *metrics, void *arg);

/* The job types that there are now. */
typedef struct job_types *control_types_fn(void *arg);

struct control_options {
    struct event_base *base;
    const struct config *config;
    const struct model_list *models;
    struct redis_route *route;
    struct desk *desk;
    struct hints *hints;
    struct pacer *pacer; /* NULL: calls are not paced */
    struct metrics *metrics;
    int max_connections;      /* at once */
    size_t max_bytes_at_once; /* of requests over all of them, and of answers */
    const char *version;
    control_ready_fn *is_ready;
    control_gauges_fn *set_gauges;
    control_types_fn *types; /* NULL: the built-in ones */
    void *arg;               /* for all of them */
};

/* Listens on config->http_address. ERROR_UNREACHABLE when the address is in use. Everything is
 * borrowed. */
struct control *control_new(const struct control_options *options, struct error *err);
void control_free(struct control *control);
int control_port(const struct control *control);

#endif
