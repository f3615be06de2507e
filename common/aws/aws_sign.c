#include "common/aws/aws_sign.h"

#include "common/memory.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASH_LEN 32
#define DATE_LEN 8 /* of "20260115T120000Z" */

#define ALGORITHM "AWS4-HMAC-SHA256"

/* Prints into an array and tells whether it fitted. */
#define FITS(array, ...) ((size_t)snprintf((array), sizeof(array), __VA_ARGS__) < sizeof(array))

static void
put_hex(const unsigned char hash[HASH_LEN], char hex[2 * HASH_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < HASH_LEN; i++) {
        hex[2 * i] = digits[hash[i] >> 4];
        hex[2 * i + 1] = digits[hash[i] & 15];
    }
    hex[2 * HASH_LEN] = '\0';
}

static int
sha256_hex(const void *data, size_t len, char hex[2 * HASH_LEN + 1], struct error *err)
{
    unsigned char hash[HASH_LEN];

    if (EVP_Digest(len == 0 ? "" : data, len, hash, NULL, EVP_sha256(), NULL) != 1)
        return error_set(err, ERROR_INTERNAL, "OpenSSL can't compute SHA-256");
    put_hex(hash, hex);
    return 0;
}

/* `key` and `hash` may be the same. */
static int
hmac(const void *key, size_t key_len, const char *text, size_t len, unsigned char hash[HASH_LEN],
     struct error *err)
{
    if (HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, len, hash, NULL) == NULL)
        return error_set(err, ERROR_INTERNAL, "OpenSSL can't compute HMAC-SHA-256");
    return 0;
}

static int
derive_key(const struct aws_sign_scope *scope, const char *date, unsigned char key[HASH_LEN],
           struct error *err)
{
    char *secret = xasprintf("AWS4%s", scope->secret_key);
    int result = -1;

    if (hmac(secret, strlen(secret), date, DATE_LEN, key, err) == 0 &&
        hmac(key, HASH_LEN, scope->region, strlen(scope->region), key, err) == 0 &&
        hmac(key, HASH_LEN, scope->service, strlen(scope->service), key, err) == 0 &&
        hmac(key, HASH_LEN, "aws4_request", strlen("aws4_request"), key, err) == 0)
        result = 0;
    free_secret(secret);
    return result;
}

void
aws_sign_forget(struct aws_sign_cache *cache)
{
    OPENSSL_cleanse(cache, sizeof(*cache));
}

static int
find_key(struct aws_sign_cache *cache, const struct aws_sign_scope *scope, const char *date,
         struct error *err)
{
    char tag[sizeof(cache->tag)], secret[2 * HASH_LEN + 1];

    if (sha256_hex(scope->secret_key, strlen(scope->secret_key), secret, err) < 0)
        return -1;
    if (!FITS(tag, "%.*s/%s/%s/%s", DATE_LEN, date, scope->region, scope->service, secret))
        return error_set(err, ERROR_INPUT, "region name is too long");
    if (cache->is_set && strcmp(cache->tag, tag) == 0)
        return 0;
    if (derive_key(scope, date, cache->key, err) < 0)
        return -1;
    memcpy(cache->tag, tag, sizeof(tag));
    cache->is_set = true;
    return 0;
}

static int
print_date(int64_t wall_ms, char date[17], struct error *err)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || strftime(date, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
        return error_set(err, ERROR_INPUT, "the clock shows a year that can't be signed");
    return 0;
}

/* Lists the headers that the signer itself adds; returns how many. */
static size_t
own_headers(const struct aws_sign_request *request, const struct aws_sign_scope *scope,
            const struct aws_signature *signature, struct aws_header headers[3])
{
    size_t count = 0;

    headers[count++] = (struct aws_header){"x-amz-date", signature->date};
    if (scope->session_token != NULL && scope->session_token[0] != '\0')
        headers[count++] = (struct aws_header){"x-amz-security-token", scope->session_token};
    if (request->sign_body_header)
        headers[count++] = (struct aws_header){"x-amz-content-sha256", signature->content_sha256};
    return count;
}

static int
print_authorization(const struct aws_sign_scope *scope, struct aws_sign_cache *cache,
                    struct evbuffer *names, struct aws_signature *out, struct error *err)
{
    char credential[200], hex[2 * HASH_LEN + 1];
    unsigned char hash[HASH_LEN];

    if (!FITS(credential, "%.*s/%s/%s/aws4_request", DATE_LEN, out->date, scope->region,
              scope->service) ||
        !FITS(out->string_to_sign, ALGORITHM "\n%s\n%s\n%s", out->date, credential,
              out->canonical_sha256))
        return error_set(err, ERROR_INPUT, "region name is too long");
    if (find_key(cache, scope, out->date, err) < 0 ||
        hmac(cache->key, HASH_LEN, out->string_to_sign, strlen(out->string_to_sign), hash, err) < 0)
        return -1;
    put_hex(hash, hex);
    if (!FITS(out->authorization, ALGORITHM " Credential=%s/%s, SignedHeaders=%.*s, Signature=%s",
              scope->access_key, credential, (int)evbuffer_get_length(names),
              (const char *)evbuffer_pullup(names, -1), hex))
        return error_set(err, ERROR_INPUT, "access key or header names are too long");
    return 0;
}

int
aws_sign(const struct aws_sign_request *request, const struct aws_sign_scope *scope,
         int64_t wall_ms, struct aws_sign_cache *cache, struct aws_signature *out, char **canonical,
         struct error *err)
{
    struct evbuffer *text = xevbuffer(), *names = xevbuffer();
    struct aws_header own[3];
    size_t own_count;
    int result = -1;

    if (print_date(wall_ms, out->date, err) < 0 ||
        sha256_hex(request->body, request->body_len, out->content_sha256, err) < 0)
        goto out;
    own_count = own_headers(request, scope, out, own);
    if (aws_canonical_print(request, own, own_count, out->content_sha256, text, names, err) < 0 ||
        sha256_hex(evbuffer_pullup(text, -1), evbuffer_get_length(text), out->canonical_sha256,
                   err) < 0)
        goto out;
    if (canonical != NULL)
        *canonical = xasprintf("%.*s", (int)evbuffer_get_length(text),
                               (const char *)evbuffer_pullup(text, -1));
    result = print_authorization(scope, cache, names, out, err);
out:
    evbuffer_free(names);
    evbuffer_free(text);
    return result;
}
