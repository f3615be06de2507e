/*
 * model.h - the models as configured: names, ids, which provider speaks to them. Pure.
 */
#ifndef WORKER_MODEL_MODEL_H
#define WORKER_MODEL_MODEL_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_NAME_MAX 2048 /* Bedrock's own limit of a modelId */

struct model {
    char *name;         /* owned; as configured, in keys, results and metrics */
    const char *id;     /* into name: without "provider/" */
    char provider[16];  /* "bedrock" */
    char display[96];   /* "Claude 3.5 Sonnet": model_used in results */
    double input_price; /* USD per million tokens; < 0: unknown */
    double output_price;
    /* what only a configuration file can say */
    double rpm, tpm;         /* its quota, requests and LLM tokens a minute; 0: unknown */
    int64_t call_timeout_ms; /* of one call; 0: HEADGATE_CALL_TIMEOUT */
    char *base_url;          /* owned; where it is called instead; NULL: as the provider has it */
    char *api_key_env;       /* owned; the variable that holds its API key; NULL: none of its own */
};

/* The configured list: [0] is the primary. */
struct model_list {
    struct model *models; /* owned */
    int count;
    struct model_list *notes; /* owned; all that the file describes, in the list or not; or NULL */
};

/* Reads "a,b,c". `are_bedrock`: bare Bedrock ids; otherwise each is provider/ID. ERROR_CONFIG
 * names a provider that is not known, a name twice, an empty or an unprintable one. */
int model_list_init(struct model_list *list, const char *names, bool are_bedrock,
                    struct error *err) WARN_UNUSED;
void model_list_release(struct model_list *list);
/* NULL when not configured. */
const struct model *model_find(const struct model_list *list, const char *name);

/* Gives the model everything that the notes say of it (it is the same when provider and id are);
 * what they do not say is as model_init left it. `notes` may be NULL. */
void model_describe(struct model *model, const struct model_list *notes);

/* One model by name, as a job's own `models` may hold it. */
int model_init(struct model *model, const char *name, bool is_bedrock,
               struct error *err) WARN_UNUSED;
void model_release(struct model *model);

#endif
