#include "common/aws/aws_skew.h"

#include "common/clock.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_TRIP_MAX_MS (15 * 60 * 1000)
#define TOLERATED_MS      (4 * 60 * 1000)
/* A Date before 2020 or after 2199 is a server's mistake, or its malice: learned, it would make
 * requests that nobody takes, or years that can't be signed, and no answer would ever heal it. */
#define DATE_MIN_MS INT64_C(1577836800000)
#define DATE_MAX_MS INT64_C(7258118399999)

/* Codes that a wrong clock can be the reason of. */
static const char *const clock_codes[] = {
    "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure",
    "RequestTimeTooSkewed",      "AccessDeniedException",
};

static bool
is_clock_code(const char *code)
{
    for (size_t i = 0; i < sizeof(clock_codes) / sizeof(clock_codes[0]); i++)
        if (code != NULL && strcmp(code, clock_codes[i]) == 0)
            return true;
    return false;
}

bool
aws_skew_learn(struct aws_skew *skew, int64_t sent_wall_ms, int64_t received_wall_ms,
               const char *date, const char *age, const char *error_code)
{
    int64_t round_trip_ms = received_wall_ms - sent_wall_ms, server_ms;

    /* Age: a cache answered, its Date is old. Below 0: our clock was set meanwhile. */
    if (date == NULL || age != NULL || round_trip_ms < 0 || round_trip_ms > ROUND_TRIP_MAX_MS ||
        clock_parse_http_date(date, &server_ms) < 0 || server_ms < DATE_MIN_MS ||
        server_ms > DATE_MAX_MS)
        return false;
    skew->skew_ms = server_ms - (sent_wall_ms + round_trip_ms / 2);
    return llabs(skew->skew_ms) > TOLERATED_MS && is_clock_code(error_code);
}
