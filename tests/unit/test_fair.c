/* Tenants take turns: the order in which jobs leave a queue, on a real Redis. */
#include "worker/queue/queue.h"

#include "common/memory.h"
#include "tests/support/queue_bench.h"
#include "worker/queue/desk.h"
#include "worker/queue/desk_view.h"
#include "worker/queue/tenants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAVY_WEIGHT 4

/* Adds "a1" of {"tenant":"a","n":1}, "-1" of {"n":1}. */
static void
add_name(char *names, size_t size, const char *payload)
{
    size_t used = strlen(names);
    char tenant[32] = "-";
    const char *number = strstr(payload, "\"n\":");

    sscanf(payload, "{\"tenant\":\"%31[^\"]", tenant);
    snprintf(names + used, size - used, "%s%s%d", used > 0 ? " " : "", tenant,
             number == NULL ? 0 : atoi(number + 4));
}

/* What a claim brings: "a1 b1". */
static const char *
claim(struct queue_bench *f, struct queue *queue, int max)
{
    static char names[1024];

    queue_bench_claim(f, queue, max);
    names[0] = '\0';
    for (int i = 0; i < f->claim_count; i++)
        add_name(names, sizeof(names), f->claims[i].payload);
    return names;
}

static void
settle(struct queue_bench *f, struct queue *queue, uint64_t token)
{
    struct evbuffer *document = xevbuffer();

    assert_int_equal(
        SETTLE_OK, queue_bench_settle(
                       f, queue, token,
                       &(struct settlement){.id = "", .state = "succeeded", .document = document}));
    evbuffer_free(document);
}

/* Jobs first to last of a tenant; NULL: of nobody. */
static void
push_jobs(struct queue_bench *f, const char *tenant, int first, int last)
{
    for (int n = first; n <= last; n++) {
        char *payload = tenant == NULL ? xasprintf("{\"n\":%d}", n)
                                       : xasprintf("{\"tenant\":\"%s\",\"n\":%d}", tenant, n);

        queue_bench_push(f, payload);
        free(payload);
    }
}

/* The list, as everybody sees it. */
static const char *
list(struct queue_bench *f)
{
    static char names[1024];
    redisReply *reply = redis_server_ask(f->server, "LRANGE q 0 -1");

    names[0] = '\0';
    for (size_t i = 0; i < reply->elements; i++)
        add_name(names, sizeof(names), reply->element[i]->str);
    freeReplyObject(reply);
    return names;
}

/* "w1" dies, and "w2" notices. */
static void
reap_w1(struct queue_bench *f)
{
    queue_bench_end_lease(f, "w1");
    queue_bench_reap(f);
}

static void
assert_nothing_is_left(struct queue_bench *f)
{
    static const char keys[] = "EXISTS q " KEY("sorted") " " KEY("sorted:jobs") " " KEY(
        "turns") " " KEY("returned") " " KEY("busy");

    assert_int_equal(0, queue_bench_number(f, keys));
}

/* ---- whose turn it is ---- */

static void
jobs_that_can_all_be_taken_come_as_they_were_pushed(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 3);
    push_jobs(f, "b", 1, 1);
    assert_string_equal("a1 a2 a3 b1", claim(f, f->queue, 4));
    assert_nothing_is_left(f);
}

static void
a_queue_where_nobody_names_a_tenant_stays_a_list(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, NULL, 1, 5);
    assert_string_equal("-1 -2", claim(f, f->queue, 2));
    assert_int_equal(3, queue_bench_number(f, "LLEN q"));
    assert_int_equal(0, queue_bench_number(f, "EXISTS " KEY("sorted")));
}

static void
a_flood_delays_another_tenant_by_one_job_of_its_own(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "flood", 1, 50);
    push_jobs(f, "quiet", 1, 2);
    push_jobs(f, "flood", 51, 60);
    assert_string_equal("flood1 quiet1 flood2 quiet2 flood3", claim(f, f->queue, 5));
    push_jobs(f, "late", 1, 1);
    assert_string_equal("flood4 late1 flood5", claim(f, f->queue, 3));
}

static void
jobs_without_a_tenant_are_one_tenant_s(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, NULL, 1, 50);
    push_jobs(f, "quiet", 1, 1);
    assert_string_equal("-1 quiet1 -2", claim(f, f->queue, 3));
}

