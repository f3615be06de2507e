/*
 * call.h - one request to one model, once it is over: how it ended. Pure data.
 *
 * The provider names the outcome, the attempt collects a list of calls, the verdict looks
 * at all of them, the result prints them.
 */
#ifndef WORKER_JOB_CALL_H
#define WORKER_JOB_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a call ended. The order has no meaning; every switch names all of them. */
enum outcome {
    OUTCOME_OK,
    OUTCOME_THROTTLED,    /* the provider said 'slow down' (429, "too many connections") */
    OUTCOME_TRANSIENT,    /* 5xx, reset, cut answer, model timeout: may work later */
    OUTCOME_TIMEOUT,      /* our limit for a call or a job passed */
    OUTCOME_UNREACHABLE,  /* no name, no connection, no TLS: nothing was sent */
    OUTCOME_AUTH,         /* wrong, missing or expired credentials: nobody's model is to blame */
    OUTCOME_MODEL_CONFIG, /* this model can't be used by us: wrong id, no access, retired */
    OUTCOME_UNSUITED,     /* this model can't do this request (too long, feature missing) */
    OUTCOME_REJECTED,     /* the request is wrong for every model: the caller's fault */
    OUTCOME_BAD_OUTPUT,   /* an answer came and is not what the type asks for */
    OUTCOME_CANCELLED,    /* aborted because somebody cancelled the job */
};
/* "ok", "throttled", "transient", "timeout", "unreachable", "auth", "model_config",
 * "unsuited", "rejected", "bad_output", "cancelled": as results and metrics show it. */
const char *outcome_name(enum outcome outcome);

/* Which quota a throttle names. */
enum call_limit { LIMIT_UNKNOWN, LIMIT_REQUESTS, LIMIT_TOKENS };

struct call {
    const char *model; /* borrowed: name as configured */
    enum outcome outcome;
    int status; /* HTTP status; 0: none came */
    int64_t duration_ms;
    enum call_limit limit;  /* of a throttle */
    int64_t retry_after_ms; /* what the provider asked for; 0: nothing */
    char error[64];         /* the provider's code ("ThrottlingException") or ours ("timeout") */
    char message[256];      /* for people; no secrets */
    char request_id[64];    /* the provider's name of the call; may be empty */
    int64_t input_tokens;   /* 0 unless told */
    int64_t output_tokens;
};

#endif
