#include "common/config.h"

#include "common/budget.h"
#include "common/config_value.h"
#include "common/memory.h"
#include "common/redis/redis_tls.h"
#include "common/utf8.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB        INT64_C(1024)
#define MIB        (1024 * KIB)
#define SECONDS(n) (INT64_C(1000) * (n))
#define DAYS(n)    SECONDS(INT64_C(86400) * (n))
#define MEMBER(m)  .offset = offsetof(struct config, m)
/* clang-format off */
#define CHOICES(...) .choices = (const char *const[]){__VA_ARGS__, NULL}
/* clang-format on */

const struct config_setting config_settings[] = {
    {"REDIS_URL", "redis://localhost:6379/0", config_read_redis, MEMBER(redis), .shown = CONFIG_URL,
     .help = "where Redis is: redis://[[user]:password@]host[:port][/db], rediss:// for TLS, "
             "unix:///path, redis+sentinel://host,.../master-name or redis+cluster://host,..."},
    {"HEADGATE_REDIS_CA", NULL, config_read_bounded, MEMBER(redis.tls.ca), 0,
     sizeof(((struct config *)0)->redis.tls.ca) - 1,
     .help = "PEM file of the authority that signed Redis' certificate; else the system's count"},
    {"HEADGATE_REDIS_CERT", NULL, config_read_bounded, MEMBER(redis.tls.cert), 0,
     sizeof(((struct config *)0)->redis.tls.cert) - 1,
     .help = "PEM file of the client certificate that Redis asks for"},
    {"HEADGATE_REDIS_KEY", NULL, config_read_bounded, MEMBER(redis.tls.key), 0,
     sizeof(((struct config *)0)->redis.tls.key) - 1,
     .help = "PEM file of its key; else it stands with the certificate"},
    {"HEADGATE_REDIS_SERVER_NAME", NULL, config_read_bounded, MEMBER(redis.tls.server_name), 0,
     sizeof(((struct config *)0)->redis.tls.server_name) - 1,
     .help = "whom Redis' certificate must name, when that is not the host"},
    {"HEADGATE_PREFIX", "headgate", config_read_prefix, MEMBER(prefix),
     .help = "what our keys in Redis begin with"},
    {"HEADGATE_QUEUES", CONFIG_QUEUES, config_read_queues,
     .help = "lists to work on; a name without weight is strictly first: urgent,analyze=3,bulk=1"},
    {"HEADGATE_DELIVERY", "at-least-once", config_read_choice, MEMBER(delivery),
     CHOICES("at-least-once", "at-most-once"),
     .help = "whether a claimed job is kept until its end is written"},
    {"HEADGATE_LEASE_SECONDS", "12", config_read_seconds, MEMBER(lease_ms), SECONDS(2),
     SECONDS(3600), .help = "a worker that is silent for so long loses its jobs to the others"},
    {"HEADGATE_RESULT_TTL", "86400", config_read_seconds, MEMBER(result_ttl_ms), SECONDS(1),
     DAYS(3650), .help = "seconds that a result is kept"},
    {"HEADGATE_DEAD_MAX", "10000", config_read_int64, MEMBER(dead_max), 0, 100000000,
     .help = "dead letters kept per queue; 0 keeps none"},
    {"HEADGATE_FAIR", "on", config_read_either, MEMBER(is_fair), CHOICES("off", "on"),
     .help = "tenants take turns while jobs have to wait; off: first come, first served"},
    {"HEADGATE_MAX_JOB_BYTES", "8388608", config_read_size, MEMBER(max_job_bytes), KIB, 512 * MIB,
     .help = "a larger job is a dead letter"},
    {"HEADGATE_MEMORY_MAX", "0", config_read_size, MEMBER(memory_max), 0, 1024 * 1024 * MIB,
     .help =
         "bytes that this worker may take, as 512m or 2g: no jobs are claimed that could exceed "
         "it; 0: no bound but the number of jobs"},
    {"HEADGATE_CONCURRENCY", "1000", config_read_int, MEMBER(concurrency), 1, 100000,
     .help = "jobs that run at once in this worker"},
    {"HEADGATE_MAX_ATTEMPTS", "4", config_read_int, MEMBER(max_attempts), 1, 100,
     .help = "executions of a job that may fail for a transient reason"},
    {"HEADGATE_RETRY_BASE_MS", "1000", config_read_int64, MEMBER(retry_base_ms), 1, SECONDS(3600),
     .help = "the first retry comes after at most so many milliseconds; doubled each time"},
    {"HEADGATE_RETRY_CAP_MS", "60000", config_read_int64, MEMBER(retry_cap_ms), 1, DAYS(1),
     .help = "no retry comes later than after so many milliseconds"},
    {"HEADGATE_MAX_WAIT", "3600", config_read_seconds, MEMBER(max_wait_ms), 0, DAYS(30),
     .help = "seconds that a job may wait while every model is throttled"},
    {"HEADGATE_JOB_TIMEOUT", "300", config_read_seconds, MEMBER(job_timeout_ms), SECONDS(1),
     SECONDS(3600), .help = "seconds for one execution, all models together"},
    {"HEADGATE_DRAIN_SECONDS", "30", config_read_seconds, MEMBER(drain_ms), 0, DAYS(1),
     .help = "seconds that running jobs get to finish when the worker is told to stop"},
    {"HEADGATE_MODELS", NULL, config_read_text, MEMBER(models),
     .help = "the primary, then the fallbacks: bedrock/ID,bedrock/ID; wins over BEDROCK_*"},
    {"BEDROCK_MODEL_ID", NULL, NULL, .help = "the primary model on Amazon Bedrock"},
    {"BEDROCK_FALLBACK_MODELS", NULL, NULL,
     .help = "the fallback models on Amazon Bedrock, comma-separated"},
    {"HEADGATE_POLICY", "paced", config_read_choice, MEMBER(policy), CHOICES("paced", "v2", "v1"),
     .help =
         "how models are chosen: paced keeps to what their quotas take, v2 does not, v1 is there "
         "to be compared with"},
    {"HEADGATE_PREFER", "latency", config_read_choice, MEMBER(prefer),
     CHOICES("latency", "balanced", "primary"),
     .help = "when the primary has no room, jobs that do not say take a fallback at once, wait up "
             "to a second, or up to their deadline"},
    {"HEADGATE_CALL_TIMEOUT", "120", config_read_seconds, MEMBER(call_timeout_ms), 100,
     SECONDS(3600), .help = "seconds for one call to a model"},
    {"HEADGATE_MAX_RESPONSE_BYTES", "8388608", config_read_size, MEMBER(max_response_bytes), KIB,
     512 * MIB, .help = "a longer answer of a model is cut off and counts as failed"},
    {"HEADGATE_PROXY", "off", config_read_either, MEMBER(use_proxy_env),
     CHOICES("off", "environment"),
     .help = "whether calls to models heed https_proxy, http_proxy, all_proxy and no_proxy"},
    {"HEADGATE_HTTP", "127.0.0.1:8080", config_read_http,
     .help = "where the HTTP interface listens: ADDRESS:PORT, or off"},
    {"HEADGATE_HTTP_TOKEN", NULL, config_read_token, MEMBER(http_token), .shown = CONFIG_SECRET,
     .help = "what a client must send as its Bearer token; needed beyond loopback"},
    {"HEADGATE_LOG", "text", config_read_either, MEMBER(log_json), CHOICES("text", "json"),
     .help = "one line per event, for people or for collectors"},
    {"HEADGATE_LOG_LEVEL", "info", config_read_choice, MEMBER(log_level),
     CHOICES("debug", "info", "warn", "error"),
     .help = "the least important lines that are written"},
    {"HEADGATE_CONFIG", NULL, config_read_text, MEMBER(file),
     .help = "a JSON file that describes models, job types, queues and tenants; SIGHUP reads it "
             "again"},
    {"USE_CELERY", "false", config_read_celery, MEMBER(use_celery),
     CHOICES("false", "true", "no", "yes", "0", "1"),
     .help = "whether the queues are Celery's, served beside its own workers or instead of them"},
    {"HEADGATE_CELERY_QUEUES", CONFIG_CELERY_QUEUES, config_read_celery_queues,
     .help = "with USE_CELERY: Celery's queues to work on, as HEADGATE_QUEUES has them"},
    {"HEADGATE_CELERY_TASKS", NULL, config_read_text, MEMBER(celery_tasks),
     .help =
         "with USE_CELERY: more tasks and the job types that do them: app.tasks.review=analyze"},
    {"HEADGATE_CELERY_RESULT_BACKEND", NULL, config_read_redis, MEMBER(celery_results),
     .shown = CONFIG_URL,
     .help = "with USE_CELERY: where results go, another database of the same server; else "
             "REDIS_URL"},
    {"HEADGATE_CELERY_KEYPREFIX", NULL, config_read_text, MEMBER(celery_keyprefix),
     .help = "with USE_CELERY: global_keyprefix of the app's broker_transport_options"},
    {"HEADGATE_CELERY_RESULT_KEYPREFIX", NULL, config_read_text, MEMBER(celery_result_keyprefix),
     .help = "with USE_CELERY: global_keyprefix of its result_backend_transport_options"},
    {"HEADGATE_CELERY_EVENTS", "off", config_read_either, MEMBER(celery_events),
     CHOICES("off", "on"),
     .help = "with USE_CELERY: whether tasks' events are sent before anybody asks for them, as "
             "with celery worker -E"},
    {"HEADGATE_CELERY_VISIBILITY_TIMEOUT", "3600", config_read_seconds,
     MEMBER(celery_visibility_ms), SECONDS(1), DAYS(30),
     .help = "with USE_CELERY: seconds after which what Celery's own workers hold counts as "
             "abandoned; not below theirs"},
    {"AWS_REGION", .help = "where Bedrock is called"},
    {"AWS_PROFILE", .help = "the profile in the shared AWS files"},
    {"AWS_ACCESS_KEY_ID", .shown = CONFIG_KEY_ID, .help = "who signs the calls"},
    {"AWS_SECRET_ACCESS_KEY", .shown = CONFIG_SECRET, .help = "what signs the calls"},
    {"AWS_SESSION_TOKEN", .shown = CONFIG_SECRET, .help = "goes with temporary credentials"},
    {"AWS_BEARER_TOKEN_BEDROCK", .shown = CONFIG_SECRET,
     .help = "an API key of Bedrock; no signing then"},
    {"AWS_ENDPOINT_URL", .shown = CONFIG_URL, .help = "where every AWS service is called instead"},
    {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", .shown = CONFIG_URL,
     .help = "where Bedrock is called instead"},
    {0},
};

