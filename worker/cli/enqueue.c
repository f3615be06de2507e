/*
 * enqueue.c - headgate enqueue: one job from its options, or many from a file.
 */
#include "common/clock.h"
#include "common/memory.h"
#include "worker/cli/result_wait.h"
#include "worker/cli/verb.h"
#include "worker/job/stamp.h"
#include "worker/queue/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines of a file that are on their way to Redis at once. */
#define PIPELINE_MAX 256

struct enqueue {
    const char *type;
    const char *queue;
    const char *id;
    const char *content_file;
    const char *jsonl;
    bool json;
    bool wait;
    int64_t timeout_ms;
    struct evbuffer *fields; /* "name":value, of each --field, a comma behind each */
    struct session session;
    struct job_types *types; /* held */
    int64_t pending;         /* pushed, not answered */
    struct id *first;        /* of the jobs to wait for, in their order */
    struct id **last;
    int exit_code; /* of the lines so far */
};

struct id {
    struct id *next;
    char text[JOB_ID_MAX + 1];
};

/* ---- what the options say ---- */

static int
take_field(const struct verb *verb, const char *field, void *arg)
{
    struct enqueue *e = arg;
    const char *equals = strchr(field, '=');
    bool is_raw = equals != NULL && equals > field && equals[-1] == ':';
    size_t name_len = equals == NULL ? 0 : (size_t)(equals - field) - is_raw;
    struct json_slice value;
    struct error err;

    if (name_len == 0) {
        usage_error(verb, "--field %s: must be name=text or name:=JSON", field);
        return -1;
    }
    if (is_raw && json_check(equals + 1, strlen(equals + 1), &value, &err) != 0) {
        usage_error(verb, "--field %s: %s", field, err.message);
        return -1;
    }
    json_put_string(e->fields, field, name_len);
    evbuffer_add(e->fields, ":", 1);
    if (is_raw)
        json_put_slice(e->fields, value);
    else
        json_put_string(e->fields, equals + 1, strlen(equals + 1));
    evbuffer_add(e->fields, ",", 1);
    return 0;
}

static FILE *
open_input(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");

    if (file == NULL)
        fprintf(stderr, "headgate: %s: %s\n", path, strerror(errno));
    return file;
}

static void
close_input(FILE *file)
{
    if (file != stdin)
        fclose(file);
}

/* The whole file, at most `max` bytes. NULL: said why. */
static char *
read_file(const char *path, size_t max, size_t *len)
{
    FILE *file = open_input(path);
    char *text;

    if (file == NULL)
        return NULL;
    text = xcalloc(1, max + 1);
    *len = fread(text, 1, max + 1, file);
    if (*len > max || ferror(file)) {
        fprintf(stderr, "headgate: %s: %s\n", path,
                *len > max ? "larger than HEADGATE_MAX_JOB_BYTES" : strerror(errno));
        free(text);
        text = NULL;
    }
    close_input(file);
    return text;
}

static int
put_content(struct enqueue *e)
{
    size_t len = 0;
    char *content = read_file(e->content_file, (size_t)e->session.config.max_job_bytes, &len);

    if (content == NULL)
        return -1;
    evbuffer_add_printf(e->fields, "\"content\":");
    json_put_string(e->fields, content, len);
    evbuffer_add(e->fields, ",", 1);
    free(content);
    return 0;
}

/* ---- pushing ---- */

struct push {
    struct enqueue *enqueue;
    struct id *id; /* owned until it is said or kept */
};

static void
say_pushed(const struct enqueue *e, const char *id)
{
    struct evbuffer *line = xevbuffer();

    if (e->json) {
        evbuffer_add_printf(line, "{\"id\":");
        json_put_string(line, id, strlen(id));
        evbuffer_add_printf(line, ",\"queue\":");
        json_put_string(line, e->session.queues[0], strlen(e->session.queues[0]));
        evbuffer_add(line, "}", 1);
    } else {
        evbuffer_add(line, id, strlen(id));
    }
    print_line(line);
}

