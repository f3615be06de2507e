/*
 * aws_sign.h - AWS Signature Version 4 for requests with a body in memory. Pure.
 *
 * Source: "Signature Version 4 signing process" in the AWS documentation; tested
 * against the official suite (tests/golden/sigv4-suite) and captures of botocore.
 */
#ifndef COMMON_AWS_SIGN_H
#define COMMON_AWS_SIGN_H

#include "common/aws/aws_canonical.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who signs, and where. All borrowed. */
struct aws_sign_scope {
    const char *access_key;
    const char *secret_key;
    const char *session_token; /* NULL or "": none */
    const char *region;
    const char *service; /* "bedrock" */
};

/* The derived key of one (secret, date, region, service): about 4 HMACs saved per call. A
 * cache of one entry; zero it to start, aws_sign_forget wipes it. */
struct aws_sign_cache {
    char tag[200]; /* what the key was derived from; the secret as a hash */
    unsigned char key[32];
    bool is_set;
};

/* The headers to add to the request. */
struct aws_signature {
    char date[17];            /* X-Amz-Date: 20260115T120000Z */
    char content_sha256[65];  /* hex SHA-256 of the body; send it when sign_body_header */
    char authorization[1024]; /* value of Authorization */
    /* for tests and error hunting */
    char canonical_sha256[65];
    char string_to_sign[512];
};

/* Signs at wall_ms (already corrected for clock skew). `canonical` (may be NULL) receives
 * the canonical request as a new string (free). Fails with ERROR_INPUT when a name or value
 * holds a control byte or something does not fit. */
int aws_sign(const struct aws_sign_request *request, const struct aws_sign_scope *scope,
             int64_t wall_ms, struct aws_sign_cache *cache, struct aws_signature *out,
             char **canonical, struct error *err) WARN_UNUSED;
void aws_sign_forget(struct aws_sign_cache *cache);

#endif
