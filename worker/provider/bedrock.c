#include "worker/provider/bedrock.h"

#include "common/aws/aws_endpoint.h"
#include "common/aws/aws_sign.h"
#include "common/aws/aws_skew.h"
#include "common/clock.h"
#include "common/json/json.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "worker/job/prompt.h"
#include "worker/provider/bedrock_answer.h"
#include "worker/provider/retry_after.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Files of credentials are read again at most this often, however many calls want it. */
#define RENEW_MS 2000
/* A cut-off piece of a secret shorter than this tells nobody anything. */
#define TELLING_LEN 8

/* A variable that holds the API key of a model. */
struct key_name {
    struct key_name *next;
    char *name;
};

struct bedrock {
    aws_getenv_fn *getenv_fn; /* borrowed, with its argument */
    void *getenv_arg;
    struct aws_config config;
    struct aws_endpoint endpoint; /* of config */
    struct aws_sign_cache key;
    struct aws_skew skew;
    int64_t renewed_ms;    /* monotonic */
    bool is_refused;       /* the last answer was that we are not who we say */
    struct key_name *keys; /* those that were used: answers may repeat what is in them */
};

/* ---- settings ---- */

static int
check_config(const struct aws_config *config, const struct aws_endpoint *endpoint,
             struct error *err)
{
    if (config->region == NULL)
        return error_set(err, ERROR_CONFIG,
                         "AWS_REGION is not set, and no profile names a region: set it, for "
                         "example AWS_REGION=us-east-1");
    if (config->credentials.auth == AWS_AUTH_BEARER && !endpoint->is_https &&
        !endpoint->is_loopback)
        return error_set(err, ERROR_CONFIG,
                         "AWS_BEARER_TOKEN_BEDROCK would go in clear to %s: use an https endpoint",
                         endpoint->host);
    return 0;
}

/* Reads everything anew; what was read before stays when that fails. */
static int
load(struct bedrock *bedrock, struct error *err)
{
    struct aws_config config;
    struct aws_endpoint endpoint = {0};

    bedrock->renewed_ms = clock_mono_ms();
    if (aws_config_load(&config, bedrock->getenv_fn, bedrock->getenv_arg, err) < 0)
        return -1;
    if ((config.endpoint != NULL && aws_endpoint_init(&endpoint, config.endpoint, err) < 0) ||
        check_config(&config, &endpoint, err) < 0) {
        aws_endpoint_release(&endpoint);
        aws_config_release(&config);
        return -1;
    }
    aws_endpoint_release(&bedrock->endpoint);
    aws_config_release(&bedrock->config);
    aws_sign_forget(&bedrock->key);
    bedrock->config = config;
    bedrock->endpoint = endpoint;
    return 0;
}

/* Credentials have expired, were refused, or there were none: others may have come since. */
static void
renew(struct bedrock *bedrock)
{
    struct error error = {0};

    if (clock_mono_ms() - bedrock->renewed_ms < RENEW_MS)
        return; /* another call has just done it */
    if (load(bedrock, &error) < 0)
        log_error("AWS credentials can't be read again", LOG_STR("error", error.message));
}

struct bedrock *
bedrock_new(aws_getenv_fn *getenv_fn, void *arg, struct error *err)
{
    struct bedrock *bedrock = xcalloc(1, sizeof(*bedrock));

    bedrock->getenv_fn = getenv_fn;
    bedrock->getenv_arg = arg;
    if (load(bedrock, err) < 0) {
        bedrock_free(bedrock);
        return NULL;
    }
    return bedrock;
}

void
bedrock_free(struct bedrock *bedrock)
{
    struct key_name *key, *next;

    if (bedrock == NULL)
        return;
    aws_endpoint_release(&bedrock->endpoint);
    aws_config_release(&bedrock->config);
    aws_sign_forget(&bedrock->key);
    LL_FOREACH_SAFE(bedrock->keys, key, next)
    {
        free(key->name);
        free(key);
    }
    free(bedrock);
}

const char *
bedrock_endpoint(const struct bedrock *bedrock)
{
    return bedrock->config.endpoint;
}

const char *
bedrock_region(const struct bedrock *bedrock)
{
    return bedrock->config.region;
}

const struct aws_credentials *
bedrock_credentials(const struct bedrock *bedrock)
{
    return &bedrock->config.credentials;
}

/* ---- build ---- */

/* A model parameter: the job's own, as it was written. */
static void
put_parameter(struct evbuffer *out, const char *name, struct json_slice value)
{
    if (value.type == JSON_ABSENT)
        return;
    evbuffer_add_printf(out, ",\"%s\":", name);
    json_put_slice(out, value);
}

