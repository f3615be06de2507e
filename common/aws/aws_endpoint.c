#include "common/aws/aws_endpoint.h"

#include "common/memory.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* The last row takes every region that no other does, as the AWS SDKs do. */
static const struct partition {
    const char *region_prefix;
    const char *suffix;
    const char *dualstack_suffix; /* NULL: it has none */
} partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
    {"eu-isoe-", "cloud.adc-e.uk", NULL},
    {"us-isof-", "csp.hci.ic.gov", NULL},
    {"", "amazonaws.com", "api.aws"},
};

bool
aws_region_is_valid(const char *region)
{
    size_t len = strlen(region);

    return len >= 1 && len <= 63 && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

int
aws_bedrock_endpoint(const char *region, unsigned variants, char *out, size_t out_size)
{
    const struct partition *partition = partitions;
    const char *suffix;
    int len;

    if (!aws_region_is_valid(region))
        return -1;
    while (strncmp(region, partition->region_prefix, strlen(partition->region_prefix)) != 0)
        partition++;
    suffix = variants & AWS_ENDPOINT_DUALSTACK ? partition->dualstack_suffix : partition->suffix;
    if (suffix == NULL)
        return -1;
    len = snprintf(out, out_size, "https://bedrock-runtime%s.%s.%s",
                   variants & AWS_ENDPOINT_FIPS ? "-fips" : "", region, suffix);
    return len < 0 || (size_t)len >= out_size ? -1 : 0;
}

/* ---- URLs ---- */

/* A part as a new string of ours, "" when the URL has none. */
static char *
take_part(CURLU *url, CURLUPart part)
{
    char *text = NULL, *copy;

    copy = xstrdup(curl_url_get(url, part, &text, CURLU_NO_DEFAULT_PORT) == CURLUE_OK ? text : "");
    curl_free(text);
    return copy;
}

static bool
has_part(CURLU *url, CURLUPart part)
{
    char *text = take_part(url, part);
    bool has = text[0] != '\0';

    free(text);
    return has;
}

/* libcurl decodes %XX in a host: what comes out goes into a header. */
static bool
has_plain_host(CURLU *url)
{
    char *host = take_part(url, CURLUPART_HOST);
    bool is_plain = host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-._:[]")] == '\0';

    free(host);
    return is_plain;
}

static bool
is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

static void
fill(struct aws_endpoint *endpoint, CURLU *url)
{
    char *host = take_part(url, CURLUPART_HOST), *port = take_part(url, CURLUPART_PORT),
         *path = take_part(url, CURLUPART_PATH);
    size_t path_len = strlen(path);

    for (char *at = host; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    while (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    endpoint->is_loopback = is_loopback(host);
    endpoint->host = xasprintf("%s%s%s", host, port[0] == '\0' ? "" : ":", port);
    endpoint->base = xasprintf("%s://%s%.*s", endpoint->is_https ? "https" : "http", endpoint->host,
                               (int)path_len, path);
    endpoint->path_at = strlen(endpoint->base) - path_len;
    free(path);
    free(port);
    free(host);
}

static int
read_url(struct aws_endpoint *endpoint, CURLU *url, const char *text, struct error *err)
{
    char *scheme;
    bool is_http;

    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at >= 0x7f)
            return error_set(err, ERROR_CONFIG, "no URL: it has a blank or a byte beyond ASCII");
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
        return error_set(err, ERROR_CONFIG, "no URL: must be like https://host:port/path");
    scheme = take_part(url, CURLUPART_SCHEME);
    endpoint->is_https = strcasecmp(scheme, "https") == 0;
    is_http = strcasecmp(scheme, "http") == 0;
    free(scheme);
    if (!endpoint->is_https && !is_http)
        return error_set(err, ERROR_CONFIG, "must begin with https:// or http://");
    if (!has_plain_host(url))
        return error_set(err, ERROR_CONFIG, "its host must be a plain name or address");
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
        has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return error_set(err, ERROR_CONFIG, "must have no user, query or fragment");
    fill(endpoint, url);
    return 0;
}

int
aws_endpoint_init(struct aws_endpoint *endpoint, const char *url, struct error *err)
{
    CURLU *parser = curl_url();
    int result;

    memset(endpoint, 0, sizeof(*endpoint));
    if (parser == NULL)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    result = read_url(endpoint, parser, url, err);
    curl_url_cleanup(parser);
    return result;
}

void
aws_endpoint_release(struct aws_endpoint *endpoint)
{
    free(endpoint->base);
    free(endpoint->host);
    memset(endpoint, 0, sizeof(*endpoint));
}
