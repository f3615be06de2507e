/* How a connection follows a slot: what two nodes of a cluster may say, in any order. */
#include "common/clock.h"
#include "common/redis/redis.h"
#include "tests/support/fake_redis.h"
#include "tests/support/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 20000
#define KEY      "{q}"
#define SLOT     11958

/* What a node was asked, one word after the other: "GET 1 GET 2 ". */
struct node {
    struct fake_redis *fake;
    int port;
    char asked[512];
    const char *map;    /* to CLUSTER SLOTS */
    const char *exists; /* to the question whether it takes commands on the slot */
    const char *get;    /* to a GET */
};

struct cluster {
    struct event_base *base;
    struct node here, there;
    struct redis_cluster *map;
    struct redis *redis;
};

struct answer {
    int count;
    enum error_kind kind;
    char text[256];
    int order; /* of all answers */
};

static int answers;

static bool
is_word(const redisReply *command, size_t at, const char *word)
{
    return command->elements > at && strcmp(command->element[at]->str, word) == 0;
}

static const char *
say(const redisReply *command, int connection, void *arg)
{
    struct node *node = arg;
    size_t len = strlen(node->asked);

    (void)connection;
    if (is_word(command, 0, "CLUSTER"))
        return node->map;
    if (is_word(command, 0, "EXISTS"))
        return node->exists;
    if (is_word(command, 0, "GET"))
        snprintf(node->asked + len, sizeof(node->asked) - len, "GET %s ", command->element[1]->str);
    if (is_word(command, 0, "ASKING"))
        snprintf(node->asked + len, sizeof(node->asked) - len, "ASKING ");
    return is_word(command, 0, "GET") ? node->get : "+OK\r\n";
}

static void
open_node(struct cluster *cluster, struct node *node)
{
    node->fake = fake_redis_new(cluster->base, say, node);
    node->port = fake_redis_port(node->fake);
    node->map = "-NOPERM no map\r\n";
    node->exists = ":0\r\n";
    node->get = "$2\r\nhi\r\n";
}

static int
setup(void **state)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));

    cluster->base = event_base_new();
    open_node(cluster, &cluster->here);
    open_node(cluster, &cluster->there);
    answers = 0;
    *state = cluster;
    return 0;
}

static int
teardown(void **state)
{
    struct cluster *cluster = *state;

    redis_free(cluster->redis);
    redis_cluster_free(cluster->map);
    if (cluster->here.fake != NULL)
        fake_redis_free(cluster->here.fake);
    if (cluster->there.fake != NULL)
        fake_redis_free(cluster->there.fake);
    event_base_free(cluster->base);
    free(cluster);
    return 0;
}

static void
follow(struct cluster *cluster, bool goes_aside)
{
    struct redis_url url;
    struct error err;
    char text[64];

    snprintf(text, sizeof(text), "redis+cluster://127.0.0.1:%d", cluster->here.port);
    assert_int_equal(redis_url_parse(text, &url, &err), 0);
    cluster->map = redis_cluster_new(&url);
    cluster->redis = redis_new(&(struct redis_options){.base = cluster->base,
                                                       .url = &url,
                                                       .cluster = cluster->map,
                                                       .key = KEY,
                                                       .goes_aside = goes_aside});
}

static void
on_answer(const redisReply *reply, const struct error *error, void *arg)
{
    struct answer *answer = arg;

    answer->count++;
    answer->order = ++answers;
    answer->kind = error != NULL ? error->kind : ERROR_NONE;
    snprintf(answer->text, sizeof(answer->text), "%s",
             error != NULL ? error->message : redis_str(reply, "?"));
}

static void
get(struct cluster *cluster, const char *key, struct answer *answer)
{
    struct redis_args args = {0};

    redis_arg(&args, "GET");
    redis_arg(&args, key);
    redis_send(cluster->redis, &args, 0, on_answer, answer);
}

static void
wait_for(struct cluster *cluster, const struct answer *answer)
{
    assert_true(loop_until_count(cluster->base, &answer->count, 1, LIMIT_MS));
    assert_int_equal(answer->count, 1);
}

/* "-MOVED 11958 127.0.0.1:PORT": a text that lives as long as the test. */
static const char *
sends_on(const char *word, const char *host, int port)
{
    static char texts[4][64];
    static unsigned next;
    char *text = texts[next++ % 4];

    snprintf(text, sizeof(texts[0]), "-%s %d %s:%d\r\n", word, SLOT, host, port);
    return text;
}

static void
a_command_that_is_told_moved_is_asked_again_where_the_slot_lives(void **state)
{
    struct cluster *cluster = *state;
    struct answer first = {0}, second = {0}, third = {0};

    follow(cluster, false);
    cluster->here.get = sends_on("MOVED", "127.0.0.1", cluster->there.port);
    get(cluster, "1", &first);
    get(cluster, "2", &second);
    wait_for(cluster, &second);
    get(cluster, "3", &third);
    wait_for(cluster, &third);
    assert_string_equal(first.text, "hi");
    assert_string_equal(cluster->there.asked, "GET 1 GET 2 GET 3 ");
    assert_true(first.order < second.order && second.order < third.order);
}

static void
a_node_without_a_name_of_its_own_is_where_it_was_asked(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};

    follow(cluster, false);
    cluster->here.get = sends_on("MOVED", "", cluster->there.port);
    get(cluster, "1", &answer);
    wait_for(cluster, &answer);
    assert_string_equal(answer.text, "hi");
    assert_string_equal(cluster->there.asked, "GET 1 ");
}

