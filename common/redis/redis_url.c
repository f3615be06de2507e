#include "common/redis/redis_url.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_PORT 6379
#define DB_MAX       16383

enum scheme { SCHEME_TCP, SCHEME_UNIX, SCHEME_NOT_BUILT };

static const struct {
    const char *name;
    enum scheme scheme;
} schemes[] = {
    {"redis://", SCHEME_TCP},
    {"unix://", SCHEME_UNIX},
    {"redis+socket://", SCHEME_UNIX},
    {"rediss://", SCHEME_NOT_BUILT},
    {"redis+sentinel://", SCHEME_NOT_BUILT},
    {"redis+cluster://", SCHEME_NOT_BUILT},
};

/* A part of the URL, borrowed from it. No error below shows one: where a password holds a
 * raw '/' or '@', any of them may be a piece of it. */
struct part {
    const char *at, *end;
};

static size_t
part_len(struct part part)
{
    return (size_t)(part.end - part.at);
}

/* Cuts `part` at the first `mark`; false: there is none, *behind is empty. */
static bool
cut(struct part *part, char mark, struct part *behind)
{
    const char *found = memchr(part->at, mark, part_len(*part));

    *behind = (struct part){found == NULL ? part->end : found + 1, part->end};
    if (found != NULL)
        part->end = found;
    return found != NULL;
}