const char *
config_given(const struct config *config, const char *name)
{
    const char *text = config->getenv_fn(name, config->getenv_arg);

    return text == NULL || *text == '\0' ? NULL : text;
}

static const char *
from_environment(const char *name, void *arg)
{
    (void)arg;
    return getenv(name);
}

static bool
is_clean(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return utf8_is_valid(text, strlen(text));
}

/* "NAME=value: what is allowed", the value as people may see it. */
static int
refuse(const struct config *config, const char *name, enum config_shown shown, const char *why,
       struct error *err)
{
    const char *given = config_given(config, name);
    char *text;

    if (given == NULL)
        return error_set(err, ERROR_CONFIG, "%s: %s", name, why);
    text = config_shown_text(shown, given);
    error_set(err, ERROR_CONFIG, "%s=%.64s%s: %s", name, text, strlen(text) > 64 ? "..." : "", why);
    free(text);
    return -1;
}

static int
load_setting(struct config *config, const struct config_setting *setting, struct error *err)
{
    const char *given = config_given(config, setting->name);
    const char *text = given != NULL ? given : setting->otherwise;
    struct error why = {0};

    if (text == NULL)
        return 0;
    if (!is_clean(text))
        return refuse(config, setting->name, setting->shown,
                      "must be UTF-8 text without control bytes", err);
    if (setting->read == NULL ||
        setting->read(setting, text, (char *)config + setting->offset, &why) == 0)
        return 0;
    return refuse(config, setting->name, setting->shown, why.message, err);
}

