#include "common/redis/redis_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A key with a passphrase is an error: OpenSSL would ask for it on the terminal. */
static int
no_passphrase(char *out, int size, int is_writing, void *arg)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)arg;
    return 0;
}

static int
refuse_file(const char *what, const char *file, struct error *err)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code))
        why = strerror(ERR_GET_REASON(code));
    error_set(err, ERROR_CONFIG, "%s %s: %s", what, file,
              why != NULL ? why : "not readable as PEM");
    ERR_clear_error();
    return -1;
}

/* The directory is read one certificate at a time, when a server shows one that it signed:
 * the bundle beside it would cost every connection megabytes. */
static int
trust(SSL_CTX *tls, const struct redis_tls_files *files, struct error *err)
{
    if (files->ca[0] != '\0')
        return SSL_CTX_load_verify_file(tls, files->ca) == 1
                   ? 0
                   : refuse_file("the authority's file", files->ca, err);
    SSL_CTX_set_default_verify_dir(tls);
    if (getenv("SSL_CERT_FILE") != NULL)
        SSL_CTX_set_default_verify_file(tls);
    ERR_clear_error();
    return 0;
}

static int
identify(SSL_CTX *tls, const struct redis_tls_files *files, struct error *err)
{
    bool has_cert = files->cert[0] != '\0', has_key = files->key[0] != '\0';

    if (!has_cert && !has_key)
        return 0;
    if (!has_cert)
        return error_set(err, ERROR_CONFIG, "there is a client key but no client certificate");
    if (SSL_CTX_use_certificate_chain_file(tls, files->cert) != 1)
        return refuse_file("the client certificate", files->cert, err);
    /* Both may stand in one file. */
    if (SSL_CTX_use_PrivateKey_file(tls, has_key ? files->key : files->cert, SSL_FILETYPE_PEM) != 1)
        return refuse_file("the client key", has_key ? files->key : files->cert, err);
    return 0;
}

SSL_CTX *
redis_tls_new(const struct redis_tls_files *files, struct error *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    ERR_clear_error();
    if (tls == NULL) {
        error_set(err, ERROR_CONFIG, "TLS can't be set up: out of memory");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    if (trust(tls, files, err) != 0 || identify(tls, files, err) != 0) {
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

static bool
is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

SSL *
redis_tls_session(SSL_CTX *tls, const struct redis_tls_files *files, const char *host)
{
    const char *name = files->server_name[0] != '\0' ? files->server_name : host;
    SSL *session = SSL_new(tls);
    bool is_set;

    if (session == NULL)
        return NULL;
    if (is_address(name))
        is_set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name) == 1;
    else
        is_set = SSL_set_tlsext_host_name(session, (char *)(uintptr_t)name) == 1 &&
                 SSL_set1_host(session, name) == 1;
    if (is_set)
        return session;
    SSL_free(session);
    return NULL;
}

/* ---- what went wrong ---- */

static const char unknown_authority[] =
    "its certificate is signed by an unknown authority: name that one's file in HEADGATE_REDIS_CA";
static const char other_name[] =
    "its certificate is for another name: connect by that name, or set HEADGATE_REDIS_SERVER_NAME";
static const char wants_ours[] =
    "it wants a client certificate: set HEADGATE_REDIS_CERT and HEADGATE_REDIS_KEY";
static const char refuses_ours[] = "it does not accept our client certificate";
static const char no_tls[] = "it does not speak TLS on this port: use its TLS port, or redis://";
static const char unexplained[] =
    "it ended the TLS handshake: is this its TLS port, and does it want a client certificate "
    "(HEADGATE_REDIS_CERT)?";
static const char too_old[] = "it speaks no TLS 1.2 or newer";

static const struct {
    long result;
    const char *why;
} verdicts[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "its certificate has expired: renew it"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "its certificate is not valid yet: is a clock wrong?"},
    {X509_V_ERR_HOSTNAME_MISMATCH, other_name},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, other_name},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, unknown_authority},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, unknown_authority},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, unknown_authority},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, unknown_authority},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, unknown_authority},
};

static const struct {
    int reason;
    const char *why;
} reasons[] = {
    {SSL_R_WRONG_VERSION_NUMBER, no_tls},
    {SSL_R_HTTP_REQUEST, no_tls},
    {SSL_R_UNSUPPORTED_PROTOCOL, too_old},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, too_old},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, wants_ours},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, wants_ours},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, refuses_ours},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, refuses_ours},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, refuses_ours},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, refuses_ours},
};

const char *
redis_tls_why(const SSL *session, unsigned long code)
{
    long verdict = SSL_get_verify_result(session);
    const char *text;

    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if (verdict == verdicts[i].result)
            return verdicts[i].why;
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (ERR_GET_REASON(code) == reasons[i].reason)
            return reasons[i].why;
    text = code == 0 ? NULL : ERR_reason_error_string(code);
    return text != NULL ? text : unexplained;
}
