#include "tests/sim/call.h"

#include "common/clock.h"
#include "common/memory.h"
#include "tests/sim/chance.h"
#include "tests/sim/composition.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_TOKENS 64000 /* what an unset maxTokens reserves: the model's maximum */
#define LATENCY_MAX_MS     1e9

static void
put_request_id(struct call *call)
{
    uint64_t high = chance_next(&call->sim->dice);
    uint64_t low = chance_next(&call->sim->dice);

    evbuffer_add_printf(call->reply.lines, "x-amzn-RequestId: %08x-%04x-4%03x-8%03x-%012llx\r\n",
                        (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
                        (unsigned)(high & 0xfff), (unsigned)(low >> 48 & 0xfff),
                        (unsigned long long)(low & 0xffffffffffffu));
}

void
call_refuse(struct call *call, const struct refusal *refusal)
{
    struct evbuffer *body = call->reply.body;

    call->reply.status = refusal->status;
    call->reply.after_ms += call->settings->reject_latency_ms;
    call->count =
        refusal->status == 429 ? &call->model->tally.throttled : &call->model->tally.errors;
    if (refusal->code != NULL)
        evbuffer_add_printf(call->reply.lines, "x-amzn-ErrorType: %s\r\n", refusal->code);
    evbuffer_add_printf(body, "{\"message\":");
    json_put_string(body, refusal->message, strlen(refusal->message));
    evbuffer_add_printf(body, "}");
}

static int64_t
draw_latency(struct call *call)
{
    double latency_ms = chance_lognormal(&call->sim->dice, call->settings->latency_ms,
                                         call->settings->latency_sigma);

    return (int64_t)(latency_ms < LATENCY_MAX_MS ? latency_ms : LATENCY_MAX_MS);
}

void
call_answer(struct call *call, const char *text, size_t len, const char *stop_reason)
{
    struct converse_answer answer = {.text = text,
                                     .text_len = len,
                                     .stop_reason = stop_reason,
                                     .input_tokens = call->request.input_tokens,
                                     .output_tokens = converse_tokens(len),
                                     .latency_ms = draw_latency(call)};

    call->reply.after_ms += answer.latency_ms;
    call->count = &call->model->tally.ok;
    call->tokens_unused -= answer.input_tokens + answer.output_tokens;
    converse_print(&answer, call->reply.body);
}

static bool
wants_feedback(const struct call *call)
{
    static const char word[] = "feedback_items";

    if (call->settings->reply != REPLY_AUTO)
        return call->settings->reply == REPLY_FEEDBACK;
    return memmem(call->http->body, call->http->body_len, word, sizeof(word) - 1) != NULL;
}

void
call_compose(struct call *call, struct evbuffer *text)
{
    uint64_t dice = chance_hash(call->sim->seed, call->http->body, call->http->body_len);
    char *prompt;

    if (call->settings->reply == REPLY_LITERAL) {
        evbuffer_add(text, call->settings->reply_text, strlen(call->settings->reply_text));
        return;
    }
    prompt = json_string(call->request.prompt, NULL);
    if (wants_feedback(call))
        compose_feedback(prompt == NULL ? "" : prompt, dice, text);
    else
        compose_sentence(prompt == NULL ? "" : prompt, dice, text);
    free(prompt);
}

static void
answer_normally(struct call *call)
{
    struct evbuffer *text = xevbuffer();
    size_t len;

    call_compose(call, text);
    len = evbuffer_get_length(text);
    call_answer(call, (const char *)evbuffer_pullup(text, -1), len, call->settings->stop_reason);
    evbuffer_free(text);
}

static void
answer_with_error(struct call *call)
{
    struct refusal refusal;

    (void)refusal_set(&refusal, 500, "InternalServerException",
                      "The system encountered an unexpected error during processing. Try your "
                      "request again.");
    call->entry.outcome = "error";
    call_refuse(call, &refusal);
    call->reply.after_ms += draw_latency(call) - call->settings->reject_latency_ms;
}

static int
check_caller(struct call *call, bool is_named, struct refusal *refusal)
{
    struct sim *sim = call->sim;
    int64_t now_ms = clock_wall_ms() + sim->settings->clock_offset_ms;

    call->entry.outcome = "auth";
    if (verify_request(sim->settings, call->http, now_ms, &sim->sign_cache, refusal) != 0)
        return -1;
    call->entry.outcome = "unknown_model";
    if (sim->settings->known_only && !is_named)
        return refusal_set(refusal, 400, "ValidationException",
                           "The provided model identifier is invalid.");
    call->entry.outcome = "invalid";
    if (converse_read(call->http->body, call->http->body_len, &call->request, refusal) != 0)
        return -1;
    call->entry.max_tokens = call->request.max_tokens;
    call->entry.outcome = "ok";
    return 0;
}

static int
take_quotas(struct call *call, struct refusal *refusal)
{
    struct account_model *model = call->model;
    int64_t max_tokens = call->request.max_tokens;
    int64_t reserved =
        call->request.input_tokens + (max_tokens > 0 ? max_tokens : DEFAULT_MAX_TOKENS);
    int64_t now_ms = call->started_ms;

    quota_set(&model->rpm, &call->settings->rpm, now_ms);
    quota_set(&model->tpm, &call->settings->tpm, now_ms);
    call->entry.outcome = "throttled";
    if (!quota_has_room(&model->rpm, 1, now_ms))
        return refusal_set(refusal, 429, "ThrottlingException",
                           "Too many requests, please wait before trying again.");
    if (!quota_has_room(&model->tpm, reserved, now_ms))
        return refusal_set(refusal, 429, "ThrottlingException",
                           "Too many tokens, please wait before trying again.");
    quota_take(&model->rpm, 1);
    quota_take(&model->tpm, reserved);
    call->tokens_unused = reserved;
    call->entry.outcome = "ok";
    return 0;
}

static void
refuse_for_quota(struct call *call, const struct refusal *refusal)
{
    if (call->settings->retry_after_s >= 0)
        evbuffer_add_printf(call->reply.lines, "Retry-After: %.10g\r\n",
                            call->settings->retry_after_s);
    call_refuse(call, refusal);
}

static void
decide(struct call *call, bool is_named)
{
    const struct fault *fault;
    struct refusal refusal;

    if (check_caller(call, is_named, &refusal) != 0) {
        call_refuse(call, &refusal);
        if (strcmp(call->entry.outcome, "auth") == 0)
            call->count = &call->model->tally.auth_failed;
        return;
    }
    fault = account_next_fault(&call->sim->account, call->model);
    if (fault != NULL)
        call_apply_fault(call, fault);
    if (fault != NULL && fault->kind != FAULT_DELAY)
        return;
    if (take_quotas(call, &refusal) != 0)
        refuse_for_quota(call, &refusal);
    else if (chance_unit(&call->sim->dice) < call->settings->error_rate)
        answer_with_error(call);
    else
        answer_normally(call);
}

static void
on_end(bool was_sent, void *arg)
{
    struct call *call = arg;
    int64_t now_ms = clock_mono_ms();

    if (!was_sent) {
        call->count = &call->model->tally.aborted;
        call->entry.outcome = "aborted";
        call->entry.status = 0;
    }
    call->entry.duration_ms = now_ms - call->started_ms;
    quota_give_back(&call->model->tpm, call->tokens_unused, now_ms);
    account_call_ends(&call->sim->account, call->count);
    journal_add(&call->sim->journal, &call->entry);
    free(call);
}

static bool
sends_status(enum wire_manner manner)
{
    return manner == WIRE_WHOLE || manner == WIRE_HALF || manner == WIRE_DRIP ||
           manner == WIRE_PADDED;
}

void
call_start(struct sim *sim, struct exchange *exchange, const struct wire_request *http,
           struct account_model *model)
{
    struct call *call = xcalloc(1, sizeof(*call));
    bool is_named;

    call->sim = sim;
    call->http = http;
    call->model = model;
    call->settings = settings_of(sim->settings, model->id, &is_named);
    call->started_ms = clock_mono_ms();
    call->entry.at_ms = clock_wall_ms();
    call->entry.model = model->id;
    wire_reply_init(&call->reply, 200);
    call->reply.date_offset_ms = sim->settings->clock_offset_ms;
    put_request_id(call);
    journal_find_marker(http->body, http->body_len, call->entry.marker);
    account_call_begins(&sim->account, model);
    decide(call, is_named);
    call->entry.status = sends_status(call->reply.manner) ? call->reply.status : 0;
    wire_reply(exchange, &call->reply, on_end, call);
}
