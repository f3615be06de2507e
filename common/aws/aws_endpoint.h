/*
 * aws_endpoint.h - where AWS answers: names by partition, and base URLs taken apart. Pure.
 *
 * Names are captured from botocore (tests/golden/endpoints.json).
 */
#ifndef COMMON_AWS_ENDPOINT_H
#define COMMON_AWS_ENDPOINT_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

enum aws_endpoint_variant { AWS_ENDPOINT_FIPS = 1, AWS_ENDPOINT_DUALSTACK = 2 };

/* Can this be a region name? 1-63 of a-z, 0-9 and '-': it becomes part of a host name. */
bool aws_region_is_valid(const char *region);
/* "https://bedrock-runtime.us-east-1.amazonaws.com", by the rules of the partition that the
 * region belongs to. `variants` are AWS_ENDPOINT_* or-ed. Returns 0, or -1 when it does not
 * fit, the region is no region name or its partition has no dual-stack names. */
int aws_bedrock_endpoint(const char *region, unsigned variants, char *out, size_t out_size);

/* A base URL, the way curl will send it and SigV4 wants it signed. */
struct aws_endpoint {
    char *base;     /* owned; "https://gateway:8443/prod": no '/' at the end */
    char *host;     /* owned; the Host header: lower-case, the port unless it is the scheme's own */
    size_t path_at; /* where the path begins in base; its end when there is none */
    bool is_https;
    bool is_loopback;
};
/* Fails with ERROR_CONFIG when it is no http or https URL, or has a user, a query or a
 * fragment. The message does not repeat the URL. */
int aws_endpoint_init(struct aws_endpoint *endpoint, const char *url,
                      struct error *err) WARN_UNUSED;
void aws_endpoint_release(struct aws_endpoint *endpoint);

#endif
