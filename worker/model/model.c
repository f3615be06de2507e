#include "worker/model/model.h"

#include "common/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS_MAX 32

/* The providers that are built. */
static const char *const providers[] = {"bedrock"};

/* ---- display names: "anthropic.claude-3-5-sonnet-20240620-v1:0" -> "Claude 3.5 Sonnet" ---- */

/* What well-known ids begin with, also inside inference profiles ("us.anthropic.claude-...") and
 * ARNs; the words behind it are read by rule. */
static const struct {
    const char *fragment;
    const char *name;
} families[] = {
    {"anthropic.claude-", "Claude"},
    {"amazon.nova-", "Nova"},
    {"amazon.titan-", "Titan"},
    {"meta.llama", "Llama"},
    {"mistral.mistral-", "Mistral"},
    {"mistral.mixtral-", "Mixtral"},
    {"mistral.ministral-", "Ministral"},
    {"mistral.pixtral-", "Pixtral"},
    {"cohere.command-", "Command"},
    {"ai21.jamba-", "Jamba"},
    {"deepseek.", "DeepSeek"},
    {"openai.gpt-oss-", "GPT OSS"},
    {"qwen.qwen", "Qwen"},
};

static bool
is_number(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)word[i]))
            return false;
    return len > 0;
}

/* "sonnet" -> "Sonnet", "70b" -> "70B" */
static void
put_word(struct model *model, const char *glue, const char *word, size_t len)
{
    size_t at = strlen(model->display);
    bool is_size = len > 1 && isdigit((unsigned char)word[0]) && word[len - 1] == 'b';

    snprintf(model->display + at, sizeof(model->display) - at, "%s%c%.*s%s", glue,
             toupper((unsigned char)word[0]), (int)len - (is_size ? 2 : 1), word + 1,
             is_size ? "B" : "");
}

/* The last word, "v2" of "v2:0": told from the second revision on. Returns false when it is an
 * ordinary word. */
static bool
put_revision(struct model *model, const char *word, size_t len)
{
    size_t at = strlen(model->display);
    bool has_v = word[0] == 'v';

    if (!is_number(word + has_v, len - has_v) || (!has_v && word[len] != ':'))
        return false;
    if (strtol(word + has_v, NULL, 10) > 1)
        snprintf(model->display + at, sizeof(model->display) - at, " v%.*s", (int)(len - has_v),
                 word + has_v);
    return true;
}

/* Numbers in a row are a version ("3-5" is 3.5), eight digits are a date and left out. */
static void
put_words(struct model *model, const char *words)
{
    const char *end = words + strcspn(words, ":");
    bool after_number = false;
    size_t len;

    for (const char *at = words; at < end; at += len + (at[len] == '-')) {
        bool is_part;

        len = strcspn(at, "-:");
        is_part = is_number(at, len);
        if (len == 0 || (is_part && len == 8) || (at + len == end && put_revision(model, at, len)))
            continue;
        put_word(model, is_part && after_number ? "." : " ", at, len);
        after_number = is_part;
    }
}

static void
name_model(struct model *model)
{
    const char *slash = strrchr(model->id, '/');

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const char *found = strstr(model->id, families[i].fragment);

        if (found == NULL)
            continue;
        snprintf(model->display, sizeof(model->display), "%s", families[i].name);
        put_words(model, found + strlen(families[i].fragment));
        return;
    }
    /* Of an ARN only the resource's own name tells anything. */
    snprintf(model->display, sizeof(model->display), "%s", slash == NULL ? model->id : slash + 1);
}

/* ---- names ---- */

static int
check_name(const char *name, struct error *err)
{
    size_t len = strlen(name);

    if (len == 0)
        return error_set(err, ERROR_CONFIG, "a model's name is empty");
    if (len > MODEL_NAME_MAX)
        return error_set(err, ERROR_CONFIG, "a model's name is longer than %d bytes",
                         MODEL_NAME_MAX);
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return error_set(err, ERROR_CONFIG,
                             "model '%s': blanks, control and non-ASCII bytes are not allowed",
                             name);
    return 0;
}

