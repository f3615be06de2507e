/* The steps of a job, on a real Redis: each test looks at the keys as an outsider would. */
#include "worker/queue/queue.h"

#include "common/memory.h"
#include "tests/support/loop.h"
#include "tests/support/queue_bench.h"
#include "worker/queue/desk.h"
#include "worker/queue/desk_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- one call each, waited for ---- */

struct end {
    const char *id;
    const char *document;
    const char *reply_to;
    const char *letter; /* NULL: it succeeded */
    bool has_run;
};

static enum settle_status
do_end(struct queue_bench *f, struct queue *queue, uint64_t token, const struct end *end)
{
    struct evbuffer *text = xevbuffer(), *dead = xevbuffer();
    enum settle_status status;

    evbuffer_add_printf(text, "%s", end->document);
    evbuffer_add_printf(dead, "%s", end->letter == NULL ? "" : end->letter);
    status = queue_bench_settle(f, queue, token,
                                &(struct settlement){
                                    .id = end->id,
                                    .state = end->letter == NULL ? "succeeded" : "failed",
                                    .document = text,
                                    .reply_to = end->reply_to,
                                    .letter = end->letter == NULL ? NULL : dead,
                                    .has_run = end->has_run,
                                });
    evbuffer_free(text);
    evbuffer_free(dead);
    return status;
}

static enum settle_status
do_settle(struct queue_bench *f, struct queue *queue, uint64_t token, const char *id,
          const char *document, const char *reply_to, const char *letter)
{
    return do_end(
        f, queue, token,
        &(struct end){.id = id, .document = document, .reply_to = reply_to, .letter = letter});
}

static void
do_delay(struct queue_bench *f, const struct claim *claim, const char *id, int attempts,
         int64_t due_ms)
{
    queue_bench_delay(f, claim->token,
                      &(struct delay){.id = id,
                                      .history = {.attempts = attempts, .waits = 0, .since_ms = 7},
                                      .due_ms = due_ms,
                                      .counter = "retried"});
}

/* ---- what Redis holds ---- */

static void
assert_redis_int(struct queue_bench *f, int64_t wanted, const char *command)
{
    assert_int_equal(queue_bench_number(f, command), wanted);
}

static void
assert_redis_text(struct queue_bench *f, const char *wanted, const char *command)
{
    redisReply *reply = redis_server_ask(f->server, command);

    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_string_equal(reply->str, wanted);
    freeReplyObject(reply);
}

static bool
redis_has(void *arg)
{
    return queue_bench_number(arg, "LLEN q") > 0;
}

/* ---- what the queue promises ---- */

static void
a_claim_moves_jobs_from_the_head_into_the_record(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "one");
    queue_bench_push(f, "two");
    queue_bench_push(f, "three");
    queue_bench_claim(f, f->queue, 2);
    assert_int_equal(f->claim_count, 2);
    assert_string_equal(f->claims[0].payload, "one");
    assert_string_equal(f->claims[1].payload, "two");
    assert_int_equal(queue_claims_held(f->queue), 2);
    assert_redis_int(f, 1, "LLEN q");
    assert_redis_int(f, 2, "HLEN headgate:{q}:inflight:w1");
}

static void
push_large(struct queue_bench *f, char name)
{
    char *job = malloc(100001);

    assert_non_null(job);
    memset(job, name, 100000);
    job[100000] = '\0';
    queue_bench_push(f, job);
    free(job);
}

static void
a_claim_brings_as_many_bytes_as_it_may_and_says_when_more_are_there(void **state)
{
    struct queue_bench *f = *state;

    push_large(f, 'a');
    push_large(f, 'b');
    push_large(f, 'c');
    queue_bench_claim_bytes(f, f->queue, 8, 250000);
    assert_int_equal(f->claim_count, 2);
    assert_int_equal(f->claims[1].payload[0], 'b');
    assert_int_equal(f->claim_status, CLAIM_FULL);
    queue_bench_claim_bytes(f, f->queue, 8, 150000);
    assert_int_equal(f->claim_count, 1);
    assert_int_equal(f->claims[0].payload[0], 'c');
    assert_int_equal(f->claim_status, CLAIM_OK);
}

