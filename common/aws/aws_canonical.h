/*
 * aws_canonical.h - a request in the one spelling that Signature Version 4 hashes. Pure.
 *
 * Source: "Create a canonical request" in the AWS documentation of SigV4. Paths are
 * normalised and encoded once more than on the wire, as every service but S3 wants it.
 */
#ifndef COMMON_AWS_CANONICAL_H
#define COMMON_AWS_CANONICAL_H

#include "common/error.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

#define AWS_HEADERS_MAX 32

struct aws_header {
    const char *name;
    const char *value;
};

/* What is signed. All borrowed. */
struct aws_sign_request {
    const char *method;
    const char *path;  /* as it goes on the wire, "/model/a%3A0/converse" */
    const char *query; /* as on the wire, without '?'; NULL or "" for none */
    /* Must include Host as it is sent; no x-amz-date, no token. Those that proxies change on
     * the way (User-Agent, Connection, ...) are left out of the signature. */
    const struct aws_header *headers;
    size_t header_count;
    const void *body;
    size_t body_len;
    bool keep_path;        /* dot segments and doubled slashes stay (S3 and the official suite) */
    bool sign_body_header; /* adds and signs x-amz-content-sha256 */
};

/* Appends the canonical request to `out` and the list of signed names ("host;x-amz-date") to
 * `names`. `added` are the signer's own headers. Fails with ERROR_INPUT when a name or value
 * holds a control byte, or there are more headers or parameters than AWS_HEADERS_MAX. */
int aws_canonical_print(const struct aws_sign_request *request, const struct aws_header *added,
                        size_t added_count, const char *body_sha256, struct evbuffer *out,
                        struct evbuffer *names, struct error *err) WARN_UNUSED;

/* One path segment as the SDKs write it on the wire: only A-Za-z0-9-._~ stay. Returns a
 * new string (free). */
char *aws_encode_segment(const char *text);

#endif
