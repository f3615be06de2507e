/* The pure parts of common/redis: words, errors, deadlines. */
#include "common/clock.h"
#include "common/redis/redis.h"
#include "common/redis/redis_calls.h"
#include "common/redis/redis_command.h"
#include "common/redis/redis_reader.h"
#include "common/redis/redis_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
an_error_of_redis_means_what_its_first_word_says(void **state)
{
    static const struct {
        const char *text;
        enum error_kind kind;
    } cases[] = {
        {"LOADING Redis is loading the dataset in memory", ERROR_TRANSIENT},
        {"OOM command not allowed when used memory > 'maxmemory'.", ERROR_TRANSIENT},
        {"MISCONF Errors writing to the AOF file: No space left on device", ERROR_TRANSIENT},
        {"NOREPLICAS Not enough good replicas to write.", ERROR_TRANSIENT},
        {"BUSY Redis is busy running a script.", ERROR_TRANSIENT},
        {"MASTERDOWN Link with MASTER is down", ERROR_TRANSIENT},
        {"READONLY You can't write against a read only replica.", ERROR_TRANSIENT},
        {"TRYAGAIN Multiple keys request during rehashing of slot", ERROR_TRANSIENT},
        {"CLUSTERDOWN Hash slot not served", ERROR_TRANSIENT},
        {"UNBLOCKED force unblock from blocking operation", ERROR_TRANSIENT},
        {"NOAUTH Authentication required.", ERROR_REFUSED},
        {"WRONGPASS invalid username-password pair", ERROR_REFUSED},
        {"NOPERM this user has no permissions to run the 'get' command", ERROR_REFUSED},
        {"ERR max number of clients reached", ERROR_UNREACHABLE},
        {"ERR unknown command", ERROR_INTERNAL},
        {"WRONGTYPE Operation against a key", ERROR_INTERNAL},
        {"OOMPH", ERROR_INTERNAL},
        {"BUSYGROUP Consumer Group name already exists", ERROR_INTERNAL},
        {"", ERROR_INTERNAL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error;

        redis_error_read(cases[i].text, &error);
        assert_int_equal(error.kind, cases[i].kind);
        assert_string_equal(error.message, cases[i].text);
    }
    (void)state;
}

static void
a_redirect_that_nobody_follows_says_what_redis_url_should_be(void **state)
{
    static const char *const redirects[] = {"MOVED 12182 127.0.0.1:7001", "ASK 1 :7001"};
    struct error error;

    for (size_t i = 0; i < 2; i++) {
        redis_error_read(redirects[i], &error);
        assert_int_equal(error.kind, ERROR_INTERNAL);
        assert_ptr_equal(strstr(error.message, redirects[i]), error.message);
        assert_non_null(strstr(error.message, "redis+cluster://"));
    }
    redis_error_read("MOVEDX 1", &error);
    assert_string_equal(error.message, "MOVEDX 1");
    (void)state;
}

static void
an_error_inside_a_script_means_the_same_as_outside(void **state)
{
    const char *wrapped =
        "ERR Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e38c0e"
        "791): @user_script:1: @user_script: 1: -OOM command not allowed when used "
        "memory > 'maxmemory'.";
    struct error error;

    redis_error_read(wrapped, &error);
    assert_int_equal(error.kind, ERROR_TRANSIENT);
    assert_true(redis_error_is(wrapped, "OOM"));
    redis_error_read("ERR Error running script (call to f_0): @user_script:1: nil value", &error);
    assert_int_equal(error.kind, ERROR_INTERNAL);
    (void)state;
}

static void
a_reply_of_another_type_is_what_the_caller_says(void **state)
{
    redisReply seven = {.type = REDIS_REPLY_INTEGER, .integer = 7};
    char digits[] = "-12", text[] = "12x", empty[] = "", zero[] = "1\0002";
    redisReply numeric = {.type = REDIS_REPLY_STRING, .str = digits, .len = 3};
    redisReply word = {.type = REDIS_REPLY_STATUS, .str = text, .len = 3};
    redisReply blank = {.type = REDIS_REPLY_STRING, .str = empty, .len = 0};
    redisReply cut = {.type = REDIS_REPLY_STRING, .str = zero, .len = 3};
    redisReply nil = {.type = REDIS_REPLY_NIL};
    redisReply *items[] = {&seven, &word};
    redisReply array = {.type = REDIS_REPLY_ARRAY, .element = items, .elements = 2};

    assert_int_equal(redis_int(&seven, -1), 7);
    assert_int_equal(redis_int(&numeric, -1), -12);
    assert_int_equal(redis_int(&word, -1), -1);
    assert_int_equal(redis_int(&blank, -1), -1);
    assert_int_equal(redis_int(&cut, -1), -1);
    assert_int_equal(redis_int(&nil, -1), -1);
    assert_int_equal(redis_int(NULL, -1), -1);
    assert_string_equal(redis_str(&word, "?"), "12x");
    assert_string_equal(redis_str(&seven, "?"), "?");
    assert_ptr_equal(redis_at(&array, 1), &word);
    assert_null(redis_at(&array, 2));
    assert_null(redis_at(&word, 0));
    assert_null(redis_at(redis_at(NULL, 0), 0));
    (void)state;
}

static void
a_script_is_named_by_its_sha1(void **state)
{
    struct redis_script script;

    redis_script_init(&script, "abc", "abc"); /* FIPS 180-2, appendix A.1 */
    assert_string_equal(script.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    (void)state;
}

static void
an_evalsha_becomes_the_eval_of_the_same_arguments(void **state)
{
    struct redis_script script;
    struct redis_args args = {0};
    struct redis_command command = {0};
    struct evbuffer *out = evbuffer_new();
    const char expected[] = "*4\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$3\r\na\0b\r\n";

    redis_script_init(&script, "one", "return 1");
    redis_arg_int(&args, 1);
    redis_arg_bytes(&args, "a\0b", 3);
    assert_int_equal(redis_command_format(&command, &script, &args, NULL), 0);
    assert_int_equal(redis_command_put_eval(&command, &script, out, NULL), 0);
    assert_int_equal(evbuffer_get_length(out), sizeof(expected) - 1);
    assert_memory_equal(evbuffer_pullup(out, -1), expected, sizeof(expected) - 1);
    redis_command_release(&command);
    evbuffer_free(out);
    (void)state;
}

static void
the_longest_list_of_arguments_makes_an_evalsha(void **state)
{
    struct redis_script script;
    struct redis_args args = {0};
    struct redis_command command = {0};

    redis_script_init(&script, "one", "return 1");
    for (int i = 0; i < REDIS_ARGS_MAX; i++)
        redis_arg_int(&args, i);
    assert_int_equal(redis_command_format(&command, &script, &args, NULL), 0);
    assert_memory_equal(command.bytes, "*74\r\n$7\r\nEVALSHA", 16);
    redis_command_release(&command);
    (void)state;
}

static void
a_command_too_large_for_redis_is_refused_before_it_is_made(void **state)
{
    struct redis_args args = {0};
    struct redis_command command = {0};
    struct error error;

    redis_arg(&args, "SET");
    redis_arg_bytes(&args, "never read", REDIS_COMMAND_MAX);
    assert_int_equal(redis_command_format(&command, NULL, &args, &error), -1);
    assert_int_equal(error.kind, ERROR_TOO_LARGE);
    (void)state;
}

static void
push(struct redis_calls *calls, int64_t deadline_ms)
{
    struct redis_call *call = redis_call_new(NULL, NULL, 1);

    call->deadline_ms = deadline_ms;
    redis_calls_push(calls, call);
}

static void
the_next_deadline_is_the_earliest_of_all_open_calls(void **state)
{
    struct redis_calls calls = {0};
    int64_t deadlines[200];
    unsigned int random = 1;

    for (int i = 0; i < 200; i++) {
        random = random * 1103515245 + 12345;
        deadlines[i] = (random >> 16) % 50;
        push(&calls, deadlines[i]);
    }
    for (int first = 0; first < 200; first++) {
        int64_t earliest = INT64_MAX;

        for (int i = first; i < 200; i++)
            earliest = deadlines[i] < earliest ? deadlines[i] : earliest;
        assert_int_equal(redis_calls_due_ms(&calls), earliest);
        redis_call_drop(redis_calls_pop(&calls));
    }
    assert_int_equal(redis_calls_due_ms(&calls), INT64_MAX);
    assert_null(redis_calls_pop(&calls));
    (void)state;
}

static void
a_number_beyond_what_scripts_can_mean_is_none(void **state)
{
    static const struct {
        long long integer;
        int64_t read;
    } cases[] = {{7, 7},
                 {REDIS_INT_MAX, REDIS_INT_MAX},
                 {-REDIS_INT_MAX, -REDIS_INT_MAX},
                 {REDIS_INT_MAX + 1, -1},
                 {INT64_MAX, -1},
                 {INT64_MIN, -1}};
    char text[] = "9223372036854775807";
    redisReply reply = {.type = REDIS_REPLY_STRING, .str = text, .len = strlen(text)};

    assert_int_equal(redis_int(&reply, -1), -1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reply = (redisReply){.type = REDIS_REPLY_INTEGER, .integer = cases[i].integer};
        assert_int_equal(redis_int(&reply, -1), cases[i].read);
    }
    (void)state;
}

static int
read_reply(const char *bytes, void **reply)
{
    redisReader *reader = redis_reader_new();
    int result;

    assert_non_null(reader);
    redisReaderFeed(reader, bytes, strlen(bytes));
    result = redisReaderGetReply(reader, reply);
    redisReaderFree(reader);
    return result;
}

static void
an_array_is_not_believed_to_be_as_long_as_it_says(void **state)
{
    void *reply = NULL;

    assert_int_equal(read_reply("*2147483647\r\n:1\r\n", &reply), REDIS_ERR);
    assert_int_equal(read_reply("*1\r\n*1048577\r\n", &reply), REDIS_ERR);
    assert_int_equal(read_reply("*1048576\r\n:1\r\n", &reply), REDIS_OK);
    assert_null(reply);
    assert_int_equal(read_reply("*2\r\n:1\r\n$1\r\nx\r\n", &reply), REDIS_OK);
    assert_string_equal(redis_str(redis_at(reply, 1), ""), "x");
    freeReplyObject(reply);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_redis_means_what_its_first_word_says),
        cmocka_unit_test(a_number_beyond_what_scripts_can_mean_is_none),
        cmocka_unit_test(an_array_is_not_believed_to_be_as_long_as_it_says),
        cmocka_unit_test(a_redirect_that_nobody_follows_says_what_redis_url_should_be),
        cmocka_unit_test(an_error_inside_a_script_means_the_same_as_outside),
        cmocka_unit_test(a_reply_of_another_type_is_what_the_caller_says),
        cmocka_unit_test(a_script_is_named_by_its_sha1),
        cmocka_unit_test(an_evalsha_becomes_the_eval_of_the_same_arguments),
        cmocka_unit_test(the_longest_list_of_arguments_makes_an_evalsha),
        cmocka_unit_test(a_command_too_large_for_redis_is_refused_before_it_is_made),
        cmocka_unit_test(the_next_deadline_is_the_earliest_of_all_open_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