static void
the_login_itself_follows_a_redirect(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};

    follow(cluster, false);
    cluster->here.exists = sends_on("MOVED", "127.0.0.1", cluster->there.port);
    get(cluster, "1", &answer); /* before the first connect: it waits */
    wait_for(cluster, &answer);
    assert_string_equal(answer.text, "hi");
    assert_string_equal(cluster->here.asked, "");
    assert_string_equal(cluster->there.asked, "GET 1 ");
}

static void
two_nodes_that_each_name_the_other_end_in_an_error(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};

    follow(cluster, false);
    cluster->here.get = sends_on("MOVED", "127.0.0.1", cluster->there.port);
    cluster->there.get = sends_on("MOVED", "127.0.0.1", cluster->here.port);
    get(cluster, "1", &answer);
    wait_for(cluster, &answer);
    assert_int_equal(answer.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(answer.text, "the slot is being moved"));
}

static void
a_redirect_of_another_slot_is_not_followed(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};
    char text[64];

    follow(cluster, false);
    snprintf(text, sizeof(text), "-MOVED %d 127.0.0.1:%d\r\n", SLOT + 1, cluster->there.port);
    cluster->here.get = text;
    get(cluster, "1", &answer);
    wait_for(cluster, &answer);
    assert_int_equal(answer.kind, ERROR_TRANSIENT);
    assert_int_equal(fake_redis_connections(cluster->there.fake), 0);
}

static void
a_command_that_is_told_ask_goes_there_alone_behind_an_asking(void **state)
{
    struct cluster *cluster = *state;
    struct answer aside = {0}, at_home = {0};

    follow(cluster, true);
    cluster->here.get = sends_on("ASK", "127.0.0.1", cluster->there.port);
    get(cluster, "1", &aside);
    wait_for(cluster, &aside);
    cluster->here.get = "$4\r\nhome\r\n";
    get(cluster, "2", &at_home);
    wait_for(cluster, &at_home);
    assert_string_equal(aside.text, "hi");
    assert_string_equal(at_home.text, "home");
    assert_string_equal(cluster->there.asked, "ASKING GET 1 ");
}

static void
a_connection_that_does_not_go_aside_hears_of_an_ask_as_of_a_passing_trouble(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};

    follow(cluster, false);
    cluster->here.get = sends_on("ASK", "127.0.0.1", cluster->there.port);
    get(cluster, "1", &answer);
    wait_for(cluster, &answer);
    assert_int_equal(answer.kind, ERROR_TRANSIENT);
    assert_int_equal(fake_redis_connections(cluster->there.fake), 0);
}

static void
the_map_leads_to_the_owner_when_the_node_at_hand_is_gone(void **state)
{
    struct cluster *cluster = *state;
    struct answer first = {0}, second = {0};
    char map[128];

    snprintf(map, sizeof(map), "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n",
             cluster->there.port);
    cluster->here.map = map;
    follow(cluster, false);
    get(cluster, "1", &first);
    wait_for(cluster, &first);
    assert_string_equal(cluster->here.asked, "GET 1 ");
    fake_redis_free(cluster->here.fake);
    cluster->here.fake = NULL;
    while (!redis_is_ready(cluster->redis) || second.text[0] != 'h') {
        second = (struct answer){0};
        get(cluster, "2", &second);
        wait_for(cluster, &second);
    }
    assert_string_equal(cluster->there.asked, "GET 2 ");
}

static void
a_call_that_waits_for_nodes_that_are_all_gone_fails_and_names_the_last_one(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};
    char address[64];

    fake_redis_free(cluster->here.fake);
    cluster->here.fake = NULL;
    follow(cluster, false);
    get(cluster, "1", &answer);
    wait_for(cluster, &answer);
    snprintf(address, sizeof(address), "127.0.0.1:%d", cluster->here.port);
    assert_int_equal(answer.kind, ERROR_UNREACHABLE);
    assert_non_null(strstr(answer.text, address));
    assert_null(strstr(answer.text, "announces")); /* the URL names it */
}

static void
a_node_that_nobody_reaches_is_told_to_be_announced_so(void **state)
{
    struct cluster *cluster = *state;
    struct answer answer = {0};

    fake_redis_free(cluster->there.fake);
    cluster->there.fake = NULL;
    follow(cluster, false);
    cluster->here.exists = sends_on("MOVED", "127.0.0.1", cluster->there.port);
    get(cluster, "1", &answer);
    wait_for(cluster, &answer);
    assert_non_null(strstr(redis_last_error(cluster->redis)->message, "127.0.0.1"));
    while (strstr(redis_last_error(cluster->redis)->message, "the cluster announces") == NULL)
        loop_turn(cluster->base);
}

int
main(void)
{
#define FOLLOWS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FOLLOWS(a_command_that_is_told_moved_is_asked_again_where_the_slot_lives),
        FOLLOWS(a_node_without_a_name_of_its_own_is_where_it_was_asked),
        FOLLOWS(the_login_itself_follows_a_redirect),
        FOLLOWS(two_nodes_that_each_name_the_other_end_in_an_error),
        FOLLOWS(a_redirect_of_another_slot_is_not_followed),
        FOLLOWS(a_command_that_is_told_ask_goes_there_alone_behind_an_asking),
        FOLLOWS(a_connection_that_does_not_go_aside_hears_of_an_ask_as_of_a_passing_trouble),
        FOLLOWS(the_map_leads_to_the_owner_when_the_node_at_hand_is_gone),
        FOLLOWS(a_call_that_waits_for_nodes_that_are_all_gone_fails_and_names_the_last_one),
        FOLLOWS(a_node_that_nobody_reaches_is_told_to_be_announced_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
