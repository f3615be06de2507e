#include "worker/attempt_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/attempt_metrics.h"
#include "worker/job/feedback.h"
#include "worker/job/verdict.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Workers that may die on a job before it is given up. */
#define DEATHS_MAX 3

static const char *const state_names[] = {
    [ATTEMPT_NEW] = "new",           [ATTEMPT_BEGINNING] = "beginning",
    [ATTEMPT_CHOOSING] = "choosing", [ATTEMPT_PACING] = "pacing",
    [ATTEMPT_HOLDING] = "holding",   [ATTEMPT_CALLING] = "calling",
    [ATTEMPT_SETTLING] = "settling", [ATTEMPT_DELAYING] = "delaying",
    [ATTEMPT_DONE] = "done",
};

void
attempt_charge(struct attempt *a, int64_t bytes)
{
    budget_charge(a->context->budget, bytes - a->charged);
    a->charged = bytes;
}

void
attempt_free_work(struct attempt *a)
{
    free(a->request_body);
    a->request_body = NULL;
    if (a->output != NULL)
        evbuffer_free(a->output);
    a->output = NULL;
}

/* What there is to free, whatever the state. */
static void
attempt_free(struct attempt *a)
{
    attempt_charge(a, 0);
    for (int i = 0; a->own_models != NULL && i < a->model_count; i++)
        model_release(&a->own_models[i]);
    free(a->own_models);
    attempt_free_work(a);
    event_free(a->timeout);
    free(a->order);
    free(a->calls);
    job_release(&a->job);
    if (a->message != NULL)
        a->context->wire->release(a->message);
    free(a->claim.payload);
    free(a);
}

/* ---- call ---- */

static const struct provider *
provider_of(const struct attempt *a, const struct model *model)
{
    for (int i = 0;; i++) {
        /* There is one: model_init knows the same names. */
        assert(i < a->context->provider_count);
        if (strcmp(a->context->providers[i].name, model->provider) == 0)
            return &a->context->providers[i];
    }
}

static struct call *
new_call(struct attempt *a)
{
    struct call *call;

    a->calls = xreallocarray(a->calls, (size_t)a->call_count + 1, sizeof(*a->calls));
    call = &a->calls[a->call_count++];
    memset(call, 0, sizeof(*call));
    call->model = a->models[a->order[a->next]].name;
    call->duration_ms = clock_mono_ms() - a->call_started_ms;
    return call;
}

