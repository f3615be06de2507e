/*
 * account.h - what an AWS account knows of its models: quotas, counts, and the faults to come.
 * Pure: times are passed in.
 */
#ifndef SIM_ACCOUNT_H
#define SIM_ACCOUNT_H

#include "tests/sim/quota.h"
#include "tests/sim/script.h"
#include "tests/sim/settings.h"

#define ACCOUNT_MODELS_MAX   10000 /* ids come from outside */
#define ACCOUNT_ID_BYTES_MAX 2048

/* How calls ended. */
struct tally {
    int64_t calls; /* the open ones too */
    int64_t ok, throttled, errors, aborted, auth_failed;
};

struct account_model {
    char *id; /* owned */
    struct quota rpm, tpm;
    struct tally tally;
    struct script script;
    UT_hash_handle hh;
};

struct account {
    struct account_model *models; /* hash by id */
    struct script any_script;     /* "*": for models whose own script is empty */
    int64_t calls, open, max_open;
};

/* The model, made on first use and there until account_release; NULL when there are too many. */
struct account_model *account_model(struct account *account, const char *id);
/* The fault of this model's next call, or NULL. Borrowed until the next use of the scripts. */
const struct fault *account_next_fault(struct account *account, struct account_model *model);
void account_call_begins(struct account *account, struct account_model *model);
/* `count` is the member of the model's tally that this end belongs to. */
void account_call_ends(struct account *account, int64_t *count);
/* Forgets counts and scripts, fills the quotas. Open calls stay counted as open. */
void account_reset(struct account *account, int64_t now_ms);
void account_release(struct account *account);

#endif
