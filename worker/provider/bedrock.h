/*
 * bedrock.h - Amazon Bedrock by its Converse operation.
 *
 * POST /model/{modelId}/converse, as in the Bedrock Runtime API reference; signed with SigV4 as
 * service "bedrock", or a Bedrock API key as bearer token (https only, but for loopback).
 */
#ifndef WORKER_PROVIDER_BEDROCK_H
#define WORKER_PROVIDER_BEDROCK_H

#include "common/aws/aws_credentials.h"
#include "worker/provider/provider.h"

struct bedrock;

/* Loads credentials and endpoint (blocks on files). ERROR_CONFIG when they are wrong or no
 * region is known. No credentials at all is no error here: each call's outcome is auth until
 * some are found. getenv_fn as in aws_credentials.h. */
struct bedrock *bedrock_new(aws_getenv_fn *getenv_fn, void *arg, struct error *err);
void bedrock_free(struct bedrock *bedrock);
/* The table; `self` is the bedrock, borrowed. */
struct provider bedrock_provider(struct bedrock *bedrock);

/* For the start-up line and doctor. */
const char *bedrock_endpoint(const struct bedrock *bedrock);
const char *bedrock_region(const struct bedrock *bedrock);
const struct aws_credentials *bedrock_credentials(const struct bedrock *bedrock);

#endif