/* maxTokens always: an unset one makes Bedrock reserve the model's maximum of the quota. */
static void
put_inference_config(const struct job *job, struct evbuffer *out)
{
    evbuffer_add_printf(out, "\"inferenceConfig\":{\"maxTokens\":");
    if (job->max_tokens.type != JSON_ABSENT)
        json_put_slice(out, job->max_tokens);
    else
        evbuffer_add_printf(out, "%lld", (long long)job->type->max_tokens);
    /* The newest models refuse temperature beside top_p: the type's own gives way. */
    if (job->temperature.type == JSON_ABSENT && job->top_p.type == JSON_ABSENT &&
        job->type->temperature >= 0)
        evbuffer_add_printf(out, ",\"temperature\":%g", job->type->temperature);
    put_parameter(out, "temperature", job->temperature);
    put_parameter(out, "topP", job->top_p);
    put_parameter(out, "stopSequences", job->stop_sequences);
    evbuffer_add_printf(out, "}");
}

static void
put_body(const struct job *job, struct evbuffer *out)
{
    evbuffer_add_printf(out, "{");
    if (job->type->system != NULL) {
        evbuffer_add_printf(out, "\"system\":[{\"text\":\"");
        prompt_put_system(job, out);
        evbuffer_add_printf(out, "\"}],");
    }
    evbuffer_add_printf(out, "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"");
    prompt_put_user(job, out);
    evbuffer_add_printf(out, "\"}]}],");
    put_inference_config(job, out);
    evbuffer_add_printf(out, "}");
}

/* Where one call goes, and what it shows there. */
struct route {
    const struct aws_endpoint *endpoint;
    const char *path;
    const char *bearer; /* NULL: it is signed */
};

static int
put_signed_headers(struct bedrock *bedrock, const struct route *route,
                   struct provider_request *request, struct error *err)
{
    const struct aws_credentials *who = &bedrock->config.credentials;
    const struct aws_header headers[] = {{"Host", route->endpoint->host},
                                         {"Content-Type", "application/json"}};
    const struct aws_sign_request what = {
        .method = "POST",
        .path = route->path,
        .headers = headers,
        .header_count = sizeof(headers) / sizeof(headers[0]),
        .body = request->http.body,
        .body_len = request->http.body_len,
    };
    const struct aws_sign_scope scope = {
        .access_key = who->access_key,
        .secret_key = who->secret_key,
        .session_token = who->session_token,
        .region = bedrock->config.region,
        .service = "bedrock",
    };
    struct aws_signature signature;

    if (aws_sign(&what, &scope, clock_wall_ms() + bedrock->skew.skew_ms, &bedrock->key, &signature,
                 NULL, err) < 0)
        return -1;
    request->headers[1] = xasprintf("X-Amz-Date: %s", signature.date);
    request->headers[2] = xasprintf("Authorization: %s", signature.authorization);
    if (who->session_token != NULL && who->session_token[0] != '\0')
        request->headers[3] = xasprintf("X-Amz-Security-Token: %s", who->session_token);
    return 0;
}

static int
put_headers(struct bedrock *bedrock, const struct route *route, struct provider_request *request,
            struct error *err)
{
    request->headers[0] = xstrdup("Content-Type: application/json");
    if (route->bearer == NULL && bedrock->config.credentials.auth == AWS_AUTH_KEYS)
        return put_signed_headers(bedrock, route, request, err);
    if (route->bearer == NULL)
        return error_set(err, ERROR_CONFIG,
                         "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                         "AWS_PROFILE or AWS_BEARER_TOKEN_BEDROCK");
    if (!route->endpoint->is_https && !route->endpoint->is_loopback)
        return error_set(err, ERROR_CONFIG,
                         "an API key would go in clear to %s: use an https endpoint",
                         route->endpoint->host);
    request->headers[1] = xasprintf("Authorization: Bearer %s", route->bearer);
    return 0;
}

static const char *
key_value(const struct bedrock *bedrock, const char *name)
{
    return bedrock->getenv_fn == NULL ? getenv(name)
                                      : bedrock->getenv_fn(name, bedrock->getenv_arg);
}

static void
remember_key(struct bedrock *bedrock, const char *name)
{
    struct key_name *key;

    LL_FOREACH(bedrock->keys, key)
    if (strcmp(key->name, name) == 0)
        return;
    key = xcalloc(1, sizeof(*key));
    key->name = xstrdup(name);
    LL_PREPEND(bedrock->keys, key);
}

/* The API key of the model itself; else that of Bedrock, if there is one. */
static const char *
bearer_for(struct bedrock *bedrock, const struct model *model)
{
    const struct aws_credentials *who = &bedrock->config.credentials;

    if (model->api_key_env != NULL) {
        remember_key(bedrock, model->api_key_env);
        return key_value(bedrock, model->api_key_env);
    }
    return who->auth == AWS_AUTH_BEARER ? who->bearer_token : NULL;
}

static int
build_at(struct bedrock *bedrock, const struct aws_endpoint *endpoint, const struct model *model,
         const struct job *job, struct provider_request *request, struct error *err)
{
    struct route route = {.endpoint = endpoint, .bearer = bearer_for(bedrock, model)};
    struct evbuffer *body = xevbuffer();
    char *segment = aws_encode_segment(model->id);
    int status;

    put_body(job, body);
    request->http.body_len = evbuffer_get_length(body);
    request->body = xcalloc(1, request->http.body_len);
    evbuffer_copyout(body, request->body, request->http.body_len);
    evbuffer_free(body);
    request->url = xasprintf("%s/model/%s/converse", endpoint->base, segment);
    request->http.method = "POST";
    request->http.url = request->url;
    request->http.body = request->body;
    route.path = request->url + endpoint->path_at;
    status = put_headers(bedrock, &route, request, err);
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        request->http.headers[i] = request->headers[i];
    free(segment);
    return status;
}

static int
build(void *self, const struct model *model, const struct job *job,
      struct provider_request *request, struct error *err)
{
    struct bedrock *bedrock = self;
    struct aws_endpoint own = {0};
    int status;

    memset(request, 0, sizeof(*request));
    if (model->api_key_env == NULL &&
        (bedrock->config.credentials.auth == AWS_AUTH_NONE || bedrock->is_refused))
        renew(bedrock);
    if (model->base_url != NULL && aws_endpoint_init(&own, model->base_url, err) < 0)
        return -1;
    status = build_at(bedrock, model->base_url == NULL ? &bedrock->endpoint : &own, model, job,
                      request, err);
    aws_endpoint_release(&own);
    return status;
}

/* ---- read ---- */

static void
read_failure(const struct error *error, struct call *call)
{
    call->outcome = error->kind == ERROR_UNREACHABLE ? OUTCOME_UNREACHABLE
                    : error->kind == ERROR_TIMEOUT   ? OUTCOME_TIMEOUT
                                                     : OUTCOME_TRANSIENT;
    snprintf(call->error, sizeof(call->error), "%s", error_kind_name(error->kind));
    snprintf(call->message, sizeof(call->message), "%s", error->message);
}

/* Counts from the provider's own clock when the wait is told as a date. */
static void
read_retry_after(const struct bedrock *bedrock, const struct http_response *response,
                 struct call *call)
{
    int64_t asked_ms = retry_after_ms(http_header(response, "Retry-After"),
                                      http_header(response, "x-amz-retry-after"),
                                      response->received_wall_ms + bedrock->skew.skew_ms);

    if (asked_ms > call->retry_after_ms)
        call->retry_after_ms = asked_ms;
}

/* How many bytes at `at` are the secret, or its beginning where the message was cut; 0: none. */
static size_t
secret_at(const char *at, const char *secret)
{
    size_t len = 0;

    while (secret[len] != '\0' && at[len] == secret[len])
        len++;
    return secret[len] == '\0' || (at[len] == '\0' && len >= TELLING_LEN) ? len : 0;
}

/* A provider may name, in any text of its answer, the key that it refused. */
static void
hide(char *message, const char *secret)
{
    if (secret == NULL)
        return;
    for (char *at = message; *at != '\0';) {
        size_t len = secret_at(at, secret);

        memset(at, '*', len);
        at += len == 0 ? 1 : len;
    }
}

static void
hide_secrets(const struct bedrock *bedrock, struct call *call)
{
    const struct aws_credentials *who = &bedrock->config.credentials;
    struct key_name *key;

    const char *secrets[] = {who->access_key, who->secret_key, who->session_token,
                             who->bearer_token};
    char *texts[] = {call->error, call->message, call->request_id};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t j = 0; j < sizeof(secrets) / sizeof(secrets[0]); j++)
            hide(texts[i], secrets[j]);
    LL_FOREACH(bedrock->keys, key)
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        hide(texts[i], key_value(bedrock, key->name));
}

/* Names the call and how it ended; returns what may help. */
static enum bedrock_remedy
read_outcome(const struct http_response *response, struct call *call, struct evbuffer *text)
{
    const char *request_id = http_header(response, "x-amzn-RequestId");

    snprintf(call->request_id, sizeof(call->request_id), "%s",
             request_id == NULL ? "" : request_id);
    utf8_clean(call->request_id);
    call->status = response->status;
    if (response->status != 200)
        return bedrock_read_error(response->status, http_header(response, "x-amzn-ErrorType"),
                                  response->body, response->body_len, call);
    bedrock_read_answer(response->body, response->body_len, call, text);
    return REMEDY_NONE;
}

static bool
read_response(void *self, const struct http_response *response, const struct error *error,
              bool is_retry, struct call *call, struct evbuffer *text)
{
    struct bedrock *bedrock = self;
    enum bedrock_remedy remedy;
    bool clock_was_wrong;

    if (response == NULL) {
        read_failure(error, call);
        return false;
    }
    remedy = read_outcome(response, call, text);
    bedrock->is_refused = call->outcome == OUTCOME_AUTH;
    hide_secrets(bedrock, call);
    clock_was_wrong =
        aws_skew_learn(&bedrock->skew, response->sent_wall_ms, response->received_wall_ms,
                       http_header(response, "Date"), http_header(response, "Age"), call->error);
    read_retry_after(bedrock, response, call);
    if (is_retry)
        return false;
    if (remedy == REMEDY_RENEW_CREDENTIALS)
        renew(bedrock);
    return clock_was_wrong || remedy == REMEDY_RENEW_CREDENTIALS;
}

struct provider
bedrock_provider(struct bedrock *bedrock)
{
    return (struct provider){
        .name = "bedrock", .build = build, .read = read_response, .self = bedrock};
}
