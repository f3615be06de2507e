#include "common/budget.h"

#define MIB INT64_C(1048576)
/* The process and its connections. */
#define PROCESS_BYTES (24 * MIB)
#define BATCH_LEAST   MIB
/* Parts of the whole. */
#define ANSWERS_PART 8
#define HTTP_PART    32
#define HTTP_LEAST   (8 * MIB)
#define HTTP_MOST    (64 * MIB)
/* Of what the HTTP port takes, on its way to Redis, and of what it answers, coming from there. */
#define HTTP_COPIES 7

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

static int64_t
http_bytes_of(int64_t memory_max)
{
    return smaller(larger(memory_max / HTTP_PART, HTTP_LEAST), HTTP_MOST);
}

static int64_t
answers_of(int64_t memory_max, int64_t largest_answer)
{
    return larger(memory_max / ANSWERS_PART, BUDGET_ANSWER_COPIES * largest_answer);
}

/* A claim's reply is read, and copied out. */
static int64_t
in_passing(int64_t batch)
{
    return 2 * batch;
}

/* What one claim needs in passing, and one answer as it is read. */
static int64_t
put_aside(int64_t memory_max, int64_t largest_job, int64_t largest_answer)
{
    return PROCESS_BYTES + HTTP_COPIES * http_bytes_of(memory_max) +
           in_passing(batch_of(largest_job)) + BUDGET_ANSWER_COPIES * largest_answer;
}

int64_t
budget_least(int64_t largest_job, int64_t largest_answer)
{
    int64_t least = MIB, used;

    do {
        least += MIB;
        used = put_aside(least, largest_job, largest_answer) + answers_of(least, largest_answer);
    } while (least - used < budget_of_job(largest_job));
    return least;
}

void
budget_init(struct budget *budget, int64_t memory_max, int64_t largest_job, int64_t largest_answer)
{
    *budget = (struct budget){
        .largest_job = largest_job, .batch = batch_of(largest_job), .http_bytes = HTTP_MOST};
    if (memory_max == 0)
        return;
    budget->max = memory_max - put_aside(memory_max, largest_job, largest_answer);
    budget->for_answers = answers_of(memory_max, largest_answer);
    budget->http_bytes = http_bytes_of(memory_max);
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
budget_claim_bytes(const struct budget *budget, int open_claims, int64_t most)
{
    int64_t of_claim = budget_of_job(budget->batch) + in_passing(budget->batch);
    int64_t left = budget->max - budget->for_answers - budget->held - open_claims * of_claim;

    if (budget->max == 0)
        return most;
    if (left < budget_of_job(budget->largest_job))
        return 0;
    return smaller(smaller(most, budget->batch), left / BUDGET_JOB_COPIES);
}
