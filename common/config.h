/*
 * config.h - every setting of the program, from the environment, in one table.
 *
 * Each row of the table in config.c has the variable's name, its type, default, range and
 * one line of help; reading, checking, `headgate config` and the table in docs/ all come
 * from it. A wrong value is ERROR_CONFIG: "HEADGATE_CONCURRENCY=0: must be a whole number
 * from 1 to 100000". Seconds take fractions and are kept as milliseconds.
 * An empty variable counts as unset. HEADGATE_CONFIG names a file (config_file.h): its queues are
 * read here, its other sections by the rooms they are for. The environment wins over the file.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "common/config_file.h"
#include "common/error.h"
#include "common/log.h"
#include "common/redis/redis_url.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_delivery { DELIVERY_AT_LEAST_ONCE, DELIVERY_AT_MOST_ONCE };
enum config_policy { POLICY_PACED, POLICY_V2, POLICY_V1 };
enum config_prefer { CONFIG_PREFER_LATENCY, CONFIG_PREFER_BALANCED, CONFIG_PREFER_PRIMARY };

/* Looks up an environment variable; tests pass their own. */
typedef const char *config_getenv_fn(const char *name, void *arg);

#define CONFIG_QUEUES_MAX     64
#define CONFIG_QUEUE_NAME_MAX 128
/* Those that are worked on when nobody names any. */
#define CONFIG_QUEUES        "analyze"
#define CONFIG_CELERY_QUEUES "analysis=1,chat=1" /* with USE_CELERY */

/* One name of HEADGATE_QUEUES. Names: 1-127 bytes without '{', '}', '=', ',' or control bytes. */
struct config_queue {
    char name[CONFIG_QUEUE_NAME_MAX];
    int weight;   /* 0: strictly first, in the order given; 1-1000: shares what is left */
    bool is_fair; /* its tenants take turns; of the file, else HEADGATE_FAIR */
};

