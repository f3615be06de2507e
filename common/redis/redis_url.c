#include "common/redis/redis_url.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REDIS_PORT    6379
#define SENTINEL_PORT 26379
#define DB_MAX        16383

static const struct scheme {
    const char *name;
    bool is_socket;
    bool is_tls;
    enum redis_topology topology;
} schemes[] = {
    {"redis://", false, false, REDIS_SINGLE},
    {"rediss://", false, true, REDIS_SINGLE},
    {"unix://", true, false, REDIS_SINGLE},
    {"redis+socket://", true, false, REDIS_SINGLE},
    {"redis+sentinel://", false, false, REDIS_SENTINEL},
    {"rediss+sentinel://", false, true, REDIS_SENTINEL},
    {"redis+cluster://", false, false, REDIS_CLUSTER},
    {"rediss+cluster://", false, true, REDIS_CLUSTER},
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
read_host(struct part host, struct redis_seed *seed, struct error *err)
{
    if (host.at == host.end)
        return error_set(err, ERROR_CONFIG, "there is no host");
    if (part_len(host) >= sizeof(seed->host))
        return error_set(err, ERROR_CONFIG, "the host is longer than %zu bytes",
                         sizeof(seed->host) - 1);
    for (const char *at = host.at; at < host.end; at++)
        if (!isgraph((unsigned char)*at) || strchr("[]@%\\\",", *at) != NULL)
            return error_set(err, ERROR_CONFIG, "the host is no host name or address");
    memcpy(seed->host, host.at, part_len(host));
    return 0;
}

/* host, host:port, [::1] or [::1]:port */
static int
read_address(struct part host, int default_port, struct redis_seed *seed, struct error *err)
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
    if (read_host(host, seed, err) != 0)
        return -1;
    seed->port = default_port;
    return has_port ? read_number(port, 1, 65535, "the port", &seed->port, err) : 0;
}

/* One address, or with Sentinel and Cluster a list of them. */
static int
read_addresses(struct part list, struct redis_url *url, struct error *err)
{
    int default_port = url->topology == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
    struct part next = list;
    bool has_more = true;

    while (has_more) {
        list = next;
        has_more = url->topology != REDIS_SINGLE && cut(&list, ',', &next);
        if (url->seed_count == REDIS_SEEDS_MAX)
            return error_set(err, ERROR_CONFIG, "there are more than %d hosts", REDIS_SEEDS_MAX);
        if (read_address(list, default_port, &url->seeds[url->seed_count], err) != 0)
            return -1;
        url->seed_count++;
    }
    memcpy(url->host, url->seeds[0].host, sizeof(url->host));
    url->port = url->seeds[0].port;
    if (url->topology == REDIS_SINGLE) {
        url->seeds[0] = (struct redis_seed){0};
        url->seed_count = 0;
    }
    return 0;
}

static bool
is_text(struct part part, const char *text)
{
    return part_len(part) == strlen(text) && memcmp(part.at, text, part_len(part)) == 0;
}

static int
read_db(struct part text, struct redis_url *url, struct error *err)
{
    if (read_number(text, 0, DB_MAX, "the database", &url->db, err) != 0)
        return -1;
    if (url->db != 0 && url->topology == REDIS_CLUSTER)
        return error_set(err, ERROR_CONFIG, "a cluster has no other database than 0");
    return 0;
}

/* A server whose certificate nobody looks at may be anybody. */
static int
read_cert_reqs(struct part text, struct redis_url *url, struct error *err)
{
    (void)url;
    if (is_text(text, "required") || is_text(text, "CERT_REQUIRED"))
        return 0;
    return error_set(err, ERROR_CONFIG,
                     "ssl_cert_reqs can only be required: name the server's authority with "
                     "ssl_ca_certs instead");
}

/* Options that are kept as they are. */
static const struct {
    const char *name;
    size_t offset, size;
} text_options[] = {
#define TEXT_OPTION(name, member)                                                                  \
    {                                                                                              \
        name, offsetof(struct redis_url, member), sizeof(((struct redis_url *)0)->member)          \
    }
    TEXT_OPTION("ssl_ca_certs", tls.ca),
    TEXT_OPTION("ssl_certfile", tls.cert),
    TEXT_OPTION("ssl_keyfile", tls.key),
    TEXT_OPTION("sentinel_username", sentinel_username),
    TEXT_OPTION("sentinel_password", sentinel_password),
};

static const struct {
    const char *name;
    int (*read)(struct part text, struct redis_url *url, struct error *err);
} read_options[] = {
    {"db", read_db},
    {"virtual_host", read_db},
    {"ssl_cert_reqs", read_cert_reqs},
};

