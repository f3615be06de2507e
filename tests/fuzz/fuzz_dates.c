/* dates and waits: RFC 3339 (run_at), HTTP dates (Date), Retry-After.
 * Input: two texts with a 0x01 between them. */
#include "common/aws/aws_skew.h"
#include "common/clock.h"
#include "tests/fuzz/fuzz.h"
#include "worker/provider/retry_after.h"

#include <time.h>

#define YEAR_10000_MS INT64_C(253402300800000)
#define DAY_MS        INT64_C(86400000)

static struct tm
utc_of(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;

    MUST(gmtime_r(&seconds, &utc) != NULL);
    return utc;
}

/* What was read, printed in the plainest form, is read as the same. */
static void
check_rfc3339(const char *text)
{
    int64_t ms, again = -1;
    char date[64];
    struct tm utc;

    if (clock_parse_rfc3339(text, &ms) != 0)
        return;
    MUST(ms > -63000000 * INT64_C(1000000) && ms < YEAR_10000_MS + DAY_MS);
    if (ms < 0 || ms >= YEAR_10000_MS)
        return;
    utc = utc_of(ms);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
    MUST(clock_parse_rfc3339(date, &again) == 0 && again == ms / 1000 * 1000);
}

static void
check_http_date(const char *text)
{
    int64_t ms, again = -1;
    char date[64];
    struct tm utc;

    if (clock_parse_http_date(text, &ms) != 0)
        return;
    MUST(ms % 1000 == 0 && ms < YEAR_10000_MS + DAY_MS);
    if (ms < 0 || ms >= YEAR_10000_MS)
        return;
    utc = utc_of(ms);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    MUST(clock_parse_http_date(date, &again) == 0 && again == ms);
}

static void
check_wait(const char *standard, const char *amz, int64_t now_ms)
{
    int64_t wait_ms = retry_after_ms(standard, amz, now_ms);

    MUST(wait_ms >= 0 && wait_ms <= RETRY_AFTER_MAX_MS);
    MUST(wait_ms >= retry_after_ms(standard, NULL, now_ms));
    MUST(wait_ms >= retry_after_ms(NULL, amz, now_ms));
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const int64_t now_ms = INT64_C(1768478400000);
    struct input input = {(const char *)data, size};
    char *first = input_text(&input, '\x01'), *second = input_text(&input, '\x01');
    struct aws_skew skew = {0};

    check_rfc3339(first);
    check_http_date(first);
    check_wait(first, second, now_ms);
    check_wait(second, first, -now_ms * 1000);
    aws_skew_learn(&skew, now_ms, now_ms + 1000, first, NULL, second);
    MUST(skew.skew_ms > -DAY_MS * 366 * 200 && skew.skew_ms < DAY_MS * 366 * 200);
    free(first);
    free(second);
    return 0;
}