/* It has to be run, too. */
static void
a_job_larger_than_a_claim_may_be_comes_alone(void **state)
{
    struct queue_bench *f = *state;

    push_large(f, 'a');
    queue_bench_push(f, "two");
    queue_bench_claim_bytes(f, f->queue, 8, 10);
    assert_int_equal(f->claim_count, 1);
    assert_int_equal(f->claims[0].payload_len, 100000);
    assert_int_equal(f->claim_status, CLAIM_FULL);
    queue_bench_claim_bytes(f, f->queue, 8, 10);
    assert_string_equal(f->claims[0].payload, "two");
    assert_int_equal(f->claim_status, CLAIM_OK);
}

static void
a_worker_without_a_beat_gets_nothing(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "ZREM headgate:{q}:workers w1");
    queue_bench_push(f, "one");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_status, CLAIM_UNREGISTERED);
    assert_int_equal(f->claim_count, 0);
    assert_redis_int(f, 1, "LLEN q");
}

/* It may sleep on for long: what it took now would be reaped at once. */
static void
a_worker_whose_lease_has_ended_gets_nothing_until_it_beats(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_end_lease(f, "w1");
    queue_bench_push(f, "one");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_status, CLAIM_UNREGISTERED);
    assert_redis_int(f, 1, "LLEN q");
    queue_bench_beat(f, f->queue);
    assert_true(f->was_registered);
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_count, 1);
}

static void
payloads_are_claimed_byte_for_byte(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "RPUSH q %b", "a\0b\xff\n", (size_t)5);
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claims[0].payload_len, 5);
    assert_memory_equal(f->claims[0].payload, "a\0b\xff\n", 5);
}

static void
the_inbox_of_a_blocking_pop_is_claimed_first(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "later");
    redis_server_do(f->server, "RPUSH headgate:{q}:inbox first");
    queue_bench_claim(f, f->queue, 8);
    assert_int_equal(f->claim_count, 2);
    assert_string_equal(f->claims[0].payload, "first");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inbox");
}

static void
a_paused_queue_gives_nothing_and_gets_the_inbox_back(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "second");
    redis_server_do(f->server, "RPUSH headgate:{q}:inbox first");
    redis_server_do(f->server, "SET headgate:{q}:paused 1");
    queue_bench_claim(f, f->queue, 8);
    assert_int_equal(f->claim_status, CLAIM_PAUSED);
    assert_int_equal(f->claim_count, 0);
    assert_redis_int(f, 2, "LLEN q");
    assert_redis_text(f, "first", "LINDEX q 0");
}

static void
a_settled_job_leaves_its_result_and_nothing_else(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_RUN);
    assert_redis_text(f, "w1 1", "HGET headgate:{q}:owners 42");
    assert_int_equal(
        do_settle(f, f->queue, f->claims[0].token, "42", "{\"id\":\"42\"}", "box", NULL),
        SETTLE_OK);
    assert_redis_text(f, "{\"id\":\"42\"}", "GET headgate:{q}:result:42");
    assert_redis_text(f, "{\"id\":\"42\"}", "LINDEX headgate:{q}:reply:42 0");
    assert_redis_text(f, "{\"id\":\"42\"}", "LINDEX box 0");
    assert_redis_text(f, "1", "HGET headgate:{q}:stats succeeded");
    assert_redis_int(f, 0,
                     "EXISTS headgate:{q}:inflight:w1 headgate:{q}:begun:w1 headgate:{q}:owners");
    assert_int_equal(queue_claims_held(f->queue), 0);
}

static void
a_reply_to_that_is_no_list_does_not_stop_the_result(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "SET box taken");
    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "42", "done", "box", NULL),
                     SETTLE_OK);
    assert_redis_text(f, "done", "GET headgate:{q}:result:42");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w1");
}