/* For logs: a field without a value is left out. */
static const char *
or_none(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

static void
tell_call(struct attempt *a, const struct call *call)
{
    const struct model *model = &a->models[a->order[a->next]];

    hints_tell(a->context->hints, call->model, a->order[a->next] == 0, call);
    if (a->context->pacer != NULL)
        pacer_tell(a->context->pacer, a->permit, call);
    attempt_metrics_call(a->context->metrics, call);
    attempt_metrics_cost(a->context->metrics, call, model->input_price, model->output_price);
    a->end.was_answered |= call->status != 0 && call->outcome != OUTCOME_AUTH;
    log_debug("call is over", LOG_STR("job", a->job.id), LOG_STR("model", call->model),
              LOG_STR("outcome", outcome_name(call->outcome)), LOG_INT("status", call->status),
              LOG_STR("error", or_none(call->error)), LOG_STR("message", or_none(call->message)),
              LOG_INT("ms", call->duration_ms), LOG_STR("request_id", or_none(call->request_id)));
}

/* Items of a few bytes get all their fields: a result may be larger than its answer. */
static int
check_output_size(const struct attempt *a, struct error *err)
{
    size_t len = evbuffer_get_length(a->output);
    int64_t max = a->context->config->max_response_bytes;

    if ((int64_t)len <= max)
        return 0;
    return error_set(err, ERROR_TOO_LARGE,
                     "the answer makes a result of %zu bytes, more than "
                     "HEADGATE_MAX_RESPONSE_BYTES=%" PRId64,
                     len, max);
}

/* The answer as the job's type wants it; one that is not is a failed call. */
static void
read_output(struct attempt *a, struct evbuffer *text, struct call *call)
{
    struct feedback_context context = {
        .model_used = a->models[a->order[a->next]].display,
        .input_tokens = call->input_tokens,
        .output_tokens = call->output_tokens,
        .duration_ms = clock_mono_ms() - a->started_mono_ms,
    };
    struct error error = {0};
    size_t len = evbuffer_get_length(text);

    if (a->output == NULL)
        a->output = xevbuffer();
    if (feedback_print(&a->job, (const char *)evbuffer_pullup(text, -1), len, &context, a->output,
                       &error) == 0 &&
        check_output_size(a, &error) == 0)
        return;
    evbuffer_drain(a->output, evbuffer_get_length(a->output));
    call->outcome = OUTCOME_BAD_OUTPUT;
    snprintf(call->error, sizeof(call->error), "bad_output");
    snprintf(call->message, sizeof(call->message), "%s", error.message);
}

/* A call that we ended ourselves. */
static void
abort_call(struct attempt *a, enum outcome outcome, const char *message)
{
    struct call *call = new_call(a);

    http_cancel(a->op.http);
    a->op.http = NULL;
    call->outcome = outcome;
    snprintf(call->error, sizeof(call->error), "%s", outcome_name(outcome));
    snprintf(call->message, sizeof(call->message), "%s", message);
    tell_call(a, call);
    attempt_conclude(a);
}

static void
on_response(const struct http_response *response, const struct error *error, void *arg)
{
    struct attempt *a = arg;
    const struct provider *provider = provider_of(a, &a->models[a->order[a->next]]);
    struct call *call = new_call(a);
    struct evbuffer *text = xevbuffer();
    bool is_to_repeat;

    a->op.http = NULL;
    STOP_POINT("call", "answered");
    is_to_repeat = provider->read(provider->self, response, error, a->is_second_try, call, text);
    if (call->outcome == OUTCOME_OK)
        read_output(a, text, call);
    evbuffer_free(text);
    if (is_to_repeat) {
        log_info("call is repeated: the clock or the credentials were put right",
                 LOG_STR("job", a->job.id), LOG_STR("model", call->model),
                 LOG_STR("error", call->error));
        a->is_second_try = true;
        a->call_count--;
        attempt_enter(a, ATTEMPT_CALLING);
        return;
    }
    tell_call(a, call);
    attempt_enter(a, ATTEMPT_CHOOSING);
}

/* Without credentials there is nothing to send: a call that ended before it began. */
static void
fail_to_build(struct attempt *a, const struct error *error)
{
    struct call *call = new_call(a);

    call->outcome = OUTCOME_AUTH;
    snprintf(call->error, sizeof(call->error), "%s", error_kind_name(error->kind));
    snprintf(call->message, sizeof(call->message), "%s", error->message);
    tell_call(a, call);
    attempt_enter(a, ATTEMPT_CHOOSING);
}

/* After a long sleep (SIGSTOP, a frozen machine) the lease may have ended and the job be another
 * worker's: a call now would be paid for twice. Without a record there is no other worker. */
static bool
may_be_lost(const struct attempt *a)
{
    return a->claim.token != 0 && !a->context->may_call(a->queue, a->context->arg);
}

static void
attempt_hold(const struct attempt *a)
{
    log_warn("a call waits: this worker was silent for longer than its lease, and the job may be "
             "another's",
             LOG_STR("job", a->job.id), LOG_STR("queue", queue_name(a->queue)));
}

void
attempt_resume(struct attempt *a)
{
    if (a->state == ATTEMPT_HOLDING)
        attempt_enter(a, ATTEMPT_CALLING);
}

static void
attempt_call(struct attempt *a)
{
    const struct model *model = &a->models[a->order[a->next]];
    const struct provider *provider = provider_of(a, model);
    struct provider_request request;
    struct error error = {0};

    if (may_be_lost(a)) {
        attempt_enter(a, ATTEMPT_HOLDING);
        return;
    }
    a->call_started_ms = clock_mono_ms();
    attempt_free_work(a);
    if (provider->build(provider->self, model, &a->job, &request, &error) < 0) {
        provider_request_release(&request);
        fail_to_build(a, &error);
        return;
    }
    STOP_POINT("call", "sending");
    request.http.total_timeout_ms =
        model->call_timeout_ms > 0 ? model->call_timeout_ms : a->context->config->call_timeout_ms;
    request.http.max_response_bytes = (size_t)a->context->config->max_response_bytes;
    a->op.http = http_send(a->context->http, &request.http, on_response, a);
    /* The rest was copied; a thousand of them wait for long. */
    a->request_body = request.body;
    request.body = NULL;
    provider_request_release(&request);
}

/* ---- begin ---- */

/* The models in configured order: the job's own, or everybody's. */
static int
find_models(struct attempt *a, struct error *err)
{
    const struct attempt_context *context = a->context;

    a->models = context->models->models;
    a->model_count = context->models->count;
    if (a->job.model_count == 0)
        return 0;
    a->own_models = xcalloc((size_t)a->job.model_count, sizeof(*a->own_models));
    a->models = a->own_models;
    for (a->model_count = 0; a->model_count < a->job.model_count; a->model_count++) {
        if (model_init(&a->own_models[a->model_count], a->job.models[a->model_count],
                       context->config->models_are_bedrock, err) < 0)
            return -1;
        model_describe(&a->own_models[a->model_count], context->models->notes);
    }
    return 0;
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;

    (void)fd;
    (void)what;
    a->is_timed_out = a->state != ATTEMPT_PACING || !attempt_is_expired(a);
    if (a->state == ATTEMPT_CALLING)
        abort_call(a, OUTCOME_TIMEOUT, "the job's timeout passed");
    else if (a->state == ATTEMPT_PACING)
        attempt_stop_pacing(a);
    else if (a->state == ATTEMPT_HOLDING)
        attempt_conclude(a);
}

static void
start_calls(struct attempt *a)
{
    attempt_arm_timeout(a, false);
    attempt_tell(a, WIRE_STARTED);
    attempt_order(a);
    attempt_enter(a, ATTEMPT_CHOOSING);
}

/* Until its date; or until it expires, which is told when it comes. */
static void
schedule(struct attempt *a)
{
    bool never_starts = a->job.expires_at_ms != 0 && a->job.expires_at_ms < a->job.run_at_ms;

    a->delay = (struct delay){.id = a->job.id,
                              .history = a->claim.history,
                              .is_absolute = true,
                              .due_ms = never_starts ? a->job.expires_at_ms : a->job.run_at_ms,
                              .counter = "scheduled"};
    attempt_enter(a, ATTEMPT_DELAYING);
}

static void
on_begun(enum begin_status status, int64_t now_ms, void *arg)
{
    struct attempt *a = arg;

    a->op.step = NULL;
    a->begun_ms = now_ms;
    a->begun_mono_ms = clock_mono_ms();
    if (status == BEGIN_DROPPED || status == BEGIN_LOST) {
        bool is_twin = status == BEGIN_DROPPED;

        attempt_metrics_drop(a->context->metrics, queue_name(a->queue),
                             is_twin ? "duplicate" : "lost");
        log_info(is_twin ? "job dropped: its id is running or has its result" : "claim was lost",
                 LOG_STR("job", a->job.id), LOG_STR("queue", queue_name(a->queue)));
        attempt_release_slot(a);
        attempt_enter(a, ATTEMPT_DONE);
    } else if (status == BEGIN_CANCELLED || a->is_cancelled) {
        attempt_end_job(a, STATE_CANCELLED, "cancelled", "cancelled before it started");
    } else if (a->job.expires_at_ms != 0 && now_ms >= a->job.expires_at_ms) {
        attempt_end_job(a, STATE_EXPIRED, "expired", "not started before expires_at");
    } else if (a->job.run_at_ms > now_ms && a->claim.token == 0) {
        attempt_end_job(a, STATE_FAILED, "bad_job", "run_at needs at-least-once delivery");
    } else if (a->job.run_at_ms > now_ms) {
        schedule(a);
    } else {
        start_calls(a);
    }
}

static void
attempt_begin(struct attempt *a)
{
    struct evbuffer *running = NULL;

    hints_refresh(a->context->hints, a->context->pacer);
    if (a->claim.token == 0) { /* at most once: no record to mark */
        on_begun(BEGIN_RUN, a->started_wall_ms, a);
        return;
    }
    if (a->job.track_started) {
        running = xevbuffer();
        a->ending.state = STATE_RUNNING;
        attempt_put_result(a, running);
    }
    a->op.step = queue_begin(a->queue, &a->claim, a->job.id, running, on_begun, a);
    if (running != NULL)
        evbuffer_free(running);
}

/* The whole flow on one page: what starts when each state is entered. Every callback records
 * what it got and comes back here; nothing else moves an attempt. */
void
attempt_enter(struct attempt *a, enum attempt_state next)
{
    a->state = next;
    switch (next) {
    case ATTEMPT_NEW: break;
    case ATTEMPT_BEGINNING: attempt_begin(a); break;
    case ATTEMPT_CHOOSING: attempt_choose(a); break;
    case ATTEMPT_PACING: attempt_pace(a); break;
    case ATTEMPT_HOLDING: attempt_hold(a); break;
    case ATTEMPT_CALLING: attempt_call(a); break;
    case ATTEMPT_SETTLING: attempt_settle(a); break;
    case ATTEMPT_DELAYING: attempt_delay(a); break;
    case ATTEMPT_DONE:
        a->context->on_done(a, &a->end, a->context->arg);
        attempt_free(a);
        break;
    }
}

/* ---- start ---- */

static void
keep_unread(struct attempt *a, char *payload)
{
    const struct wire *wire = a->context->wire;

    if (wire != NULL) {
        a->message = wire->keep(wire->self, payload, a->claim.payload_len);
        return;
    }
    a->job.payload = payload;
    a->job.payload_len = a->claim.payload_len;
}

/* Reads the payload. One that killed a worker more often than it may is not read any more: reading
 * it may be what kills. */
static int
read_job(struct attempt *a, struct error *err)
{
    struct job_limits limits = {.max_bytes = (size_t)a->context->config->max_job_bytes,
                                .types = a->context->types};
    const struct wire *wire = a->context->wire;
    char *payload = a->claim.payload;

    a->claim.payload = NULL;
    if (a->claim.deaths > DEATHS_MAX) {
        keep_unread(a, payload);
        return 0;
    }
    if (wire == NULL && job_init(&a->job, payload, a->claim.payload_len, &limits, err) < 0)
        return -1;
    if (wire != NULL && wire->read(wire->self, queue_name(a->queue), payload, a->claim.payload_len,
                                   &limits, &a->job, &a->message, err) < 0)
        return -1;
    if (!a->job.has_own_id && a->claim.id[0] != '\0')
        snprintf(a->job.id, sizeof(a->job.id), "%s", a->claim.id);
    attempt_charge(a, budget_of_job(job_type_copies(a->job.type) * (int64_t)a->claim.payload_len));
    return find_models(a, err);
}

struct attempt *
attempt_start(const struct attempt_context *context, struct queue *queue, struct claim *claim)
{
    struct attempt *a = xcalloc(1, sizeof(*a));

    a->context = context;
    a->queue = queue;
    a->claim = *claim;
    claim->payload = NULL;
    attempt_charge(a, budget_of_job((int64_t)a->claim.payload_len));
    a->end = (struct attempt_end){.due_in_ms = -1, .queue = queue};
    a->timeout = evtimer_new(context->base, on_timeout, a);
    a->started_mono_ms = clock_mono_ms();
    a->started_wall_ms = clock_wall_ms();
    if (read_job(a, &a->reason) < 0)
        attempt_end_job(a, STATE_FAILED, "bad_job", a->reason.message);
    else if (a->claim.deaths >= DEATHS_MAX)
        attempt_end_job(a, STATE_FAILED, "crashed", "the workers that ran it died three times");
    else
        attempt_enter(a, ATTEMPT_BEGINNING);
    return a;
}

void
attempt_cancel(struct attempt *a)
{
    a->is_cancelled = true;
    if (a->state == ATTEMPT_CALLING)
        abort_call(a, OUTCOME_CANCELLED, "the job was cancelled");
    else if (a->state == ATTEMPT_PACING)
        attempt_stop_pacing(a);
    else if (a->state == ATTEMPT_HOLDING)
        attempt_conclude(a);
}

void
attempt_abandon(struct attempt *a)
{
    switch (a->state) {
    case ATTEMPT_CALLING: http_cancel(a->op.http); break;
    case ATTEMPT_PACING: pacer_cancel(a->op.pacing); break;
    case ATTEMPT_BEGINNING:
    case ATTEMPT_SETTLING:
    case ATTEMPT_DELAYING: queue_op_cancel(a->op.step); break;
    case ATTEMPT_NEW:
    case ATTEMPT_CHOOSING:
    case ATTEMPT_HOLDING:
    case ATTEMPT_DONE: break;
    }
    queue_forget(a->queue, a->claim.token);
    attempt_free(a);
}

const char *
attempt_job_id(const struct attempt *a)
{
    return a->job.id;
}

bool
attempt_holds_slot(const struct attempt *a)
{
    return !a->slot_is_free;
}

const struct queue *
attempt_queue(const struct attempt *a)
{
    return a->queue;
}

const char *
attempt_state_name(const struct attempt *a)
{
    return state_names[a->state];
}

int64_t
attempt_age_ms(const struct attempt *a)
{
    return clock_mono_ms() - a->started_mono_ms;
}
