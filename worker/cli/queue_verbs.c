/*
 * queue_verbs.c - headgate pause, headgate resume.
 */
#include "common/memory.h"
#include "worker/cli/session.h"
#include "worker/cli/verb.h"

#include <stdio.h>
#include <string.h>

static void
show(const char *queue, bool is_paused, bool json)
{
    struct evbuffer *line = xevbuffer();

    if (json) {
        evbuffer_add_printf(line, "{\"success\":true,\"queue\":");
        json_put_string(line, queue, strlen(queue));
        evbuffer_add_printf(line, ",\"paused\":%s}", is_paused ? "true" : "false");
    } else {
        evbuffer_add_printf(line, "%s is %s", queue,
                            is_paused ? "paused: no worker claims from it" : "running");
    }
    print_line(line);
}

static int
pause_queue(struct session *session, const char *queue, bool is_paused, bool json)
{
    struct session_call call = {0};
    int exit_code;

    desk_pause(session->desk, queue, is_paused, session_on_reply, &call);
    exit_code = session_wait(session, &call);
    if (exit_code == EXIT_OK)
        show(queue, is_paused, json);
    return exit_code;
}

static int
set_paused(const struct verb *verb, int argc, char **argv, bool is_paused)
{
    bool json = false;
    const struct flag flags[] = {{"json", FLAG_BOOL, &json, NULL}, {0}};
    struct session session;
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 1, 1, &first, &exit_code) != 0)
        return exit_code;
    if ((exit_code = session_open(&session, argv[first])) != EXIT_OK)
        return exit_code;
    for (int i = 0; i < session.queue_count && exit_code == EXIT_OK; i++)
        exit_code = pause_queue(&session, session.queues[i], is_paused, json);
    session_close(&session);
    return exit_code;
}

static int
run_pause(const struct verb *verb, int argc, char **argv)
{
    return set_paused(verb, argc, argv, true);
}

static int
run_resume(const struct verb *verb, int argc, char **argv)
{
    return set_paused(verb, argc, argv, false);
}

const struct verb verb_pause = {
    .name = "pause",
    .operands = "Q [--json]",
    .summary = "Stops all workers' claims from a queue",
    .help = "Jobs that run go on; jobs may still be pushed.\n",
    .run = run_pause,
};

const struct verb verb_resume = {
    .name = "resume",
    .operands = "Q [--json]",
    .summary = "Lets workers claim from a paused queue again",
    .help = "",
    .run = run_resume,
};