static void
the_first_final_result_of_an_id_wins(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "SET headgate:{q}:result:42 first");
    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "42", "second", NULL, NULL),
                     SETTLE_LATE);
    assert_redis_text(f, "first", "GET headgate:{q}:result:42");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w1");
}

static void
a_job_whose_id_has_its_result_is_not_begun_again(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "SET headgate:{q}:result:42 %s",
                    "{\"id\":\"42\",\"state\":\"succeeded\"}");
    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_DROPPED);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w1");
    assert_int_equal(queue_claims_held(f->queue), 0);
}

static void
a_running_result_is_no_final_one(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "SET headgate:{q}:result:42 %s",
                    "{\"id\":\"42\",\"state\":\"running\",\"more\":1}");
    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_RUN);
    assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "42", "done", NULL, NULL),
                     SETTLE_OK);
    assert_redis_text(f, "done", "GET headgate:{q}:result:42");
}

static void
the_same_id_runs_once_even_in_two_workers(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "copy");
    queue_bench_push(f, "copy");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_RUN);
    queue_bench_claim(f, f->other, 1);
    assert_int_equal(queue_bench_begin(f, f->other, &f->claims[0], "42"), BEGIN_DROPPED);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w2");
    assert_redis_text(f, "w1 1", "HGET headgate:{q}:owners 42");
}

static void
a_begin_may_be_repeated(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_RUN);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_RUN);
}

static void
a_delayed_job_comes_back_with_its_history_when_it_is_due(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "line one\nline two");
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "an id");
    do_delay(f, &f->claims[0], "an id", 2, 60000);
    assert_in_range(f->due_in_ms, 59000, 60000);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w1 headgate:{q}:owners");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_count, 0);
    assert_in_range(f->next_due_ms, 1, 60000);

    redis_server_do(f->server, "ZADD headgate:{q}:delayed 1 %s", "an id");
    queue_bench_claim(f, f->other, 1);
    assert_int_equal(f->claim_count, 1);
    assert_string_equal(f->claims[0].payload, "line one\nline two");
    assert_string_equal(f->claims[0].id, "an id");
    assert_int_equal(f->claims[0].history.attempts, 2);
    assert_int_equal(f->claims[0].history.since_ms, 7);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:delayed headgate:{q}:delayed:jobs");
}

static void
a_copy_of_a_delayed_job_is_dropped(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    do_delay(f, &f->claims[0], "42", 1, 60000);
    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_DROPPED);
    assert_redis_int(f, 1, "ZCARD headgate:{q}:delayed");
}

static void
a_dead_workers_jobs_go_back_to_the_head_in_order(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "one");
    queue_bench_push(f, "two");
    queue_bench_push(f, "three");
    queue_bench_claim(f, f->queue, 2);
    queue_bench_begin(f, f->queue, &f->claims[0], "1");
    queue_bench_end_lease(f, "w1");
    queue_bench_beat(f, f->other);
    assert_int_equal(f->expired_workers, 1);
    queue_bench_reap(f);
    queue_bench_claim(f, f->other, 8);
    assert_int_equal(f->claim_count, 3);
    assert_string_equal(f->claims[0].payload, "one");
    assert_string_equal(f->claims[1].payload, "two");
    assert_string_equal(f->claims[2].payload, "three");
    assert_redis_int(f, 0,
                     "EXISTS headgate:{q}:inflight:w1 headgate:{q}:begun:w1 headgate:{q}:owners");
}

static void
only_jobs_that_were_begun_are_blamed_for_the_death(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "begun");
    queue_bench_push(f, "claimed");
    queue_bench_claim(f, f->queue, 2);
    queue_bench_begin(f, f->queue, &f->claims[0], "1");
    queue_bench_end_lease(f, "w1");
    queue_bench_reap(f);
    queue_bench_claim(f, f->other, 2);
    assert_int_equal(f->claims[0].deaths, 1);
    assert_int_equal(f->claims[1].deaths, 0);
}

