#include "common/error.h"

#include "common/utf8.h"

#include <stdarg.h>
#include <stdio.h>

int
error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list arguments;

    if (err == NULL)
        return -1;
    err->kind = kind;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof(err->message), format, arguments);
    va_end(arguments);
    utf8_clean(err->message);
    return -1;
}

const char *
error_kind_name(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE: return "none";
    case ERROR_INPUT: return "input";
    case ERROR_CONFIG: return "config";
    case ERROR_REFUSED: return "refused";
    case ERROR_TRANSIENT: return "transient";
    case ERROR_UNREACHABLE: return "unreachable";
    case ERROR_LOST: return "lost";
    case ERROR_TIMEOUT: return "timeout";
    case ERROR_TOO_LARGE: return "too_large";
    case ERROR_INTERNAL: return "internal";
    }
    return "internal";
}
