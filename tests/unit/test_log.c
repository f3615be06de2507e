#include "common/json/json.h"
#include "common/log.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka.h needs setjmp.h and stdarg.h in front of it. */
#include <cmocka.h>

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define TIME_LEN      (sizeof("time=2026-11-23T10:00:00.123Z") - 1)
#define JSON_TIME_LEN (sizeof("{\"time\":\"2026-11-23T10:00:00.123Z\",") - 1)

/* stderr of this process goes into a pipe or socket while a test runs. */
struct capture {
    int real_stderr;
    int reader;
    char text[8192];
};

static void
redirect_stderr(struct capture *c, int reader, int writer)
{
    c->real_stderr = dup(STDERR_FILENO);
    c->reader = reader;
    dup2(writer, STDERR_FILENO);
    close(writer);
}

static void
capture_start(struct capture *c)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    redirect_stderr(c, ends[0], ends[1]);
}

static void
restore_stderr(struct capture *c)
{
    dup2(c->real_stderr, STDERR_FILENO);
    close(c->real_stderr);
}

static const char *
capture_end(struct capture *c)
{
    ssize_t len;

    restore_stderr(c);
    len = read(c->reader, c->text, sizeof(c->text) - 1);
    close(c->reader);
    c->text[len < 0 ? 0 : len] = '\0';
    return c->text;
}

static void
a_line_is_logfmt_by_default(void **state)
{
    struct capture c;
    const char *line;

    log_setup(LOG_LEVEL_INFO, false);
    capture_start(&c);
    log_info("job settled", LOG_STR("job", "42"), LOG_INT("ms", -12), LOG_STR("tag", NULL));
    line = capture_end(&c);
    assert_memory_equal(line, "time=20", 7);
    assert_int_equal(line[TIME_LEN - 1], 'Z');
    assert_string_equal(line + TIME_LEN, " level=info msg=\"job settled\" job=42 ms=-12\n");
    (void)state;
}

static void
a_line_can_be_one_json_object(void **state)
{
    struct capture c;
    const char *line;

    log_setup(LOG_LEVEL_DEBUG, true);
    capture_start(&c);
    log_debug("a \"b\"\n", LOG_STR("id", "x\x1b\xff\xc3\xa9\x7f\xc2\x9b"), LOG_INT("ms", INT64_MIN),
              LOG_STR("none", NULL));
    line = capture_end(&c);
    assert_memory_equal(line, "{\"time\":\"20", 11);
    assert_string_equal(
        line + JSON_TIME_LEN,
        "\"level\":\"debug\",\"msg\":\"a \\\"b\\\"\\n\",\"id\":\"x\\u001b\xef\xbf\xbd"
        "\xc3\xa9\\u007f\\u009b\",\"ms\":-9223372036854775808}\n");
    (void)state;
}

static void
a_value_forges_neither_line_nor_field(void **state)
{
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"a.b_c:d/e@f+g-h", "a.b_c:d/e@f+g-h"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"1\n2\r3\t", "\"1\\n2\\x0d3\\x09\""},
        {"\x1b[31m\x7f", "\"\\x1b[31m\\x7f\""},
        {"caf\xc3\xa9", "\"caf\xc3\xa9\""},
        {"\xc2\x9b", "\"\\xc2\\x9b\""},
        {"\xff\xc3", "\"\\xff\\xc3\""},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
    };

    log_setup(LOG_LEVEL_INFO, false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *expected = xasprintf(" level=warn msg=m v=%s n=1\n", rows[i].written);
        struct capture c;

        capture_start(&c);
        log_warn("m", LOG_STR("v", rows[i].value), LOG_INT("n", 1));
        assert_string_equal(capture_end(&c) + TIME_LEN, expected);
        free(expected);
    }
    (void)state;
}

static void
a_field_and_a_line_have_a_bound_and_stay_whole(void **state)
{
    static const char *const pieces[] = {"x", "\n", "\xc3\xa9", "\xff", "\"", " "};

    for (size_t i = 0; i < 2 * COUNT(pieces); i++) {
        char value[6001] = "";
        bool json = i % 2 == 1;
        struct json_slice root;
        struct capture c;
        const char *line;
        size_t len;

        while (strlen(value) + 2 < sizeof(value))
            strcat(value, pieces[i / 2]);
        log_setup(LOG_LEVEL_INFO, json);
        capture_start(&c);
        log_info("m", LOG_STR("a", value), LOG_INT("n", 1), LOG_STR("b", value),
                 LOG_STR("c", value), LOG_STR("d", value), LOG_STR("e", value), LOG_INT("f", 1));
        line = capture_end(&c);
        len = strlen(line);
        assert_in_range(len, 3800, 4096);
        assert_ptr_equal(strchr(line, '\n'), line + len - 1);
        assert_in_range(strstr(line, json ? ",\"n\":1" : " n=1") - strchr(line, 'a'), 1000, 1080);
        if (json)
            assert_int_equal(json_check(line, len, &root, NULL), 0);
    }
    (void)state;
}

