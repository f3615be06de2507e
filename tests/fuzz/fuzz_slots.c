/* slots: what a node of Redis Cluster says: a redirect, and the reply to CLUSTER SLOTS.
 * Input: the redirect's text up to 0x01, then bytes for hiredis' reader. */
#include "common/redis/redis_reader.h"
#include "common/redis/redis_slot.h"
#include "tests/fuzz/fuzz.h"

static void
must_be_address(const struct redis_node_address *address)
{
    size_t len = strnlen(address->host, sizeof(address->host));

    MUST(len > 0 && len < sizeof(address->host));
    MUST(address->port >= 1 && address->port <= 65535);
}

static void
on_range(int first, int last, const struct redis_node_address *primary, void *arg)
{
    int *ranges = arg;

    MUST(first >= 0 && first <= last && last < REDIS_SLOTS);
    must_be_address(primary);
    (*ranges)++;
}

static void
check_redirect(const char *text)
{
    struct redis_redirect redirect;

    if (!redis_redirect_read(text, "asked", &redirect))
        return;
    MUST(redirect.kind == REDIS_MOVED || redirect.kind == REDIS_ASK);
    MUST(redirect.slot >= 0 && redirect.slot < REDIS_SLOTS);
    must_be_address(&redirect.to);
}

static void
check_map(const char *bytes, size_t len)
{
    redisReader *reader = redis_reader_new();
    void *reply = NULL;
    struct error err;
    int ranges = 0;

    redisReaderFeed(reader, bytes, len);
    if (redisReaderGetReply(reader, &reply) == REDIS_OK) {
        int outcome = redis_slots_read(reply, "asked", on_range, &ranges, &err);

        MUST((outcome == 0) == (ranges > 0));
    }
    if (reply != NULL)
        freeReplyObject(reply);
    redisReaderFree(reader);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    char *redirect = input_text(&input, '\x01');
    int slot = redis_slot((const char *)data, size);

    MUST(slot >= 0 && slot < REDIS_SLOTS);
    check_redirect(redirect);
    if (input.len > 0)
        check_map(input.at, input.len);
    free(redirect);
    return 0;
}
