/*
 * config_show.c - `headgate config`: every setting in effect and every value of the file, secrets
 * hidden.
 */
#include "common/config.h"
#include "common/config_value.h"
#include "common/json/json.h"
#include "common/memory.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

#define ACCESS_KEY_ID_MIN 16 /* what is shorter is none, but may be a secret */

/* "...?sentinel_password=***": of an option that is a secret, and behind it, nothing is shown. */
static char *
without_secret_option(const char *text)
{
    const char *options = strchr(text, '?');
    const char *secret = options == NULL ? NULL : strstr(options, "password=");

    if (secret == NULL)
        return xstrdup(text);
    return xasprintf("%.*s***", (int)(secret - text) + (int)strlen("password="), text);
}

/* "https://user:***@host". Everything up to the last '@' may belong to the password; without an
 * '@', what stands where a port should and is none may be one too. */
static char *
without_password(const char *text)
{
    const char *scheme = strstr(text, "://"), *behind = strrchr(text, '@'), *colon;
    const char *login = scheme == NULL ? text : scheme + strlen("://");

    if (behind == NULL || behind < login) {
        colon = strchr(login, ':');
        if (colon == NULL || (colon[1] >= '0' && colon[1] <= '9'))
            return xstrdup(text);
        return xasprintf("%.*s***", (int)(colon + 1 - text), text);
    }
    colon = memchr(login, ':', (size_t)(behind - login));
    return xasprintf("%.*s***%s", (int)((colon == NULL ? login : colon + 1) - text), text, behind);
}

static char *
without_secrets(const char *text)
{
    const char *scheme = strstr(text, "://");
    char *front = without_secret_option(text), *shown;

    /* An '@' behind the '?' may end a login whose password has a raw '?', or stand in the option.
     */
    if (strchr(text, '@') != NULL && strchr(front, '@') == NULL)
        shown = xasprintf("%.*s***", scheme == NULL ? 0 : (int)(scheme + 3 - text), text);
    else
        shown = without_password(front);
    free(front);
    return shown;
}

char *
config_shown_text(enum config_shown shown, const char *text)
{
    switch (shown) {
    case CONFIG_PLAIN: return xstrdup(text);
    case CONFIG_SECRET: return xstrdup("***");
    case CONFIG_KEY_ID: return xasprintf("%.4s***", strlen(text) < ACCESS_KEY_ID_MIN ? "" : text);
    case CONFIG_URL: return without_secrets(text);
    }
    return xstrdup("***");
}

/* "urgent,bulk=3": as HEADGATE_QUEUES would say it. */
static char *
queues_of_file(const struct config *config)
{
    const struct config_part section = config_file_section(config->sections, "queues");
    struct evbuffer *list = xevbuffer();
    char *text;
    size_t len;

    for (int i = 0; section.value.type != JSON_ABSENT && i < config->queue_count; i++) {
        evbuffer_add_printf(list, "%s%s", i == 0 ? "" : ",", config->queues[i].name);
        if (config->queues[i].weight > 0)
            evbuffer_add_printf(list, "=%d", config->queues[i].weight);
    }
    len = evbuffer_get_length(list);
    text = xcalloc(1, len + 1);
    evbuffer_remove(list, text, len);
    evbuffer_free(list);
    return text;
}

static char *
models_of_file(const struct config *config)
{
    const struct config_part section = config_file_section(config->sections, "models");
    struct config_part model;
    struct json_slice key;
    char *list = xstrdup("");

    for (struct config_iter it = config_iter(&section);
         config->models == NULL && config_next(&it, &key, &model);) {
        char *name = json_string(json_get(model.value, "name"), NULL);
        char *longer =
            xasprintf("%s%s%s", list, *list == '\0' ? "" : ",", name == NULL ? "" : name);

        free(name);
        free(list);
        list = longer;
    }
    return list;
}

/* What the file says in the place of a variable, or NULL. Owned by the caller. */
static char *
value_of_file(const struct config *config, const char *name)
{
    char *text = NULL;

    if (config_given(config, name) != NULL)
        return NULL;
    if (strcmp(name, config->use_celery ? "HEADGATE_CELERY_QUEUES" : "HEADGATE_QUEUES") == 0)
        text = queues_of_file(config);
    else if (strcmp(name, "HEADGATE_MODELS") == 0)
        text = models_of_file(config);
    if (text != NULL && *text != '\0')
        return text;
    free(text);
    return NULL;
}