static void
on_pushed(const redisReply *reply, const struct error *error, void *arg)
{
    struct push *push = arg;
    struct enqueue *e = push->enqueue;

    (void)reply;
    e->pending--;
    if (error != NULL) {
        struct error told;

        error_set(&told, error->kind, "%s (job %.80s)", error->message, push->id->text);
        e->exit_code = verb_error(&told);
        free(push->id);
    } else if (e->wait) {
        *e->last = push->id;
        e->last = &push->id->next;
    } else {
        say_pushed(e, push->id->text);
        free(push->id);
    }
    free(push);
}

/* Checks a job and sends it off. */
static int
push_job(struct enqueue *e, const char *text, size_t len, struct error *err)
{
    const struct job_limits limits = {.max_bytes = (size_t)e->session.config.max_job_bytes,
                                      .types = e->types};
    const struct stamp stamp = {.id = e->id, .type = e->type, .now_ms = clock_wall_ms()};
    struct push *push;
    struct job job;
    int rc = stamp_job(text, len, &stamp, &limits, &job, err);
    const char *prefix = e->session.config.prefix;

    if (rc == 0 && job.reply_to != NULL && queue_key_is_ours(prefix, job.reply_to))
        rc = error_set(err, ERROR_INPUT, "reply_to must not begin with \"%s:\"", prefix);
    if (rc == 0) {
        push = xcalloc(1, sizeof(*push));
        push->enqueue = e;
        push->id = xcalloc(1, sizeof(*push->id));
        memcpy(push->id->text, job.id, sizeof(job.id));
        desk_push(e->session.desk, e->session.queues[0], job.payload, job.payload_len, on_pushed,
                  push);
        e->pending++;
    }
    job_release(&job);
    return rc;
}

static void
finish_pushes(struct enqueue *e, int64_t most)
{
    while (e->pending > most)
        event_base_loop(e->session.base, EVLOOP_ONCE);
}

static void
push_one(struct enqueue *e)
{
    struct evbuffer *body = xevbuffer();
    size_t len;
    struct error err;

    evbuffer_add(body, "{", 1);
    evbuffer_add_buffer(body, e->fields);
    len = evbuffer_get_length(body);
    if (len > 1)
        evbuffer_pullup(body, -1)[len - 1] = '}'; /* in the place of the last comma */
    else
        evbuffer_add(body, "}", 1);
    len = evbuffer_get_length(body);
    if (push_job(e, (char *)evbuffer_pullup(body, -1), len, &err) != 0)
        e->exit_code = verb_error(&err);
    evbuffer_free(body);
    finish_pushes(e, 0);
}

static void
push_line(struct enqueue *e, const char *line, size_t len, int64_t number)
{
    struct error err;

    if (line[strspn(line, " \t\r\n")] == '\0' && strlen(line) == len)
        return;
    if (push_job(e, line, len, &err) != 0) {
        fprintf(stderr, "headgate: line %lld: %s\n", (long long)number, err.message);
        e->exit_code = EXIT_FAILED;
    }
    finish_pushes(e, PIPELINE_MAX);
}

static void
push_lines(struct enqueue *e)
{
    FILE *file = open_input(e->jsonl);
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    if (file == NULL) {
        e->exit_code = EXIT_USAGE;
        return;
    }
    for (int64_t number = 1; (len = getline(&line, &size, file)) > 0; number++)
        push_line(e, line, (size_t)len, number);
    finish_pushes(e, 0);
    free(line);
    close_input(file);
}

/* ---- waiting ---- */

static void
wait_for_all(struct enqueue *e)
{
    int64_t until_ms = clock_mono_ms() + e->timeout_ms;

    *e->last = NULL;
    while (e->first != NULL) {
        struct id *id = e->first;
        int exit_code = result_wait(&e->session, id->text, until_ms, e->json);

        e->exit_code = exit_code > e->exit_code ? exit_code : e->exit_code;
        e->first = id->next;
        free(id);
    }
}

