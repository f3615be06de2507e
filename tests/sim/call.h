/*
 * call.h - one call of the Converse operation, from its request to its place in the journal.
 *
 * call.c decides in the order of the real service: who asks, what is asked, and whether the
 * quotas have room; a fault from the script comes in between. What the call will
 * answer is settled when it comes; only the sending waits.
 */
#ifndef SIM_CALL_H
#define SIM_CALL_H

#include "tests/sim/converse.h"
#include "tests/sim/sim.h"

struct call {
    struct sim *sim;                       /* borrowed */
    struct account_model *model;           /* borrowed */
    const struct model_settings *settings; /* borrowed; only while deciding */
    const struct wire_request *http;       /* borrowed; only while deciding */
    struct converse_request request;       /* its prompt only while deciding */
    struct wire_reply reply;
    struct journal_entry entry;
    int64_t started_ms;
    int64_t tokens_unused; /* given back to the tpm quota in the end */
    int64_t *count;        /* the member of model->tally this is for, if it is not aborted */
};

/* Answers a request to POST /model/{id}/converse. */
void call_start(struct sim *sim, struct exchange *exchange, const struct wire_request *http,
                struct account_model *model);

/* For call_faults.c: the parts that answers are made of. */
void call_refuse(struct call *call, const struct refusal *refusal);
void call_answer(struct call *call, const char *text, size_t len, const char *stop_reason);
/* Appends what the model says to this request. */
void call_compose(struct call *call, struct evbuffer *text);

/* Lets the call suffer it. */
void call_apply_fault(struct call *call, const struct fault *fault);

#endif
