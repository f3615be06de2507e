#include "tests/sim/verify.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ALGORITHM   "AWS4-HMAC-SHA256 "
#define SERVICE     "bedrock"
#define TOLERANCE_S 300

#define INCOMPLETE "IncompleteSignatureException"
#define INVALID    "InvalidSignatureException"

/* What an Authorization header claims. */
struct claim {
    char credential[512]; /* split in place by the pointers below */
    char signed_headers[2048];
    char signature[65];
    const char *access_key, *date, *region, *service;
    const char *stamp; /* borrowed: X-Amz-Date */
    time_t signed_at;
};

int
refusal_set(struct refusal *refusal, int status, const char *code, const char *format, ...)
{
    va_list arguments;

    refusal->status = status;
    refusal->code = code;
    va_start(arguments, format);
    vsnprintf(refusal->message, sizeof(refusal->message), format, arguments);
    va_end(arguments);
    return -1;
}

/* Copies the value of "name=value," out of the header. */
static int
copy_parameter(const char *authorization, const char *name, char *value, size_t size,
               struct refusal *refusal)
{
    const char *at = strstr(authorization, name);
    size_t len;

    if (at != NULL && at[strlen(name)] == '=') {
        at += strlen(name) + 1;
        len = strcspn(at, ", ");
        if (len > 0 && len < size) {
            memcpy(value, at, len);
            value[len] = '\0';
            return 0;
        }
    }
    return refusal_set(refusal, 403, INCOMPLETE, "Authorization header requires '%s' parameter.",
                       name);
}

/* access key/date/region/service/aws4_request */
static int
split_credential(struct claim *claim, struct refusal *refusal)
{
    const char *parts[5] = {NULL};
    char *rest = claim->credential;
    size_t count = 0;

    while (rest != NULL && count < 5)
        parts[count++] = strsep(&rest, "/");
    if (rest != NULL || count < 5 || strcmp(parts[4], "aws4_request") != 0)
        return refusal_set(refusal, 403, INCOMPLETE,
                           "Credential must have exactly 5 slash-delimited elements, e.g. "
                           "keyid/date/region/service/term.");
    claim->access_key = parts[0];
    claim->date = parts[1];
    claim->region = parts[2];
    claim->service = parts[3];
    return 0;
}

static int
read_stamp(struct claim *claim, const struct wire_request *request, struct refusal *refusal)
{
    struct tm parts = {0};
    const char *end;

    claim->stamp = wire_head_find(request->head, "x-amz-date");
    if (claim->stamp == NULL)
        return refusal_set(refusal, 403, INCOMPLETE,
                           "Authorization header requires existence of either a 'X-Amz-Date' or a "
                           "'Date' header.");
    end = strptime(claim->stamp, "%Y%m%dT%H%M%SZ", &parts);
    if (end == NULL || *end != '\0' || strlen(claim->stamp) != strlen("20260115T120000Z"))
        return refusal_set(refusal, 403, INCOMPLETE,
                           "Date must be in ISO-8601 'basic format'. Got '%s'.", claim->stamp);
    claim->signed_at = timegm(&parts);
    return 0;
}

static int
read_claim(const char *authorization, const struct wire_request *request, struct claim *claim,
           struct refusal *refusal)
{
    if (copy_parameter(authorization, "Credential", claim->credential, sizeof(claim->credential),
                       refusal) != 0 ||
        copy_parameter(authorization, "SignedHeaders", claim->signed_headers,
                       sizeof(claim->signed_headers), refusal) != 0 ||
        copy_parameter(authorization, "Signature", claim->signature, sizeof(claim->signature),
                       refusal) != 0 ||
        split_credential(claim, refusal) != 0)
        return -1;
    return read_stamp(claim, request, refusal);
}

static int
check_identity(const struct settings *settings, const struct wire_request *request,
               const struct claim *claim, struct refusal *refusal)
{
    const char *token = wire_head_find(request->head, "x-amz-security-token");
    const char *expected = settings->session_token;

    if (strcmp(claim->access_key, settings->access_key) == 0 &&
        strcmp(token == NULL ? "" : token, expected == NULL ? "" : expected) == 0)
        return 0;
    return refusal_set(refusal, 403, "UnrecognizedClientException",
                       "The security token included in the request is invalid.");
}

static int
check_scope(const struct settings *settings, const struct claim *claim, struct refusal *refusal)
{
    if (strcmp(claim->region, settings->region) != 0)
        return refusal_set(refusal, 403, INVALID,
                           "Credential should be scoped to a valid region, not '%s'.",
                           claim->region);
    if (strcmp(claim->service, SERVICE) != 0)
        return refusal_set(refusal, 403, INVALID,
                           "Credential should be scoped to correct service: '" SERVICE "'.");
    if (strlen(claim->date) != 8 || strncmp(claim->date, claim->stamp, 8) != 0)
        return refusal_set(
            refusal, 403, INVALID,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
            "date from HTTP: '%s' != '%.8s', from '%s'.",
            claim->date, claim->stamp, claim->stamp);
    return 0;
}

static void
format_stamp(time_t at, char stamp[17])
{
    struct tm parts;

    gmtime_r(&at, &parts);
    strftime(stamp, 17, "%Y%m%dT%H%M%SZ", &parts);
}