struct config {
    config_getenv_fn *getenv_fn; /* where the settings came from: config_show asks again */
    void *getenv_arg;            /* borrowed until config_release */
    /* Redis and queues */
    struct redis_url redis;                        /* REDIS_URL */
    char *prefix;                                  /* HEADGATE_PREFIX, "headgate" */
    struct config_queue queues[CONFIG_QUEUES_MAX]; /* HEADGATE_QUEUES, "analyze" */
    int queue_count;
    enum config_delivery delivery; /* HEADGATE_DELIVERY */
    int64_t lease_ms;              /* HEADGATE_LEASE_SECONDS, 12 s, 2-3600 */
    int64_t result_ttl_ms;         /* HEADGATE_RESULT_TTL, 86400 s, 1 s-10 years */
    int64_t dead_max;              /* HEADGATE_DEAD_MAX, 10000, 0 keeps none */
    bool is_fair;                  /* HEADGATE_FAIR, on: of queues of which the file says nothing */
    int64_t max_job_bytes;         /* HEADGATE_MAX_JOB_BYTES, 8 MiB, 1 KiB-512 MiB */
    /* Celery: with use_celery the queues above are HEADGATE_CELERY_QUEUES, analysis and chat */
    bool use_celery;                 /* USE_CELERY */
    char *celery_tasks;              /* HEADGATE_CELERY_TASKS; NULL: none but the built-in ones */
    struct redis_url celery_results; /* HEADGATE_CELERY_RESULT_BACKEND, if given */
    int celery_results_db;           /* of it, or of REDIS_URL */
    char *celery_keyprefix;          /* HEADGATE_CELERY_KEYPREFIX; NULL: none */
    char *celery_result_keyprefix;   /* HEADGATE_CELERY_RESULT_KEYPREFIX; NULL: none */
    bool celery_events;              /* HEADGATE_CELERY_EVENTS, off */
    int64_t celery_visibility_ms;    /* HEADGATE_CELERY_VISIBILITY_TIMEOUT, 3600 s */
    /* work */
    int64_t memory_max;     /* HEADGATE_MEMORY_MAX, bytes; 0: none */
    int concurrency;        /* HEADGATE_CONCURRENCY, 1000, 1-100000 */
    int max_attempts;       /* HEADGATE_MAX_ATTEMPTS, 4, 1-100 */
    int64_t retry_base_ms;  /* HEADGATE_RETRY_BASE_MS, 1000 */
    int64_t retry_cap_ms;   /* HEADGATE_RETRY_CAP_MS, 60000 */
    int64_t max_wait_ms;    /* HEADGATE_MAX_WAIT, 3600 s */
    int64_t job_timeout_ms; /* HEADGATE_JOB_TIMEOUT, 300 s, 1-3600 */
    int64_t drain_ms;       /* HEADGATE_DRAIN_SECONDS, 30 s, 0-86400 */
    /* models */
    char *models;               /* HEADGATE_MODELS, or built from BEDROCK_MODEL_ID and
                                 * BEDROCK_FALLBACK_MODELS: comma-separated names; NULL: none */
    bool models_are_bedrock;    /* they came from BEDROCK_*: bare model ids */
    enum config_policy policy;  /* HEADGATE_POLICY, paced */
    enum config_prefer prefer;  /* HEADGATE_PREFER, latency; of jobs that do not say */
    int64_t call_timeout_ms;    /* HEADGATE_CALL_TIMEOUT, 120 s */
    int64_t max_response_bytes; /* HEADGATE_MAX_RESPONSE_BYTES, 8 MiB */
    bool use_proxy_env;         /* HEADGATE_PROXY, off */
    /* faces */
    char *http;                   /* HEADGATE_HTTP as given, NULL: the default 127.0.0.1:8080 */
    char http_address[64];        /* without brackets; empty: off */
    int http_port;                /* 0: any free one */
    bool http_is_default;         /* nobody asked for this port: being in use is a warning only */
    char *http_token;             /* HEADGATE_HTTP_TOKEN, a secret; NULL: none */
    bool log_json;                /* HEADGATE_LOG=json */
    enum log_level log_level;     /* HEADGATE_LOG_LEVEL, info */
    char *file;                   /* HEADGATE_CONFIG, path of the JSON file; NULL: none */
    struct config_file *sections; /* what it says; owned; NULL: there is none */
};

/* Reads all settings. getenv_fn NULL: getenv(3). Checks what one setting means for another too
 * (a non-loopback HEADGATE_HTTP needs a token; Celery has no Redis Cluster). With getenv_fn
 * NULL, unknown HEADGATE_* variables are warned of. A failure leaves nothing to release. */
int config_load(struct config *config, config_getenv_fn *getenv_fn, void *arg,
                struct error *err) WARN_UNUSED;
void config_release(struct config *config);
/* Reads only how the log is to look (log_json, log_level), so that what is wrong with the other
 * settings is told in its form. One that is wrong itself has its default. Nothing to release. */
void config_load_log(struct config *config, config_getenv_fn *getenv_fn, void *arg);

/* Reads the file again, into *fresh (owned by the caller); *fresh is NULL when there is none. */
int config_read_file(const struct config *config, struct config_file **fresh,
                     struct error *err) WARN_UNUSED;
/* The queues as the environment and this file have them, room for CONFIG_QUEUES_MAX:
 * HEADGATE_QUEUES, else those of the file, else the default; what only the file can say in any
 * case. Into the config itself, or beside it for a reload. */
int config_queues_with(const struct config *config, const struct config_file *file,
                       struct config_queue *queues, int *count, struct error *err) WARN_UNUSED;

/* Prints every setting in effect: name, value (secrets as ***), where from (default,
 * environment or file), what it is for, and every value of the file by its path; as a table or as
 * one JSON object. Includes the AWS_* names, secrets hidden. */
void config_show(const struct config *config, bool json, struct evbuffer *out);

/* Reads a queue list as HEADGATE_QUEUES has it, for --queue and tests. */
int config_parse_queues(const char *text, struct config_queue *queues, int *count,
                        struct error *err) WARN_UNUSED;

#endif
