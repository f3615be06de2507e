/* sentinel: what a sentinel says of the primary.
 * Input: the message of +switch-master up to 0x01, then bytes for hiredis' reader. */
#include "common/redis/redis_reader.h"
#include "common/redis/redis_sentinel.h"
#include "tests/fuzz/fuzz.h"

static void
must_be_address(const struct redis_seed *primary)
{
    size_t len = strnlen(primary->host, sizeof(primary->host));

    MUST(len > 0 && len < sizeof(primary->host));
    MUST(primary->port >= 1 && primary->port <= 65535);
}

/* Also under a master's name with a blank. */
static void
check_switch(const char *message, size_t len)
{
    static const char *const masters[] = {"m", "my master"};
    struct redis_seed primary;

    for (size_t i = 0; i < sizeof(masters) / sizeof(masters[0]); i++) {
        if (!redis_sentinel_read_switch(message, len, masters[i], &primary))
            continue;
        must_be_address(&primary);
        MUST(memmem(message, len, primary.host, strlen(primary.host)) != NULL);
    }
}

static void
check_address(const char *bytes, size_t len)
{
    redisReader *reader = redis_reader_new();
    struct redis_seed primary;
    void *reply = NULL;

    redisReaderFeed(reader, bytes, len);
    if (redisReaderGetReply(reader, &reply) == REDIS_OK &&
        redis_sentinel_read_address(reply, &primary))
        must_be_address(&primary);
    if (reply != NULL)
        freeReplyObject(reply);
    redisReaderFree(reader);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const char *end = size == 0 ? NULL : memchr(data, '\x01', size);
    size_t len = end == NULL ? size : (size_t)(end - (const char *)data);
    char *message = input_copy(data, len);

    check_switch(message, len);
    if (end != NULL)
        check_address(end + 1, size - len - 1);
    free(message);
    return 0;
}