static int
load_bedrock_models(struct config *config, struct error *err)
{
    const char *primary = config_given(config, "BEDROCK_MODEL_ID");
    const char *fallbacks = config_given(config, "BEDROCK_FALLBACK_MODELS");

    if (primary == NULL && fallbacks == NULL)
        return 0;
    if (primary == NULL)
        return refuse(config, "BEDROCK_FALLBACK_MODELS", CONFIG_PLAIN,
                      "needs BEDROCK_MODEL_ID, the primary", err);
    if (fallbacks == NULL)
        fallbacks = "";
    config->models = xcalloc(1, strlen(primary) + strlen(fallbacks) + 2);
    config->models_are_bedrock = true;
    config_append_names(config->models, primary);
    if (config->models[0] == '\0' || strchr(primary, ',') != NULL)
        return refuse(config, "BEDROCK_MODEL_ID", CONFIG_PLAIN, "must be one model id", err);
    config_append_names(config->models, fallbacks);
    return 0;
}

static bool
is_loopback(const char *address)
{
    struct in6_addr ipv6;

    if (inet_pton(AF_INET6, address, &ipv6) != 1)
        return strncmp(address, "127.", 4) == 0;
    return IN6_IS_ADDR_LOOPBACK(&ipv6) || (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == 127);
}