static void
a_worker_that_lives_is_not_reaped(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "one");
    queue_bench_claim(f, f->queue, 1);
    queue_reap(f->other, "w1");
    queue_bench_claim(f, f->other, 8);
    assert_int_equal(f->claim_count, 0);
    assert_redis_int(f, 1, "HLEN headgate:{q}:inflight:w1");
}

static void
a_reaped_worker_can_settle_nothing(void **state)
{
    struct queue_bench *f = *state;
    struct claim stale;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    stale = f->claims[0];
    queue_bench_begin(f, f->queue, &stale, "42");
    queue_bench_end_lease(f, "w1");
    queue_bench_reap(f);
    assert_int_equal(do_settle(f, f->queue, stale.token, "42", "stale", NULL, NULL), SETTLE_LOST);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:result:42");
    assert_redis_int(f, 1, "LLEN q");
    queue_bench_beat(f, f->queue);
    assert_false(f->was_registered);
}

static void
a_leaving_worker_gives_everything_back_unblamed(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{\"id\":\"1\"}");
    queue_bench_push(f, "{\"id\":\"2\"}");
    queue_bench_claim(f, f->queue, 2);
    queue_bench_begin(f, f->queue, &f->claims[0], "1");
    redis_server_do(f->server, "RPUSH headgate:{q}:inbox zero");
    queue_bench_leave(f, f->queue);
    assert_int_equal(f->given_back, 3);
    assert_redis_int(f, 3, "LLEN q");
    assert_redis_text(f, "{\"id\":\"1\"}", "LINDEX q 0");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:crashes headgate:{q}:owners");
    assert_redis_int(f, 1, "ZCARD headgate:{q}:workers");
}

/* Redis may not have heard yet that a worker is gone: its last pop may run at any later time. */
static void
a_job_that_a_late_pop_brought_for_a_worker_that_left_is_everybodys(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_leave(f, f->queue);
    queue_bench_push(f, "late");
    redis_server_do(f->server, "LMOVE q headgate:{q}:inbox LEFT RIGHT");
    queue_bench_beat(f, f->other);
    assert_int_equal(f->inbox_len, 1);
    queue_bench_claim(f, f->other, 1);
    assert_int_equal(f->claim_count, 1);
    assert_string_equal(f->claims[0].payload, "late");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inbox q");
}

static void
a_reaped_worker_that_came_back_keeps_what_it_claims(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_end_lease(f, "w1");
    queue_bench_reap(f);
    queue_bench_beat(f, f->queue);
    queue_bench_push(f, "one");
    queue_bench_claim(f, f->queue, 1);
    queue_reap(f->other, "w1");
    queue_bench_beat(f, f->other); /* behind the reap, on the same connection */
    assert_redis_int(f, 1, "HLEN headgate:{q}:inflight:w1");
    assert_redis_int(f, 0, "LLEN q");
}

static void
on_stats(const redisReply *reply, const struct error *error, void *arg)
{
    struct queue_bench *f = arg;

    assert_null(error);
    assert_int_equal(queue_view_read(reply).waiting, 2);
    f->answers++;
}

static void
a_job_in_the_inbox_waits_like_all_others(void **state)
{
    struct queue_bench *f = *state;
    struct desk *desk = desk_new(f->route, "headgate");

    queue_bench_push(f, "second");
    redis_server_do(f->server, "RPUSH headgate:{q}:inbox first");
    desk_stats(desk, "q", on_stats, f);
    queue_bench_wait(f);
    desk_free(desk);
}

static void
on_refused_claims(enum claim_status status, struct claim *claims, int count, int64_t next_due_ms,
                  const struct error *error, void *arg)
{
    (void)status;
    (void)claims;
    (void)next_due_ms;
    assert_int_equal(count, 0);
    assert_non_null(error);
    ((struct queue_bench *)arg)->answers++;
}

static void
a_queue_key_of_another_type_moves_nothing(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "SET q text");
    redis_server_do(f->server, "RPUSH headgate:{q}:inbox one");
    queue_claim(f->queue, 8, QUEUE_CLAIM_BYTES, on_refused_claims, f);
    queue_bench_wait(f);
    assert_redis_int(f, 1, "LLEN headgate:{q}:inbox");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w1");
}

