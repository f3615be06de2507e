#include "common/budget.h"

#define MIB INT64_C(1048576)
/* The process, its connections and the bodies that the HTTP port takes at once. */
#define PROCESS_BYTES (64 * MIB)
#define BATCH_LEAST   MIB
/* Of the whole, for answers. */
#define ANSWERS_PART 8

static int64_t
larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t
smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t
batch_of(int64_t largest_job)
{
    return larger(largest_job, BATCH_LEAST);
}

/* The reply to a claim, as it is read and as it is copied out; an answer as it is read. */
static int64_t
put_aside(int64_t largest_job, int64_t largest_answer)
{
    return PROCESS_BYTES + 2 * batch_of(largest_job) + BUDGET_ANSWER_COPIES * largest_answer;
}

int64_t
budget_least(int64_t largest_job, int64_t largest_answer)
{
    int64_t held = budget_of_job(largest_job) + BUDGET_ANSWER_COPIES * largest_answer;
    int64_t least = put_aside(largest_job, largest_answer) + held;

    /* So that the part for answers leaves the room for that job. */
    return larger(
        least,
        (least - BUDGET_ANSWER_COPIES * largest_answer) * ANSWERS_PART / (ANSWERS_PART - 1) + 1);
}

void
budget_init(struct budget *budget, int64_t memory_max, int64_t largest_job, int64_t largest_answer)
{
    *budget = (struct budget){.largest_job = largest_job, .batch = batch_of(largest_job)};
    if (memory_max == 0)
        return;
    budget->max = memory_max - put_aside(largest_job, largest_answer);
    budget->for_answers = larger(memory_max / ANSWERS_PART, BUDGET_ANSWER_COPIES * largest_answer);
}

int64_t
budget_of_job(int64_t bytes)
{
    return BUDGET_JOB_COPIES * bytes + BUDGET_JOB_BYTES;
}

void
budget_charge(struct budget *budget, int64_t bytes)
{
    budget->held += bytes;
}

bool
budget_take(struct budget *budget, int64_t bytes)
{
    if (budget->max > 0 && bytes > budget->max - budget->held)
        return false;
    budget->held += bytes;
    return true;
}

int64_t
budget_claim_bytes(const struct budget *budget, int64_t most)
{
    int64_t left = budget->max - budget->for_answers - budget->held;

    if (budget->max == 0)
        return most;
    if (left < budget_of_job(budget->largest_job))
        return 0;
    return smaller(smaller(most, budget->batch), left / BUDGET_JOB_COPIES);
}
