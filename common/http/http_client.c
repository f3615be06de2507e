#include "common/http/http_client.h"

#include "common/clock.h"
#include "common/http/http_answer.h"
#include "common/http/http_fault.h"
#include "common/http/http_multi.h"
#include "common/http/http_peer.h"
#include "common/memory.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct http_client {
    struct event_base *base; /* borrowed */
    char *ca_file;           /* owned; NULL: the system's */
    bool use_proxy_env;
    struct budget *budget; /* borrowed; NULL: none */
    int max_calls;
    struct http_multi **shards; /* owned; those that were never needed are NULL */
    size_t shard_count;
    struct http_call *open;
    int open_count;
    struct http_call *pool; /* done, with their easy handles, for the next calls */
    int pool_count;
};

struct http_call {
    struct http_client *client; /* borrowed */
    struct http_multi *shard;   /* borrowed; NULL while it is in none */
    CURL *easy;                 /* owned */
    http_done_fn *fn;
    void *arg;
    struct event timer; /* the idle limit; or the turn in which a call that could not start fails */
    struct error *start_error; /* owned; NULL: it has started */
    struct http_limits limits;
    struct http_answer answer;
    struct http_response response;
    int64_t started_ms;
    int64_t last_byte_ms; /* 0: none yet */
    char *header_text;    /* owned, wiped: it holds secrets */
    size_t header_bytes;
    struct curl_slist header_nodes[HTTP_HEADERS_MAX + 1]; /* point into header_text */
    char curl_message[CURL_ERROR_SIZE];
    char refused_peer[96]; /* where its name led, and we did not go */
    struct http_call *prev, *next;
};

/* --- how a call ends --- */

static void
call_free(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    free(call->header_text);
    free(call);
}

/* Out of the list of open calls: nothing happens to it any more. */
static void
leave(struct http_call *call)
{
    struct http_client *client = call->client;

    if (call->shard != NULL)
        http_multi_remove(call->shard, call->easy);
    call->shard = NULL;
    event_del(&call->timer);
    DL_DELETE(client->open, call);
    client->open_count--;
}

static void
recycle(struct http_call *call)
{
    struct http_client *client = call->client;

    http_answer_release(&call->answer);
    free(call->start_error);
    call->start_error = NULL;
    if (call->header_text != NULL)
        explicit_bzero(call->header_text, call->header_bytes);
    if (client->pool_count >= client->max_calls || call->easy == NULL) {
        call_free(call);
        return;
    }
    LL_PREPEND(client->pool, call);
    client->pool_count++;
}

static void
fail(struct http_call *call, const struct error *error)
{
    leave(call);
    call->fn(NULL, error, call->arg);
    recycle(call);
}

static void
succeed(struct http_call *call)
{
    struct http_response *response = &call->response;
    long status = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    response->status = (int)status;
    response->body = call->answer.body != NULL ? call->answer.body : "";
    response->body_len = call->answer.body_len;
    response->headers = &call->answer.headers;
    response->received_wall_ms = clock_wall_ms();
    response->duration_ms = clock_mono_ms() - call->started_ms;
    leave(call);
    call->fn(response, NULL, call->arg);
    recycle(call);
}

static void
on_done(CURL *easy, CURLcode result)
{
    struct http_call *call = NULL;
    struct error error;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
    if (result == CURLE_OK && call->answer.has_head) {
        succeed(call);
        return;
    }
    if (result == CURLE_OK) /* libcurl takes a head that is cut off for an answer */
        result = CURLE_PARTIAL_FILE;
    if (result == CURLE_COULDNT_CONNECT && call->refused_peer[0] != '\0')
        error_set(&error, ERROR_UNREACHABLE, "its name leads to the %s: not followed",
                  call->refused_peer);
    else if (call->answer.failure != ERROR_NONE)
        http_fault_answer(easy, call->answer.failure, &call->limits, &error);
    else
        http_fault_of(easy, result, call->curl_message, &call->limits, &error);
    fail(call, &error);
}

static void
wake_in(struct http_call *call, int64_t ms)
{
    struct timeval in = clock_timeval(ms);

    event_add(&call->timer, &in);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_call *call = arg;
    int64_t left_ms = call->last_byte_ms + call->limits.idle_timeout_ms - clock_mono_ms();
    struct error error;

    (void)fd;
    (void)what;
    if (call->start_error != NULL) {
        fail(call, call->start_error);
        return;
    }
    if (left_ms > 0) {
        wake_in(call, left_ms);
        return;
    }
    http_fault_idle(call->easy, &call->limits, &error);
    fail(call, &error);
}