static void
a_delayed_job_that_was_not_begun_again_is_not_blamed(void **state)
{
    struct queue_bench *f = *state;
    struct claim claim;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    claim = f->claims[0];
    queue_bench_begin(f, f->queue, &claim, "42");
    do_delay(f, &claim, "42", 1, 0);
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_count, 1);
    queue_bench_end_lease(f, "w1");
    queue_bench_reap(f);
    queue_bench_claim(f, f->other, 1);
    assert_int_equal(f->claim_count, 1);
    assert_int_equal(f->claims[0].deaths, 0);
}

static void
a_worker_with_many_claims_hears_of_its_reaping_before_the_last_is_taken(void **state)
{
    struct queue_bench *f = *state;

    queue_reap(f->other, "nobody"); /* Redis knows the script from here on: nothing is sent twice */
    queue_bench_beat(f, f->other);
    queue_bench_beat(f, f->other);
    redis_server_do(f->server, "EVAL %s 0",
                    "for i = 1, 501 do redis.call('HSET', 'headgate:{q}:inflight:w1', i, i) end");
    queue_bench_end_lease(f, "w1");
    queue_reap(f->other, "w1"); /* its first 500, then our beat */
    queue_bench_beat(f, f->queue);
    assert_false(f->was_registered);
}

static void
a_bad_copy_of_a_running_job_does_not_take_its_cancel_away(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "running");
    queue_bench_push(f, "copy");
    queue_bench_claim(f, f->other, 1);
    queue_bench_begin(f, f->other, &f->claims[0], "42");
    redis_server_do(f->server, "ZADD headgate:{q}:cancelled 9999999999999 42");
    queue_bench_claim(f, f->queue, 1);
    do_settle(f, f->queue, f->claims[0].token, "42", "bad", NULL, "letter");
    assert_redis_int(f, 1, "ZCARD headgate:{q}:cancelled");
}

static void
a_reply_key_of_another_type_does_not_stop_the_result(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{}");
    redis_server_do(f->server, "SET headgate:{q}:reply:42 text");
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "42", "done", NULL, NULL),
                     SETTLE_OK);
    assert_redis_text(f, "done", "GET headgate:{q}:result:42");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:inflight:w1");
}

static void
a_repeated_dead_letter_without_a_claim_is_written_once(void **state)
{
    struct queue_bench *f = *state;

    assert_int_equal(do_settle(f, f->queue, 0, "", "", NULL, "letter"), SETTLE_OK);
    assert_int_equal(do_settle(f, f->queue, 0, "", "", NULL, "letter"), SETTLE_OK);
    assert_int_equal(do_settle(f, f->queue, 0, "", "", NULL, "another"), SETTLE_OK);
    assert_redis_int(f, 2, "LLEN headgate:{q}:dead");
    assert_redis_text(f, "2", "HGET headgate:{q}:stats dead");
}

static void
a_job_that_had_failed_keeps_its_history_when_it_is_given_back(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    do_delay(f, &f->claims[0], "42", 3, 0);
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    queue_bench_leave(f, f->queue);
    queue_bench_claim(f, f->other, 1);
    assert_int_equal(f->claim_count, 1);
    assert_int_equal(f->claims[0].history.attempts, 3);
    assert_string_equal(f->claims[0].id, "42");
}

static void
claims_that_memory_does_not_know_are_given_back(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "known");
    queue_bench_claim(f, f->queue, 1);
    redis_server_do(f->server, "HSET headgate:{q}:inflight:w1 98 older 99 younger");
    queue_reconcile(f->queue);
    assert_true(loop_until(f->base, redis_has, f, QUEUE_BENCH_LIMIT_MS));
    assert_redis_int(f, 2, "LLEN q");
    assert_redis_text(f, "older", "LINDEX q 0");
    assert_redis_int(f, 1, "HLEN headgate:{q}:inflight:w1");
}