/* A file that can't be used is told at the start, not by every connection. */
static int
check_redis_tls(struct config *config, struct error *err)
{
    struct error why = {0};
    SSL_CTX *tls;

    if (!config->redis.is_tls)
        return 0;
    tls = redis_tls_new(&config->redis.tls, &why);
    if (tls == NULL)
        return refuse(config, "REDIS_URL", CONFIG_URL, why.message, err);
    SSL_CTX_free(tls);
    return 0;
}

/* One job of the largest size must fit, or the worker would never claim any. */
static int
check_memory(struct config *config, struct error *err)
{
    int64_t least = budget_least(config->max_job_bytes, config->max_response_bytes);
    struct error why;

    if (config->memory_max == 0 || config->memory_max >= least)
        return 0;
    error_set(&why, ERROR_CONFIG,
              "must be 0 or at least %" PRId64 "m for HEADGATE_MAX_JOB_BYTES=%" PRId64
              " and HEADGATE_MAX_RESPONSE_BYTES=%" PRId64,
              (least + MIB - 1) / MIB, config->max_job_bytes, config->max_response_bytes);
    return refuse(config, "HEADGATE_MEMORY_MAX", CONFIG_PLAIN, why.message, err);
}

/* One pop waits for all queues then: Redis takes it only within one slot. */
static int
check_pop_of_all(struct config *config, struct error *err)
{
    if (config->redis.topology != REDIS_CLUSTER || config->delivery != DELIVERY_AT_MOST_ONCE ||
        config->queue_count == 1)
        return 0;
    return refuse(config, "HEADGATE_QUEUES", CONFIG_PLAIN,
                  "must be one queue with at-most-once delivery on a cluster", err);
}

static bool
is_same_server(const struct redis_url *a, const struct redis_url *b)
{
    return a->topology == b->topology && strcmp(a->host, b->host) == 0 && a->port == b->port &&
           strcmp(a->path, b->path) == 0 && strcmp(a->master_name, b->master_name) == 0;
}

/* kombu's keys spread over a cluster's slots, and a result is written in one step with the
 * acknowledgement: one server, two databases at most. */
static int
check_celery(struct config *config, struct error *err)
{
    bool has_backend = config_given(config, "HEADGATE_CELERY_RESULT_BACKEND") != NULL;

    config->celery_results_db = has_backend ? config->celery_results.db : config->redis.db;
    if (!config->use_celery)
        return 0;
    if (config->redis.topology == REDIS_CLUSTER)
        return refuse(config, "USE_CELERY", CONFIG_PLAIN,
                      "Celery has no support for Redis Cluster: REDIS_URL must name one server or "
                      "Sentinel",
                      err);
    if (config->delivery == DELIVERY_AT_MOST_ONCE)
        return refuse(config, "USE_CELERY", CONFIG_PLAIN, "needs HEADGATE_DELIVERY=at-least-once",
                      err);
    if (has_backend && !is_same_server(&config->redis, &config->celery_results))
        return refuse(config, "HEADGATE_CELERY_RESULT_BACKEND", CONFIG_URL,
                      "must be the server of REDIS_URL; another database of it is fine", err);
    return 0;
}

