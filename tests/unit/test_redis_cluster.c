#include "common/redis/redis_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

static struct redis_cluster *
cluster_of(const char *text)
{
    struct redis_url url;
    struct error err;

    assert_int_equal(redis_url_parse(text, &url, &err), 0);
    return redis_cluster_new(&url);
}

static int
port_of(struct redis_cluster *cluster, int slot, int failures)
{
    return redis_cluster_locate(cluster, slot, failures)->port;
}

static void
move(struct redis_cluster *cluster, int slot, int port)
{
    redis_cluster_moved(cluster, slot, &(struct redis_node_address){.host = "h", .port = port});
}

static void
a_slot_that_nobody_is_known_to_own_is_looked_for_at_every_seed_in_turn(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1,h:2,h:1");

    (void)state;
    assert_int_equal(redis_cluster_nodes(cluster), 2);
    assert_int_equal(port_of(cluster, 7, 0), 1);
    assert_int_equal(port_of(cluster, 7, 1), 2);
    assert_int_equal(port_of(cluster, REDIS_ANY_SLOT, 0), 1);
    redis_cluster_free(cluster);
}

static void
a_redirect_names_the_owner_of_one_slot(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1");

    (void)state;
    move(cluster, 7, 2);
    assert_int_equal(port_of(cluster, 7, 0), 2);
    assert_int_equal(port_of(cluster, 7, 2), 2);
    assert_int_equal(port_of(cluster, 8, 1), 1);
    redis_cluster_free(cluster);
}

static void
when_the_owner_fails_every_other_look_is_at_another_node(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1,h:2,h:3");

    (void)state;
    move(cluster, 7, 2);
    for (int failures = 0; failures < 12; failures++) {
        int port = port_of(cluster, 7, failures);

        assert_true(failures % 2 == 0 ? port == 2 : port != 2);
    }
    redis_cluster_free(cluster);
}

static void
an_owner_that_is_the_only_node_is_tried_again(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1");

    (void)state;
    move(cluster, 7, 1);
    assert_int_equal(port_of(cluster, 7, 0), 1);
    assert_int_equal(port_of(cluster, 7, 1), 1);
    redis_cluster_free(cluster);
}

/* "*1 [0, 100, [host, port]]" as CLUSTER SLOTS gives it. */
static redisReply *
map_of(const char *protocol)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, protocol, strlen(protocol)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void
a_new_map_replaces_all_but_the_seeds(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1");
    redisReply *map = map_of("*1\r\n*3\r\n:0\r\n:100\r\n*2\r\n$1\r\nh\r\n:5\r\n");

    (void)state;
    move(cluster, 7, 2);
    move(cluster, 500, 3);
    redis_cluster_read(cluster, map, "h");
    assert_int_equal(redis_cluster_nodes(cluster), 2);
    assert_int_equal(port_of(cluster, 7, 0), 5);
    assert_int_equal(port_of(cluster, 100, 0), 5);
    assert_int_equal(port_of(cluster, 500, 0), 1);
    freeReplyObject(map);
    redis_cluster_free(cluster);
}

static void
what_is_no_map_changes_nothing(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1");
    redisReply *map = map_of("*1\r\n*3\r\n:90\r\n:16384\r\n*2\r\n$1\r\nh\r\n:5\r\n");

    (void)state;
    move(cluster, 7, 2);
    redis_cluster_read(cluster, map, "h");
    redis_cluster_read(cluster, NULL, "h");
    assert_int_equal(port_of(cluster, 7, 0), 2);
    freeReplyObject(map);
    redis_cluster_free(cluster);
}

static void
more_nodes_than_a_cluster_has_are_left_out(void **state)
{
    struct redis_cluster *cluster = cluster_of("redis+cluster://h:1");

    (void)state;
    for (int i = 0; i < 2 * REDIS_NODES_MAX; i++)
        move(cluster, i, i + 2);
    assert_int_equal(redis_cluster_nodes(cluster), REDIS_NODES_MAX);
    assert_in_range(port_of(cluster, 2 * REDIS_NODES_MAX - 1, 0), 1, REDIS_NODES_MAX + 1);
    redis_cluster_free(cluster);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_that_nobody_is_known_to_own_is_looked_for_at_every_seed_in_turn),
        cmocka_unit_test(a_redirect_names_the_owner_of_one_slot),
        cmocka_unit_test(when_the_owner_fails_every_other_look_is_at_another_node),
        cmocka_unit_test(an_owner_that_is_the_only_node_is_tried_again),
        cmocka_unit_test(a_new_map_replaces_all_but_the_seeds),
        cmocka_unit_test(what_is_no_map_changes_nothing),
        cmocka_unit_test(more_nodes_than_a_cluster_has_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
