#include "worker/cli/result_wait.h"

#include "common/clock.h"
#include "common/memory.h"
#include "worker/cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 100

/* ---- showing ---- */

static void
print_tree(struct json_slice value)
{
    cJSON *tree = json_tree(value);
    char *text = tree != NULL ? cJSON_Print(tree) : NULL;

    if (text != NULL)
        print_text(text, strlen(text));
    else
        puts("can't show it; try --json");
    cJSON_free(text);
    cJSON_Delete(tree);
}

static void
print_output(struct json_slice output)
{
    size_t len = 0;
    char *response = json_string(json_get(output, "response"), &len);

    if (response != NULL)
        print_text(response, len);
    else
        print_tree(output);
    free(response);
}

static void
print_success(struct json_slice document)
{
    char *model = json_string(json_get(document, "model"), NULL);
    struct evbuffer *line = xevbuffer();
    int64_t attempt = 0;

    json_int(json_get(document, "attempt"), 0, INT64_MAX, &attempt);
    evbuffer_add_printf(line, "succeeded by ");
    put_words(line, model != NULL ? model : "?");
    evbuffer_add_printf(line, ", attempt %lld", (long long)attempt);
    print_line(line);
    print_output(json_get(document, "result"));
    free(model);
}

static void
print_failure(const struct found_job *found, struct json_slice error)
{
    char *kind = json_string(json_get(error, "kind"), NULL);
    char *message = json_string(json_get(error, "message"), NULL);
    struct evbuffer *line = xevbuffer();

    /* An expired or cancelled one has its state as its kind. */
    evbuffer_add_printf(line, "%s: ", result_state_name(found->state));
    if (kind != NULL && strcmp(kind, result_state_name(found->state)) != 0) {
        put_words(line, kind);
        evbuffer_add_printf(line, ": ");
    }
    put_words(line, message != NULL ? message : "its result does not say why");
    print_line(line);
    free(kind);
    free(message);
}

static void
print_document(const struct found_job *found)
{
    if (!print_json(found->document, found->document_len))
        puts("null"); /* somebody else wrote it */
}

static int
show_final(const struct found_job *found, bool json)
{
    struct job_view view = job_view_of(found->document, found->document_len);

    if (json)
        print_document(found);
    else if (view.state == STATE_SUCCEEDED)
        print_success(view.root);
    else
        print_failure(found, json_get(view.root, "error"));
    return view.state == STATE_SUCCEEDED ? EXIT_OK : EXIT_FAILED;
}

static int
show_unfinished(const char *id, enum standing standing, bool json)
{
    static const char *const states[] = {
        [STANDING_WAITING] = "pending",
        [STANDING_CANCELLED] = "cancelling",
        [STANDING_DELAYED] = "delayed",
        [STANDING_RUNNING] = "running",
    };
    struct evbuffer *out = xevbuffer();

    if (json) {
        evbuffer_add_printf(out, "{\"id\":");
        json_put_string(out, id, strlen(id));
        evbuffer_add_printf(out, ",\"state\":\"%s\"}", states[standing]);
    } else {
        evbuffer_add_printf(out, "%s", states[standing]);
    }
    print_line(out);
    return EXIT_TIMEOUT;
}

int
result_show(struct session *session, const char *id, bool json)
{
    struct found_job found;
    int exit_code = session_find_job(session, id, &found);

    if (exit_code != EXIT_OK)
        return exit_code;
    exit_code = found.standing == STANDING_FINAL ? show_final(&found, json)
                                                 : show_unfinished(id, found.standing, json);
    found_job_release(&found);
    return exit_code;
}

/* A program that waits reads where the job stands, people read why we stopped. */
static int
tell_timeout(const char *id, enum standing standing, bool json)
{
    char *name = harmless_text(id);

    fprintf(stderr, "headgate: %s is not final in time\n", name);
    free(name);
    return json ? show_unfinished(id, standing, json) : EXIT_TIMEOUT;
}

int
result_wait(struct session *session, const char *id, int64_t until_ms, bool json)
{
    for (;;) {
        struct found_job found;
        int exit_code = session_find_job(session, id, &found);

        if (exit_code != EXIT_OK)
            return exit_code;
        if (found.standing == STANDING_FINAL) {
            exit_code = show_final(&found, json);
            found_job_release(&found);
            return exit_code;
        }
        if (clock_mono_ms() >= until_ms)
            return tell_timeout(id, found.standing, json);
        session_sleep(session, POLL_MS);
    }
}
