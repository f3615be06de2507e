/*
 * stats.c - headgate stats, headgate reset-cooldowns.
 */
#include "common/memory.h"
#include "worker/cli/session.h"
#include "worker/cli/verb.h"
#include "worker/model/model_file.h"
#include "worker/model/model_view.h"
#include "worker/waiting.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCH_MS       1000
#define NAME_WIDTH_MAX 46

struct board {
    struct session session;
    struct model_list models;
    struct hints *hints; /* NULL: no models are configured here */
    struct queue_view queues[CONFIG_QUEUES_MAX];
    struct hints_figures *figures; /* one per model; owned */
    bool hints_are_over;
    struct error hints_error;
};

/* ---- opening ---- */

static int
board_open(struct board *board, const char *queue)
{
    const struct config *config = &board->session.config;
    int exit_code = session_open(&board->session, queue);
    struct error err;

    if (exit_code != EXIT_OK)
        return exit_code;
    if (model_list_load(&board->models, config, &err) != 0) {
        session_close(&board->session);
        return verb_error(&err);
    }
    if (board->models.count == 0)
        return EXIT_OK;
    board->hints =
        hints_new(board->session.base, board->session.route, config->prefix, &board->models);
    board->figures = xcalloc((size_t)board->models.count, sizeof(*board->figures));
    return EXIT_OK;
}

static void
board_close(struct board *board)
{
    hints_free(board->hints);
    model_list_release(&board->models);
    free(board->figures);
    session_close(&board->session);
}

/* ---- reading ---- */

static void
on_queue(const redisReply *reply, void *arg)
{
    *(struct queue_view *)arg = queue_view_read(reply);
}

static void
on_hints(const struct hints_figures *figures, int count, const struct error *error, void *arg)
{
    struct board *board = arg;

    board->hints_are_over = true;
    board->hints_error = error != NULL ? *error : (struct error){0};
    if (figures != NULL)
        memcpy(board->figures, figures, (size_t)count * sizeof(*figures));
}

/* hints_read or hints_reset, and its answer. */
static int
ask_hints(struct board *board,
          struct hints_query *(*ask)(struct hints *, hints_figures_fn *, void *))
{
    if (board->hints == NULL)
        return EXIT_OK;
    board->hints_are_over = false;
    ask(board->hints, on_hints, board);
    while (!board->hints_are_over)
        event_base_loop(board->session.base, EVLOOP_ONCE);
    return board->hints_error.kind == ERROR_NONE ? EXIT_OK : verb_error(&board->hints_error);
}

static int
read_board(struct board *board)
{
    int exit_code = EXIT_OK;

    for (int i = 0; i < board->session.queue_count && exit_code == EXIT_OK; i++) {
        struct session_call call = {.read = on_queue, .arg = &board->queues[i]};

        desk_stats(board->session.desk, board->session.queues[i], session_on_reply, &call);
        exit_code = session_wait(&board->session, &call);
    }
    return exit_code == EXIT_OK ? ask_hints(board, hints_read) : exit_code;
}

/* ---- showing ---- */

/* Why the jobs of a queue wait. */
static struct waiting
explain(const struct board *board, int queue)
{
    return waiting_explain(&board->queues[queue], board->figures, board->models.count);
}

/* So that the longest name just fits; an ARN does not. */
static int
wider(int width, const char *name)
{
    int len = (int)strlen(name);

    return len <= width ? width : len < NAME_WIDTH_MAX ? len : NAME_WIDTH_MAX;
}

static int
width_of_queues(const struct session *session)
{
    int width = 8;

    for (int i = 0; i < session->queue_count; i++)
        width = wider(width, session->queues[i]);
    return width;
}

static int
width_of_models(const struct model_list *models)
{
    int width = 8;

    for (int i = 0; i < models->count; i++)
        width = wider(width, models->models[i].name);
    return width;
}

static void
put_queue_rows(const struct board *board, struct evbuffer *out)
{
    int name_width = width_of_queues(&board->session);

    evbuffer_add_printf(out, "%-*s %9s %9s %9s %9s %9s %8s  %s\n", name_width, "QUEUE", "WAITING",
                        "IN FLIGHT", "DELAYED", "DEAD", "OLDEST s", "WORKERS", "WHY JOBS WAIT");
    for (int i = 0; i < board->session.queue_count; i++) {
        const struct queue_view *q = &board->queues[i];
        struct waiting waiting = explain(board, i);
        char oldest[32] = "-";

        if (q->oldest_seconds >= 0)
            snprintf(oldest, sizeof(oldest), "%.1f", q->oldest_seconds);
        evbuffer_add_printf(
            out, "%-*s %9" PRId64 " %9" PRId64 " %9" PRId64 " %9" PRId64 " %9s %8" PRId64 "  %s\n",
            name_width, board->session.queues[i], q->waiting, q->in_flight, q->delayed, q->dead,
            oldest, q->workers,
            waiting.why != NULL ? waiting.words
            : q->is_paused      ? "paused"
                                : "-");
    }
}

/* Below 0: not known. */
static void
put_cell(int width, int decimals, double value, struct evbuffer *out)
{
    char text[32] = "-";

    if (value >= 0)
        snprintf(text, sizeof(text), "%.*f", decimals, value);
    evbuffer_add_printf(out, " %*s", width, text);
}

