#include "worker/control/control_internal.h"

#include "common/memory.h"
#include "worker/control/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#define JSON_TYPE "application/json"
/* Of all connections, those that are only told that there are too many. */
#define REFUSED_PART 9

/* ---- answers ---- */

void
put_text_member(struct evbuffer *out, const char *name, const char *text)
{
    evbuffer_add_printf(out, "\"%s\":", name);
    json_put_string(out, text, strlen(text));
}

void
put_slice_member(struct evbuffer *out, const char *name, struct json_slice value)
{
    evbuffer_add_printf(out, "\"%s\":", name);
    if (value.type == JSON_ABSENT)
        evbuffer_add_printf(out, "null");
    else
        json_put_slice(out, value);
}

void
answer_json(struct http_exchange *exchange, int status, struct evbuffer *body)
{
    evbuffer_add(body, "\n", 1);
    http_reply(exchange, status, JSON_TYPE, body, NULL);
    evbuffer_free(body);
}

static void
answer_error_with(struct http_exchange *exchange, int status, const char *kind, const char *message,
                  const char *header)
{
    const char *const headers[] = {header, NULL};
    struct evbuffer *body = xevbuffer();

    evbuffer_add_printf(body, "{\"success\":false,\"error\":{");
    put_text_member(body, "kind", kind);
    evbuffer_add(body, ",", 1);
    put_text_member(body, "message", message);
    evbuffer_add_printf(body, "}}\n");
    http_reply(exchange, status, JSON_TYPE, body, headers);
    evbuffer_free(body);
}

void
answer_error(struct http_exchange *exchange, int status, const char *kind, const char *message)
{
    answer_error_with(exchange, status, kind, message, NULL);
}

/* ---- routes ---- */

static route_fn route_index;

const struct route control_routes[] = {
    {"GET", "/", false, route_index},
    {"POST", "/analyze_section", false, route_analyze},
    {"POST", "/chat", false, route_chat},
    {"POST", "/enqueue", false, route_enqueue},
    {"GET", "/task_status/", false, route_task_status},
    {"POST", "/cancel_task/", false, route_cancel},
    {"GET", "/model_stats", false, route_model_stats},
    {"POST", "/reset_model_cooldowns", false, route_reset},
    {"GET", "/queue_stats", false, route_queue_stats},
    {"GET", "/metrics", false, route_metrics},
    {"GET", "/healthz", true, route_healthz},
    {"GET", "/readyz", true, route_readyz},
    {NULL, NULL, false, NULL},
};

static void
route_index(struct control *control, struct http_exchange *exchange, const char *rest)
{
    struct evbuffer *body = xevbuffer();

    (void)rest;
    evbuffer_add_printf(body, "{\"name\":\"headgate\",");
    put_text_member(body, "version", control->options.version);
    evbuffer_add_printf(body, ",\"routes\":[");
    for (const struct route *r = control_routes; r->path != NULL; r++) {
        bool takes_id = r->path[1] != '\0' && r->path[strlen(r->path) - 1] == '/';

        evbuffer_add_printf(body, "%s\"%s %s%s\"", r == control_routes ? "" : ",", r->method,
                            r->path, takes_id ? "<id>" : "");
    }
    evbuffer_add_printf(body, "]}");
    answer_json(exchange, 200, body);
}

/* What stands behind the route's path, or NULL when it is another path. */
static const char *
path_rest(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);
    bool takes_more = len > 1 && route->path[len - 1] == '/';

    if (strncmp(path, route->path, len) != 0 || (!takes_more && path[len] != '\0'))
        return NULL;
    return path + len;
}

const struct route *
route_find(const struct route *routes, const char *method, const char *path, const char **rest,
           const char **allowed)
{
    *allowed = NULL;
    for (const struct route *route = routes; route->path != NULL; route++) {
        const char *here = path_rest(route, path);

        if (here == NULL)
            continue;
        *rest = here;
        if (strcmp(method, route->method) == 0 ||
            (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0))
            return route; /* the server leaves the body of an answer to HEAD out */
        *allowed = route->method;
    }
    return NULL;
}

