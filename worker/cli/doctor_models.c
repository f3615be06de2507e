#include "worker/cli/doctor.h"

#include "common/clock.h"
#include "common/http/http_client.h"
#include "common/memory.h"
#include "worker/model/model_file.h"
#include "worker/provider/bedrock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS       30000
#define CLOCK_WARN_MS 60000

struct model_check {
    struct doctor *doctor;
    struct provider provider;
    struct http_client *http; /* owned */
    struct job job;
    bool told_clock;
    /* of the call under way */
    bool is_over;
    bool is_retry;
    bool wants_retry;
    struct call call;
};

/* ---- one call ---- */

static void
check_clock(struct model_check *check, const struct http_response *response)
{
    const char *date = http_header(response, "Date");
    int64_t date_ms, ahead_ms;

    if (check->told_clock || date == NULL || clock_parse_http_date(date, &date_ms) != 0)
        return;
    check->told_clock = true;
    ahead_ms = date_ms - (response->sent_wall_ms + response->received_wall_ms) / 2;
    if (llabs(ahead_ms) <= CLOCK_WARN_MS)
        doctor_tell(check->doctor, CHECK_OK, "provider clock", NULL,
                    "within a minute of this host");
    else
        doctor_tell(check->doctor, CHECK_WARN, "provider clock",
                    "run NTP here: signatures are refused when the clock is off by 5 minutes",
                    "%" PRId64 " s ahead of this host", ahead_ms / 1000);
}

static void
on_response(const struct http_response *response, const struct error *error, void *arg)
{
    struct model_check *check = arg;
    struct evbuffer *text = xevbuffer();

    if (response != NULL) {
        check_clock(check, response);
        check->call.duration_ms = response->duration_ms;
    }
    check->is_over = true;
    check->wants_retry = check->provider.read(check->provider.self, response, error,
                                              check->is_retry, &check->call, text);
    evbuffer_free(text);
}

static int
call_once(struct model_check *check, const struct model *model, struct error *err)
{
    struct provider_request request = {0};

    check->is_over = false;
    check->call = (struct call){.model = model->name};
    if (check->provider.build(check->provider.self, model, &check->job, &request, err) != 0) {
        provider_request_release(&request);
        return -1;
    }
    request.http.total_timeout_ms = CALL_MS;
    http_send(check->http, &request.http, on_response, check);
    while (!check->is_over)
        event_base_loop(check->doctor->session.base, EVLOOP_ONCE);
    provider_request_release(&request);
    return 0;
}

static int
call_model(struct model_check *check, const struct model *model, struct error *err)
{
    check->is_retry = false;
    if (call_once(check, model, err) != 0)
        return -1;
    check->is_retry = true;
    return check->wants_retry ? call_once(check, model, err) : 0;
}

/* ---- what it means ---- */

struct finding {
    enum check_status status;
    const char *advice;
};

static const struct finding findings[] = {
    [OUTCOME_OK] = {CHECK_OK, NULL},
    [OUTCOME_BAD_OUTPUT] = {CHECK_OK, NULL}, /* one token is not much of an answer */
    [OUTCOME_THROTTLED] = {CHECK_WARN, "it works, but its quota is used up right now"},
    [OUTCOME_TRANSIENT] = {CHECK_WARN, "the provider has trouble; try again later"},
    [OUTCOME_UNSUITED] = {CHECK_WARN, "it does not take plain chat requests"},
    [OUTCOME_TIMEOUT] = {CHECK_FAIL, "no answer in 30 s; look at the network and the endpoint"},
    [OUTCOME_UNREACHABLE] = {CHECK_FAIL, "check the region, the endpoint, DNS and the proxy"},
    [OUTCOME_AUTH] = {CHECK_FAIL, "check the credentials and their right to bedrock:InvokeModel"},
    [OUTCOME_MODEL_CONFIG] = {CHECK_FAIL,
                              "check the model's id, its region, and that access was granted"},
    [OUTCOME_REJECTED] = {CHECK_FAIL, "the provider refuses a plain request; see the message"},
    [OUTCOME_CANCELLED] = {CHECK_FAIL, NULL},
};

