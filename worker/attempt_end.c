#include "worker/attempt_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/attempt_metrics.h"
#include "worker/job/verdict.h"

#include <inttypes.h>
#include <stdlib.h>

void
attempt_release_slot(struct attempt *a)
{
    if (a->slot_is_free)
        return;
    a->slot_is_free = true;
    event_del(a->timeout);
    a->context->on_slot_free(a->context->arg);
}

void
attempt_end_job(struct attempt *a, enum result_state state, const char *kind, const char *message)
{
    a->ending = (struct ending){.state = state, .kind = kind, .message = message};
    attempt_enter(a, ATTEMPT_SETTLING);
}

/* ---- settle ---- */

static bool
has_started(const struct attempt *a)
{
    return a->call_count > 0 || a->ending.state == STATE_RUNNING;
}

static int
executions(const struct attempt *a)
{
    return a->claim.history.attempts + has_started(a);
}

static const struct model *
answering_model(const struct attempt *a)
{
    return a->ending.state == STATE_SUCCEEDED ? &a->models[a->order[a->next]] : NULL;
}

static struct result
result_of(const struct attempt *a)
{
    const struct model *model = answering_model(a);

    return (struct result){
        .state = a->ending.state,
        .job = &a->job,
        .queue = queue_name(a->queue),
        .worker = a->context->worker,
        .attempt = executions(a),
        .calls = a->calls,
        .call_count = a->call_count,
        .model = model == NULL ? NULL : model->name,
        .is_primary = model != NULL && model == &a->models[0],
        .output = model == NULL ? NULL : a->output,
        .error_kind = a->ending.kind,
        .error_message = a->ending.message,
        .input_price = model == NULL ? -1 : model->input_price,
        .output_price = model == NULL ? -1 : model->output_price,
        .started_at_ms = has_started(a) ? a->started_wall_ms : 0,
        .finished_at_ms = a->ending.state == STATE_RUNNING ? 0 : clock_wall_ms(),
    };
}

void
attempt_put_result(struct attempt *a, struct evbuffer *out)
{
    const struct wire *wire = a->context->wire;
    struct result result = result_of(a);

    if (wire == NULL)
        result_print(&result, out);
    else
        wire->put_result(wire->self, a->message, &result, out);
}

void
attempt_tell(const struct attempt *a, enum wire_news news)
{
    if (a->message != NULL)
        a->context->wire->tell(a->context->wire->self, a->message, news);
}

/* NULL: nothing follows. */
static struct evbuffer *
follow_of(const struct attempt *a)
{
    const struct wire *wire = a->context->wire;
    struct evbuffer *follow;

    if (wire == NULL)
        return NULL;
    follow = xevbuffer();
    wire->put_follow(wire->self, a->message, follow);
    return follow;
}

static const char *
payload_of(const struct attempt *a, size_t *len)
{
    *len = a->job.payload_len;
    return a->message == NULL ? a->job.payload : a->context->wire->payload(a->message, len);
}

static void
forget_payload(struct attempt *a)
{
    job_forget_payload(&a->job);
    if (a->message != NULL)
        a->context->wire->forget_payload(a->message);
}

static void
put_letter(const struct attempt *a, struct evbuffer *out)
{
    size_t len;
    const char *payload = payload_of(a, &len);

    dead_letter_print(
        &(struct dead_letter){
            .id = a->job.id,
            .queue = queue_name(a->queue),
            .kind = a->ending.kind,
            .message = a->ending.message,
            .worker = a->context->worker,
            .attempt = executions(a),
            .at_ms = clock_wall_ms(),
            .payload = payload,
            .payload_len = len,
        },
        out);
}

/* Redis does not take the end in its size. A result that would have been a success fails; then
 * what the producer sent, metadata and payload, is left out too. */
static void
shrink_end(struct attempt *a)
{
    bool is_first = a->shrinks++ == 0;

    if (is_first && a->ending.state == STATE_SUCCEEDED) {
        error_set(&a->reason, ERROR_TOO_LARGE,
                  "the result of %" PRId64 " bytes is more than Redis takes (proto-max-bulk-len)",
                  a->told_bytes);
        a->ending = (struct ending){
            .state = STATE_FAILED, .kind = "bad_output", .message = a->reason.message};
    } else {
        char *said = a->ending.message == NULL ? NULL : xstrdup(a->ending.message);

        error_set(&a->reason, ERROR_TOO_LARGE,
                  "%.120s%smetadata and the job's %zu bytes are left out here: with them this is "
                  "more than Redis takes (proto-max-bulk-len)",
                  said == NULL ? "" : said, said == NULL ? "" : "; ", a->job.payload_len);
        free(said);
        a->ending.message = a->ending.kind == NULL ? NULL : a->reason.message;
        forget_payload(a);
    }
    log_error("the end of a job is more than Redis takes: a smaller one is written",
              LOG_STR("job", a->job.id), LOG_STR("queue", queue_name(a->queue)),
              LOG_INT("bytes", a->told_bytes), LOG_STR("error", a->reason.message));
    attempt_enter(a, ATTEMPT_SETTLING);
}

