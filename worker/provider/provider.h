/*
 * provider.h - the one door to any model: build a request, read an answer.
 *
 * A provider is a table of functions, all pure but for credentials kept in `self`. The
 * attempt sends what `build` made through http_client and gives the answer to `read`.
 */
#ifndef WORKER_PROVIDER_PROVIDER_H
#define WORKER_PROVIDER_PROVIDER_H

#include "common/error.h"
#include "common/http/http_client.h"
#include "worker/job/call.h"
#include "worker/job/job.h"
#include "worker/model/model.h"

#include <event2/buffer.h>

/* A request ready for http_send; it owns its bytes. */
struct provider_request {
    struct http_request http; /* points into the rest */
    char *url;
    char *headers[HTTP_HEADERS_MAX];
    char *body; /* of its own size: it is kept until the answer is there */
};
void provider_request_release(struct provider_request *request);

struct provider {
    const char *name; /* "bedrock" */
    /* Builds the call of `job` to the model: its id, and its own base_url and API key where it has
     * them. Fails with ERROR_CONFIG without credentials: the call's outcome is then auth. */
    int (*build)(void *self, const struct model *model, const struct job *job,
                 struct provider_request *request, struct error *err);
    /* Reads an answer or a failure (exactly one is not NULL) into call->outcome, status, error,
     * message, request_id, retry_after_ms and tokens; on OUTCOME_OK appends the answer's text.
     * Returns true when the same call is worth one more try at once with a new request (clock
     * skew corrected, credentials renewed): `is_retry` tells that this was that try. */
    bool (*read)(void *self, const struct http_response *response, const struct error *error,
                 bool is_retry, struct call *call, struct evbuffer *text);
    void *self; /* borrowed */
};

#endif