static void
check_model(struct model_check *check, const struct model *model)
{
    const struct call *call = &check->call;
    const struct finding *finding;
    struct error err;

    if (call_model(check, model, &err) != 0) {
        doctor_tell(check->doctor, CHECK_FAIL, "model", "see the message", "%.200s: %s",
                    model->name, err.message);
        return;
    }
    finding = &findings[call->outcome];
    check->doctor->is_out_of_reach |= call->outcome == OUTCOME_UNREACHABLE;
    if (finding->status == CHECK_OK)
        doctor_tell(check->doctor, CHECK_OK, "model", NULL, "%.200s answered in %" PRId64 " ms",
                    model->name, call->duration_ms);
    else
        doctor_tell(check->doctor, finding->status, "model", finding->advice, "%.200s: %s %s",
                    model->name, call->error, call->message);
}

static void
call_all(struct doctor *doctor, struct bedrock *bedrock, const struct model_list *models)
{
    static const char question[] = "{\"id\":\"headgate-doctor\",\"type\":\"chat\","
                                   "\"query\":\"Reply with: ok\",\"max_tokens\":1}";
    const struct job_limits limits = {.max_bytes = sizeof(question)};
    struct model_check check = {.doctor = doctor, .provider = bedrock_provider(bedrock)};
    struct error err;

    if (job_init(&check.job, xstrdup(question), sizeof(question) - 1, &limits, &err) == 0) {
        check.http = http_client_new(
            &(struct http_client_options){.base = doctor->session.base,
                                          .max_calls = 1,
                                          .use_proxy_env = doctor->session.config.use_proxy_env});
        for (int i = 0; i < models->count; i++)
            check_model(&check, &models->models[i]);
        http_client_free(check.http);
    }
    job_release(&check.job);
}

/* ---- credentials and endpoint ---- */

/* Can the models be called at all? */
static bool
check_bedrock(struct doctor *doctor, const struct bedrock *bedrock)
{
    const struct aws_credentials *credentials = bedrock_credentials(bedrock);

    doctor_tell(doctor, CHECK_OK, "Bedrock endpoint", NULL, "%s (region %s)",
                bedrock_endpoint(bedrock), bedrock_region(bedrock));
    if (credentials->auth != AWS_AUTH_NONE) {
        doctor_tell(doctor, CHECK_OK, "AWS credentials", NULL, "from %s", credentials->source);
        return true;
    }
    doctor_tell(doctor, CHECK_FAIL, "AWS credentials",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or "
                "AWS_BEARER_TOKEN_BEDROCK",
                "none found");
    return false;
}

static void
check_provider(struct doctor *doctor, const struct model_list *models)
{
    struct error err;
    struct bedrock *bedrock = bedrock_new(NULL, NULL, &err);

    if (bedrock == NULL) {
        doctor_tell(doctor, CHECK_FAIL, "Bedrock", "correct the setting that is named", "%s",
                    err.message);
        return;
    }
    if (check_bedrock(doctor, bedrock) && !doctor->no_calls)
        call_all(doctor, bedrock, models);
    bedrock_free(bedrock);
}

void
doctor_check_models(struct doctor *doctor)
{
    const struct config *config = &doctor->session.config;
    struct model_list models = {0};
    struct error err;

    if (model_list_load(&models, config, &err) != 0)
        doctor_tell(doctor, CHECK_FAIL, "models", "correct the setting that is named", "%s",
                    err.message);
    else if (models.count == 0)
        doctor_tell(doctor, CHECK_FAIL, "models",
                    "set BEDROCK_MODEL_ID or HEADGATE_MODELS, or list them in HEADGATE_CONFIG",
                    "none are configured");
    else
        check_provider(doctor, &models);
    model_list_release(&models);
}