static void
on_settled(enum settle_status status, void *arg)
{
    struct attempt *a = arg;
    const char *queue = queue_name(a->queue);
    const char *state = result_state_name(a->ending.state);
    int64_t duration_ms = clock_mono_ms() - a->started_mono_ms;
    double waited_s = has_started(a) && a->job.enqueued_at > 0
                          ? (double)a->started_wall_ms / 1000.0 - a->job.enqueued_at
                          : -1;

    a->op.step = NULL;
    if (status == SETTLE_TOO_LARGE) {
        shrink_end(a);
        return;
    }
    if (status == SETTLE_OK) {
        attempt_tell(a, WIRE_ENDED);
        attempt_metrics_job(a->context->metrics, queue, state,
                            has_started(a) ? (double)duration_ms / 1000.0 : -1, waited_s);
        /* A failed one is a dead letter, which somebody should look at. */
        log_write(a->ending.state == STATE_FAILED ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "job is final",
                  LOG_STR("job", a->job.id), LOG_STR("queue", queue), LOG_STR("state", state),
                  LOG_INT("attempt", executions(a)), LOG_INT("calls", a->call_count),
                  LOG_INT("ms", duration_ms), LOG_STR("kind", a->ending.kind),
                  LOG_STR("error", a->ending.message), LOG_END);
    } else {
        attempt_metrics_drop(a->context->metrics, queue,
                             status == SETTLE_LATE ? "duplicate" : "lost");
        log_warn(status == SETTLE_LATE ? "result dropped: the job has its result already"
                                       : "result dropped: the claim was lost to another worker",
                 LOG_STR("job", a->job.id), LOG_STR("queue", queue));
    }
    attempt_enter(a, ATTEMPT_DONE);
}

/* From here on there is only what Redis is told: it may have to be kept for long. */
static void
forget_work(struct attempt *a, const struct evbuffer *document, const struct evbuffer *letter,
            const struct evbuffer *follow)
{
    size_t told = evbuffer_get_length(document);

    if (letter != NULL)
        told += evbuffer_get_length(letter);
    if (follow != NULL)
        told += evbuffer_get_length(follow);
    a->told_bytes = (int64_t)told;
    if (told < QUEUE_ARGUMENT_TAKEN) /* else it may have to be told once more, smaller */
        forget_payload(a);
    attempt_free_work(a);
    attempt_charge(a, BUDGET_ANSWER_COPIES * a->told_bytes + (int64_t)a->job.payload_len +
                          BUDGET_JOB_BYTES);
}

void
attempt_settle(struct attempt *a)
{
    struct evbuffer *document = xevbuffer(), *letter = NULL, *follow;

    attempt_put_result(a, document);
    follow = follow_of(a);
    if (a->ending.state == STATE_FAILED) {
        letter = xevbuffer();
        put_letter(a, letter);
    }
    forget_work(a, document, letter, follow);
    attempt_release_slot(a);
    a->op.step = queue_settle(a->queue, a->claim.token,
                              &(struct settlement){
                                  .id = a->job.id,
                                  .state = result_state_name(a->ending.state),
                                  .document = document,
                                  .reply_to = a->job.reply_to,
                                  .letter = letter,
                                  .has_run = a->call_count > 0,
                                  .follow = follow,
                              },
                              on_settled, a);
    evbuffer_free(document);
    if (follow != NULL)
        evbuffer_free(follow);
    if (letter != NULL)
        evbuffer_free(letter);
}

/* ---- delay ---- */

static void
on_delayed(int64_t due_in_ms, void *arg)
{
    struct attempt *a = arg;

    a->op.step = NULL;
    a->end.due_in_ms = due_in_ms;
    if (due_in_ms >= 0)
        attempt_metrics_delay(a->context->metrics, queue_name(a->queue), a->delay.counter);
    if (due_in_ms >= 0 && a->ending.kind != NULL)
        attempt_tell(a, WIRE_RETRIED);
    attempt_enter(a, ATTEMPT_DONE);
}

void
attempt_delay(struct attempt *a)
{
    struct evbuffer *document = NULL;

    attempt_release_slot(a);
    if (a->context->wire != NULL && a->ending.kind != NULL) {
        document = xevbuffer();
        attempt_put_result(a, document);
    }
    a->delay.document = document;
    a->op.step = queue_delay(a->queue, a->claim.token, &a->delay, on_delayed, a);
    if (document != NULL)
        evbuffer_free(document);
}

