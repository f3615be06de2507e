/* control: the routes of the HTTP port: target, query and body of a request, and what Redis answers
 * to what it asks for.
 * Input: a byte for the method, the target up to 0x01, the body up to 0x01, then bytes for hiredis'
 * reader. */
#include "common/clock.h"
#include "common/http/http_exchange.h"
#include "common/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/redis_stand_in.h"
#include "worker/control/control_internal.h"

#include <sys/socket.h>
#include <unistd.h>

/* A port lives long: one for all inputs. */
static struct world {
    struct event_base *base;
    struct config config;
    struct model_list models;
    struct desk *desk;
    struct hints *hints;
    struct metrics *metrics;
    struct control *control;
} world;

static const char *
environment(const char *name, void *arg)
{
    (void)arg;
    if (strcmp(name, "HEADGATE_HTTP_PORT") == 0)
        return "0";
    if (strcmp(name, "HEADGATE_QUEUES") == 0)
        return "analyze,bulk";
    return strcmp(name, "HEADGATE_MODELS") == 0 ? "bedrock/a,bedrock/b" : NULL;
}

static bool
is_ready(char *why, size_t why_size, void *arg)
{
    (void)why, (void)why_size, (void)arg;
    return true;
}

static void
set_gauges(struct metrics *metrics, void *arg)
{
    (void)metrics, (void)arg;
}

static void
open_port(void)
{
    struct error err = {0};

    log_setup(LOG_LEVEL_ERROR, false);
    world.base = event_base_new();
    MUST(config_load(&world.config, environment, NULL, &err) == 0);
    world.config.http_port = 0;
    MUST(model_list_init(&world.models, world.config.models, false, &err) == 0);
    world.desk = desk_new(redis_stand_in, world.config.prefix);
    world.hints = hints_new(world.base, redis_stand_in, world.config.prefix, &world.models);
    world.metrics = metrics_new();
    world.control = control_new(&(struct control_options){.base = world.base,
                                                          .config = &world.config,
                                                          .models = &world.models,
                                                          .route = redis_stand_in,
                                                          .desk = world.desk,
                                                          .hints = world.hints,
                                                          .metrics = world.metrics,
                                                          .max_connections = 10,
                                                          .max_bytes_at_once = 1 << 20,
                                                          .version = "1",
                                                          .is_ready = is_ready,
                                                          .set_gauges = set_gauges},
                                &err);
    MUST(world.control != NULL);
}

/* Everything but the metrics is JSON by our own rules. */
static void
check_answer(const char *text, size_t len)
{
    const char *body = memmem(text, len, "\r\n\r\n", 4);
    bool is_json = memmem(text, len, "Content-Type: application/json", 30) != NULL;
    struct json_slice root;

    MUST(len > 12 && strncmp(text, "HTTP/1.1 ", 9) == 0 && body != NULL);
    body += 4;
    if (is_json && body < text + len) /* HEAD has no body */
        MUST(json_check(body, (size_t)(text + len - body), &root, NULL) == 0);
}

/* All of the answer there is; a request that waits for its job has none. */
static void
read_answer(int fd)
{
    struct evbuffer *answer = evbuffer_new();

    while (evbuffer_read(answer, fd, 65536) > 0) {
    }
    if (evbuffer_get_length(answer) > 0)
        check_answer((char *)evbuffer_pullup(answer, -1), evbuffer_get_length(answer));
    evbuffer_free(answer);
}

static void
serve(struct evbuffer *request)
{
    int fds[2];

    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    MUST(http_exchange_new(world.control->server, fds[0]) != NULL);
    while (evbuffer_get_length(request) > 0 && evbuffer_write(request, fds[1]) > 0)
        event_base_loop(world.base, EVLOOP_NONBLOCK);
    for (int turn = 0; turn < 3; turn++) {
        redis_stand_in_answer();
        event_base_loop(world.base, EVLOOP_NONBLOCK);
    }
    read_answer(fds[1]);
    close(fds[1]);
    while (world.control->server->exchanges != NULL)
        http_exchange_end(world.control->server->exchanges);
    MUST(world.control->requests == NULL && world.control->wait_count == 0);
    MUST(world.control->server->body_bytes == 0 && world.control->server->answer_bytes == 0);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const methods[] = {"GET", "POST", "HEAD", "DELETE"};
    struct input input = {(const char *)data, size};
    const char *method = methods[input_byte(&input) % 4];
    char *target = input_text(&input, '\x01'), *body = input_text(&input, '\x01');
    struct evbuffer *request = evbuffer_new();

    if (world.base == NULL)
        open_port();
    evbuffer_add_printf(request,
                        "%s /%s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: "
                        "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        method, target, control_port(world.control), strlen(body), body);
    redis_stand_in_feed(input.at, input.len);
    serve(request);
    redis_stand_in_end();
    evbuffer_free(request);
    free(target);
    free(body);
    return 0;
}
