/*
 * result_verb.c - headgate result, headgate cancel.
 */
#include "common/clock.h"
#include "common/memory.h"
#include "worker/cli/result_wait.h"
#include "worker/cli/verb.h"
#include "worker/job/job.h"

#include <stdio.h>
#include <string.h>

static int
check_id(const struct verb *verb, const char *id)
{
    if (job_id_is_valid(id, strlen(id)))
        return EXIT_OK;
    return usage_error(verb, "an id has 1 to 256 bytes and no control characters");
}

static int
run_result(const struct verb *verb, int argc, char **argv)
{
    const char *queue = NULL;
    bool json = false, wait = false;
    int64_t timeout_ms = RESULT_WAIT_MS;
    const struct flag flags[] = {{"queue", FLAG_TEXT, &queue, NULL},
                                 {"json", FLAG_BOOL, &json, NULL},
                                 {"wait", FLAG_BOOL, &wait, NULL},
                                 {"timeout", FLAG_SECONDS, &timeout_ms, NULL},
                                 {0}};
    struct session session;
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 1, 1, &first, &exit_code) != 0)
        return exit_code;
    if ((exit_code = check_id(verb, argv[first])) != EXIT_OK ||
        (exit_code = session_open(&session, queue)) != EXIT_OK)
        return exit_code;
    exit_code = wait ? result_wait(&session, argv[first], clock_mono_ms() + timeout_ms, json)
                     : result_show(&session, argv[first], json);
    session_close(&session);
    return exit_code;
}

const struct verb verb_result = {
    .name = "result",
    .operands = "ID [--wait] [--timeout S] [--queue Q] [--json]",
    .summary = "Shows how a job ended",
    .help =
        "  --wait       until it is final\n"
        "  --timeout S  how long to wait; 300\n"
        "  --queue Q    look there only; else in all of HEADGATE_QUEUES\n"
        "  --json       the whole result document on one line\n\n"
        "Exit code: 0 it succeeded, 1 it failed, expired or was cancelled, 3 it is not final.\n",
    .run = run_result,
};

/* ---- headgate cancel ---- */

struct cancelled {
    bool was_final;
    bool was_running;
};

static void
on_cancel(const redisReply *reply, void *arg)
{
    struct cancelled *cancelled = arg;
    const char *standing = redis_str(redis_at(reply, 0), "");

    cancelled->was_final |= strcmp(standing, "final") == 0;
    cancelled->was_running |= strcmp(standing, "running") == 0;
}

/* In the queue that knows it; in all of them when it still waits in a list. */
static int
cancel_in(struct session *session, const char *only, const char *id, struct cancelled *cancelled)
{
    int exit_code = EXIT_OK;

    for (int i = 0; i < session->queue_count && exit_code == EXIT_OK; i++) {
        struct session_call call = {.read = on_cancel, .arg = cancelled};

        if (only != NULL && strcmp(only, session->queues[i]) != 0)
            continue;
        desk_cancel(session->desk, session->queues[i], id, session_on_reply, &call);
        exit_code = session_wait(session, &call);
    }
    return exit_code;
}

static int
show_cancelled(const char *id, const struct cancelled *cancelled, bool json)
{
    struct evbuffer *out;

    if (!json) {
        puts(cancelled->was_final     ? "it is final already"
             : cancelled->was_running ? "its worker was told to stop"
                                      : "it will be dropped when its turn comes");
        return cancelled->was_final ? EXIT_FAILED : EXIT_OK;
    }
    out = xevbuffer();
    evbuffer_add_printf(out,
                        "{\"success\":%s,\"task_id\":", cancelled->was_final ? "false" : "true");
    json_put_string(out, id, strlen(id));
    evbuffer_add_printf(out, ",\"was_running\":%s}", cancelled->was_running ? "true" : "false");
    print_line(out);
    return cancelled->was_final ? EXIT_FAILED : EXIT_OK;
}

static int
cancel(struct session *session, const char *id, bool json)
{
    struct cancelled cancelled = {0};
    struct found_job found;
    int exit_code = session_find_job(session, id, &found);

    if (exit_code == EXIT_OK) {
        exit_code = cancel_in(session, found.queue, id, &cancelled);
        found_job_release(&found);
    }
    return exit_code == EXIT_OK ? show_cancelled(id, &cancelled, json) : exit_code;
}

static int
run_cancel(const struct verb *verb, int argc, char **argv)
{
    const char *queue = NULL;
    bool json = false;
    const struct flag flags[] = {
        {"queue", FLAG_TEXT, &queue, NULL}, {"json", FLAG_BOOL, &json, NULL}, {0}};
    struct session session;
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 1, 1, &first, &exit_code) != 0)
        return exit_code;
    if ((exit_code = check_id(verb, argv[first])) != EXIT_OK ||
        (exit_code = session_open(&session, queue)) != EXIT_OK)
        return exit_code;
    exit_code = cancel(&session, argv[first], json);
    session_close(&session);
    return exit_code;
}

const struct verb verb_cancel = {
    .name = "cancel",
    .operands = "ID [--queue Q] [--json]",
    .summary = "Cancels a job: a running call is aborted, a waiting job dropped",
    .help = "  --queue Q  where it is; else all of HEADGATE_QUEUES are asked\n"
            "  --json     one JSON object\n\n"
            "Exit code: 0 it was marked, 1 it is final already.\n",
    .run = run_cancel,
};