static const char *
explain(const struct attempt *a, const struct verdict *verdict)
{
    if (a->is_timed_out)
        return "the job's timeout passed";
    if (verdict->blame == NULL)
        return a->has_no_room ? "no model had room" : "no model could be called";
    return verdict->blame->message[0] != '\0' ? verdict->blame->message : verdict->blame->error;
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void
delay_for(struct attempt *a, const struct verdict *verdict)
{
    struct history history = a->claim.history;
    bool is_wait = verdict->action == VERDICT_WAIT;
    /* An expiry is told when it comes, not when the job would have been due. */
    int64_t left_ms = attempt_ms_to_start(a) > 0 ? attempt_ms_to_start(a) : 0;
    int64_t delay_ms =
        clock_jitter(least(verdict->delay_low_ms, left_ms), least(verdict->delay_high_ms, left_ms));

    if (is_wait) {
        history.waits++;
        if (history.since_ms == 0)
            history.since_ms = a->begun_ms;
    } else {
        history = (struct history){.attempts = history.attempts + 1};
    }
    a->delay = (struct delay){.id = a->job.id,
                              .history = history,
                              .due_ms = delay_ms,
                              .counter = is_wait ? "waited" : "retried"};
    if (!is_wait)
        a->ending = (struct ending){
            .state = STATE_RUNNING, .kind = verdict->kind, .message = explain(a, verdict)};
    log_info(is_wait ? "job waits for a model" : "job will be retried", LOG_STR("job", a->job.id),
             LOG_STR("queue", queue_name(a->queue)), LOG_STR("kind", verdict->kind),
             LOG_INT("attempts", history.attempts), LOG_INT("delay_ms", delay_ms),
             LOG_STR("error", verdict->blame == NULL ? "" : verdict->blame->message));
    attempt_enter(a, ATTEMPT_DELAYING);
}

/* ---- verdict ---- */

static struct verdict
judge(const struct attempt *a)
{
    const struct config *config = a->context->config;
    const struct history *history = &a->claim.history;

    return verdict_decide(&(struct verdict_facts){
        .calls = a->calls,
        .call_count = a->call_count,
        .is_cancelled = a->is_cancelled,
        .is_timed_out = a->is_timed_out,
        .has_no_room = a->has_no_room,
        .room_in_ms = a->room_in_ms,
        .has_own_models = a->own_models != NULL,
        .attempts_spent = history->attempts,
        .max_attempts = a->job.max_attempts > 0 ? a->job.max_attempts : config->max_attempts,
        .waits = history->waits,
        .waited_ms = history->since_ms == 0 ? 0 : a->begun_ms - history->since_ms,
        .max_wait_ms = config->max_wait_ms,
        .retry_base_ms = config->retry_base_ms,
        .retry_cap_ms = config->retry_cap_ms,
    });
}

/* A job that has to wait beyond its expiry will never start: it ends now. */
static bool
expires_first(const struct attempt *a, const struct verdict *verdict)
{
    bool waits = verdict->action == VERDICT_WAIT ||
                 (verdict->action == VERDICT_FAIL && a->has_no_room && !a->is_timed_out);

    return waits && !verdict->provider_is_out && verdict->delay_low_ms >= attempt_ms_to_start(a);
}

static void
expire(struct attempt *a, const struct verdict *verdict)
{
    error_set(&a->reason, ERROR_TIMEOUT,
              "not started before expires_at: no model takes a call for another %.1f s",
              (double)verdict->delay_low_ms / 1000);
    attempt_end_job(a, STATE_EXPIRED, "expired", a->reason.message);
}

void
attempt_conclude(struct attempt *a)
{
    struct verdict verdict = judge(a);

    if (expires_first(a, &verdict)) {
        expire(a, &verdict);
        return;
    }
    a->end.provider_is_out = verdict.provider_is_out;
    a->end.kind = verdict.kind;
    a->end.reason = verdict.blame == NULL ? "" : verdict.blame->message;
    switch (verdict.action) {
    case VERDICT_SUCCEED: attempt_end_job(a, STATE_SUCCEEDED, NULL, NULL); return;
    case VERDICT_CANCEL:
        attempt_end_job(a, STATE_CANCELLED, "cancelled", "cancelled while it ran");
        return;
    case VERDICT_FAIL: break;
    case VERDICT_RETRY:
    case VERDICT_WAIT:
        if (a->claim.token != 0) {
            delay_for(a, &verdict);
            return;
        }
        break; /* at most once: there is no record to come back from */
    }
    attempt_end_job(a, STATE_FAILED, verdict.kind, explain(a, &verdict));
}