/* What one setting means for another. */
static int
check_together(struct config *config, struct error *err)
{
    const char *http = config_given(config, "HEADGATE_HTTP");

    if (config->models == NULL && load_bedrock_models(config, err) != 0)
        return -1;
    if (config_load_file(config, err) != 0)
        return -1;
    if (check_redis_tls(config, err) != 0 || check_pop_of_all(config, err) != 0)
        return -1;
    if (check_memory(config, err) != 0 || check_celery(config, err) != 0)
        return -1;
    if (config->retry_cap_ms < config->retry_base_ms)
        return refuse(config, "HEADGATE_RETRY_CAP_MS", CONFIG_PLAIN,
                      "must not be below HEADGATE_RETRY_BASE_MS", err);
    config->http_is_default = http == NULL;
    config->http = http == NULL ? NULL : xstrdup(http);
    if (config->http_address[0] != '\0' && !is_loopback(config->http_address) &&
        config->http_token == NULL)
        return refuse(config, "HEADGATE_HTTP", CONFIG_PLAIN,
                      "an address beyond loopback needs HEADGATE_HTTP_TOKEN", err);
    return 0;
}

/* Levenshtein's: how many letters to insert, drop or change. Names are cut at 63 bytes. */
static int
distance(const char *a, const char *b)
{
    int row[64], a_len = (int)strnlen(a, 63), b_len = (int)strnlen(b, 63);

    for (int j = 0; j <= b_len; j++)
        row[j] = j;
    for (int i = 1; i <= a_len; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= b_len; j++) {
            int changed = diagonal + (a[i - 1] != b[j - 1]);
            int moved = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);

            diagonal = row[j];
            row[j] = changed < moved ? changed : moved;
        }
    }
    return row[b_len];
}

static void
warn_unless_known(const char *name)
{
    const char *closest = NULL;
    int least = 0;

    for (const struct config_setting *s = config_settings; s->name != NULL; s++) {
        int away = distance(name, s->name);

        if (away == 0)
            return;
        if (closest == NULL || away < least) {
            closest = s->name;
            least = away;
        }
    }
    log_warn("unknown setting, ignored", LOG_STR("name", name), LOG_STR("closest", closest));
}

static void
warn_of_unknown(void)
{
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        char name[64];

        if (strncmp(*variable, "HEADGATE_", strlen("HEADGATE_")) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(*variable, "="), *variable);
        warn_unless_known(name);
    }
}

static void
begin_load(struct config *config, config_getenv_fn *getenv_fn, void *arg)
{
    *config = (struct config){
        .getenv_fn = getenv_fn == NULL ? from_environment : getenv_fn,
        .getenv_arg = arg,
        .log_level = LOG_LEVEL_INFO,
    };
}

void
config_load_log(struct config *config, config_getenv_fn *getenv_fn, void *arg)
{
    struct error ignored; /* config_load will say it */

    begin_load(config, getenv_fn, arg);
    for (const struct config_setting *s = config_settings; s->name != NULL; s++)
        if ((strcmp(s->name, "HEADGATE_LOG") == 0 || strcmp(s->name, "HEADGATE_LOG_LEVEL") == 0) &&
            load_setting(config, s, &ignored) != 0)
            continue;
}

int
config_load(struct config *config, config_getenv_fn *getenv_fn, void *arg, struct error *err)
{
    int result = 0;

    begin_load(config, getenv_fn, arg);
    if (getenv_fn == NULL)
        warn_of_unknown();
    for (const struct config_setting *s = config_settings; result == 0 && s->name != NULL; s++)
        result = load_setting(config, s, err);
    if (result == 0)
        result = check_together(config, err);
    if (result != 0)
        config_release(config);
    return result;
}

void
config_release(struct config *config)
{
    free(config->prefix);
    free(config->models);
    free(config->http);
    free_secret(config->http_token);
    free(config->file);
    config_file_free(config->sections);
    free(config->celery_tasks);
    free(config->celery_keyprefix);
    free(config->celery_result_keyprefix);
    explicit_bzero(config, sizeof(*config)); /* the password of Redis is in it */
}
