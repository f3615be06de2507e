/* http: a request as a client may send it, in one piece and in small ones.
 * Input: a byte for the size of the pieces, then the request. */
#include "common/http/http_exchange.h"
#include "common/http/http_head.h"
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 1024
#define BODY_MAX 512

/* ---- the guard and what it lets pass ---- */

static void
check_passed(const struct http_guard *guard, const char *data, size_t len)
{
    char *text = strndup(data, guard->head_len);
    struct http_head head;

    MUST(guard->head_len <= len && guard->head_len <= HEAD_MAX && guard->body_len <= BODY_MAX);
    MUST(memchr(data, '\0', guard->head_len) == NULL);
    http_head_init(&head, text);
    MUST(head.method[0] != '\0' && head.path[0] == '/');
    MUST(http_head_header(&head, "host") != NULL);
    MUST(http_head_header(&head, "transfer-encoding") == NULL);
    for (size_t i = 0; i < head.header_count; i++)
        MUST(strpbrk(head.headers[i].value, "\r\n") == NULL && head.headers[i].name[0] != '\0');
    for (size_t i = 0; i < head.param_count; i++)
        MUST(head.params[i].name != NULL && head.params[i].value != NULL);
    http_head_param(&head, "wait");
    http_head_release(&head);
}

/* How it came in pieces does not matter. */
static void
check_guard(const char *data, size_t len, size_t step)
{
    struct http_guard whole, dripped;

    http_guard_init(&whole, HEAD_MAX, BODY_MAX);
    http_guard_init(&dripped, HEAD_MAX, BODY_MAX);
    http_guard_check(&whole, data, len);
    for (size_t at = step; dripped.state == HTTP_GUARD_MORE; at += step) {
        http_guard_check(&dripped, data, at < len ? at : len);
        if (at >= len)
            break;
    }
    MUST(whole.state == dripped.state && whole.head_len == dripped.head_len &&
         whole.body_len == dripped.body_len && whole.status == dripped.status);
    MUST((whole.state == HTTP_GUARD_REFUSED) == (whole.reason != NULL));
    if (whole.state == HTTP_GUARD_PASSED)
        check_passed(&whole, data, len);
}

/* ---- the server ---- */

static void
on_request(struct http_exchange *exchange, void *arg)
{
    int *requests = arg;
    struct evbuffer *body = evbuffer_new();
    size_t len;
    const char *text = http_body(exchange, &len);

    MUST(len <= BODY_MAX && http_path(exchange)[0] == '/');
    ++*requests;
    json_put_string(body, text, len);
    http_reply(exchange, 200, "application/json", body, NULL);
    evbuffer_free(body);
}

/* One answer at most, and it says that it is the last one. */
static void
check_answer(int fd, int requests)
{
    static char text[65536];
    size_t len = 0;
    ssize_t got;

    while (len < sizeof(text) - 1 && (got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    MUST(requests <= 1 && (requests == 0 || len > 0));
    MUST(len == 0 || strncmp(text, "HTTP/1.1 ", 9) == 0);
    MUST(len == 0 || strstr(text, "\r\nConnection: close\r\n\r\n") != NULL ||
         strncmp(text, "HTTP/1.1 100 Continue", 21) == 0);
}

static void
serve(const char *data, size_t len, size_t step)
{
    struct event_base *base = event_base_new();
    int requests = 0, fds[2];
    struct http_server server = {.options = {.base = base,
                                             .max_head_bytes = HEAD_MAX,
                                             .max_body_bytes = BODY_MAX,
                                             .max_connections = 1,
                                             .request_timeout_ms = 10000,
                                             .answer_timeout_ms = 10000,
                                             .on_request = on_request,
                                             .arg = &requests}};

    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    MUST(http_exchange_new(&server, fds[0]) != NULL);
    for (size_t at = 0; at < len; at += step) {
        if (send(fds[1], data + at, len - at < step ? len - at : step, MSG_NOSIGNAL) < 0)
            break;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    event_base_loop(base, EVLOOP_NONBLOCK);
    check_answer(fds[1], requests);
    MUST(server.exchange_count <= 1 && server.body_bytes <= BODY_MAX);
    while (server.exchanges != NULL)
        http_exchange_end(server.exchanges);
    MUST(server.exchange_count == 0 && server.body_bytes == 0);
    close(fds[1]);
    event_base_free(base);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    unsigned chosen = input_byte(&input);
    size_t step = chosen == 0 ? 65536 : chosen;
    char *text = input_copy(input.at, input.len);

    check_guard(text, input.len, step);
    serve(text, input.len, step < input.len / 16 ? input.len / 16 : step);
    free(text);
    return 0;
}
