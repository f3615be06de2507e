/* config_file: a configuration file; every section of it, and an answer that its types read. */
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/job/feedback.h"
#include "worker/job/prompt.h"
#include "worker/settings.h"

static const char *const sections[] = {"models", "types", "queues", "tenants", NULL};

static const char *
environment(const char *name, void *arg)
{
    (void)arg;
    return name[0] == 'K' ? "key" : NULL;
}

static void
check_models(const struct model_list *notes)
{
    for (int i = 0; i < notes->count; i++) {
        const struct model *model = &notes->models[i];

        MUST(model->name[0] != '\0' && model->id[0] != '\0' && model->display[0] != '\0');
        MUST(model->rpm >= 0 && model->tpm >= 0 && model->call_timeout_ms >= 0);
        MUST((model->input_price < 0) == (model->output_price < 0));
        MUST(model->base_url == NULL || strncasecmp(model->base_url, "http", 4) == 0);
    }
}

/* The type reads this text as the answer to a job that has all it needs. */
static void
read_answer(const struct job_type *type, struct job_types *types, const char *text, size_t len)
{
    const struct feedback_context context = {.model_used = "m"};
    struct json_slice root;
    struct job job = {.type = type, .types = job_types_hold(types)};
    struct evbuffer *out = evbuffer_new(), *prompt = evbuffer_new();
    struct error err = {0};

    MUST(json_check("{}", 2, &job.root, NULL) == 0);
    evbuffer_add(prompt, "\"", 1);
    prompt_put_system(&job, prompt);
    prompt_put_user(&job, prompt);
    evbuffer_add(prompt, "\"", 1);
    must_be_json(prompt);
    if (feedback_print(&job, text, len, &context, out, &err) == 0) {
        MUST(json_check((char *)evbuffer_pullup(out, -1), evbuffer_get_length(out), &root, NULL) ==
             0);
        MUST(type->schema == NULL ||
             json_schema_check(type->schema, json_get(root, "data"), NULL) == 0);
    } else {
        MUST(err.kind == ERROR_INPUT && utf8_is_valid(err.message, strlen(err.message)));
    }
    evbuffer_free(prompt);
    evbuffer_free(out);
    job_release(&job);
}

static void
check_types(struct job_types *types, const char *text, size_t len)
{
    static const char *const names[] = {"analyze", "chat", "t"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct job_type *type = job_type_find(types, names[i]);

        if (type == NULL)
            continue;
        MUST(strcmp(type->name, names[i]) == 0 && type->prompt != NULL && type->max_tokens >= 1);
        MUST(type->schema == NULL || type->output == JOB_OUTPUT_JSON);
        read_answer(type, types, text, len);
    }
}

static void
check_settings(struct settings *settings, const char *text, size_t len)
{
    check_models(&settings->notes);
    check_types(settings->types, text, len);
    MUST(settings->queue_count >= 1 && settings->queue_count <= CONFIG_QUEUES_MAX);
    for (int i = 0; i < settings->queue_count; i++)
        MUST(settings->queues[i].weight >= 0 && settings->queues[i].weight <= 1000);
    for (int i = 0; i < settings->tenants.count; i++) {
        const struct tenant *tenant = &settings->tenants.named[i];

        MUST(tenant->weight >= 0.01 && tenant->weight <= 1000 && tenant->max_in_flight >= 0);
        MUST(tenants_find(&settings->tenants, tenant->name) == tenant);
    }
}

/* The file; behind a byte 1, an answer. */
int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const struct config config = {.getenv_fn = environment};
    struct input input = {(const char *)data, size};
    struct settings settings;
    struct config_file *file;
    struct error err = {0};
    char *text = input_text(&input, '\x01');
    char *answer = input_text(&input, '\x01');

    file = config_file_parse("f", text, strlen(text), sections, &err);
    if (file != NULL && settings_read(&settings, &config, file, &err) == 0) {
        check_settings(&settings, answer, strlen(answer));
        settings_release(&settings);
    } else {
        MUST(err.kind == ERROR_CONFIG && strncmp(err.message, "HEADGATE_CONFIG=f: line ", 24) == 0);
        MUST(utf8_is_valid(err.message, strlen(err.message)));
    }
    config_file_free(file);
    free(answer);
    free(text);
    return 0;
}
