#include "worker/model/model_file.h"

#include "common/aws/aws_endpoint.h"
#include "common/memory.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS_MAX     32
#define NOTES_MAX      256
#define PER_MINUTE_MAX 1e9
#define PRICE_MAX      1e6
#define TIMEOUT_MAX    3600
#define URL_BYTES_MAX  1024
#define ENV_BYTES_MAX  128

static const struct config_field price_fields[] = {
    {"input", config_field_number, offsetof(struct model, input_price), .high = PRICE_MAX,
     .is_needed = true},
    {"output", config_field_number, offsetof(struct model, output_price), .high = PRICE_MAX,
     .is_needed = true},
    {0},
};

static int
read_price(const struct config_field *field, const struct config_part *part, void *member,
           struct error *err)
{
    (void)field;
    return config_part_read(part, price_fields, member, err);
}

static int
read_display(const struct config_field *field, const struct config_part *part, void *member,
             struct error *err)
{
    struct model *model = member;
    char *text = NULL;
    int result = config_field_text(field, part, &text, err);

    if (result == 0)
        snprintf(model->display, sizeof(model->display), "%s", text);
    free(text);
    return result;
}

/* A URL may hold a password, and what is taken for a variable's name may be the key itself: neither
 * is shown. */
static int
read_url(const struct config_field *field, const struct config_part *part, void *member,
         struct error *err)
{
    struct aws_endpoint endpoint;
    struct error why = {0};

    if (config_field_text(field, part, member, err) != 0)
        return -1;
    if (aws_endpoint_init(&endpoint, *(char **)member, &why) != 0)
        return config_part_refuse(part, err,
                                  "an http or https URL without user, query or fragment");
    aws_endpoint_release(&endpoint);
    return 0;
}

static int
read_variable(const struct config_field *field, const struct config_part *part, void *member,
              struct error *err)
{
    if (config_field_text(field, part, member, err) != 0)
        return -1;
    for (const char *at = *(char **)member; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return config_part_refuse(part, err, "the name of an environment variable");
    return 0;
}

#define MEMBER(m) .offset = offsetof(struct model, m)

static const struct config_field fields[] = {
    {"name", NULL, .is_needed = true},
    {"display", read_display, .high = sizeof(((struct model *)0)->display) - 1},
    {"rpm", config_field_number, MEMBER(rpm), .high = PER_MINUTE_MAX},
    {"tpm", config_field_number, MEMBER(tpm), .high = PER_MINUTE_MAX},
    {"price", .read = read_price},
    {"timeout", config_field_seconds, MEMBER(call_timeout_ms), .low = 0.1, .high = TIMEOUT_MAX},
    {"base_url", read_url, MEMBER(base_url), .high = URL_BYTES_MAX, .is_hidden = true},
    {"api_key_env", read_variable, MEMBER(api_key_env), .high = ENV_BYTES_MAX, .is_hidden = true},
    {0},
};

static int
refuse_name(const struct config_part *part, const char *why, struct error *err)
{
    const struct config_part name = config_part_member(part, "name");

    return config_part_refuse(&name, err, "%s", why);
}

/* A '/' is in the bare id of a model only when that is an ARN: "bedrok/x" is a mistake. */
static bool
may_be_bare(const char *name)
{
    return strchr(name, '/') == NULL || strncmp(name, "arn:", 4) == 0;
}

/* A name as the environment would have it: provider/ID, or with BEDROCK_* a bare id too. */
static int
init_model(struct model *model, const struct config_part *part, bool is_bedrock, struct error *err)
{
    const struct config_part at_name = config_part_member(part, "name");
    char *name = config_part_text(&at_name, MODEL_NAME_MAX);
    struct error why;
    int result = -1;

    *model = (struct model){0};
    if (name == NULL)
        refuse_name(part, "a model's name", err);
    else if (model_init(model, name, false, &why) == 0 ||
             (is_bedrock && may_be_bare(name) && model_init(model, name, true, &why) == 0))
        result = 0;
    else
        refuse_name(part,
                    is_bedrock ? "a model's id, or provider/ID; available: bedrock"
                               : "provider/ID without blanks; available: bedrock",
                    err);
    free(name);
    return result;
}

/* The key must be there from the start: a missing one would fail every call. */
static int
check_key(const struct config_part *part, const struct model *model, const struct config *config,
          struct error *err)
{
    struct config_part key = config_part_member(part, "api_key_env");
    const char *value;

