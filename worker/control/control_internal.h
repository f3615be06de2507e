/*
 * control_internal.h - what the files of this room share: the port, its routes, its answers.
 */
#ifndef WORKER_CONTROL_CONTROL_INTERNAL_H
#define WORKER_CONTROL_CONTROL_INTERNAL_H

#include "common/http/http_server.h"
#include "common/json/json.h"
#include "worker/control/access.h"
#include "worker/control/control.h"

#include <event2/buffer.h>

struct request;

struct control {
    struct control_options options;
    struct access_rules access;
    struct http_server *server; /* owned */
    struct request *requests;   /* not answered yet */
    int wait_count;             /* of them, those that wait for a job's end */
};

/* Handles a request that passed all checks. `rest` is what stands behind a path that ends
 * with '/'. */
typedef void route_fn(struct control *control, struct http_exchange *exchange, const char *rest);

struct route {
    const char *method;
    const char *path; /* decoded; with a '/' at its end any rest belongs to it */
    bool is_open;     /* needs no token: probes have none */
    route_fn *handle;
};
/* Ends with an entry of NULLs. */
extern const struct route control_routes[];

/* The route of a request, or NULL. *allowed is then the method that this path has, or NULL when
 * nobody knows the path. */
const struct route *route_find(const struct route *routes, const char *method, const char *path,
                               const char **rest, const char **allowed);

/* Each of these answers and ends the exchange. */
void answer_json(struct http_exchange *exchange, int status, struct evbuffer *body); /* taken */
void answer_error(struct http_exchange *exchange, int status, const char *kind,
                  const char *message);
/* Appends "name":"text". */
void put_text_member(struct evbuffer *out, const char *name, const char *text);
/* Appends "name":VALUE, null for an absent one. */
void put_slice_member(struct evbuffer *out, const char *name, struct json_slice value);

/* routes_enqueue.c */
route_fn route_analyze, route_chat, route_enqueue;
/* routes_tasks.c */
route_fn route_task_status, route_cancel;
/* routes_stats.c */
route_fn route_model_stats, route_reset, route_queue_stats, route_healthz, route_readyz;
/* routes_metrics.c */
route_fn route_metrics;

#endif