static void
a_named_tenant_in_the_middle_of_a_plain_list_is_seen_when_it_is_reached(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, NULL, 1, 3);
    push_jobs(f, "a", 1, 2);
    push_jobs(f, NULL, 4, 6);
    assert_string_equal("-1 -2 -3", claim(f, f->queue, 5));
    assert_int_equal(CLAIM_FULL, f->claim_status);
    assert_string_equal("a1 -4", claim(f, f->queue, 2));
}

static void
tenants_share_by_their_weights(void **state)
{
    struct queue_bench *f = *state;
    struct tenant heavy = {.name = (char[]){"a"}, .weight = HEAVY_WEIGHT};
    struct tenants tenants = {
        .named = &heavy, .count = 1, .others = {.name = (char[]){"*"}, .weight = 1}};

    queue_set_fairness(f->queue, true, &tenants);
    push_jobs(f, "b", 1, 20);
    push_jobs(f, "a", 1, 20);
    assert_string_equal("a1 a2 a3 b1 a4 a5 a6 a7 b2 a8 a9 a10", claim(f, f->queue, 12));
}

static void
who_leaves_and_comes_back_has_gained_nothing(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 9);
    push_jobs(f, "b", 1, 9);
    push_jobs(f, "0", 1, 1);
    assert_string_equal("a1 b1 01", claim(f, f->queue, 3));
    push_jobs(f, "0", 2, 2);
    assert_string_equal("a2 b2 02", claim(f, f->queue, 3));
    push_jobs(f, "0", 3, 3);
    assert_string_equal("a3", claim(f, f->queue, 1));
}

/* Sessions, each with one job, that come faster than they are served. */
static void
ever_new_tenants_neither_overtake_nor_starve_who_waits(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "old", 1, 9);
    push_jobs(f, "z", 1, 1);
    push_jobs(f, "y", 1, 1);
    assert_string_equal("old1", claim(f, f->queue, 1));
    push_jobs(f, "c", 1, 1);
    push_jobs(f, "b", 1, 1);
    assert_string_equal("z1 y1", claim(f, f->queue, 2));
    push_jobs(f, "a", 1, 1);
    assert_string_equal("old2 c1 b1 a1 old3", claim(f, f->queue, 5));
}

static void
tenants_that_are_gone_are_forgotten_a_bounded_number_at_a_time(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 4);
    assert_string_equal("a1", claim(f, f->queue, 1));
    redis_server_do(f->server, "EVAL %s 1 " KEY("turns"),
                    "for i = 1, 1500 do redis.call('ZADD', KEYS[1], 0, 'gone' .. i) end");
    assert_string_equal("", claim(f, f->queue, 1));
    assert_int_equal(CLAIM_FULL, f->claim_status);
    assert_string_equal("a2", claim(f, f->queue, 1));
}

static void
a_tenant_s_own_jobs_stay_in_their_order(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 20);
    push_jobs(f, "b", 1, 1);
    assert_string_equal("a1 b1", claim(f, f->queue, 2));
    push_jobs(f, "a", 21, 22);
    assert_string_equal("a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21",
                        claim(f, f->queue, 20));
    assert_string_equal("a22", claim(f, f->queue, 20));
    assert_nothing_is_left(f);
}

static void
equal_jobs_are_as_many_as_were_pushed(void **state)
{
    struct queue_bench *f = *state;

    for (int i = 0; i < 5; i++)
        push_jobs(f, "a", 1, 1);
    assert_string_equal("a1 a1", claim(f, f->queue, 2));
    assert_string_equal("a1 a1 a1", claim(f, f->queue, 5));
    assert_nothing_is_left(f);
}

static void
a_long_queue_is_sorted_part_by_part(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 600);
    assert_string_equal("a1", claim(f, f->queue, 1));
    assert_int_equal(600 - 256, queue_bench_number(f, "LLEN q"));
    claim(f, f->queue, 1);
    claim(f, f->queue, 1);
    assert_string_equal("a4", claim(f, f->queue, 1));
    assert_int_equal(0, queue_bench_number(f, "LLEN q"));
    assert_int_equal(596, queue_bench_number(f, "ZCARD " KEY("sorted")));
}

