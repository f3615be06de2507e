#include "worker/cli/cli.h"

#include "common/log.h"
#include "worker/cli/verb.h"
#include "worker/worker.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct verb *const verbs[] = {
    &verb_worker, &verb_enqueue, &verb_result, &verb_cancel, &verb_stats,  &verb_reset_cooldowns,
    &verb_dead,   &verb_pause,   &verb_resume, &verb_config, &verb_doctor, &verb_version,
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

/* ---- headgate worker ---- */

static int
run_worker(const struct verb *verb, int argc, char **argv)
{
    const struct flag flags[] = {{0}};
    struct config config;
    struct error err;
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) != 0)
        return exit_code;
    config_load_log(&config, NULL, NULL);
    log_setup(config.log_level, config.log_json);
    if (config_load(&config, NULL, NULL, &err) != 0) {
        log_error("configuration", LOG_STR("error", err.message));
        return EXIT_USAGE;
    }
    exit_code = worker_run(&config);
    config_release(&config);
    return exit_code;
}

const struct verb verb_worker = {
    .name = "worker",
    .operands = "[--help]",
    .summary = "Takes jobs from the queues and calls the models, until SIGTERM",
    .help = "All settings come from the environment and the file that HEADGATE_CONFIG names;\n"
            "`headgate config` shows them.\n"
            "Signals: TERM, INT drain, twice: give all back at once; TSTP quiet, CONT go on;\n"
            "HUP reads the file again; USR1 writes a state dump into the log.\n",
    .run = run_worker,
};

/* ---- headgate help ---- */

static const struct verb *
find_verb(const char *name)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void
print_verbs(FILE *out)
{
    fprintf(out,
            "headgate %s - LLM jobs from Redis lists, with primary-first fallback\n\n"
            "usage: headgate VERB [options]\n\n",
            HEADGATE_VERSION);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-16s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out, "  %-16s %s\n", "help [VERB]", "This list, or all about one verb");
    fprintf(out, "\nSettings come from the environment (REDIS_URL, HEADGATE_QUEUES, "
                 "BEDROCK_MODEL_ID, ...).\n"
                 "Exit codes: 0 done, 1 the job or check failed, 2 usage or configuration,\n"
                 "3 timed out, 4 Redis or provider out of reach.\n");
}

#define NAME_MAX_LEN 32

/* Levenshtein's distance; names longer than a verb's are cut. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    size_t a_len = strnlen(a, NAME_MAX_LEN), b_len = strnlen(b, NAME_MAX_LEN);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[b_len];
}

static int
unknown_verb(const char *name)
{
    const struct verb *closest = verbs[0];

    for (size_t i = 1; i < VERBS; i++)
        if (distance(name, verbs[i]->name) < distance(name, closest->name))
            closest = verbs[i];
    fprintf(stderr, "headgate: there is no verb \"%.*s\"; did you mean \"%s\"? (headgate help)\n",
            NAME_MAX_LEN, name, closest->name);
    return EXIT_USAGE;
}

static int
run_verb(const struct verb *verb, int argc, char **argv)
{
    /* The rooms' own lines are for a worker's log; a verb says itself what went wrong. */
    if (verb != &verb_worker)
        log_setup(LOG_LEVEL_ERROR, false);
    return verb->run(verb, argc, argv);
}

static int
help(const char *name)
{
    char verb_name[NAME_MAX_LEN + 1], option[] = "--help";
    char *argv[] = {verb_name, option, NULL};
    const struct verb *verb = find_verb(name);

    if (verb == NULL)
        return unknown_verb(name);
    snprintf(verb_name, sizeof(verb_name), "%s", name);
    return verb->run(verb, 2, argv);
}

static int
dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct verb *verb = find_verb(name);

    if (argc < 2) {
        print_verbs(stderr);
        return EXIT_USAGE;
    }
    if (verb != NULL)
        return run_verb(verb, argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0)
        return run_verb(&verb_version, 1, argv + 1);
    if (strcmp(name, "help") != 0 && strcmp(name, "--help") != 0 && strcmp(name, "-h") != 0)
        return unknown_verb(name);
    if (argc > 2)
        return help(argv[2]);
    print_verbs(stdout);
    return EXIT_OK;
}

static bool
reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

/* What could not be printed is no success. A reader that has seen enough (`| head -1`) is no
 * trouble either: we end as any other program does, by the signal that main() ignores because of
 * our connections. */
static int
check_output(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    if (reader_is_gone()) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    fprintf(stderr, "headgate: not all could be written to standard output\n");
    return exit_code == EXIT_OK ? EXIT_FAILED : exit_code;
}

int
cli_main(int argc, char **argv)
{
    return check_output(dispatch(argc, argv));
}