static void
push_all(struct enqueue *e)
{
    if (e->jsonl != NULL)
        push_lines(e);
    else if (e->content_file != NULL && put_content(e) != 0)
        e->exit_code = EXIT_USAGE;
    else
        push_one(e);
}

static int
read_types(struct enqueue *e)
{
    const struct config_part section = config_file_section(e->session.config.sections, "types");
    struct error err;

    e->types = job_types_new(&section, &err);
    return e->types == NULL ? verb_error(&err) : EXIT_OK;
}

static int
enqueue(const struct verb *verb, struct enqueue *e)
{
    int exit_code = session_open(&e->session, e->queue);

    if (exit_code != EXIT_OK)
        return exit_code;
    if ((e->exit_code = read_types(e)) != EXIT_OK) {
        session_close(&e->session);
        return e->exit_code;
    }
    if (e->session.config.use_celery) {
        /* One of our jobs there would end a worker of Celery. */
        e->exit_code =
            usage_error(verb, "the queues are Celery's (USE_CELERY): send tasks with its client");
    } else if (e->queue != NULL && e->session.queue_count != 1) {
        e->exit_code = usage_error(verb, "--queue %s: name one queue", e->queue);
    } else {
        push_all(e);
        wait_for_all(e);
    }
    job_types_drop(e->types);
    session_close(&e->session);
    return e->exit_code;
}

static int
check_options(const struct verb *verb, const struct enqueue *e)
{
    if (e->jsonl == NULL)
        return EXIT_OK;
    if (e->id != NULL || e->content_file != NULL || evbuffer_get_length(e->fields) > 0)
        return usage_error(verb, "--jsonl has whole jobs: no --id, --field or --content-file");
    return EXIT_OK;
}

static int
run_enqueue(const struct verb *verb, int argc, char **argv)
{
    struct enqueue e = {.timeout_ms = RESULT_WAIT_MS, .fields = xevbuffer(), .last = &e.first};
    const struct flag flags[] = {{"type", FLAG_TEXT, &e.type, NULL},
                                 {"queue", FLAG_TEXT, &e.queue, NULL},
                                 {"id", FLAG_TEXT, &e.id, NULL},
                                 {"field", FLAG_EACH, &e, take_field},
                                 {"content-file", FLAG_TEXT, &e.content_file, NULL},
                                 {"jsonl", FLAG_TEXT, &e.jsonl, NULL},
                                 {"json", FLAG_BOOL, &e.json, NULL},
                                 {"wait", FLAG_BOOL, &e.wait, NULL},
                                 {"timeout", FLAG_SECONDS, &e.timeout_ms, NULL},
                                 {0}};
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) == 0 &&
        (exit_code = check_options(verb, &e)) == EXIT_OK)
        exit_code = enqueue(verb, &e);
    evbuffer_free(e.fields);
    return exit_code;
}

const struct verb verb_enqueue = {
    .name = "enqueue",
    .operands = "[--type T] [--queue Q] [--field k=v ...] [--content-file F|-] [--jsonl F|-] "
                "[--wait]",
    .summary = "Pushes a job, or a file of them, and prints the ids",
    .help = "  --type T          analyze (the default), chat, or one of HEADGATE_CONFIG\n"
            "  --queue Q         else the first of HEADGATE_QUEUES\n"
            "  --id ID           else a new UUIDv7\n"
            "  --field k=v       a member of the job; the value is a string\n"
            "  --field k:=JSON   the same; the value is JSON: --field max_tokens:=500\n"
            "  --content-file F  the member `content`, from a file; - is stdin\n"
            "  --jsonl F         a job a line; bad lines are named, the others pushed\n"
            "  --wait            shows the results instead of the ids\n"
            "  --timeout S       how long to wait for all of them; 300\n"
            "  --json            a JSON object a line\n\n"
            "Exit code: 0 pushed (with --wait: succeeded), 1 a line was bad or a job failed,\n"
            "2 this is no job, 3 not final in time, 4 Redis is out of reach.\n",
    .run = run_enqueue,
};