static int
check_time(const struct claim *claim, time_t now, struct refusal *refusal)
{
    bool is_late = claim->signed_at < now - TOLERANCE_S;
    char now_stamp[17], bound[17];

    if (!is_late && claim->signed_at <= now + TOLERANCE_S)
        return 0;
    format_stamp(now, now_stamp);
    format_stamp(is_late ? now - TOLERANCE_S : now + TOLERANCE_S, bound);
    if (is_late)
        return refusal_set(refusal, 403, INVALID,
                           "Signature expired: %s is now earlier than %s (%s - 5 min.)",
                           claim->stamp, bound, now_stamp);
    return refusal_set(refusal, 403, INVALID,
                       "Signature not yet current: %s is still later than %s (%s + 5 min.)",
                       claim->stamp, bound, now_stamp);
}

static bool
is_signed(const struct claim *claim, const char *name)
{
    const char *at = claim->signed_headers;
    size_t len = strlen(name);

    while (*at != '\0') {
        size_t part = strcspn(at, ";");

        if (part == len && strncasecmp(at, name, len) == 0)
            return true;
        at += part + (at[part] == ';');
    }
    return false;
}

/* aws_sign adds these by itself. */
static bool
is_added_by_signer(const char *name)
{
    return strcasecmp(name, "x-amz-date") == 0 || strcasecmp(name, "x-amz-security-token") == 0 ||
           strcasecmp(name, "x-amz-content-sha256") == 0;
}

static int
collect_signed(const struct wire_head *head, const struct claim *claim, struct aws_header *headers,
               size_t *count, struct refusal *refusal)
{
    if (!is_signed(claim, "host"))
        return refusal_set(
            refusal, 403, INVALID,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
    for (size_t i = 0; i < head->header_count; i++) {
        const char *name = head->headers[i].name;
        bool is_in = is_signed(claim, name);

        if (!is_in && strncasecmp(name, "x-amz-", 6) == 0)
            return refusal_set(refusal, 403, INVALID,
                               "'%s' must be a 'SignedHeader' in the AWS Authorization.", name);
        if (is_in && !is_added_by_signer(name))
            headers[(*count)++] = head->headers[i];
    }
    return 0;
}

static int
check_signature(const struct settings *settings, const struct wire_request *request,
                const struct claim *claim, struct aws_sign_cache *cache, struct refusal *refusal)
{
    struct aws_header headers[WIRE_HEADERS_MAX];
    struct aws_sign_request to_sign = {.method = request->head->method,
                                       .path = request->head->path,
                                       .query = request->head->query,
                                       .headers = headers,
                                       .body = request->body,
                                       .body_len = request->body_len};
    struct aws_sign_scope scope = {.access_key = settings->access_key,
                                   .secret_key = settings->secret_key,
                                   .session_token = settings->session_token,
                                   .region = settings->region,
                                   .service = SERVICE};
    struct aws_signature ours;
    const char *signature;

    if (collect_signed(request->head, claim, headers, &to_sign.header_count, refusal) != 0)
        return -1;
    to_sign.sign_body_header = is_signed(claim, "x-amz-content-sha256");
    if (aws_sign(&to_sign, &scope, (int64_t)claim->signed_at * 1000, cache, &ours, NULL, NULL) ==
        0) {
        signature = strstr(ours.authorization, "Signature=");
        if (signature != NULL && strlen(claim->signature) == 64 &&
            CRYPTO_memcmp(signature + strlen("Signature="), claim->signature, 64) == 0)
            return 0;
    }
    return refusal_set(
        refusal, 403, INVALID,
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service "
        "documentation for details.");
}

static int
check_bearer(const struct settings *settings, const char *key, struct refusal *refusal)
{
    if (settings->bearer_token != NULL && strcmp(key, settings->bearer_token) == 0)
        return 0;
    return refusal_set(refusal, 403, "AccessDeniedException",
                       "Authentication failed: Please make sure your API Key is valid.");
}

int
verify_request(const struct settings *settings, const struct wire_request *request, int64_t now_ms,
               struct aws_sign_cache *cache, struct refusal *refusal)
{
    const char *authorization = wire_head_find(request->head, "authorization");
    struct claim claim = {0};

    if (!settings->verify)
        return 0;
    if (authorization == NULL)
        return refusal_set(refusal, 403, "MissingAuthenticationTokenException",
                           "Missing Authentication Token");
    if (strncmp(authorization, "Bearer ", 7) == 0)
        return check_bearer(settings, authorization + 7, refusal);
    if (strncmp(authorization, ALGORITHM, strlen(ALGORITHM)) != 0)
        return refusal_set(refusal, 403, INCOMPLETE, "Unsupported AWS 'algorithm': '%.40s'.",
                           authorization);
    if (read_claim(authorization, request, &claim, refusal) != 0 ||
        check_identity(settings, request, &claim, refusal) != 0 ||
        check_scope(settings, &claim, refusal) != 0 ||
        check_time(&claim, (time_t)(now_ms / 1000), refusal) != 0)
        return -1;
    return check_signature(settings, request, &claim, cache, refusal);
}
