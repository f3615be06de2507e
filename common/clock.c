#include "common/clock.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t
read_ms(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t
clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

struct timeval
clock_timeval(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

int64_t
clock_jitter(int64_t low, int64_t high)
{
    uint64_t count = (uint64_t)high - (uint64_t)low + 1; /* 0: all 2^64 */
    uint64_t fair = count == 0 ? UINT64_MAX : UINT64_MAX - UINT64_MAX % count;
    uint64_t random;

    /* Values from `fair` up would make small results likelier. */
    do {
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
            return high; /* no getrandom here (seccomp): the longest wait harms nobody */
    } while (count != 0 && random >= fair);
    return (int64_t)((uint64_t)low + (count == 0 ? random : random % count));
}

/*
 * Dates. By hand, because strptime knows the locale's names and forgives blanks.
 */

/* Takes exactly `count` digits off *at. */
static bool
take_number(const char **at, int count, int *value)
{
    *value = 0;
    for (; count > 0; count--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

/* Takes one byte that is among `allowed`, which has letters in upper case only. */
static bool
take_one_of(const char **at, const char *allowed)
{
    char byte = **at >= 'a' && **at <= 'z' ? (char)(**at - 0x20) : **at;

    if (byte == '\0' || strchr(allowed, byte) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool
take_text(const char **at, const char *text)
{
    size_t len = strlen(text);

    if (strncmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

/* Takes one of the three-letter names and sets its place in the list. */
static bool
take_name(const char **at, const char *names, int *place)
{
    for (*place = 0; *names != '\0'; names += 3, (*place)++) {
        if (strncmp(*at, names, 3) == 0) {
            *at += 3;
            return true;
        }
    }
    return false;
}

static bool
take_time(const char **at, struct tm *date)
{
    return take_number(at, 2, &date->tm_hour) && take_text(at, ":") &&
           take_number(at, 2, &date->tm_min) && take_text(at, ":") &&
           take_number(at, 2, &date->tm_sec);
}

/* Unix seconds of a UTC date, unless it has a 30th of February or a 25th hour. */
static bool
to_unix(struct tm *date, int64_t *seconds)
{
    struct tm day = {.tm_year = date->tm_year, .tm_mon = date->tm_mon, .tm_mday = date->tm_mday};
    time_t midnight = timegm(&day);

    /* timegm carries what is out of range on: then day and month are others. */
    if (day.tm_mon != date->tm_mon || day.tm_mday != date->tm_mday)
        return false;
    if (date->tm_hour > 23 || date->tm_min > 59 || date->tm_sec > 60) /* 60: a leap second */
        return false;
    date->tm_wday = day.tm_wday;
    *seconds = (int64_t)midnight + date->tm_hour * 3600 + date->tm_min * 60 + date->tm_sec;
    return true;
}

static bool
take_day(const char **at, struct tm *date)
{
    if (!take_number(at, 4, &date->tm_year) || !take_text(at, "-") ||
        !take_number(at, 2, &date->tm_mon) || !take_text(at, "-") ||
        !take_number(at, 2, &date->tm_mday))
        return false;
    date->tm_year -= 1900;
    date->tm_mon -= 1;
    return true;
}

/* ".5" as 500; nothing as 0; digits beyond the third are dropped. */
static bool
take_fraction(const char **at, int *ms)
{
    const char *first;

    *ms = 0;
    if (!take_text(at, "."))
        return true;
    first = *at;
    for (int unit = 100; **at >= '0' && **at <= '9'; unit /= 10)
        *ms += (*(*at)++ - '0') * unit;
    return *at > first;
}

/* "Z" or "+01:00", as seconds east of UTC. */
static bool
take_offset(const char **at, int *seconds)
{
    int sign = **at == '-' ? -1 : 1;
    int hours, minutes;

    *seconds = 0;
    if (take_one_of(at, "Z"))
        return true;
    if (!take_one_of(at, "+-") || !take_number(at, 2, &hours) || !take_text(at, ":") ||
        !take_number(at, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

int
clock_parse_rfc3339(const char *text, int64_t *ms)
{
    struct tm date = {0};
    int fraction, offset;
    int64_t seconds;

    /* A blank for the T is in the RFC's note, and what Python's str() prints. */
    if (!take_day(&text, &date) || !take_one_of(&text, "T ") || !take_time(&text, &date) ||
        !take_fraction(&text, &fraction) || !take_offset(&text, &offset) || *text != '\0' ||
        !to_unix(&date, &seconds))
        return -1;
    *ms = (seconds - offset) * 1000 + fraction;
    return 0;
}

int
clock_parse_http_date(const char *text, int64_t *ms)
{
    struct tm date = {0};
    int weekday;
    int64_t seconds;

    if (!take_name(&text, "SunMonTueWedThuFriSat", &weekday) || !take_text(&text, ", ") ||
        !take_number(&text, 2, &date.tm_mday) || !take_text(&text, " ") ||
        !take_name(&text, "JanFebMarAprMayJunJulAugSepOctNovDec", &date.tm_mon) ||
        !take_text(&text, " ") || !take_number(&text, 4, &date.tm_year) || !take_text(&text, " ") ||
        !take_time(&text, &date) || !take_text(&text, " GMT") || *text != '\0')
        return -1;
    date.tm_year -= 1900;
    if (!to_unix(&date, &seconds) || date.tm_wday != weekday)
        return -1;
    *ms = seconds * 1000;
    return 0;
}