static void
large_jobs_are_sorted_a_few_at_a_time(void **state)
{
    struct queue_bench *f = *state;
    size_t size = 3 * 1024 * 1024;
    char *payload = xcalloc(1, size + 64);
    int at = sprintf(payload, "{\"tenant\":\"a\",\"n\":1,\"content\":\"");

    memset(payload + at, 'x', size);
    memcpy(payload + at + size, "\"}", 3);
    for (int i = 0; i < 6; i++)
        queue_bench_push(f, payload);
    free(payload);
    assert_string_equal("a1", claim(f, f->queue, 1));
    assert_int_equal(4, queue_bench_number(f, "LLEN q"));
    assert_string_equal("a1 a1 a1", claim(f, f->queue, 5));
    assert_int_equal(CLAIM_FULL, f->claim_status);
}

/* ---- who takes part ---- */

static void
a_worker_that_is_not_fair_takes_what_is_sorted_and_sorts_nothing(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 4);
    push_jobs(f, "b", 1, 1);
    assert_string_equal("a1", claim(f, f->queue, 1));
    push_jobs(f, "a", 5, 6);
    push_jobs(f, "b", 2, 2);
    queue_set_fairness(f->other, false, NULL);
    assert_string_equal("b1 a2 a3 a4 a5", claim(f, f->other, 5));
    assert_int_equal(2, queue_bench_number(f, "LLEN q"));
    assert_string_equal("a6 b2", claim(f, f->other, 5));
    assert_nothing_is_left(f);
}

static void
jobs_that_are_given_back_are_the_next_of_their_tenants(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "a", 1, 6);
    push_jobs(f, "b", 1, 2);
    assert_string_equal("a1 b1 a2", claim(f, f->queue, 3));
    reap_w1(f);
    assert_string_equal("a1 b1 a2", list(f));
    assert_string_equal("b1 a1 b2 a2 a3", claim(f, f->other, 5));
    assert_string_equal("a4 a5 a6", claim(f, f->other, 5));
    assert_nothing_is_left(f);
}

static void
when_the_last_worker_leaves_all_that_waits_is_in_the_list_as_it_was_pushed(void **state)
{
    struct queue_bench *f = *state;

    push_jobs(f, "b", 1, 2);
    push_jobs(f, "a", 1, 2);
    push_jobs(f, "b", 3, 3);
    push_jobs(f, NULL, 1, 1);
    assert_string_equal("b1 a1", claim(f, f->queue, 2));
    push_jobs(f, "a", 3, 3);
    queue_bench_leave(f, f->other);
    assert_string_equal("a3", list(f));
    queue_bench_leave(f, f->queue);
    assert_string_equal("b1 a1 b2 a2 b3 -1 a3", list(f));
    assert_int_equal(
        0, queue_bench_number(f, "EXISTS " KEY("sorted") " " KEY("sorted:jobs") " " KEY("turns")));
}

static void
a_beat_tells_of_jobs_that_no_blocking_pop_sees(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_beat(f, f->other);
    assert_int_equal(-1, f->next_due_ms);
    push_jobs(f, "a", 1, 3);
    claim(f, f->queue, 1);
    queue_bench_beat(f, f->other);
    assert_int_equal(0, f->next_due_ms);
}

struct look {
    struct queue_bench *bench;
    struct queue_view view;
};

static void
on_stats(const redisReply *reply, const struct error *error, void *arg)
{
    struct look *look = arg;

    assert_null(error);
    look->view = queue_view_read(reply);
    look->bench->answers++;
}

static struct queue_view
see(struct queue_bench *f)
{
    struct desk *desk = desk_new(f->route, "headgate");
    struct look look = {.bench = f};

    desk_stats(desk, "q", on_stats, &look);
    queue_bench_wait(f);
    desk_free(desk);
    return look.view;
}

static void
sorted_jobs_count_as_waiting_and_the_oldest_is_found(void **state)
{
    struct queue_bench *f = *state;

    queue_bench_push(f, "{\"tenant\":\"a\",\"n\":1,\"enqueued_at\":1000}");
    queue_bench_push(f, "{\"tenant\":\"b\",\"n\":1,\"enqueued_at\":2000}");
    push_jobs(f, "a", 2, 3);
    assert_string_equal("a1", claim(f, f->queue, 1));
    queue_bench_push(f, "{\"tenant\":\"c\",\"n\":1,\"enqueued_at\":3000}");
    assert_int_equal(4, see(f).waiting);
    assert_true(see(f).oldest_seconds > 0);
    assert_string_equal("b1", claim(f, f->queue, 1));
    assert_int_equal(3, see(f).waiting);
}

/* ---- most claims ---- */

