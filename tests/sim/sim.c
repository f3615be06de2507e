#include "tests/sim/sim.h"

#include "common/json/json.h"
#include "common/memory.h"
#include "tests/sim/call.h"
#include "tests/sim/options.h"
#include "tests/sim/panel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define EXIT_USAGE   2 /* the worker's exit codes */
#define EXIT_NETWORK 4

static int
hex_value(char digit)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit);

    return at == NULL ? -1 : (int)((at - digits) % 16);
}

/* The percent-decoded text[0..len), or NULL when it is none that can be an id. Owned. */
static char *
decode_segment(const char *text, size_t len)
{
    char *id = xcalloc(1, len + 1);
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        char byte = text[i];

        if (byte == '%' && i + 2 < len && hex_value(text[i + 1]) >= 0 &&
            hex_value(text[i + 2]) >= 0) {
            byte = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        }
        if (byte == '\0') {
            free(id);
            return NULL;
        }
        id[used++] = byte;
    }
    return id;
}

/* The id in /model/{id}/converse, or NULL. Owned. */
static char *
converse_id(const struct wire_head *head)
{
    static const char prefix[] = "/model/", suffix[] = "/converse";
    const char *segment = head->path + sizeof(prefix) - 1;
    size_t len;

    if (strcmp(head->method, "POST") != 0 || strncmp(head->path, prefix, sizeof(prefix) - 1) != 0)
        return NULL;
    len = strcspn(segment, "/");
    return len > 0 && strcmp(segment + len, suffix) == 0 ? decode_segment(segment, len) : NULL;
}

static void
answer_unknown(struct exchange *exchange)
{
    struct wire_reply reply;

    wire_reply_init(&reply, 404);
    evbuffer_add_printf(reply.lines, "x-amzn-ErrorType: UnknownOperationException\r\n");
    evbuffer_add_printf(reply.body, "{\"message\":\"\"}");
    wire_reply(exchange, &reply, NULL, NULL);
}

void
sim_on_request(struct exchange *exchange, const struct wire_request *request, void *arg)
{
    struct sim *sim = arg;
    struct account_model *model = NULL;
    char *id;

    if (strncmp(request->head->path, "/sim/", 5) == 0) {
        panel_answer(sim, exchange, request);
        return;
    }
    id = converse_id(request->head);
    if (id != NULL)
        model = account_model(&sim->account, id);
    if (model != NULL)
        call_start(sim, exchange, request, model);
    else
        answer_unknown(exchange);
    free(id);
}

static void
on_stop(evutil_socket_t number, short what, void *arg)
{
    (void)number, (void)what;
    event_base_loopexit(arg, NULL);
}

/* Each open call is a descriptor. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fprintf(stderr, "sim: cannot raise the limit of open files\n");
}

static int
announce(const struct options *options, int port, struct error *err)
{
    if (options->port_file != NULL && options_write_port(options->port_file, port, err) != 0)
        return -1;
    if (!options->is_quiet)
        printf("sim listening on http://127.0.0.1:%d\n", port);
    fflush(stdout);
    return 0;
}

static int
serve(struct sim *sim, const struct options *options, struct error *err)
{
    struct event *on_term = evsignal_new(sim->base, SIGTERM, on_stop, sim->base);
    struct event *on_int = evsignal_new(sim->base, SIGINT, on_stop, sim->base);
    int result = -1;

    event_add(on_term, NULL);
    event_add(on_int, NULL);
    sim->wire = wire_new(sim->base, options->port, sim_on_request, sim, err);
    if (sim->wire != NULL && announce(options, wire_port(sim->wire), err) == 0)
        result = event_base_dispatch(sim->base);
    wire_free(sim->wire);
    event_free(on_term);
    event_free(on_int);
    return result;
}

static void
sim_release(struct sim *sim)
{
    settings_free(sim->settings);
    account_release(&sim->account);
    journal_release(&sim->journal);
    aws_sign_forget(&sim->sign_cache);
    event_base_free(sim->base);
}

int
main(int argc, char **argv)
{
    struct options options;
    struct error err;
    struct sim sim = {0};
    int status = EXIT_SUCCESS;

    if (options_read(argc, argv, &options) != 0)
        return EXIT_USAGE;
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    sim.base = event_base_new();
    sim.seed = sim.dice = options.seed;
    sim.settings = options_settings(&options, &err);
    if (sim.settings == NULL)
        status = EXIT_USAGE;
    else if (serve(&sim, &options, &err) != 0)
        status = EXIT_NETWORK;
    if (status != EXIT_SUCCESS)
        fprintf(stderr, "sim: %s\n", err.message);
    sim_release(&sim);
    return status;
}
