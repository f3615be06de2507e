/*
 * verdict.h - what the calls of an attempt mean for the job. Pure: tested as a table.
 */
#ifndef WORKER_JOB_VERDICT_H
#define WORKER_JOB_VERDICT_H

#include "worker/job/call.h"

enum verdict_action {
    VERDICT_SUCCEED,
    VERDICT_FAIL,   /* final: result and dead letter */
    VERDICT_RETRY,  /* later; this execution was spent */
    VERDICT_WAIT,   /* later; nothing was spent: throttled everywhere, or nobody to call */
    VERDICT_CANCEL, /* final */
};

struct verdict_facts {
    const struct call *calls;
    int call_count;
    bool is_cancelled;
    bool is_timed_out;   /* the job's own timeout passed */
    bool has_no_room;    /* a model was not called: the pace had no room for it ... */
    int64_t room_in_ms;  /* ... before so long */
    bool has_own_models; /* the job named its models: unusable ones are its own fault */
    int attempts_spent;  /* executions before this one that failed */
    int max_attempts;
    int waits;         /* waits in a row before this one */
    int64_t waited_ms; /* since the first wait of this job; 0: this is the first */
    int64_t max_wait_ms;
    int64_t retry_base_ms;
    int64_t retry_cap_ms;
};

struct verdict {
    enum verdict_action action;
    const char *kind;     /* VERDICT_FAIL, RETRY, WAIT: why, as in error.kind of a result */
    bool provider_is_out; /* credentials or provider: stop claiming until a call works */
    int64_t delay_low_ms; /* RETRY, WAIT: full jitter between these two */
    int64_t delay_high_ms;
    const struct call *blame; /* the call whose message explains it; NULL: none */
};

/* Does the last of an attempt's calls so far send the job to its next model? Everything but an
 * answer or a cancellation does: a request is wrong only when every model says so. */
bool verdict_wants_next_model(const struct call *calls, int count);
/* The rules in a table: docs/jobs.md has them for people. */
struct verdict verdict_decide(const struct verdict_facts *facts);

#endif