    if (model->api_key_env == NULL)
        return 0;
    value = config->getenv_fn(model->api_key_env, config->getenv_arg);
    if (value != NULL && *value != '\0')
        return 0;
    key.is_hidden = true;
    return config_part_refuse(&key, err, "the name of an environment variable that is set");
}

static bool
has_model(const struct model_list *notes, const struct model *model)
{
    for (int i = 0; i < notes->count; i++)
        if (strcmp(notes->models[i].provider, model->provider) == 0 &&
            strcmp(notes->models[i].id, model->id) == 0)
            return true;
    return false;
}

static int
read_note(struct model_list *notes, const struct config_part *part, const struct config *config,
          struct error *err)
{
    struct model model;

    if (part->value.type != JSON_OBJECT)
        return config_part_refuse(part, err, "an object with a name");
    if (json_get(part->value, "name").type == JSON_ABSENT) /* fails, and says so */
        return config_part_read(part, fields, &notes->models[notes->count++], err);
    if (init_model(&model, part, config->models_are_bedrock, err) != 0)
        return -1;
    if (has_model(notes, &model)) {
        model_release(&model);
        return refuse_name(part, "a model that is not described before", err);
    }
    notes->models[notes->count++] = model;
    if (config_part_read(part, fields, &notes->models[notes->count - 1], err) != 0)
        return -1;
    return check_key(part, &notes->models[notes->count - 1], config, err);
}

int
model_notes_read(struct model_list *notes, const struct config *config,
                 const struct config_file *file, struct error *err)
{
    const struct config_part section = config_file_section(file, "models");
    struct config_part part;
    struct json_slice key;
    int result = config_part_expect(&section, JSON_ARRAY, err);

    *notes = (struct model_list){.models = xcalloc(NOTES_MAX, sizeof(*notes->models))};
    for (struct config_iter it = config_iter(&section);
         result == 0 && config_next(&it, &key, &part);) {
        if (notes->count == NOTES_MAX)
            result = config_part_refuse(&section, err, "an array of at most %d models", NOTES_MAX);
        else
            result = read_note(notes, &part, config, err);
    }
    if (result != 0)
        model_list_release(notes);
    return result;
}

void
model_list_take_notes(struct model_list *list, struct model_list *notes)
{
    if (list->notes == NULL)
        list->notes = xcalloc(1, sizeof(*list->notes));
    else
        model_list_release(list->notes);
    *list->notes = *notes;
    *notes = (struct model_list){0};
    for (int i = 0; i < list->count; i++)
        model_describe(&list->models[i], list->notes);
}

static int
list_named(struct model_list *list, const struct config *config, struct error *err)
{
    const char *variable = config->models_are_bedrock ? "BEDROCK_MODEL_ID, BEDROCK_FALLBACK_MODELS"
                                                      : "HEADGATE_MODELS";
    struct error why = {0};

    if (model_list_init(list, config->models, config->models_are_bedrock, &why) == 0)
        return 0;
    return error_set(err, ERROR_CONFIG, "%s=%.100s: %s", variable, config->models, why.message);
}

/* The environment names no model: those of the file are the list. */
static int
list_notes(struct model_list *list, const struct model_list *notes, const struct config *config,
           struct error *err)
{
    const struct config_part section = config_file_section(config->sections, "models");

    *list = (struct model_list){0};
    if (notes->count > MODELS_MAX)
        return config_part_refuse(&section, err,
                                  "at most %d models while the environment names none", MODELS_MAX);
    list->models = xcalloc(MODELS_MAX, sizeof(*list->models));
    for (; list->count < notes->count; list->count++)
        if (model_init(&list->models[list->count], notes->models[list->count].name, false, err) < 0)
            return -1; /* Cannot happen, because the notes were made of these names. */
    return 0;
}

int
model_list_load(struct model_list *list, const struct config *config, struct error *err)
{
    struct model_list notes;
    int result;

    *list = (struct model_list){0};
    if (model_notes_read(&notes, config, config->sections, err) != 0)
        return -1;
    result = config->models != NULL ? list_named(list, config, err)
                                    : list_notes(list, &notes, config, err);
    if (result == 0)
        model_list_take_notes(list, &notes);
    else
        model_list_release(list);
    model_list_release(&notes);
    return result;
}
