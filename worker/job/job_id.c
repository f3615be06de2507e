/*
 * job_id.c - names of jobs: which texts are usable, and new ones.
 */
#include "common/clock.h"
#include "common/utf8.h"
#include "worker/job/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* Is the character of `len` bytes one of C0, DEL or C1 (U+0080-U+009F)? */
static bool
is_control(const unsigned char *character, size_t len)
{
    if (len == 1)
        return character[0] < 0x20 || character[0] == 0x7f;
    return len == 2 && character[0] == 0xc2 && character[1] < 0xa0;
}

bool
job_id_is_valid(const char *id, size_t len)
{
    if (len == 0 || len > JOB_ID_MAX)
        return false;
    for (size_t at = 0, step; at < len; at += step) {
        step = utf8_char(id + at, len - at);
        if (step == 0 || is_control((const unsigned char *)id + at, step))
            return false;
    }
    return true;
}

void
job_new_id(char id[37])
{
    uint64_t now_ms = (uint64_t)clock_wall_ms();
    uint16_t random[5];

    /* Cannot be short, because getrandom(2) gives up to 256 bytes whole. */
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort();
    snprintf(id, 37, "%08x-%04x-7%03x-%04x-%04x%04x%04x", (unsigned)(now_ms >> 16 & 0xffffffff),
             (unsigned)(now_ms & 0xffff), random[0] & 0xfffU, (random[1] & 0x3fffU) | 0x8000U,
             (unsigned)random[2], (unsigned)random[3], (unsigned)random[4]);
}
