/*
 * redis_tls.h - TLS to Redis: whom we trust, who we are, and what went wrong.
 *
 * TLS 1.2 or newer; the server's certificate and its name are always verified. Without an
 * own authority the system's count: SSL_CERT_DIR and SSL_CERT_FILE are respected, as
 * everywhere with OpenSSL.
 */
#ifndef COMMON_REDIS_TLS_H
#define COMMON_REDIS_TLS_H

#include "common/error.h"
#include "common/redis/redis_url.h"

#include <openssl/ssl.h>

/* Reads the files. NULL: *err (ERROR_CONFIG) names the file and what is wrong with it. The
 * caller ends it with SSL_CTX_free. */
SSL_CTX *redis_tls_new(const struct redis_tls_files *files, struct error *err);
/* A session with the server that was reached as `host`; the caller's. NULL: out of memory. */
SSL *redis_tls_session(SSL_CTX *tls, const struct redis_tls_files *files, const char *host);
/* Why a session failed, and what to do: a static text, or OpenSSL's own. `code` is what
 * bufferevent_get_openssl_error or ERR_get_error said; 0: the connection ended. */
const char *redis_tls_why(const SSL *session, unsigned long code);

#endif
