#include "common/http/http_fault.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 160

/* What is not here broke on the way: it was lost, unless nothing had been sent. */
static const struct fault {
    CURLcode code;
    enum error_kind kind;
    const char *what; /* the server's name follows */
} faults[] = {
    {CURLE_COULDNT_RESOLVE_HOST, ERROR_UNREACHABLE, "could not resolve"},
    {CURLE_COULDNT_RESOLVE_PROXY, ERROR_UNREACHABLE, "could not resolve the proxy for"},
    {CURLE_PROXY, ERROR_UNREACHABLE, "the proxy did not connect to"},
    {CURLE_COULDNT_CONNECT, ERROR_UNREACHABLE, "could not connect to"},
    {CURLE_SSL_CONNECT_ERROR, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_PEER_FAILED_VERIFICATION, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_SSL_CERTPROBLEM, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_SSL_CIPHER, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_SSL_CACERT_BADFILE, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_SSL_ISSUER_ERROR, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_SSL_INVALIDCERTSTATUS, ERROR_UNREACHABLE, "no TLS with"},
    {CURLE_URL_MALFORMAT, ERROR_INTERNAL, "not an address to call:"},
    {CURLE_OUT_OF_MEMORY, ERROR_INTERNAL, "no memory to call"},
    {CURLE_FAILED_INIT, ERROR_INTERNAL, "could not start a call to"},
    {CURLE_BAD_FUNCTION_ARGUMENT, ERROR_INTERNAL, "could not start a call to"},
};
static const struct fault lost = {CURLE_OK, ERROR_LOST, "lost the connection to"};
static const struct fault unsent = {CURLE_OK, ERROR_UNREACHABLE, "could not send to"};

static bool
was_sent(CURL *easy)
{
    long bytes = 0;

    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &bytes);
    return bytes > 0;
}

static const struct fault *
fault_of(CURL *easy, CURLcode code)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (faults[i].code == code)
            return &faults[i];
    return was_sent(easy) ? &lost : &unsent;
}

/* "host:port": a URL may hold a user, and its path and query are nobody's business. */
static void
host_of(CURL *easy, char *out, size_t out_size)
{
    const char *url = NULL;
    char *host = NULL;
    char *port = NULL;
    CURLU *parts = curl_url();

    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    snprintf(out, out_size, "the server");
    if (parts != NULL && url != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        snprintf(out, out_size, "%s:%s", host, port);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
}

/* libcurl's text repeats the host and adds its own timing to a failed connect: there the
 * system's error says more. Of a proxy it may show the URL, with a password. */
static const char *
cause_of(CURL *easy, CURLcode code, const char *detail)
{
    long number = 0;

    if (code == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    if (number != 0)
        return strerror((int)number);
    if (detail[0] == '\0' || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
        code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_PROXY)
        return curl_easy_strerror(code);
    return detail;
}

static void
explain_timeout(CURL *easy, const char *host, const struct http_limits *limits, struct error *err)
{
    int64_t connect_ms = limits->connect_timeout_ms;

    if (connect_ms > limits->total_timeout_ms)
        connect_ms = limits->total_timeout_ms;
    if (was_sent(easy))
        error_set(err, ERROR_TIMEOUT, "no whole answer from %s within %" PRId64 " ms", host,
                  limits->total_timeout_ms);
    else
        error_set(err, ERROR_UNREACHABLE, "could not connect to %s within %" PRId64 " ms", host,
                  connect_ms);
}

void
http_fault_of(CURL *easy, CURLcode code, const char *detail, const struct http_limits *limits,
              struct error *err)
{
    const struct fault *fault = fault_of(easy, code);
    char host[HOST_MAX];

    host_of(easy, host, sizeof(host));
    if (code == CURLE_OPERATION_TIMEDOUT)
        explain_timeout(easy, host, limits, err);
    else
        error_set(err, fault->kind, "%s %s (%s)", fault->what, host, cause_of(easy, code, detail));
}

void
http_fault_idle(CURL *easy, const struct http_limits *limits, struct error *err)
{
    char host[HOST_MAX];

    host_of(easy, host, sizeof(host));
    error_set(err, ERROR_TIMEOUT, "%s began its answer and then sent nothing for %" PRId64 " ms",
              host, limits->idle_timeout_ms);
}

void
http_fault_answer(CURL *easy, enum error_kind kind, const struct http_limits *limits,
                  struct error *err)
{
    char host[HOST_MAX];

    host_of(easy, host, sizeof(host));
    if (kind == ERROR_TOO_LARGE)
        error_set(err, kind, "the answer of %s is larger than what is taken (%zu bytes)", host,
                  limits->max_response_bytes);
    else if (kind == ERROR_TRANSIENT)
        error_set(err, kind, "no room for the answer of %s within HEADGATE_MEMORY_MAX", host);
    else
        error_set(err, kind, "no memory for the answer of %s", host);
}