/* --- what libcurl calls: nothing here touches its handles --- */

/* The timer is armed once and looks for itself when the last byte came: moving it with
 * every byte would cost more than the bytes. */
static void
note_byte(struct http_call *call)
{
    if (call->last_byte_ms == 0)
        wake_in(call, call->limits.idle_timeout_ms);
    call->last_byte_ms = clock_mono_ms();
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;

    note_byte(call);
    return http_answer_add_body(&call->answer, data, size * count) ? size * count : 0;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;

    note_byte(call);
    return http_answer_add_header(&call->answer, line, size * count) ? size * count : 0;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_call *call = arg;

    (void)purpose;
    return http_peer_open(call->easy, address, call->refused_peer, sizeof(call->refused_peer));
}

/* --- how a call starts --- */

static void
set_lasting_options(struct http_call *call)
{
    const struct http_client *client = call->client;
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_message);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    /* Some of these are libcurl's defaults: said here, they stay. */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL); /* nothing is unpacked */
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Waiting for another call's handshake to learn whether HTTP/2 is spoken would let one
     * lost SYN hold up a whole shard. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* A name that does not resolve must not be waited for when its call is over. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    if (client->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    if (!client->use_proxy_env)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static struct http_call *
take_call(struct http_client *client)
{
    struct http_call *call = client->pool;

    if (call != NULL) {
        LL_DELETE(client->pool, call);
        client->pool_count--;
        return call;
    }
    call = xcalloc(1, sizeof(*call));
    call->client = client;
    call->easy = curl_easy_init();
    evtimer_assign(&call->timer, client->base, on_timer, call);
    if (call->easy != NULL)
        set_lasting_options(call);
    return call;
}

static void
set_limits(struct http_call *call, const struct http_request *request)
{
    struct http_limits *limits = &call->limits;

    limits->connect_timeout_ms = request->connect_timeout_ms ? request->connect_timeout_ms : 5000;
    limits->idle_timeout_ms = request->idle_timeout_ms ? request->idle_timeout_ms : 30000;
    limits->total_timeout_ms = request->total_timeout_ms ? request->total_timeout_ms : 120000;
    limits->max_response_bytes =
        request->max_response_bytes ? request->max_response_bytes : 8 * 1024 * 1024;
    call->answer.max_body_bytes = limits->max_response_bytes;
    call->answer.budget = call->client->budget;
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)limits->connect_timeout_ms);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)limits->total_timeout_ms);
}

static void
set_method(CURL *easy, const struct http_request *request)
{
    bool is_get = strcmp(request->method, "GET") == 0;

    if (is_get) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else { /* without POSTFIELDS libcurl would read a body from stdin */
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body_len > 0 ? request->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, is_get ? NULL : request->method);
}

static size_t
header_count(const struct http_request *request)
{
    size_t count = 0;

    while (count < HTTP_HEADERS_MAX && request->headers[count] != NULL)
        count++;
    return count;
}

/* Makes room for all header lines in one block, which is kept for the next call. */
static char *
header_room(struct http_call *call, const struct http_request *request)
{
    size_t needed = 0;

    for (size_t i = 0; i < header_count(request); i++)
        needed += strlen(request->headers[i]) + 1;
    if (needed > call->header_bytes) {
        free(call->header_text); /* wiped when its call ended */
        call->header_text = xcalloc(1, needed);
        call->header_bytes = needed;
    }
    return call->header_text;
}

static void
set_headers(struct http_call *call, const struct http_request *request)
{
    static char no_expect[] = "Expect:"; /* it would cost a round trip, or a second of waiting */
    struct curl_slist *nodes = call->header_nodes;
    char *at = header_room(call, request);
    size_t count = header_count(request);

    for (size_t i = 0; i < count; i++) {
        nodes[i] = (struct curl_slist){.data = at, .next = &nodes[i + 1]};
        at = stpcpy(at, request->headers[i]) + 1;
    }
    nodes[count] = (struct curl_slist){.data = no_expect};
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, nodes);
}

