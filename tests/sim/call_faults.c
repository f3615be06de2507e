#include "common/memory.h"
#include "tests/sim/call.h"

#include <string.h>

static const char page[] = "<html><head><title>Sign in</title></head>"
                           "<body><h1>Please sign in</h1></body></html>";

static void
answer_text(struct call *call, const char *text, const char *stop_reason)
{
    call_answer(call, text, text == NULL ? 0 : strlen(text), stop_reason);
}

/* The usual answer; `share` of 2 halves of its text. */
static void
answer_share(struct call *call, size_t share, const char *stop_reason)
{
    struct evbuffer *text = xevbuffer();

    call_compose(call, text);
    call_answer(call, (const char *)evbuffer_pullup(text, -1),
                evbuffer_get_length(text) * share / 2, stop_reason);
    evbuffer_free(text);
}

static void
answer_as_usual(struct call *call)
{
    answer_share(call, 2, call->settings->stop_reason);
}

/* An answer of 200 that no client should take for one. */
static void
count_as_error(struct call *call)
{
    call->count = &call->model->tally.errors;
}

static void
put_body(struct call *call, const char *body)
{
    evbuffer_add(call->reply.body, body, strlen(body));
    call->reply.after_ms += call->settings->reject_latency_ms;
    count_as_error(call);
}

static void
suffer_throttle(struct call *call, const struct fault *fault)
{
    struct refusal refusal;

    (void)refusal_set(&refusal, 429, "ThrottlingException", "%s",
                      fault->text != NULL ? fault->text
                                          : "Too many requests, please wait before trying again.");
    if (fault->retry_after_s >= 0)
        evbuffer_add_printf(call->reply.lines, "Retry-After: %.10g\r\n", fault->retry_after_s);
    call_refuse(call, &refusal);
}

static void
suffer_status(struct call *call, const struct fault *fault)
{
    struct refusal refusal;

    (void)refusal_set(&refusal, (int)fault->status, fault->code, "%s",
                      fault->text != NULL ? fault->text : "The system encountered an error.");
    if (fault->lines != NULL)
        evbuffer_add(call->reply.lines, fault->lines, strlen(fault->lines));
    call_refuse(call, &refusal);
}

static void
suffer_body(struct call *call, const struct fault *fault)
{
    call->reply.status = (int)fault->status;
    put_body(call, fault->text != NULL ? fault->text : "");
    if (fault->status == 200)
        call->count = &call->model->tally.ok;
}

static void
suffer_html(struct call *call, const struct fault *fault)
{
    (void)fault;
    call->reply.content_type = "text/html";
    put_body(call, page);
}

static void
suffer_redirect(struct call *call, const struct fault *fault)
{
    call->reply.status = 307;
    evbuffer_add_printf(call->reply.lines, "Location: %s\r\n",
                        fault->text != NULL ? fault->text : "/");
    put_body(call, "");
}

static void
suffer_garbage(struct call *call, const struct fault *fault)
{
    (void)fault;
    call->reply.manner = WIRE_RAW;
    put_body(call, "\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n");
}

static void
suffer_close(struct call *call, const struct fault *fault)
{
    (void)fault;
    call->reply.manner = WIRE_FIN;
    put_body(call, "");
}

static void
suffer_reset(struct call *call, const struct fault *fault)
{
    (void)fault;
    call->reply.manner = WIRE_RST;
    put_body(call, "");
}

static void
suffer_hang(struct call *call, const struct fault *fault)
{
    (void)fault;
    call->reply.manner = WIRE_NEVER;
    count_as_error(call);
}

static void
suffer_cut(struct call *call, const struct fault *fault)
{
    (void)fault;
    call->reply.manner = WIRE_HALF;
    answer_as_usual(call);
    count_as_error(call);
}

static void
suffer_drip(struct call *call, const struct fault *fault)
{
    call->reply.manner = WIRE_DRIP;
    call->reply.byte_ms = fault->ms;
    answer_as_usual(call);
}

static void
suffer_oversized(struct call *call, const struct fault *fault)
{
    call->reply.manner = WIRE_PADDED;
    call->reply.pad_bytes = fault->bytes;
    call->reply.is_chunked = fault->is_chunked;
    answer_as_usual(call);
}

static void
suffer_cut_off(struct call *call, const struct fault *fault)
{
    (void)fault;
    answer_share(call, 1, "max_tokens");
}

static void
suffer_empty(struct call *call, const struct fault *fault)
{
    (void)fault;
    answer_text(call, NULL, "end_turn");
}

static void
suffer_text(struct call *call, const struct fault *fault)
{
    answer_text(call, fault->text != NULL ? fault->text : "", "end_turn");
}

static void
suffer_guardrail(struct call *call, const struct fault *fault)
{
    answer_text(call, fault->text != NULL ? fault->text : "Sorry, blocked.",
                "guardrail_intervened");
}

/* The answer itself is the usual one, whatever that will be. */
static void
suffer_delay(struct call *call, const struct fault *fault)
{
    call->reply.after_ms += fault->ms;
}

void
call_apply_fault(struct call *call, const struct fault *fault)
{
    static void (*const apply[FAULT_KINDS])(struct call *, const struct fault *) = {
        [FAULT_THROTTLE] = suffer_throttle, [FAULT_STATUS] = suffer_status,
        [FAULT_BODY] = suffer_body,         [FAULT_HTML] = suffer_html,
        [FAULT_REDIRECT] = suffer_redirect, [FAULT_GARBAGE] = suffer_garbage,
        [FAULT_CLOSE] = suffer_close,       [FAULT_RESET] = suffer_reset,
        [FAULT_HANG] = suffer_hang,         [FAULT_CUT] = suffer_cut,
        [FAULT_DRIP] = suffer_drip,         [FAULT_OVERSIZED] = suffer_oversized,
        [FAULT_CUT_OFF] = suffer_cut_off,   [FAULT_EMPTY] = suffer_empty,
        [FAULT_TEXT] = suffer_text,         [FAULT_GUARDRAIL] = suffer_guardrail,
        [FAULT_DELAY] = suffer_delay,
    };

    call->entry.fault = fault_name(fault->kind);
    if (fault->kind != FAULT_DELAY)
        call->entry.outcome = "fault:";
    apply[fault->kind](call, fault);
}