static void
a_cancelled_job_is_begun_only_to_be_settled_so(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "ZADD headgate:{q}:cancelled 5 42");
    queue_bench_push(f, "{}");
    queue_bench_beat(f, f->queue);
    queue_bench_claim(f, f->queue, 1);
    redis_server_do(f->server, "ZADD headgate:{q}:cancelled 9999999999999 42");
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_CANCELLED);
    do_settle(f, f->queue, f->claims[0].token, "42", "done", NULL, NULL);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:cancelled");
}

static void
a_result_key_of_another_type_is_replaced_and_stops_nobody(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "RPUSH headgate:{q}:result:42 somebody");
    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(queue_bench_begin(f, f->queue, &f->claims[0], "42"), BEGIN_RUN);
    assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "42", "done", NULL, NULL),
                     SETTLE_OK);
    assert_redis_text(f, "done", "GET headgate:{q}:result:42");
}

static void
a_bad_copy_of_a_running_job_does_not_end_it(void **state)
{
    struct queue_bench *f = *state;
    uint64_t running;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    running = f->claims[0].token;
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    queue_bench_push(f, "bad");
    queue_bench_claim(f, f->other, 1);
    assert_int_equal(do_settle(f, f->other, f->claims[0].token, "42", "bad", NULL, "letter"),
                     SETTLE_LATE);
    assert_redis_int(f, 1, "LLEN headgate:{q}:dead");
    assert_int_equal(do_settle(f, f->queue, running, "42", "good", NULL, NULL), SETTLE_OK);
    assert_redis_text(f, "good", "GET headgate:{q}:result:42");
}

static void
a_reply_to_that_redis_refuses_us_is_left_out(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    redis_server_do(f->server, "ACL SETUSER default resetkeys ~q ~headgate:*");
    assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "42", "done", "box", NULL),
                     SETTLE_OK);
    redis_server_do(f->server, "ACL SETUSER default allkeys");
    assert_redis_text(f, "done", "GET headgate:{q}:result:42");
    assert_redis_int(f, 0, "EXISTS box");
}

static void
a_repeated_settle_is_told_whether_its_first_try_was_written(void **state)
{
    struct queue_bench *f = *state;
    uint64_t token;

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    token = f->claims[0].token;
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    assert_int_equal(do_settle(f, f->queue, token, "42", "mine", NULL, NULL), SETTLE_OK);
    assert_int_equal(do_settle(f, f->queue, token, "42", "mine", NULL, NULL), SETTLE_OK);
    assert_int_equal(do_settle(f, f->queue, token, "42", "another's", NULL, NULL), SETTLE_LOST);
    assert_redis_text(f, "1", "HGET headgate:{q}:stats succeeded");
    assert_redis_int(f, 1, "LLEN headgate:{q}:reply:42");
}

static void
a_repeated_dead_letter_without_an_id_is_known_by_its_letter(void **state)
{
    struct queue_bench *f = *state;
    uint64_t token;

    queue_bench_push(f, "bad");
    queue_bench_claim(f, f->queue, 1);
    token = f->claims[0].token;
    assert_int_equal(do_settle(f, f->queue, token, "", "", NULL, "letter"), SETTLE_OK);
    assert_int_equal(do_settle(f, f->queue, token, "", "", NULL, "letter"), SETTLE_OK);
    assert_int_equal(do_settle(f, f->queue, token, "", "", NULL, "another"), SETTLE_LOST);
    assert_redis_int(f, 1, "LLEN headgate:{q}:dead");
}

/* At most once, where two may run: the id has its answer, and a retry of the letter would pay
 * again. */
static void
a_late_end_of_a_job_that_ran_leaves_no_letter(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "SET headgate:{q}:result:42 done");
    assert_int_equal(
        do_end(
            f, f->queue, 0,
            &(struct end){.id = "42", .document = "failed", .letter = "letter", .has_run = true}),
        SETTLE_LATE);
    assert_redis_int(f, 0, "EXISTS headgate:{q}:dead");
    assert_redis_int(f, 0, "HEXISTS headgate:{q}:stats dead");
    /* A bad copy: its bytes are nowhere else. */
    assert_int_equal(do_settle(f, f->queue, 0, "42", "bad", NULL, "letter"), SETTLE_LATE);
    assert_redis_int(f, 1, "LLEN headgate:{q}:dead");
}