/* "581 of 600": what was learned, of what is configured. */
static void
put_limit(const struct pace_view *pace, double configured, struct evbuffer *out)
{
    char learned[32] = "-", text[64];

    if (pace->is_paced && pace->per_minute >= 0)
        snprintf(learned, sizeof(learned), "%.0f", pace->per_minute);
    if (configured > 0)
        snprintf(text, sizeof(text), "%s of %.0f", learned, configured);
    evbuffer_add_printf(out, " %11s", configured > 0 ? text : learned);
}

static void
put_model_row(const struct model *model, const struct hints_figures *f, int name_width,
              struct evbuffer *out)
{
    struct pace_view pace = model_pace(f);

    evbuffer_add_printf(out, "%-*s %8" PRId64 " %6.1f %8" PRId64, name_width, model->name, f->calls,
                        percent_of(f->successes, f->calls), f->throttles_60s);
    put_limit(&pace, model->rpm, out);
    put_cell(8, 0, pace.is_paced ? pace.permits : -1, out);
    put_cell(6, 0, pace_utilisation(&pace), out);
    put_cell(8, 1, pace.is_paced ? pace_refusals_per_1000(&pace) : -1, out);
    evbuffer_add_printf(out, "  ");
    pace_put_words(pace.why, pace.next_ms, out);
    evbuffer_add_printf(out, "\n");
}

static void
put_model_rows(const struct board *board, struct evbuffer *out)
{
    int name_width = width_of_models(&board->models);

    if (board->models.count == 0)
        return;
    evbuffer_add_printf(out, "\n%-*s %8s %6s %8s %11s %8s %6s %8s  %s\n", name_width, "MODEL",
                        "CALLS", "OK %", "429/60s", "LIMIT/min", "SENT/min", "USED %", "429/1000",
                        "NOW");
    for (int i = 0; i < board->models.count; i++)
        put_model_row(&board->models.models[i], &board->figures[i], name_width, out);
    evbuffer_add_printf(out, "primary share %.1f %%\n",
                        primary_share(board->figures, board->models.count));
}

static void
put_json(const struct board *board, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{\"queues\":[");
    for (int i = 0; i < board->session.queue_count; i++) {
        struct waiting waiting = explain(board, i);

        evbuffer_add(out, ",", i > 0);
        queue_put_json(board->session.queues[i], &board->queues[i], waiting.why, waiting.left_ms,
                       out);
    }
    evbuffer_add_printf(out, "],\"primary_share\":%.1f,\"models\":[",
                        primary_share(board->figures, board->models.count));
    for (int i = 0; i < board->models.count; i++) {
        evbuffer_add(out, ",", i > 0);
        model_put_json(&board->models.models[i], &board->figures[i], i + 1, -1, out);
    }
    evbuffer_add_printf(out, "]}");
}

static void
show_board(const struct board *board, bool json, bool redraw)
{
    struct evbuffer *out = xevbuffer();

    if (json) {
        put_json(board, out);
        evbuffer_add(out, "\n", 1);
    } else {
        if (redraw)
            evbuffer_add_printf(out, "\033[H\033[2J");
        put_queue_rows(board, out);
        put_model_rows(board, out);
    }
    print_buffer(out);
    fflush(stdout);
}

/* Until somebody stops it, or nobody reads it any more. */
static int
watch(struct board *board, bool json)
{
    int exit_code;

    while ((exit_code = read_board(board)) == EXIT_OK && !ferror(stdout)) {
        show_board(board, json, isatty(STDOUT_FILENO));
        session_sleep(&board->session, WATCH_MS);
    }
    return exit_code;
}

static int
run_stats(const struct verb *verb, int argc, char **argv)
{
    const char *queue = NULL;
    bool json = false, watching = false;
    const struct flag flags[] = {{"queue", FLAG_TEXT, &queue, NULL},
                                 {"json", FLAG_BOOL, &json, NULL},
                                 {"watch", FLAG_BOOL, &watching, NULL},
                                 {0}};
    struct board board = {0};
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) != 0)
        return exit_code;
    if ((exit_code = board_open(&board, queue)) != EXIT_OK)
        return exit_code;
    if (watching)
        exit_code = watch(&board, json);
    else if ((exit_code = read_board(&board)) == EXIT_OK)
        show_board(&board, json, false);
    board_close(&board);
    return exit_code;
}

const struct verb verb_stats = {
    .name = "stats",
    .operands = "[--watch] [--queue Q] [--json]",
    .summary = "Shows the queues and why jobs wait, and the models of this environment",
    .help = "  --watch    again each second\n"
            "  --queue Q  this queue only; else all of HEADGATE_QUEUES\n"
            "  --json     one JSON object (with --watch: a line each second)\n",
    .run = run_stats,
};

/* ---- headgate reset-cooldowns ---- */

static int
run_reset(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct flag flags[] = {{"json", FLAG_BOOL, &json, NULL}, {0}};
    struct board board = {0};
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) != 0)
        return exit_code;
    if ((exit_code = board_open(&board, NULL)) != EXIT_OK)
        return exit_code;
    if (board.hints == NULL)
        exit_code = usage_error(verb, "no models are configured: set BEDROCK_MODEL_ID");
    else if ((exit_code = ask_hints(&board, hints_reset)) == EXIT_OK)
        puts(json ? "{\"success\":true}" : "All model cooldowns have been reset");
    board_close(&board);
    return exit_code;
}

const struct verb verb_reset_cooldowns = {
    .name = "reset-cooldowns",
    .operands = "[--json]",
    .summary = "Clears the cooldowns and throttles of all configured models",
    .help = "The counters stay.\n",
    .run = run_reset,
};
