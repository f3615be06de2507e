#include "common/redis/redis_slot.h"

#include "common/redis/redis.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* CRC16-CCITT as XMODEM has it: polynomial 0x1021, starts from 0. */
static uint16_t
crc16(const char *bytes, size_t len)
{
    unsigned crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)(unsigned char)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

int
redis_slot(const char *key, size_t len)
{
    const char *open = memchr(key, '{', len);
    const char *close = open == NULL ? NULL : memchr(open + 1, '}', len - (size_t)(open + 1 - key));

    if (close != NULL && close > open + 1)
        return crc16(open + 1, (size_t)(close - open - 1)) % REDIS_SLOTS;
    return crc16(key, len) % REDIS_SLOTS;
}

/* A node that does not know its own name gives none, or '?': it means itself. */
static bool
set_host(struct redis_node_address *address, const char *host, size_t len, const char *asked)
{
    if (len == 0 || (len == 1 && host[0] == '?')) {
        host = asked;
        len = strlen(asked);
    }
    if (len == 0 || len >= sizeof(address->host) || memchr(host, '\0', len) != NULL)
        return false;
    memcpy(address->host, host, len);
    address->host[len] = '\0';
    return true;
}

/* A whole number up to `most` that ends with one of `ends`; -1: it is none. */
static int
read_number(const char *text, int most, const char *ends, const char **behind)
{
    int value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && value <= most; at++)
        value = value * 10 + (*at - '0');
    if (at == text || value > most || strchr(ends, *at) == NULL)
        return -1;
    *behind = at;
    return value;
}

bool
redis_redirect_read(const char *text, const char *asked, struct redis_redirect *redirect)
{
    static const struct {
        const char *begins;
        enum redis_redirect_kind kind;
    } kinds[] = {{"MOVED ", REDIS_MOVED}, {"ASK ", REDIS_ASK}};
    const char *at = NULL, *colon;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strncmp(text, kinds[i].begins, strlen(kinds[i].begins)) == 0) {
            redirect->kind = kinds[i].kind;
            at = text + strlen(kinds[i].begins);
        }
    if (at == NULL)
        return false;
    redirect->slot = read_number(at, REDIS_SLOTS - 1, " ", &at);
    if (redirect->slot < 0 || *at != ' ')
        return false;
    colon = strrchr(++at, ':'); /* the last one: an IPv6 address has more */
    if (colon == NULL || !set_host(&redirect->to, at, (size_t)(colon - at), asked))
        return false;
    redirect->to.port = read_number(colon + 1, 65535, "", &at);
    return redirect->to.port > 0 && *at == '\0';
}

/* [host or nil, port, id, ...] */
static bool
read_node(const redisReply *reply, const char *asked, struct redis_node_address *address)
{
    const redisReply *host = redis_at(reply, 0);
    int64_t port = redis_int(redis_at(reply, 1), 0);
    bool is_text = redis_str(host, NULL) != NULL;

    if (host == NULL || (!is_text && host->type != REDIS_REPLY_NIL) || port < 1 || port > 65535)
        return false;
    address->port = (int)port;
    return set_host(address, is_text ? host->str : "", is_text ? (size_t)host->len : 0, asked);
}

int
redis_slots_read(const redisReply *reply, const char *asked, redis_slot_range_fn *fn, void *arg,
                 struct error *err)
{
    int ranges = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY)
        return error_set(err, ERROR_INTERNAL, "CLUSTER SLOTS: the reply is no list");
    for (size_t i = 0; i < reply->elements && i < REDIS_SLOTS; i++) {
        const redisReply *range = redis_at(reply, i);
        int64_t first = redis_int(redis_at(range, 0), -1);
        int64_t last = redis_int(redis_at(range, 1), -1);
        struct redis_node_address primary;

        if (first < 0 || last < first || last >= REDIS_SLOTS ||
            !read_node(redis_at(range, 2), asked, &primary))
            continue;
        ranges++;
        fn((int)first, (int)last, &primary, arg);
    }
    if (ranges == 0)
        return error_set(err, ERROR_INTERNAL, "CLUSTER SLOTS: no slot has a node");
    return 0;
}