static void
every_length_of_a_full_line_is_closed(void **state)
{
    for (size_t len = 880; len < 1030; len++) {
        char value[1100] = "", most[1100] = "";
        struct json_slice root;
        struct capture c;
        const char *line;

        memset(value, 'x', len);
        memset(most, 'y', sizeof(most) - 1);
        log_setup(LOG_LEVEL_INFO, true);
        capture_start(&c);
        log_info("m", LOG_STR("a", most), LOG_STR("b", most), LOG_STR("c", most),
                 LOG_STR("d", value), LOG_INT("number", 123456), LOG_STR("e", "z"));
        line = capture_end(&c);
        assert_in_range(strlen(line), 3900, 4096);
        assert_int_equal(json_check(line, strlen(line), &root, NULL), 0);
    }
    (void)state;
}

static void
lines_below_the_level_are_not_written(void **state)
{
    struct capture c;

    log_setup(LOG_LEVEL_WARN, false);
    capture_start(&c);
    log_info("no");
    log_debug("no");
    assert_string_equal(capture_end(&c), "");
    log_setup(LOG_LEVEL_INFO, false);
    (void)state;
}

static void
a_pipe_that_nobody_reads_drops_lines_and_does_not_block(void **state)
{
    uint64_t before = log_dropped();
    struct capture c;

    capture_start(&c);
    for (int i = 0; i < 3000; i++)
        log_info("a line that fills the pipe", LOG_INT("line", i));
    assert_true(log_dropped() > before);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    capture_end(&c);
    before = log_dropped();
    capture_start(&c);
    log_info("again");
    assert_non_null(strstr(capture_end(&c), "again"));
    assert_int_equal(log_dropped(), before);
    (void)state;
}

static void
a_socket_that_nobody_reads_drops_lines_and_does_not_block(void **state)
{
    uint64_t before = log_dropped();
    struct capture c;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    redirect_stderr(&c, ends[0], ends[1]);
    for (int i = 0; i < 5000; i++)
        log_info("a line that fills the socket", LOG_INT("line", i));
    assert_true(log_dropped() > before);
    assert_non_null(strstr(capture_end(&c), "line=0"));
    (void)state;
}

/* No signal(SIGPIPE, SIG_IGN) here: the signal would end this test. */
static void
a_reader_that_went_away_raises_no_signal(void **state)
{
    uint64_t before = log_dropped();
    struct capture c;
    int ends[2];

    capture_start(&c);
    close(c.reader);
    log_info("nobody hears this");
    restore_stderr(&c);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    redirect_stderr(&c, ends[0], ends[1]);
    close(c.reader);
    log_info("nor this");
    restore_stderr(&c);
    assert_int_equal(log_dropped(), before + 2);
    (void)state;
}

static void
a_full_disk_and_a_closed_stderr_are_counted(void **state)
{
    uint64_t before = log_dropped();
    int real_stderr = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    assert_true(full >= 0);
    dup2(full, STDERR_FILENO);
    close(full);
    errno = EDOM;
    log_info("no room");
    assert_int_equal(errno, EDOM);
    close(STDERR_FILENO);
    log_info("no descriptor");
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    assert_int_equal(log_dropped(), before + 2);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_logfmt_by_default),
        cmocka_unit_test(a_line_can_be_one_json_object),
        cmocka_unit_test(a_value_forges_neither_line_nor_field),
        cmocka_unit_test(a_field_and_a_line_have_a_bound_and_stay_whole),
        cmocka_unit_test(every_length_of_a_full_line_is_closed),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_pipe_that_nobody_reads_drops_lines_and_does_not_block),
        cmocka_unit_test(a_socket_that_nobody_reads_drops_lines_and_does_not_block),
        cmocka_unit_test(a_reader_that_went_away_raises_no_signal),
        cmocka_unit_test(a_full_disk_and_a_closed_stderr_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