static int
check_headers(const struct http_request *request, struct error *err)
{
    for (size_t i = 0; i < header_count(request); i++)
        if (strpbrk(request->headers[i], "\r\n") != NULL)
            return error_set(err, ERROR_INTERNAL, "a request header holds a line end");
    return 0;
}

static int
shard_size(const struct http_client *client)
{
    return client->max_calls < HTTP_MULTI_CALLS ? client->max_calls : HTTP_MULTI_CALLS;
}

/* The first shard with room, so that few calls share few connections; the emptiest when
 * there are more calls than were expected. */
static struct http_multi *
choose_shard(struct http_client *client)
{
    struct http_multi *emptiest = NULL;

    for (size_t i = 0; i < client->shard_count; i++) {
        struct http_multi **shard = &client->shards[i];

        if (*shard == NULL)
            *shard = http_multi_new(client->base, shard_size(client), on_done);
        if (*shard == NULL)
            continue;
        if (http_multi_count(*shard) < HTTP_MULTI_CALLS)
            return *shard;
        if (emptiest == NULL || http_multi_count(*shard) < http_multi_count(emptiest))
            emptiest = *shard;
    }
    return emptiest;
}

static int
start(struct http_call *call, const struct http_request *request, struct error *err)
{
    /* 6.5 KB less for every waiting call; with HTTP/2 it would cost twenty times the CPU */
    long buffer_bytes = strncasecmp(request->url, "https:", 6) == 0 ? CURL_MAX_WRITE_SIZE : 1024;
    struct http_multi *shard = choose_shard(call->client);

    if (call->easy == NULL || shard == NULL)
        return error_set(err, ERROR_INTERNAL, "no memory for a call");
    if (check_headers(request, err) != 0)
        return -1;
    set_limits(call, request);
    set_method(call->easy, request);
    set_headers(call, request);
    curl_easy_setopt(call->easy, CURLOPT_BUFFERSIZE, buffer_bytes);
    if (curl_easy_setopt(call->easy, CURLOPT_URL, request->url) != CURLE_OK ||
        http_multi_add(shard, call->easy) != CURLM_OK)
        return error_set(err, ERROR_INTERNAL, "libcurl did not take a call");
    call->shard = shard;
    return 0;
}

struct http_call *
http_send(struct http_client *client, const struct http_request *request, http_done_fn *fn,
          void *arg)
{
    struct http_call *call = take_call(client);
    struct error error;

    call->fn = fn;
    call->arg = arg;
    call->last_byte_ms = 0;
    call->curl_message[0] = '\0';
    call->refused_peer[0] = '\0';
    call->started_ms = clock_mono_ms();
    call->response = (struct http_response){.sent_wall_ms = clock_wall_ms()};
    DL_APPEND(client->open, call);
    client->open_count++;
    if (start(call, request, &error) != 0) {
        call->start_error = xcalloc(1, sizeof(error));
        *call->start_error = error;
        wake_in(call, 0);
    }
    return call;
}

void
http_cancel(struct http_call *call)
{
    leave(call);
    recycle(call);
}

int
http_client_open_calls(const struct http_client *client)
{
    return client->open_count;
}

struct http_client *
http_client_new(const struct http_client_options *options)
{
    struct http_client *client = xcalloc(1, sizeof(*client));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->base = options->base;
    client->ca_file = options->ca_file != NULL ? xstrdup(options->ca_file) : NULL;
    client->use_proxy_env = options->use_proxy_env;
    client->budget = options->budget;
    client->max_calls = options->max_calls > 0 ? options->max_calls : 1;
    client->shard_count = ((size_t)client->max_calls + HTTP_MULTI_CALLS - 1) / HTTP_MULTI_CALLS;
    client->shards = xcalloc(client->shard_count, sizeof(struct http_multi *));
    return client;
}

void
http_client_free(struct http_client *client)
{
    struct http_call *call;

    if (client == NULL)
        return;
    while (client->open != NULL)
        http_cancel(client->open);
    while ((call = client->pool) != NULL) {
        LL_DELETE(client->pool, call);
        call_free(call);
    }
    for (size_t i = 0; i < client->shard_count; i++)
        http_multi_free(client->shards[i]);
    free(client->shards);
    free(client->ca_file);
    free(client);
    curl_global_cleanup();
}
