#include "worker/provider/provider.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

void
provider_request_release(struct provider_request *request)
{
    free(request->url);
    /* Headers carry keys. */
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        free_secret(request->headers[i]);
    free(request->body);
    memset(request, 0, sizeof(*request));
}
