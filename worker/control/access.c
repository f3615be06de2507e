#include "worker/control/access.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool
access_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* Does `host`, as the Host header has it, name our port under `name`? */
static bool
is_host(const char *host, const char *name, int port)
{
    bool is_ipv6 = strchr(name, ':') != NULL;
    char expected[128];
    size_t bare_len;

    snprintf(expected, sizeof(expected), is_ipv6 ? "[%s]" : "%s", name);
    bare_len = strlen(expected);
    if (port == 80 && strcasecmp(host, expected) == 0)
        return true;
    snprintf(expected + bare_len, sizeof(expected) - bare_len, ":%d", port);
    return strcasecmp(host, expected) == 0;
}

static bool
host_is_ours(const struct access_rules *rules, const char *host)
{
    const char *names[] = {"localhost", "127.0.0.1", "::1", rules->address};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (is_host(host, names[i], rules->port))
            return true;
    return false;
}

static bool
origin_is_host(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"}; /* a proxy may speak TLS */

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncasecmp(origin, schemes[i], strlen(schemes[i])) == 0)
            return strcasecmp(origin + strlen(schemes[i]), host) == 0;
    return false;
}

const char *
access_refuses_site(const struct access_rules *rules, const struct access_claims *claims)
{
    if (claims->host == NULL)
        return "a Host header is needed";
    /* On another address people use names that we can't know; the token guards it. */
    if (access_is_loopback(rules->address) && !host_is_ours(rules, claims->host))
        return "the Host header does not name this address and port";
    if (claims->origin != NULL && !origin_is_host(claims->origin, claims->host))
        return "requests of pages from another site are refused (Origin)";
    if (claims->fetch_site != NULL && strcasecmp(claims->fetch_site, "cross-site") == 0)
        return "requests of pages from another site are refused (Sec-Fetch-Site)";
    return NULL;
}

/* Digests have one length: a comparison tells nothing of the token's. */
static bool
are_equal(const char *a, const char *b)
{
    unsigned char digest_a[EVP_MAX_MD_SIZE], digest_b[EVP_MAX_MD_SIZE];
    unsigned len_a = 0, len_b = 0;

    return EVP_Digest(a, strlen(a), digest_a, &len_a, EVP_sha256(), NULL) == 1 &&
           EVP_Digest(b, strlen(b), digest_b, &len_b, EVP_sha256(), NULL) == 1 &&
           CRYPTO_memcmp(digest_a, digest_b, len_a) == 0;
}

bool
access_has_token(const struct access_rules *rules, const struct access_claims *claims)
{
    static const char scheme[] = "Bearer ";
    const char *given = claims->authorization;

    if (rules->token == NULL)
        return true;
    if (given == NULL || strncasecmp(given, scheme, sizeof(scheme) - 1) != 0)
        return false;
    given += sizeof(scheme) - 1;
    return are_equal(given + strspn(given, " "), rules->token);
}
