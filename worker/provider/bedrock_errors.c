#include "worker/provider/bedrock_answer.h"

#include "common/json/json.h"
#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A rule fits when all it names fits; the first that fits decides. Fragments of messages are
 * compared without regard to case and stop before apostrophes, which come in two kinds. */
struct rule {
    int status;           /* 0: any */
    const char *code;     /* NULL: any */
    const char *fragment; /* of the message; NULL: any */
    enum outcome outcome;
    bool is_long; /* throttled for long */
    enum bedrock_remedy remedy;
};

static const struct rule rules[] = {
    /* throttles */
    {.code = "ThrottlingException",
     .fragment = "per day",
     .outcome = OUTCOME_THROTTLED,
     .is_long = true},
    {.code = "ServiceQuotaExceededException", .outcome = OUTCOME_THROTTLED, .is_long = true},
    {.code = "ModelNotReadyException", .outcome = OUTCOME_TRANSIENT},
    {.code = "ThrottlingException", .outcome = OUTCOME_THROTTLED},
    {.code = "TooManyRequestsException", .outcome = OUTCOME_THROTTLED},
    {.status = 503, .fragment = "too many connections", .outcome = OUTCOME_THROTTLED},
    {.status = 429, .outcome = OUTCOME_THROTTLED},

    /* the model or the service failed */
    {.code = "ModelTimeoutException", .outcome = OUTCOME_TRANSIENT},
    {.code = "ModelErrorException", .outcome = OUTCOME_TRANSIENT},
    {.code = "ModelStreamErrorException", .outcome = OUTCOME_TRANSIENT},
    {.status = 408, .outcome = OUTCOME_TRANSIENT},
    {.status = 424, .outcome = OUTCOME_TRANSIENT},

    /* this entry of the list can't be used */
    {.code = "ValidationException",
     .fragment = "on-demand throughput",
     .outcome = OUTCOME_MODEL_CONFIG},
    {.code = "ValidationException",
     .fragment = "model identifier is invalid",
     .outcome = OUTCOME_MODEL_CONFIG},
    {.code = "ResourceNotFoundException", .outcome = OUTCOME_MODEL_CONFIG},

    /* this model can't do this request, another may */
    {.code = "ValidationException", .fragment = "input is too long", .outcome = OUTCOME_UNSUITED},
    {.code = "ValidationException",
     .fragment = "maximum tokens you requested",
     .outcome = OUTCOME_UNSUITED},
    {.code = "ValidationException", .fragment = "t support", .outcome = OUTCOME_UNSUITED},
    {.code = "ValidationException",
     .fragment = "is deprecated for this model",
     .outcome = OUTCOME_UNSUITED},
    {.code = "ValidationException",
     .fragment = "the model returned the following errors",
     .outcome = OUTCOME_UNSUITED},
    {.code = "ValidationException",
     .fragment = "content filtering policy",
     .outcome = OUTCOME_UNSUITED},
    {.code = "ValidationException", .outcome = OUTCOME_REJECTED},

    /* who we are */
    {.code = "ExpiredTokenException", .outcome = OUTCOME_AUTH, .remedy = REMEDY_RENEW_CREDENTIALS},
    {.code = "ExpiredToken", .outcome = OUTCOME_AUTH, .remedy = REMEDY_RENEW_CREDENTIALS},
    {.code = "RequestExpired", .outcome = OUTCOME_AUTH, .remedy = REMEDY_RENEW_CREDENTIALS},
    {.code = "AccessDeniedException", .fragment = "authentication failed", .outcome = OUTCOME_AUTH},
    {.code = "AccessDeniedException", .fragment = "api key", .outcome = OUTCOME_AUTH},
    {.code = "AccessDeniedException", .fragment = "bearer token", .outcome = OUTCOME_AUTH},
    {.code = "AccessDeniedException", .fragment = "security token", .outcome = OUTCOME_AUTH},
    {.code = "AccessDeniedException", .outcome = OUTCOME_MODEL_CONFIG},
    {.code = "UnknownOperationException", .outcome = OUTCOME_AUTH},
    {.code = "UnrecognizedClientException", .outcome = OUTCOME_AUTH},
    {.code = "InvalidClientTokenId", .outcome = OUTCOME_AUTH},
    {.code = "InvalidSignatureException", .outcome = OUTCOME_AUTH},
    {.code = "SignatureDoesNotMatch", .outcome = OUTCOME_AUTH},
    {.code = "MissingAuthenticationToken", .outcome = OUTCOME_AUTH},
    {.code = "MissingAuthenticationTokenException", .outcome = OUTCOME_AUTH},
    {.code = "AuthFailure", .outcome = OUTCOME_AUTH},
    {.code = "RequestTimeTooSkewed", .outcome = OUTCOME_AUTH},
    {.code = "IncompleteSignature", .outcome = OUTCOME_AUTH},
    {.code = "IncompleteSignatureException", .outcome = OUTCOME_AUTH},
    {.status = 401, .outcome = OUTCOME_AUTH},
    {.status = 403, .outcome = OUTCOME_AUTH},
    {.status = 404, .outcome = OUTCOME_MODEL_CONFIG},
};

