#include "common/http/http_multi.h"

#include "common/clock.h"
#include "common/memory.h"

#include <event2/event_struct.h>
#include <stdlib.h>

struct http_multi {
    CURLM *curl;             /* owned */
    struct event_base *base; /* borrowed */
    struct event timer;      /* the one that libcurl asks for */
    http_multi_done_fn *fn;
    int count; /* handles added and not removed */
};

/* What libcurl waits for on one socket. */
struct watch {
    struct http_multi *multi; /* borrowed */
    struct event event;
};

static void
deliver(struct http_multi *multi)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(multi->curl, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            multi->fn(message->easy_handle, message->data.result);
}

static void
act(struct http_multi *multi, curl_socket_t fd, int flags)
{
    int running;

    curl_multi_socket_action(multi->curl, fd, flags, &running);
    deliver(multi);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;

    act(watch->multi, fd,
        (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    event_del(&watch->event);
    free(watch);
}

static struct watch *
watch_new(struct http_multi *multi, curl_socket_t fd)
{
    struct watch *watch = xcalloc(1, sizeof(*watch));

    watch->multi = multi;
    curl_multi_assign(multi->curl, fd, watch);
    return watch;
}

static void
watch_for(struct watch *watch, curl_socket_t fd, int what)
{
    short events = EV_PERSIST;

    if (what & CURL_POLL_IN)
        events |= EV_READ;
    if (what & CURL_POLL_OUT)
        events |= EV_WRITE;
    if (event_initialized(&watch->event))
        event_del(&watch->event);
    event_assign(&watch->event, watch->multi->base, fd, events, on_socket, watch);
    event_add(&watch->event, NULL);
}

static int
on_watch_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct watch *watch = socket_arg;

    (void)easy;
    if (what == CURL_POLL_REMOVE)
        watch_free(watch);
    else
        watch_for(watch != NULL ? watch : watch_new(arg, fd), fd, what);
    return 0;
}

/* Even "now" goes through the loop: libcurl must not be entered from its own callback. */
static int
on_timer_wanted(CURLM *curl, long timeout_ms, void *arg)
{
    struct http_multi *multi = arg;
    struct timeval in = clock_timeval(timeout_ms);

    (void)curl;
    if (timeout_ms < 0)
        event_del(&multi->timer);
    else
        event_add(&multi->timer, &in);
    return 0;
}

struct http_multi *
http_multi_new(struct event_base *base, int connections_kept, http_multi_done_fn *fn)
{
    CURLM *curl = curl_multi_init();
    struct http_multi *multi;

    if (curl == NULL)
        return NULL;
    multi = xcalloc(1, sizeof(*multi));
    multi->curl = curl;
    multi->base = base;
    multi->fn = fn;
    evtimer_assign(&multi->timer, base, on_timer, multi);
    curl_multi_setopt(curl, CURLMOPT_SOCKETFUNCTION, on_watch_wanted);
    curl_multi_setopt(curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(curl, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(curl, CURLMOPT_MAXCONNECTS, (long)connections_kept);
    return multi;
}

void
http_multi_free(struct http_multi *multi)
{
    if (multi == NULL)
        return;
    curl_multi_cleanup(multi->curl);
    event_del(&multi->timer);
    free(multi);
}

CURLMcode
http_multi_add(struct http_multi *multi, CURL *easy)
{
    CURLMcode code = curl_multi_add_handle(multi->curl, easy);

    if (code == CURLM_OK)
        multi->count++;
    return code;
}

void
http_multi_remove(struct http_multi *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
    multi->count--;
}

int
http_multi_count(const struct http_multi *multi)
{
    return multi->count;
}
