#include "worker/provider/retry_after.h"

#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

/* A decimal number times `unit_ms`; 0 when the text is none. No strtod alone: it would take
 * "nan", "inf" and "0x10". */
static int64_t
read_number(const char *text, int64_t unit_ms)
{
    double value;

    if (text[0] == '\0' || strspn(text, "0123456789.") != strlen(text))
        return 0;
    value = strtod(text, NULL) * (double)unit_ms;
    return value < RETRY_AFTER_MAX_MS ? (int64_t)value : RETRY_AFTER_MAX_MS;
}

static int64_t
bound(int64_t wait_ms)
{
    if (wait_ms < 0)
        return 0;
    return wait_ms < RETRY_AFTER_MAX_MS ? wait_ms : RETRY_AFTER_MAX_MS;
}

int64_t
retry_after_ms(const char *retry_after, const char *amz_retry_after, int64_t now_ms)
{
    int64_t date_ms, standard_ms = 0, amz_ms = 0;

    if (retry_after != NULL && clock_parse_http_date(retry_after, &date_ms) == 0)
        standard_ms = bound(date_ms - now_ms);
    else if (retry_after != NULL)
        standard_ms = read_number(retry_after, 1000);
    if (amz_retry_after != NULL)
        amz_ms = read_number(amz_retry_after, 1);
    return standard_ms > amz_ms ? standard_ms : amz_ms;
}
