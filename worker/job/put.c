#include "worker/job/put.h"

#include "common/json/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
put_raw(struct evbuffer *out, const char *json)
{
    json_put_slice(out, (struct json_slice){.text = json, .len = strlen(json)});
}

void
put_format(struct evbuffer *out, const char *format, ...)
{
    char text[256];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(len >= 0 && (size_t)len < sizeof(text));
    json_put_slice(out, (struct json_slice){.text = text, .len = (size_t)len});
}

void
put_text(struct evbuffer *out, const char *text)
{
    if (text == NULL)
        put_raw(out, "null");
    else
        json_put_string(out, text, strlen(text));
}

void
put_seconds(struct evbuffer *out, int64_t ms)
{
    put_format(out, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}