static void
dead_letters_are_capped_and_the_oldest_go(void **state)
{
    struct queue_bench *f = *state;

    for (int i = 0; i < 3; i++) {
        char letter[32];

        snprintf(letter, sizeof(letter), "letter %d", i);
        queue_bench_push(f, "bad");
        queue_bench_claim(f, f->queue, 1);
        assert_int_equal(do_settle(f, f->queue, f->claims[0].token, "", "", NULL, letter),
                         SETTLE_OK);
    }
    assert_redis_int(f, 2, "LLEN headgate:{q}:dead");
    assert_redis_text(f, "letter 2", "LINDEX headgate:{q}:dead -1");
    assert_redis_int(f, 0, "EXISTS headgate:{q}:result: headgate:{q}:inflight:w1");
}

/* Redis refuses writes that need memory: nothing may be half done, and nothing lost. */
static void
a_step_that_redis_refuses_is_repeated_until_it_is_taken(void **state)
{
    struct queue_bench *f = *state;
    struct evbuffer *document = xevbuffer();

    queue_bench_push(f, "{}");
    queue_bench_claim(f, f->queue, 1);
    queue_bench_begin(f, f->queue, &f->claims[0], "42");
    redis_server_do(f->server, "CONFIG SET maxmemory 1");
    evbuffer_add_printf(document, "done");
    queue_settle(f->queue, f->claims[0].token,
                 &(struct settlement){.id = "42", .state = "succeeded", .document = document},
                 queue_bench_on_settled, f);
    evbuffer_free(document);
    assert_false(loop_until_count(f->base, &f->answers, 1, 200));
    assert_redis_int(f, 1, "HLEN headgate:{q}:inflight:w1");
    redis_server_do(f->server, "CONFIG SET maxmemory 0");
    queue_bench_wait(f);
    assert_int_equal(f->settle_status, SETTLE_OK);
    assert_redis_text(f, "done", "GET headgate:{q}:result:42");
}

static void
on_retried(const redisReply *reply, const struct error *error, void *arg)
{
    (void)reply;
    (void)error;
    ((struct queue_bench *)arg)->answers++;
}

static void
a_dead_letter_is_not_lost_when_its_queue_is_no_list(void **state)
{
    struct queue_bench *f = *state;
    struct desk *desk = desk_new(f->route, "headgate");

    redis_server_do(f->server, "RPUSH headgate:{q}:dead letter");
    redis_server_do(f->server, "SET q somebody");
    desk_dead_retry(desk, "q", "letter", 6, "42", "{}", 2, on_retried, f);
    queue_bench_wait(f);
    assert_redis_int(f, 1, "LLEN headgate:{q}:dead");
    redis_server_do(f->server, "DEL q");
    for (int i = 0; i < 2; i++) {
        desk_dead_retry(desk, "q", "letter", 6, "42", "{}", 2, on_retried, f);
        queue_bench_wait(f);
    }
    assert_redis_int(f, 0, "LLEN headgate:{q}:dead");
    assert_redis_int(f, 1, "LLEN q");
    desk_free(desk);
}

/* A worker whose name was used before begins with the same tokens. */
static void
a_claim_never_overwrites_one_that_is_on_the_record(void **state)
{
    struct queue_bench *f = *state;

    redis_server_do(f->server, "HSET headgate:{q}:inflight:w1 1 older");
    queue_bench_push(f, "newer");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_count, 0);
    assert_redis_text(f, "older", "HGET headgate:{q}:inflight:w1 1");
    assert_redis_text(f, "newer", "LINDEX q 0");
    queue_bench_claim(f, f->queue, 1);
    assert_int_equal(f->claim_count, 1);
    assert_string_equal(f->claims[0].payload, "newer");
}

