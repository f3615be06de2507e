/*
 * model.h - the models as configured: names, ids, which provider speaks to them. Pure.
 */
#ifndef WORKER_MODEL_MODEL_H
#define WORKER_MODEL_MODEL_H

#include "common/error.h"

#include <stdbool.h>

#define MODEL_NAME_MAX 2048 /* Bedrock's own limit of a modelId */

struct model {
    char *name;         /* owned; as configured, in keys, results and metrics */
    const char *id;     /* into name: without "provider/" */
    char provider[16];  /* "bedrock" */
    char display[96];   /* "Claude 3.5 Sonnet": model_used in results */
    double input_price; /* USD per million tokens; < 0: unknown */
    double output_price;
};

/* The configured list: [0] is the primary. */
struct model_list {
    struct model *models; /* owned */
    int count;
};

/* Reads "a,b,c". `are_bedrock`: bare Bedrock ids; otherwise each is provider/ID. ERROR_CONFIG
 * names a provider that is not known, a name twice, an empty or an unprintable one. */
int model_list_init(struct model_list *list, const char *names, bool are_bedrock,
                    struct error *err) WARN_UNUSED;
void model_list_release(struct model_list *list);
/* NULL when not configured. */
const struct model *model_find(const struct model_list *list, const char *name);

/* One model by name, as a job's own `models` may hold it. */
int model_init(struct model *model, const char *name, bool is_bedrock,
               struct error *err) WARN_UNUSED;
void model_release(struct model *model);

#endif
