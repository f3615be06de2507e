#include "tests/sim/panel.h"

#include "common/clock.h"
#include "common/json/json.h"

#include <stdlib.h>
#include <string.h>

/* Fills `out` with the answer, or fails with what the caller did wrong. */
typedef int panel_fn(struct sim *sim, const struct wire_request *request, struct evbuffer *out,
                     struct error *err);

static int
set_config(struct sim *sim, const struct wire_request *request, struct evbuffer *out,
           struct error *err)
{
    struct settings *settings;
    struct json_slice root;

    if (json_check(request->body, request->body_len, &root, err) != 0)
        return -1;
    settings = settings_merged(sim->settings, root, err);
    if (settings == NULL)
        return -1;
    settings_free(sim->settings);
    sim->settings = settings;
    aws_sign_forget(&sim->sign_cache);
    evbuffer_add_printf(out, "{\"ok\":true}");
    return 0;
}

static int
find_script(struct sim *sim, struct json_slice name, struct script **script, struct error *err)
{
    char *id = json_string(name, NULL);
    struct account_model *model;

    if (id == NULL)
        return error_set(err, ERROR_INPUT, "model must be an id or \"*\"");
    *script = &sim->account.any_script;
    if (strcmp(id, "*") != 0) {
        model = account_model(&sim->account, id);
        *script = model == NULL ? NULL : &model->script;
    }
    free(id);
    return *script != NULL ? 0 : error_set(err, ERROR_INPUT, "too many models");
}

static int
add_script(struct sim *sim, const struct wire_request *request, struct evbuffer *out,
           struct error *err)
{
    struct json_slice root;
    struct script *script;

    if (json_check(request->body, request->body_len, &root, err) != 0 ||
        find_script(sim, json_get(root, "model"), &script, err) != 0 ||
        script_append(script, root, err) != 0)
        return -1;
    evbuffer_add_printf(out, "{\"ok\":true}");
    return 0;
}

static int
reset(struct sim *sim, const struct wire_request *request, struct evbuffer *out, struct error *err)
{
    (void)request, (void)err;
    account_reset(&sim->account, clock_mono_ms());
    journal_release(&sim->journal);
    evbuffer_add_printf(out, "{\"ok\":true}");
    return 0;
}

static void
put_model(struct evbuffer *out, const struct account_model *model)
{
    const struct tally *tally = &model->tally;

    json_put_string(out, model->id, strlen(model->id));
    evbuffer_add_printf(out,
                        ":{\"calls\":%lld,\"ok\":%lld,\"throttled\":%lld,\"errors\":%lld,"
                        "\"aborted\":%lld,\"auth_failed\":%lld}",
                        (long long)tally->calls, (long long)tally->ok, (long long)tally->throttled,
                        (long long)tally->errors, (long long)tally->aborted,
                        (long long)tally->auth_failed);
}

static int
print_stats(struct sim *sim, const struct wire_request *request, struct evbuffer *out,
            struct error *err)
{
    const struct account *account = &sim->account;

    (void)request, (void)err;
    evbuffer_add_printf(out, "{\"calls\":%lld,\"open\":%lld,\"max_open\":%lld,\"models\":{",
                        (long long)account->calls, (long long)account->open,
                        (long long)account->max_open);
    for (struct account_model *model = account->models; model != NULL; model = model->hh.next) {
        put_model(out, model);
        if (model->hh.next != NULL)
            evbuffer_add(out, ",", 1);
    }
    evbuffer_add_printf(out, "}}");
    return 0;
}

static int
print_log(struct sim *sim, const struct wire_request *request, struct evbuffer *out,
          struct error *err)
{
    const char *query = request->head->query;
    char *end = NULL;
    int64_t from = 0;

    if (strncmp(query, "from=", 5) == 0)
        from = strtoll(query + 5, &end, 10);
    if (from < 0 || (end != NULL && (end == query + 5 || *end != '\0')))
        return error_set(err, ERROR_INPUT, "from must be a number of a call");
    journal_print(&sim->journal, from, out);
    return 0;
}

static const struct {
    const char *method, *path;
    panel_fn *answer;
} ROUTES[] = {
    {"POST", "/sim/config", set_config}, {"POST", "/sim/script", add_script},
    {"POST", "/sim/reset", reset},       {"GET", "/sim/stats", print_stats},
    {"GET", "/sim/log", print_log},
};

static panel_fn *
find_route(const struct wire_head *head)
{
    for (size_t i = 0; i < sizeof(ROUTES) / sizeof(ROUTES[0]); i++)
        if (strcmp(ROUTES[i].method, head->method) == 0 && strcmp(ROUTES[i].path, head->path) == 0)
            return ROUTES[i].answer;
    return NULL;
}

void
panel_answer(struct sim *sim, struct exchange *exchange, const struct wire_request *request)
{
    panel_fn *answer = find_route(request->head);
    struct wire_reply reply;
    struct error err = {.message = "no such call"};

    wire_reply_init(&reply, 200);
    if (answer == NULL || answer(sim, request, reply.body, &err) != 0) {
        reply.status = answer == NULL ? 404 : 400;
        evbuffer_add_printf(reply.body, "{\"error\":");
        json_put_string(reply.body, err.message, strlen(err.message));
        evbuffer_add_printf(reply.body, "}");
    }
    wire_reply(exchange, &reply, NULL, NULL);
}
