#include "tests/sim/settings.h"

#include "common/memory.h"
#include "tests/sim/field.h"
#include "tests/sim/model_settings.h"

#include <stdlib.h>

#define OFFSET_MAX_S 1e9

struct settings *
settings_new(void)
{
    struct settings *settings = xcalloc(1, sizeof(*settings));

    settings->region = xstrdup("us-east-1");
    settings->access_key = xstrdup("AKIDEXAMPLE");
    settings->secret_key = xstrdup("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    settings->verify = true;
    model_settings_init(&settings->fallback);
    return settings;
}

void
settings_free(struct settings *settings)
{
    struct named_model *model, *next;

    if (settings == NULL)
        return;
    HASH_ITER(hh, settings->models, model, next)
    {
        HASH_DEL(settings->models, model);
        model_settings_release(&model->settings);
        free(model->id);
        free(model);
    }
    model_settings_release(&settings->fallback);
    free(settings->region);
    free(settings->access_key);
    free(settings->secret_key);
    free(settings->session_token);
    free(settings->bearer_token);
    free(settings);
}

static struct named_model *
add_model(struct settings *settings, char *id, const struct model_settings *like)
{
    struct named_model *model = xcalloc(1, sizeof(*model));

    model->id = id;
    model_settings_copy(&model->settings, like);
    HASH_ADD_KEYPTR(hh, settings->models, id, strlen(id), model);
    return model;
}

static char *
copy_text(const char *text)
{
    return text == NULL ? NULL : xstrdup(text);
}

static struct settings *
settings_copy(const struct settings *old)
{
    struct settings *settings = xcalloc(1, sizeof(*settings));

    settings->region = xstrdup(old->region);
    settings->access_key = xstrdup(old->access_key);
    settings->secret_key = xstrdup(old->secret_key);
    settings->session_token = copy_text(old->session_token);
    settings->bearer_token = copy_text(old->bearer_token);
    settings->verify = old->verify;
    settings->known_only = old->known_only;
    settings->clock_offset_ms = old->clock_offset_ms;
    model_settings_copy(&settings->fallback, &old->fallback);
    for (struct named_model *model = old->models; model != NULL; model = model->hh.next)
        add_model(settings, xstrdup(model->id), &model->settings);
    return settings;
}

static int
merge_model(struct settings *settings, struct json_slice name, struct json_slice value,
            struct error *err)
{
    char *id = json_string(name, NULL);
    struct named_model *model;

    HASH_FIND_STR(settings->models, id, model);
    if (model == NULL)
        model = add_model(settings, id, &settings->fallback);
    else
        free(id);
    return model_settings_merge(&model->settings, value, err);
}

static int
merge_models(struct settings *settings, struct json_slice models, struct error *err)
{
    struct json_slice name, value;

    if (models.type == JSON_ABSENT)
        return 0;
    if (models.type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "models must be an object of models");
    for (struct json_iter it = json_iter(models); json_next(&it, &name, &value);)
        if (merge_model(settings, name, value, err) != 0)
            return -1;
    return 0;
}

static int
merge_needed_text(struct json_slice root, const char *name, char **text, struct error *err)
{
    if (json_get(root, name).type == JSON_NULL)
        return error_set(err, ERROR_INPUT, "%s must be a string", name);
    return field_text(root, name, text, err);
}

static int
merge_clock(struct settings *settings, struct json_slice root, struct error *err)
{
    double offset_s = (double)settings->clock_offset_ms / 1000.0;

    if (field_double(root, "clock_offset_s", -OFFSET_MAX_S, OFFSET_MAX_S, &offset_s, err) != 0)
        return -1;
    settings->clock_offset_ms = (int64_t)(offset_s * 1000.0);
    return 0;
}

static int
merge_default(struct settings *settings, struct json_slice value, struct error *err)
{
    return value.type == JSON_ABSENT ? 0 : model_settings_merge(&settings->fallback, value, err);
}

static int
merge(struct settings *settings, struct json_slice root, struct error *err)
{
    if (root.type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "a configuration must be a JSON object");
    if (merge_needed_text(root, "region", &settings->region, err) != 0 ||
        merge_needed_text(root, "access_key", &settings->access_key, err) != 0 ||
        merge_needed_text(root, "secret_key", &settings->secret_key, err) != 0 ||
        field_text(root, "session_token", &settings->session_token, err) != 0 ||
        field_text(root, "bearer_token", &settings->bearer_token, err) != 0 ||
        field_bool(root, "verify", &settings->verify, err) != 0 ||
        field_bool(root, "known_only", &settings->known_only, err) != 0 ||
        merge_clock(settings, root, err) != 0)
        return -1;
    /* Before the models: a new one starts as a copy of it. */
    if (merge_default(settings, json_get(root, "default"), err) != 0)
        return -1;
    return merge_models(settings, json_get(root, "models"), err);
}

struct settings *
settings_merged(const struct settings *old, struct json_slice root, struct error *err)
{
    struct settings *settings = settings_copy(old);

    if (merge(settings, root, err) == 0)
        return settings;
    settings_free(settings);
    return NULL;
}

const struct model_settings *
settings_of(const struct settings *settings, const char *id, bool *is_named)
{
    struct named_model *model;

    HASH_FIND_STR(settings->models, id, model);
    *is_named = model != NULL;
    return model != NULL ? &model->settings : &settings->fallback;
}