/* ---- checks ---- */

static void
answer_no_route(struct http_exchange *exchange, const char *allowed)
{
    char header[32], message[64];

    if (allowed == NULL) {
        answer_error(exchange, 404, "not_found", "there is no such page; GET / lists them");
        return;
    }
    snprintf(header, sizeof(header), "Allow: %s%s", allowed,
             strcmp(allowed, "GET") == 0 ? ", HEAD" : "");
    snprintf(message, sizeof(message), "this page takes %s only", allowed);
    answer_error_with(exchange, 405, "method_not_allowed", message, header);
}

static bool
is_json_type(const char *type)
{
    size_t len = sizeof(JSON_TYPE) - 1;

    return type != NULL && strncasecmp(type, JSON_TYPE, len) == 0 &&
           (type[len] == '\0' || strchr("; \t", type[len]) != NULL);
}

static bool
body_is_fine(struct http_exchange *exchange)
{
    struct json_slice root;
    struct error err;
    size_t len = 0;
    const char *body = http_body(exchange, &len);

    if (len == 0)
        return true;
    if (!is_json_type(http_request_header(exchange, "Content-Type")))
        answer_error(exchange, 415, "unsupported_media_type",
                     "a body must be sent as Content-Type: " JSON_TYPE);
    else if (json_check(body, len, &root, &err) != 0)
        answer_error(exchange, 400, "bad_request", err.message);
    else if (root.type != JSON_OBJECT)
        answer_error(exchange, 400, "bad_request", "the body must be a JSON object");
    else
        return true;
    return false;
}

static void
on_request(struct http_exchange *exchange, void *arg)
{
    struct control *control = arg;
    const struct access_claims claims = {
        .host = http_request_header(exchange, "Host"),
        .origin = http_request_header(exchange, "Origin"),
        .fetch_site = http_request_header(exchange, "Sec-Fetch-Site"),
        .authorization = http_request_header(exchange, "Authorization"),
    };
    const char *rest, *allowed, *refusal = access_refuses_site(&control->access, &claims);
    const struct route *route =
        route_find(control_routes, http_method(exchange), http_path(exchange), &rest, &allowed);

    if (refusal != NULL)
        answer_error(exchange, 400, "bad_request", refusal);
    else if (!(route != NULL && route->is_open) && !access_has_token(&control->access, &claims))
        answer_error_with(exchange, 401, "unauthorized", "a bearer token is needed",
                          "WWW-Authenticate: Bearer");
    else if (route == NULL)
        answer_no_route(exchange, allowed);
    else if (body_is_fine(exchange))
        route->handle(control, exchange, rest);
}

/* ---- the port ---- */

struct control *
control_new(const struct control_options *options, struct error *err)
{
    struct control *control = xcalloc(1, sizeof(*control));

    control->options = *options;
    control->server = http_server_new(
        &(struct http_server_options){
            .base = options->base,
            .address = options->config->http_address,
            .port = options->config->http_port,
            .max_connections = options->max_connections - options->max_connections / REFUSED_PART,
            .max_refused = 1 + options->max_connections / REFUSED_PART,
            .max_bytes_at_once = options->max_bytes_at_once,
            .on_request = on_request,
            .arg = control,
        },
        err);
    if (control->server == NULL) {
        free(control);
        return NULL;
    }
    control->access = (struct access_rules){
        .address = options->config->http_address,
        .port = http_server_port(control->server),
        .token = options->config->http_token,
    };
    return control;
}

void
control_free(struct control *control)
{
    struct request *request, *next;

    if (control == NULL)
        return;
    DL_FOREACH_SAFE(control->requests, request, next)
    {
        http_on_gone(request->exchange, NULL, NULL);
        request_end(request);
    }
    http_server_free(control->server);
    free(control);
}

int
control_port(const struct control *control)
{
    return http_server_port(control->server);
}
