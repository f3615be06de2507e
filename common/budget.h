/*
 * budget.h - how much memory the jobs of this process may take (HEADGATE_MEMORY_MAX). Pure.
 *
 * What a job or an answer may come to need is charged before it is there: a job of n bytes as
 * BUDGET_JOB_COPIES * n (its payload, the request, and at a bad end the dead letter in its three
 * forms; measured: 2.2 * n while it is called for), an answer as BUDGET_ANSWER_COPIES * n (what the
 * model sent, the result, its way to Redis). What one turn of the loop needs besides, for one
 * claim and one answer, is put aside from the start, and so is the process itself.
 *
 * Claims leave a part to the answers of the calls that are open. An answer that finds no room even
 * so ends its call.
 */
#ifndef COMMON_BUDGET_H
#define COMMON_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_JOB_COPIES    5
#define BUDGET_ANSWER_COPIES 3
/* What any job needs: its attempt, a call with its connection. */
#define BUDGET_JOB_BYTES (128 * 1024)

struct budget {
    int64_t max;         /* of `held`; 0: none */
    int64_t held;        /* charged and not given back; counted without a maximum too */
    int64_t for_answers; /* that claims leave free */
    int64_t largest_job; /* HEADGATE_MAX_JOB_BYTES */
    int64_t http_bytes;  /* of requests that the HTTP port may hold, and of answers as much */
    int64_t batch;       /* the most bytes that one claim should bring */
};

/* The least that HEADGATE_MEMORY_MAX may be: one largest job and one largest answer fit. */
int64_t budget_least(int64_t largest_job, int64_t largest_answer);
/* memory_max: of the whole process; 0 or at least budget_least. */
void budget_init(struct budget *budget, int64_t memory_max, int64_t largest_job,
                 int64_t largest_answer);

/* What a job of so many bytes is charged. */
int64_t budget_of_job(int64_t bytes);
/* Charges `bytes` whether there is room or not; negative ones are given back. */
void budget_charge(struct budget *budget, int64_t bytes);
/* Charges `bytes`, or nothing when there is no room. */
bool budget_take(struct budget *budget, int64_t bytes);
/* How many bytes of jobs may be claimed now, all of one claim together; 0 when not even the largest
 * job would fit, at most `most`. Each of `open_claims`, which nobody knows yet what they bring, is
 * thought to bring as much as one may. */
int64_t budget_claim_bytes(const struct budget *budget, int open_claims, int64_t most);

#endif