static int
hex_value(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Takes one byte, percent-decoded. False: a bad escape, or a NUL. */
static bool
take_byte(struct part *part, char *byte)
{
    *byte = *part->at++;
    if (*byte != '%')
        return *byte != '\0';
    if (part_len(*part) < 2 || hex_value(part->at[0]) < 0 || hex_value(part->at[1]) < 0)
        return false;
    *byte = (char)(hex_value(part->at[0]) * 16 + hex_value(part->at[1]));
    part->at += 2;
    return *byte != '\0';
}

static int
decode(struct part part, char *out, size_t out_size, const char *what, struct error *err)
{
    size_t len = 0;

    while (part.at < part.end) {
        if (len + 1 == out_size)
            return error_set(err, ERROR_CONFIG, "%s is longer than %zu bytes", what, out_size - 1);
        if (!take_byte(&part, &out[len++]))
            return error_set(err, ERROR_CONFIG, "%s has a '%%' that is no escape, or a NUL", what);
    }
    out[len] = '\0';
    return 0;
}

static int
read_number(struct part part, int low, int high, const char *what, int *value, struct error *err)
{
    int number = 0;
    bool is_number = part.at < part.end;

    for (; is_number && part.at < part.end; part.at++) {
        is_number = isdigit((unsigned char)*part.at) && number <= high;
        if (is_number)
            number = number * 10 + (*part.at - '0');
    }
    if (!is_number || number < low || number > high)
        return error_set(err, ERROR_CONFIG, "%s must be a whole number from %d to %d", what, low,
                         high);
    *value = number;
    return 0;
}

/* Takes "[user]:password@" off the front; the last '@' counts, as everywhere. */
static int
take_login(struct part *rest, struct redis_url *url, struct error *err)
{
    const char *at_sign = memrchr(rest->at, '@', part_len(*rest));
    struct part user = {rest->at, at_sign}, password;

    if (at_sign == NULL)
        return 0;
    rest->at = at_sign + 1;
    if (!cut(&user, ':', &password))
        return error_set(err, ERROR_CONFIG,
                         "what stands before '@' must be user:password or :password");
    if (decode(user, url->username, sizeof(url->username), "the user name", err) != 0)
        return -1;
    return decode(password, url->password, sizeof(url->password), "the password", err);
}

static int
read_host(struct part host, struct redis_url *url, struct error *err)
{
    if (host.at == host.end)
        return error_set(err, ERROR_CONFIG, "there is no host");
    if (part_len(host) >= sizeof(url->host))
        return error_set(err, ERROR_CONFIG, "the host is longer than %zu bytes",
                         sizeof(url->host) - 1);
    for (const char *at = host.at; at < host.end; at++)
        if (!isgraph((unsigned char)*at) || strchr("[]@%\\\"", *at) != NULL)
            return error_set(err, ERROR_CONFIG, "the host is no host name or address");
    memcpy(url->host, host.at, part_len(host));
    return 0;
}

/* host, host:port, [::1] or [::1]:port */
static int
read_address(struct part host, struct redis_url *url, struct error *err)
{
    struct part port;
    bool has_port;

    if (host.at < host.end && *host.at == '[') {
        struct part behind;

        host.at++;
        if (!cut(&host, ']', &behind) || (behind.at < behind.end && *behind.at != ':'))
            return error_set(err, ERROR_CONFIG, "an IPv6 address stands in brackets: [::1]:6379");
        has_port = cut(&behind, ':', &port);
    } else {
        has_port = cut(&host, ':', &port);
    }
    if (read_host(host, url, err) != 0)
        return -1;
    url->port = DEFAULT_PORT;
    return has_port ? read_number(port, 1, 65535, "the port", &url->port, err) : 0;
}

static bool
is_text(struct part part, const char *text)
{
    return part_len(part) == strlen(text) && memcmp(part.at, text, part_len(part)) == 0;
}

/* "db=1" or, as Celery has it, "virtual_host=1" */
static int
read_query(struct part query, struct redis_url *url, struct error *err)
{
    while (query.at < query.end) {
        struct part name = query, value, next;

        cut(&name, '&', &next);
        cut(&name, '=', &value);
        if (!is_text(name, "db") && !is_text(name, "virtual_host"))
            return error_set(err, ERROR_CONFIG, "the only option behind '?' is db=N");
        if (read_number(value, 0, DB_MAX, "the database", &url->db, err) != 0)
            return -1;
        query = next;
    }
    return 0;
}

static int
read_tcp(struct part rest, struct redis_url *url, struct error *err)
{
    struct part db;

    cut(&rest, '/', &db);
    if (take_login(&rest, url, err) != 0 || read_address(rest, url, err) != 0)
        return -1;
    return db.at < db.end ? read_number(db, 0, DB_MAX, "the database", &url->db, err) : 0;
}

static int
read_unix(struct part rest, struct redis_url *url, struct error *err)
{
    struct part path, front = rest;

    if (!cut(&front, '/', &path))
        return error_set(err, ERROR_CONFIG, "there is no path: unix:///run/redis.sock");
    path.at--;
    if (take_login(&front, url, err) != 0)
        return -1;
    if (front.at < front.end)
        return error_set(err, ERROR_CONFIG, "a socket has no host: unix:///run/redis.sock");
    return decode(path, url->path, sizeof(url->path), "the path", err);
}

static int
read_rest(const char *text, enum scheme scheme, struct redis_url *url, struct error *err)
{
    struct part rest = {text, text + strlen(text)}, query;
    bool is_tcp = scheme == SCHEME_TCP;

    cut(&rest, '?', &query);
    if ((is_tcp ? read_tcp : read_unix)(rest, url, err) != 0)
        return -1;
    return read_query(query, url, err);
}

int
redis_url_parse(const char *text, struct redis_url *url, struct error *err)
{
    memset(url, 0, sizeof(*url));
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].name);

        if (strncasecmp(text, schemes[i].name, len) != 0)
            continue;
        if (schemes[i].scheme == SCHEME_NOT_BUILT)
            return error_set(err, ERROR_CONFIG, "%s is not available in this version",
                             schemes[i].name);
        return read_rest(text + len, schemes[i].scheme, url, err);
    }
    return error_set(err, ERROR_CONFIG, "must begin with redis:// or unix://");
}

void
redis_url_show(const struct redis_url *url, char *out, size_t out_size)
{
    bool has_login = url->username[0] != '\0' || url->password[0] != '\0';
    const char *password = !has_login ? "" : url->password[0] != '\0' ? ":***@" : ":@";
    bool is_ipv6 = strchr(url->host, ':') != NULL;

    if (url->path[0] != '\0')
        snprintf(out, out_size, "unix://%s%s%s?db=%d", url->username, password, url->path, url->db);
    else
        snprintf(out, out_size, "redis://%s%s%s%s%s:%d/%d", url->username, password,
                 is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "", url->port, url->db);
}
