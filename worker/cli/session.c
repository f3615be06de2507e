#include "worker/cli/session.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 5000

static void
on_state(bool is_ready, const struct error *why, void *arg)
{
    struct session *session = arg;

    session->is_ready = is_ready;
    if (why != NULL)
        session->last_error = *why;
    event_base_loopbreak(session->base);
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* that the loop has turned is all it is for */
}

static int
choose_queues(struct session *session, const char *queue, struct error *err)
{
    struct config *config = &session->config;

    if (queue != NULL && config_parse_queues(queue, config->queues, &config->queue_count, err) != 0)
        return -1;
    session->queue_count = config->queue_count;
    for (int i = 0; i < config->queue_count; i++)
        session->queues[i] = config->queues[i].name;
    return 0;
}

int
session_prepare(struct session *session, const char *queue)
{
    char host[64] = "host", *name;
    struct error err;

    *session = (struct session){0};
    if (config_load(&session->config, NULL, NULL, &err) != 0)
        return verb_error(&err);
    if (choose_queues(session, queue, &err) != 0) {
        config_release(&session->config);
        return verb_error(&err);
    }
    gethostname(host, sizeof(host) - 1);
    name = xasprintf("headgate-cli:%s:%d", host, (int)getpid());
    session->base = event_base_new();
    session->limit = evtimer_new(session->base, on_limit, NULL);
    session->route =
        redis_route_new(session->base, &session->config.redis, name, on_state, session);
    session->desk = desk_new(session->route, session->config.prefix);
    if (session->config.use_celery)
        desk_set_kombu(session->desk, session->config.celery_keyprefix);
    free(name);
    return EXIT_OK;
}

/* Turns the loop once: something comes, or `ms` pass. */
static void
turn(struct session *session, int64_t ms)
{
    struct timeval limit = clock_timeval(ms);

    event_add(session->limit, &limit);
    event_base_loop(session->base, EVLOOP_ONCE);
    event_del(session->limit);
}

int
session_connect(struct session *session)
{
    int64_t end_ms = clock_mono_ms() + CONNECT_MS;
    char url[256];

    /* A refused login stays refused; a server that is not there may be starting. */
    while (!session->is_ready && session->last_error.kind != ERROR_REFUSED &&
           clock_mono_ms() < end_ms)
        turn(session, end_ms - clock_mono_ms());
    if (!session->is_ready && session->last_error.kind == ERROR_NONE) {
        redis_url_show(&session->config.redis, url, sizeof(url));
        error_set(&session->last_error, ERROR_TIMEOUT, "%s: no answer", url);
    }
    return session->is_ready ? EXIT_OK : EXIT_UNREACHABLE;
}

int
session_open(struct session *session, const char *queue)
{
    int exit_code = session_prepare(session, queue);

    if (exit_code != EXIT_OK)
        return exit_code;
    exit_code = session_connect(session);
    if (exit_code == EXIT_OK)
        return EXIT_OK;
    fprintf(stderr, "headgate: no connection to Redis: %s\n", session->last_error.message);
    session_close(session);
    return exit_code;
}

void
session_close(struct session *session)
{
    redis_route_free(session->route);
    desk_free(session->desk);
    event_free(session->limit);
    event_base_free(session->base);
    config_release(&session->config);
}

void
session_sleep(struct session *session, int64_t ms)
{
    int64_t end_ms = clock_mono_ms() + ms;

    for (int64_t left_ms = ms; left_ms > 0; left_ms = end_ms - clock_mono_ms())
        turn(session, left_ms);
}

void
session_on_reply(const redisReply *reply, const struct error *error, void *arg)
{
    struct session_call *call = arg;

    call->is_over = true;
    if (error != NULL)
        call->error = *error;
    else if (call->read != NULL)
        call->read(reply, call->arg);
}

int
session_wait(struct session *session, struct session_call *call)
{
    /* Ends, because every call to Redis has a deadline. */
    while (!call->is_over)
        event_base_loop(session->base, EVLOOP_ONCE);
    return call->error.kind == ERROR_NONE ? EXIT_OK : verb_error(&call->error);
}

/* ---- where a job is ---- */

static void
take_document(struct found_job *found, const struct job_view *view)
{
    free(found->document);
    found->document = NULL;
    found->document_len = view->document_len;
    if (view->standing != STANDING_FINAL)
        return;
    found->document = xcalloc(1, view->document_len + 1);
    memcpy(found->document, view->document, view->document_len);
}

static void
on_status(const redisReply *reply, void *arg)
{
    struct found_job *found = arg;
    struct job_view view = job_view_read(reply);

    if (view.standing <= found->standing)
        return;
    found->standing = view.standing;
    found->state = view.state;
    take_document(found, &view);
}

int
session_find_job(struct session *session, const char *id, struct found_job *found)
{
    int exit_code = EXIT_OK;

    *found = (struct found_job){0};
    for (int i = 0; i < session->queue_count && exit_code == EXIT_OK; i++) {
        struct session_call call = {.read = on_status, .arg = found};
        enum standing before = found->standing;

        desk_status(session->desk, session->queues[i], id, session_on_reply, &call);
        exit_code = session_wait(session, &call);
        if (found->standing > before)
            found->queue = session->queues[i];
    }
    if (exit_code != EXIT_OK)
        found_job_release(found);
    return exit_code;
}

void
found_job_release(struct found_job *found)
{
    free(found->document);
    found->document = NULL;
}
