/*
 * doctor.h - what the parts of `headgate doctor` share: a report that grows check by check.
 */
#ifndef WORKER_CLI_DOCTOR_H
#define WORKER_CLI_DOCTOR_H

#include "worker/cli/session.h"

enum check_status { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct doctor {
    struct session session;
    bool json;
    bool no_calls;        /* models are not called */
    bool is_out_of_reach; /* Redis or a provider */
    int counts[CHECK_FAIL + 1];
};

/* Tells how a check went; `advice` (NULL when it is OK) is what to do about it. */
void doctor_tell(struct doctor *doctor, enum check_status status, const char *check,
                 const char *advice, const char *found, ...) __attribute__((format(printf, 5, 6)));

/* doctor_redis.c: need the session's connection. */
void doctor_check_redis(struct doctor *doctor);
/* One command to the server that has `key`; `read` (may be NULL) gets its reply. */
int doctor_ask(struct doctor *doctor, const char *key, const struct redis_args *args,
               session_read_fn *read, void *arg, struct error *err);
/* doctor_rights.c: every command, key and channel that a worker needs, without a change. */
void doctor_check_rights(struct doctor *doctor);
/* doctor_models.c: credentials, endpoint, and each model by a call. */
void doctor_check_models(struct doctor *doctor);

#endif