static int
split_provider(struct model *model, struct error *err)
{
    const char *slash = strchr(model->name, '/');

    for (size_t i = 0; slash != NULL && i < sizeof(providers) / sizeof(providers[0]); i++) {
        size_t len = strlen(providers[i]);

        if ((size_t)(slash - model->name) != len || strncmp(model->name, providers[i], len) != 0)
            continue;
        snprintf(model->provider, sizeof(model->provider), "%s", providers[i]);
        model->id = slash + 1;
        return check_name(model->id, err);
    }
    return error_set(err, ERROR_CONFIG, "model '%s': must be provider/ID; available: bedrock",
                     model->name);
}

int
model_init(struct model *model, const char *name, bool is_bedrock, struct error *err)
{
    *model = (struct model){.input_price = -1, .output_price = -1};
    if (check_name(name, err) < 0)
        return -1;
    model->name = xstrdup(name);
    model->id = model->name;
    snprintf(model->provider, sizeof(model->provider), "bedrock");
    if (!is_bedrock && split_provider(model, err) < 0) {
        model_release(model);
        return -1;
    }
    name_model(model);
    return 0;
}

void
model_release(struct model *model)
{
    free(model->name);
    free(model->base_url);
    free(model->api_key_env);
    memset(model, 0, sizeof(*model));
}

/* ---- what the file says ---- */

static void
copy_note(struct model *model, const struct model *note)
{
    model->input_price = note->input_price;
    model->output_price = note->output_price;
    model->rpm = note->rpm;
    model->tpm = note->tpm;
    model->call_timeout_ms = note->call_timeout_ms;
    model->base_url = note->base_url == NULL ? NULL : xstrdup(note->base_url);
    model->api_key_env = note->api_key_env == NULL ? NULL : xstrdup(note->api_key_env);
    snprintf(model->display, sizeof(model->display), "%s", note->display);
}

void
model_describe(struct model *model, const struct model_list *notes)
{
    const struct model nothing = {.input_price = -1, .output_price = -1};

    free(model->base_url);
    free(model->api_key_env);
    copy_note(model, &nothing);
    name_model(model);
    for (int i = 0; notes != NULL && i < notes->count; i++)
        if (strcmp(notes->models[i].provider, model->provider) == 0 &&
            strcmp(notes->models[i].id, model->id) == 0)
            copy_note(model, &notes->models[i]);
}

/* ---- the list ---- */

static int
add_model(struct model_list *list, const char *name, bool are_bedrock, struct error *err)
{
    if (model_find(list, name) != NULL)
        return error_set(err, ERROR_CONFIG, "model '%s' is named twice", name);
    if (list->count == MODELS_MAX)
        return error_set(err, ERROR_CONFIG, "more than %d models", MODELS_MAX);
    if (model_init(&list->models[list->count], name, are_bedrock, err) < 0)
        return -1;
    list->count++;
    return 0;
}

int
model_list_init(struct model_list *list, const char *names, bool are_bedrock, struct error *err)
{
    char *copy = xstrdup(names), *rest = copy;
    int status = 0;

    *list = (struct model_list){.models = xcalloc(MODELS_MAX, sizeof(*list->models))};
    for (char *name; status == 0 && (name = strsep(&rest, ",")) != NULL;) {
        size_t len;

        name += strspn(name, " \t");
        len = strlen(name);
        while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
            name[--len] = '\0';
        status = add_model(list, name, are_bedrock, err);
    }
    free(copy);
    if (status < 0)
        model_list_release(list);
    return status;
}

void
model_list_release(struct model_list *list)
{
    for (int i = 0; i < list->count; i++)
        model_release(&list->models[i]);
    free(list->models);
    if (list->notes != NULL)
        model_list_release(list->notes);
    free(list->notes);
    memset(list, 0, sizeof(*list));
}

const struct model *
model_find(const struct model_list *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->models[i].name, name) == 0)
            return &list->models[i];
    return NULL;
}