static int
read_option(struct part name, struct part value, struct redis_url *url, struct error *err)
{
    for (size_t i = 0; i < sizeof(read_options) / sizeof(read_options[0]); i++)
        if (is_text(name, read_options[i].name))
            return read_options[i].read(value, url, err);
    for (size_t i = 0; i < sizeof(text_options) / sizeof(text_options[0]); i++)
        if (is_text(name, text_options[i].name))
            return decode(value, (char *)url + text_options[i].offset, text_options[i].size,
                          text_options[i].name, err);
    return error_set(err, ERROR_CONFIG,
                     "the options behind '?' are db, ssl_ca_certs, ssl_certfile, ssl_keyfile, "
                     "ssl_cert_reqs, sentinel_username and sentinel_password");
}

static int
read_query(struct part query, struct redis_url *url, struct error *err)
{
    while (query.at < query.end) {
        struct part name = query, value, next;

        cut(&name, '&', &next);
        cut(&name, '=', &value);
        if (read_option(name, value, url, err) != 0)
            return -1;
        query = next;
    }
    return 0;
}

static int
read_master_name(struct part name, struct redis_url *url, struct error *err)
{
    if (name.at == name.end)
        return error_set(err, ERROR_CONFIG,
                         "there is no master name: redis+sentinel://host:26379/mymaster/0");
    return decode(name, url->master_name, sizeof(url->master_name), "the master name", err);
}

static int
read_tcp(struct part rest, struct redis_url *url, struct error *err)
{
    struct part path, db;

    cut(&rest, '/', &path);
    if (take_login(&rest, url, err) != 0 || read_addresses(rest, url, err) != 0)
        return -1;
    db = path;
    if (url->topology == REDIS_SENTINEL) {
        cut(&path, '/', &db);
        if (read_master_name(path, url, err) != 0)
            return -1;
    }
    return db.at < db.end ? read_db(db, url, err) : 0;
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

int
redis_url_parse(const char *text, struct redis_url *url, struct error *err)
{
    memset(url, 0, sizeof(*url));
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const struct scheme *scheme = &schemes[i];
        size_t len = strlen(scheme->name);
        struct part rest = {text + len, text + strlen(text)}, query;

        if (strncasecmp(text, scheme->name, len) != 0)
            continue;
        url->is_tls = scheme->is_tls;
        url->topology = scheme->topology;
        cut(&rest, '?', &query);
        if ((scheme->is_socket ? read_unix : read_tcp)(rest, url, err) != 0)
            return -1;
        return read_query(query, url, err);
    }
    return error_set(err, ERROR_CONFIG,
                     "must begin with redis://, rediss://, unix://, redis+sentinel:// or "
                     "redis+cluster://");
}

/* Appends; what does not fit is cut. */
static void __attribute__((format(printf, 3, 4)))
add(char *out, size_t out_size, const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;

    va_start(args, format);
    vsnprintf(out + len, out_size - len, format, args);
    va_end(args);
}

static void
add_login(const struct redis_url *url, char *out, size_t out_size)
{
    if (url->password[0] != '\0')
        add(out, out_size, "%s:***@", url->username);
    else if (url->username[0] != '\0')
        add(out, out_size, "%s:@", url->username);
}

static void
add_address(const char *host, int port, char *out, size_t out_size)
{
    bool is_ipv6 = strchr(host, ':') != NULL;

    add(out, out_size, "%s%s%s:%d", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port);
}

void
redis_url_show_server(const struct redis_url *url, char *out, size_t out_size)
{
    bool is_socket = url->path[0] != '\0';

    out[0] = '\0';
    add(out, out_size, "%s://", is_socket ? "unix" : url->is_tls ? "rediss" : "redis");
    add_login(url, out, out_size);
    if (is_socket) {
        add(out, out_size, "%s?db=%d", url->path, url->db);
        return;
    }
    add_address(url->host, url->port, out, out_size);
    add(out, out_size, "/%d", url->db);
}

void
redis_url_show(const struct redis_url *url, char *out, size_t out_size)
{
    if (url->topology == REDIS_SINGLE) {
        redis_url_show_server(url, out, out_size);
        return;
    }
    out[0] = '\0';
    add(out, out_size, "redis%s+%s://", url->is_tls ? "s" : "",
        url->topology == REDIS_SENTINEL ? "sentinel" : "cluster");
    add_login(url, out, out_size);
    for (int i = 0; i < url->seed_count; i++) {
        add(out, out_size, "%s", i > 0 ? "," : "");
        add_address(url->seeds[i].host, url->seeds[i].port, out, out_size);
    }
    if (url->topology == REDIS_SENTINEL)
        add(out, out_size, "/%s/%d", url->master_name, url->db);
}