static void
limit_a_to(struct queue_bench *f, int64_t most)
{
    struct tenant limited = {.name = (char[]){"a"}, .weight = 1, .max_in_flight = most};
    struct tenants tenants = {
        .named = &limited, .count = 1, .others = {.name = (char[]){"*"}, .weight = 1}};

    queue_set_fairness(f->queue, true, &tenants);
    queue_set_fairness(f->other, true, &tenants);
}

static void
a_tenant_has_no_more_claims_than_it_may_in_the_whole_cluster(void **state)
{
    struct queue_bench *f = *state;
    uint64_t first;

    limit_a_to(f, 2);
    push_jobs(f, "a", 1, 5);
    push_jobs(f, "b", 1, 3);
    assert_string_equal("a1 b1", claim(f, f->queue, 2));
    first = f->claims[0].token;
    assert_string_equal("a2 b2 b3", claim(f, f->other, 5));
    assert_in_range(f->next_due_ms, 1, 1000); /* it is worth another look */
    assert_string_equal("", claim(f, f->other, 5));
    settle(f, f->queue, first);
    assert_string_equal("a3", claim(f, f->other, 5));
    assert_int_equal(2, queue_bench_number(f, "ZCARD " KEY("busy")));
}

static void
a_dead_worker_s_claims_do_not_count_any_more(void **state)
{
    struct queue_bench *f = *state;

    limit_a_to(f, 2);
    push_jobs(f, "a", 1, 4);
    assert_string_equal("a1 a2", claim(f, f->queue, 4));
    reap_w1(f);
    assert_int_equal(0, queue_bench_number(f, "ZCARD " KEY("busy")));
    assert_string_equal("a1 a2", claim(f, f->other, 4));
}

static void
a_retry_waits_for_its_tenant_s_room(void **state)
{
    struct queue_bench *f = *state;

    limit_a_to(f, 1);
    push_jobs(f, "a", 1, 3);
    assert_string_equal("a1", claim(f, f->queue, 3));
    queue_bench_delay(f, f->claims[0].token,
                      &(struct delay){.id = "x", .history = {.attempts = 1}, .counter = "retried"});
    assert_string_equal("a1", claim(f, f->queue, 3)); /* due now, and there is room */
    queue_bench_delay(
        f, f->claims[0].token,
        &(struct delay){
            .id = "x", .history = {.attempts = 1}, .due_ms = 60000, .counter = "retried"});
    assert_string_equal("a2", claim(f, f->queue, 3));
    redis_server_do(f->server, "ZADD %s 0 x", KEY("delayed"));
    assert_string_equal("", claim(f, f->queue, 3));
    assert_int_equal(1, queue_bench_number(f, "ZCARD " KEY("delayed")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define FAIR(name) cmocka_unit_test_setup_teardown(name, queue_bench_setup, queue_bench_teardown)
        FAIR(jobs_that_can_all_be_taken_come_as_they_were_pushed),
        FAIR(a_queue_where_nobody_names_a_tenant_stays_a_list),
        FAIR(a_flood_delays_another_tenant_by_one_job_of_its_own),
        FAIR(jobs_without_a_tenant_are_one_tenant_s),
        FAIR(a_named_tenant_in_the_middle_of_a_plain_list_is_seen_when_it_is_reached),
        FAIR(tenants_share_by_their_weights),
        FAIR(who_leaves_and_comes_back_has_gained_nothing),
        FAIR(ever_new_tenants_neither_overtake_nor_starve_who_waits),
        FAIR(tenants_that_are_gone_are_forgotten_a_bounded_number_at_a_time),
        FAIR(a_tenant_s_own_jobs_stay_in_their_order),
        FAIR(equal_jobs_are_as_many_as_were_pushed),
        FAIR(a_long_queue_is_sorted_part_by_part),
        FAIR(large_jobs_are_sorted_a_few_at_a_time),
        FAIR(a_worker_that_is_not_fair_takes_what_is_sorted_and_sorts_nothing),
        FAIR(jobs_that_are_given_back_are_the_next_of_their_tenants),
        FAIR(when_the_last_worker_leaves_all_that_waits_is_in_the_list_as_it_was_pushed),
        FAIR(a_beat_tells_of_jobs_that_no_blocking_pop_sees),
        FAIR(sorted_jobs_count_as_waiting_and_the_oldest_is_found),
        FAIR(a_tenant_has_no_more_claims_than_it_may_in_the_whole_cluster),
        FAIR(a_dead_worker_s_claims_do_not_count_any_more),
        FAIR(a_retry_waits_for_its_tenant_s_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
