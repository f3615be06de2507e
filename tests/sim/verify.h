/*
 * verify.h - who may call: SigV4 and API keys, judged as AWS does. Pure.
 */
#ifndef SIM_VERIFY_H
#define SIM_VERIFY_H

#include "tests/sim/settings.h"
#include "tests/sim/wire.h"

/* An AWS error to answer with. */
struct refusal {
    int status;
    const char *code; /* static */
    char message[512];
};

/* Fills *refusal and returns -1, so that refusing is one line. */
int refusal_set(struct refusal *refusal, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* 0, or -1 with *refusal. `now_ms` is the simulator's clock, Unix. */
int verify_request(const struct settings *settings, const struct wire_request *request,
                   int64_t now_ms, struct aws_sign_cache *cache,
                   struct refusal *refusal) WARN_UNUSED;

#endif
