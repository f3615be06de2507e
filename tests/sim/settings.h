/*
 * settings.h - what the simulator was told to be: the configuration in README.md. Pure.
 */
#ifndef SIM_SETTINGS_H
#define SIM_SETTINGS_H

#include "common/error.h"
#include "common/json/json.h"
#include "tests/sim/quota.h"

#include <uthash.h>

enum reply_kind { REPLY_AUTO, REPLY_FEEDBACK, REPLY_TEXT, REPLY_LITERAL };

struct model_settings {
    double latency_ms; /* median */
    double latency_sigma;
    int64_t reject_latency_ms;
    struct quota_limit rpm;
    struct quota_limit tpm;
    double retry_after_s; /* < 0: not sent */
    double error_rate;
    char *stop_reason; /* owned */
    enum reply_kind reply;
    char *reply_text; /* owned; REPLY_LITERAL only */
};

struct named_model {
    char *id; /* owned */
    struct model_settings settings;
    UT_hash_handle hh;
};

struct settings {
    char *region, *access_key, *secret_key; /* owned, never NULL */
    char *session_token, *bearer_token;     /* owned, NULL: none */
    bool verify;
    bool known_only;
    int64_t clock_offset_ms;
    struct model_settings fallback; /* "default" */
    struct named_model *models;     /* hash by id */
};

struct settings *settings_new(void);
void settings_free(struct settings *settings);
/* A new one: `old` with the members of `root` put over it, or NULL and ERROR_INPUT. */
struct settings *settings_merged(const struct settings *old, struct json_slice root,
                                 struct error *err) WARN_UNUSED;
/* Borrowed: the model's own settings, or the default ones with *is_named false. */
const struct model_settings *settings_of(const struct settings *settings, const char *id,
                                         bool *is_named);

#endif
