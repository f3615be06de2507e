/*
 * aws_skew.h - how far this host's clock is off, as AWS sees it. Pure.
 *
 * AWS refuses a signature that is more than 5 minutes old or early. The rule is the one that
 * the AWS SDKs for Go, Java, Rust and C++ share: after every answer with a Date header, without
 * an Age header, whose round trip took at most 15 min, skew = Date - midpoint(sent, received).
 * Dates outside 2020-2199 are not believed.
 */
#ifndef COMMON_AWS_SKEW_H
#define COMMON_AWS_SKEW_H

#include <stdbool.h>
#include <stdint.h>

struct aws_skew {
    int64_t skew_ms; /* add to the wall clock when signing; starts at 0 */
};

/* Learns from an answer (`date`, `age` may be NULL). `error_code` is the AWS error code or
 * NULL. Returns true when the call failed for its clock (the code is one of five, and the
 * skew just measured is beyond 4 min) and is worth one more try. */
bool aws_skew_learn(struct aws_skew *skew, int64_t sent_wall_ms, int64_t received_wall_ms,
                    const char *date, const char *age, const char *error_code);

#endif