/* What is in effect, as people may see it, or NULL when nothing is, and where it is from. Owned by
 * the caller. */
static char *
value_in_effect(const struct config *config, const struct config_setting *setting,
                const char **from)
{
    const char *given = config_given(config, setting->name);
    char *text = value_of_file(config, setting->name);

    *from = text != NULL ? "file" : given != NULL ? "environment" : "default";
    if (text != NULL)
        return text;
    if (given == NULL)
        given = setting->otherwise;
    return given == NULL ? NULL : config_shown_text(setting->shown, given);
}

#define NAME_WIDTH  33
#define VALUE_WIDTH 24
#define FROM_WIDTH  12

static void
put_row(struct evbuffer *out, const char *name, const char *value, const char *from,
        const char *help)
{
    evbuffer_add_printf(out, "%-*s %-*s %-*s %s\n", NAME_WIDTH, name, VALUE_WIDTH, value,
                        FROM_WIDTH, from, help);
}

/* A leaf of the file: a prompt is long, its beginning tells which one it is. */
#define LEAF_MAX 60
static char *
leaf_text(struct json_slice value)
{
    char *text =
        value.type == JSON_STRING ? json_string(value, NULL) : strndup(value.text, value.len);
    size_t len = text == NULL ? 0 : strlen(text);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    if (len > LEAF_MAX)
        memcpy(text + LEAF_MAX - 3, "...", 4);
    if (text != NULL)
        utf8_clean(text);
    return text == NULL ? xstrdup("") : text;
}

typedef void leaf_fn(struct evbuffer *out, const char *path, const char *value);

/* Every value of the file with its path. What stands deeper, as in a schema, is shown as it is. */
#define LEVELS 3
static void
walk_file(const struct config_part *whole, int levels, leaf_fn *put, struct evbuffer *out)
{
    struct config_part part;
    struct json_slice key;

    for (struct config_iter it = config_iter(whole); config_next(&it, &key, &part);) {
        bool is_leaf = part.value.type != JSON_OBJECT && part.value.type != JSON_ARRAY;
        char *text;

        if (!is_leaf && levels > 0) {
            walk_file(&part, levels - 1, put, out);
            continue;
        }
        text = leaf_text(part.value);
        put(out, part.path, text);
        free(text);
    }
}

static void
put_leaf_row(struct evbuffer *out, const char *path, const char *value)
{
    put_row(out, path, value, "file", "");
}

static void
put_leaf_member(struct evbuffer *out, const char *path, const char *value)
{
    evbuffer_add(out, ",", 1);
    json_put_string(out, path, strlen(path));
    evbuffer_add_printf(out, ":{\"value\":");
    json_put_string(out, value, strlen(value));
    evbuffer_add_printf(out, ",\"from\":\"file\",\"help\":\"\"}");
}

static void
put_table(const struct config *config, struct evbuffer *out)
{
    const struct config_part file = config_file_root(config->sections);
    const char *from;

    put_row(out, "NAME", "VALUE", "FROM", "WHAT");
    for (const struct config_setting *s = config_settings; s->name != NULL; s++) {
        char *value = value_in_effect(config, s, &from);

        put_row(out, s->name, value == NULL ? "(unset)" : value, from, s->help);
        free(value);
    }
    walk_file(&file, LEVELS, put_leaf_row, out);
}

static void
put_object(const struct config *config, struct evbuffer *out)
{
    const struct config_part file = config_file_root(config->sections);
    const char *from;

    evbuffer_add_printf(out, "{");
    for (const struct config_setting *s = config_settings; s->name != NULL; s++) {
        char *value = value_in_effect(config, s, &from);

        evbuffer_add_printf(out, "%s\"%s\":{\"value\":", s == config_settings ? "" : ",", s->name);
        if (value == NULL)
            evbuffer_add_printf(out, "null");
        else
            json_put_string(out, value, strlen(value));
        evbuffer_add_printf(out, ",\"from\":\"%s\",\"help\":", from);
        json_put_string(out, s->help, strlen(s->help));
        evbuffer_add_printf(out, "}");
        free(value);
    }
    walk_file(&file, LEVELS, put_leaf_member, out);
    evbuffer_add_printf(out, "}\n");
}

void
config_show(const struct config *config, bool json, struct evbuffer *out)
{
    (json ? put_object : put_table)(config, out);
}
