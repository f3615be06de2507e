/*
 * config_show.c - `headgate config`: every setting in effect, secrets hidden.
 */
#include "common/config.h"
#include "common/config_value.h"
#include "common/json/json.h"
#include "common/memory.h"

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

/* What is in effect, as people may see it, or NULL when nothing is. Owned by the caller. */
static char *
value_in_effect(const struct config *config, const struct config_setting *setting)
{
    const char *given = config_given(config, setting->name);
    const char *text = given != NULL ? given : setting->otherwise;

    return text == NULL ? NULL : config_shown_text(setting->shown, text);
}

static const char *
source(const struct config *config, const struct config_setting *setting)
{
    return config_given(config, setting->name) != NULL ? "environment" : "default";
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

static void
put_table(const struct config *config, struct evbuffer *out)
{
    put_row(out, "NAME", "VALUE", "FROM", "WHAT");
    for (const struct config_setting *s = config_settings; s->name != NULL; s++) {
        char *value = value_in_effect(config, s);

        put_row(out, s->name, value == NULL ? "(unset)" : value, source(config, s), s->help);
        free(value);
    }
}

static void
put_object(const struct config *config, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{");
    for (const struct config_setting *s = config_settings; s->name != NULL; s++) {
        char *value = value_in_effect(config, s);

        evbuffer_add_printf(out, "%s\"%s\":{\"value\":", s == config_settings ? "" : ",", s->name);
        if (value == NULL)
            evbuffer_add_printf(out, "null");
        else
            json_put_string(out, value, strlen(value));
        evbuffer_add_printf(out, ",\"from\":\"%s\",\"help\":", source(config, s));
        json_put_string(out, s->help, strlen(s->help));
        evbuffer_add_printf(out, "}");
        free(value);
    }
    evbuffer_add_printf(out, "}\n");
}

void
config_show(const struct config *config, bool json, struct evbuffer *out)
{
    (json ? put_object : put_table)(config, out);
}