int
main(void)
{
#define QUEUE_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, queue_bench_setup, queue_bench_teardown)
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(a_claim_moves_jobs_from_the_head_into_the_record),
        QUEUE_TEST(a_worker_without_a_beat_gets_nothing),
        QUEUE_TEST(a_dead_letter_is_not_lost_when_its_queue_is_no_list),
        QUEUE_TEST(a_claim_brings_as_many_bytes_as_it_may_and_says_when_more_are_there),
        QUEUE_TEST(a_job_larger_than_a_claim_may_be_comes_alone),
        QUEUE_TEST(a_claim_never_overwrites_one_that_is_on_the_record),
        QUEUE_TEST(a_worker_whose_lease_has_ended_gets_nothing_until_it_beats),
        QUEUE_TEST(payloads_are_claimed_byte_for_byte),
        QUEUE_TEST(a_repeated_settle_is_told_whether_its_first_try_was_written),
        QUEUE_TEST(a_repeated_dead_letter_without_an_id_is_known_by_its_letter),
        QUEUE_TEST(a_late_end_of_a_job_that_ran_leaves_no_letter),
        QUEUE_TEST(the_inbox_of_a_blocking_pop_is_claimed_first),
        QUEUE_TEST(a_paused_queue_gives_nothing_and_gets_the_inbox_back),
        QUEUE_TEST(a_settled_job_leaves_its_result_and_nothing_else),
        QUEUE_TEST(a_reply_to_that_is_no_list_does_not_stop_the_result),
        QUEUE_TEST(the_first_final_result_of_an_id_wins),
        QUEUE_TEST(a_job_whose_id_has_its_result_is_not_begun_again),
        QUEUE_TEST(a_running_result_is_no_final_one),
        QUEUE_TEST(the_same_id_runs_once_even_in_two_workers),
        QUEUE_TEST(a_begin_may_be_repeated),
        QUEUE_TEST(a_delayed_job_comes_back_with_its_history_when_it_is_due),
        QUEUE_TEST(a_copy_of_a_delayed_job_is_dropped),
        QUEUE_TEST(a_dead_workers_jobs_go_back_to_the_head_in_order),
        QUEUE_TEST(only_jobs_that_were_begun_are_blamed_for_the_death),
        QUEUE_TEST(a_worker_that_lives_is_not_reaped),
        QUEUE_TEST(a_reaped_worker_can_settle_nothing),
        QUEUE_TEST(a_leaving_worker_gives_everything_back_unblamed),
        QUEUE_TEST(a_job_that_a_late_pop_brought_for_a_worker_that_left_is_everybodys),
        QUEUE_TEST(a_job_in_the_inbox_waits_like_all_others),
        QUEUE_TEST(a_reaped_worker_that_came_back_keeps_what_it_claims),
        QUEUE_TEST(a_repeated_dead_letter_without_a_claim_is_written_once),
        QUEUE_TEST(a_queue_key_of_another_type_moves_nothing),
        QUEUE_TEST(a_delayed_job_that_was_not_begun_again_is_not_blamed),
        QUEUE_TEST(a_worker_with_many_claims_hears_of_its_reaping_before_the_last_is_taken),
        QUEUE_TEST(a_bad_copy_of_a_running_job_does_not_take_its_cancel_away),
        QUEUE_TEST(a_reply_key_of_another_type_does_not_stop_the_result),
        QUEUE_TEST(a_job_that_had_failed_keeps_its_history_when_it_is_given_back),
        QUEUE_TEST(claims_that_memory_does_not_know_are_given_back),
        QUEUE_TEST(a_cancelled_job_is_begun_only_to_be_settled_so),
        QUEUE_TEST(a_result_key_of_another_type_is_replaced_and_stops_nobody),
        QUEUE_TEST(a_bad_copy_of_a_running_job_does_not_end_it),
        QUEUE_TEST(a_reply_to_that_redis_refuses_us_is_left_out),
        QUEUE_TEST(dead_letters_are_capped_and_the_oldest_go),
        QUEUE_TEST(a_step_that_redis_refuses_is_repeated_until_it_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