static bool
fits(const struct rule *rule, int status, const char *code, const char *message)
{
    if (rule->status != 0 && rule->status != status)
        return false;
    if (rule->code != NULL && strcmp(rule->code, code) != 0)
        return false;
    return rule->fragment == NULL || strcasestr(message, rule->fragment) != NULL;
}

/* Where no rule fits: a 4xx is the request's fault, all else may be different next time. */
static enum outcome
outcome_of_status(int status)
{
    return status >= 400 && status < 500 ? OUTCOME_REJECTED : OUTCOME_TRANSIENT;
}

/* "com.amazon.coral.validate#ValidationException:http://..." -> "ValidationException" */
static void
cut_code(const char *text, char *code, size_t code_size)
{
    size_t len = strcspn(text, ":");
    const char *hash = memrchr(text, '#', len);
    const char *start = hash == NULL ? text : hash + 1;

    snprintf(code, code_size, "%.*s", (int)(text + len - start), start);
    utf8_clean(code);
}

static bool
copy_member(struct json_slice root, const char *name, char *out, size_t out_size)
{
    char *text = json_string(json_get(root, name), NULL);

    if (text == NULL)
        return false;
    snprintf(out, out_size, "%s", text);
    utf8_clean(out);
    free(text);
    return true;
}

/* The header wins over the body, `code` over `__type`. */
static void
read_code(const char *error_type, const char *body, size_t len, char *code, size_t code_size)
{
    struct json_slice root;
    char text[256] = "";

    if (error_type != NULL)
        snprintf(text, sizeof(text), "%s", error_type);
    else if (json_check(body, len, &root, NULL) == 0 &&
             !copy_member(root, "code", text, sizeof(text)))
        copy_member(root, "__type", text, sizeof(text));
    cut_code(text, code, code_size);
}

static void
read_message(int status, const char *body, size_t len, char *out, size_t out_size)
{
    struct json_slice root;

    out[0] = '\0';
    if (json_check(body, len, &root, NULL) == 0 && !copy_member(root, "message", out, out_size))
        copy_member(root, "Message", out, out_size);
    if (out[0] != '\0')
        return;
    if (status >= 300 && status < 400)
        snprintf(out, out_size, "HTTP status %d: a redirect, which is not followed", status);
    else
        snprintf(out, out_size, "HTTP status %d without an error message", status);
}

/* The first that fits, or NULL. */
static const struct rule *
find_rule(int status, const char *code, const char *message)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (fits(&rules[i], status, code, message))
            return &rules[i];
    return NULL;
}

/* "Too many tokens, please wait ...", "Too many requests, ..." */
static enum call_limit
limit_in(const char *message)
{
    if (strcasestr(message, "token") != NULL)
        return LIMIT_TOKENS;
    return strcasestr(message, "request") != NULL ? LIMIT_REQUESTS : LIMIT_UNKNOWN;
}

enum bedrock_remedy
bedrock_read_error(int status, const char *error_type, const char *body, size_t len,
                   struct call *call)
{
    const struct rule *rule;

    read_code(error_type, body, len, call->error, sizeof(call->error));
    read_message(status, body, len, call->message, sizeof(call->message));
    rule = find_rule(status, call->error, call->message);
    call->outcome = rule == NULL ? outcome_of_status(status) : rule->outcome;
    if (call->outcome == OUTCOME_THROTTLED)
        call->limit = limit_in(call->message);
    if (rule != NULL && rule->is_long)
        call->retry_after_ms = BEDROCK_LONG_THROTTLE_MS;
    if (call->error[0] == '\0')
        snprintf(call->error, sizeof(call->error), "http_%d", status);
    return rule == NULL ? REMEDY_NONE : rule->remedy;
}
