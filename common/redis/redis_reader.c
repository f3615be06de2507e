#include "common/redis/redis_reader.h"

/* hiredis' own, but for one. They are the same for every reader; the first one fills them in. */
static redisReplyObjectFunctions functions;
static void *(*create_array)(const redisReadTask *task, int elements);

/* NULL is "out of memory" for hiredis: the connection ends. */
static void *
create_bounded_array(const redisReadTask *task, int elements)
{
    return elements > REDIS_ELEMENTS_MAX ? NULL : create_array(task, elements);
}

redisReader *
redis_reader_new(void)
{
    redisReader *reader = redisReaderCreate();

    if (reader == NULL)
        return NULL;
    if (create_array == NULL) {
        functions = *reader->fn;
        create_array = functions.createArray;
        functions.createArray = create_bounded_array;
    }
    reader->fn = &functions;
    return reader;
}
