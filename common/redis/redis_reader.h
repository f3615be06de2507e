/*
 * redis_reader.h - hiredis' reader of replies, with a bound.
 *
 * An announced array is allocated before its elements have come: "*2147483647" would be 16 GB for
 * twelve bytes. Nothing we ask for has more than REDIS_ELEMENTS_MAX elements.
 */
#ifndef COMMON_REDIS_READER_H
#define COMMON_REDIS_READER_H

#include <hiredis/hiredis.h>

#define REDIS_ELEMENTS_MAX (1024 * 1024)

/* NULL when out of memory. redisReaderFree. */
redisReader *redis_reader_new(void);

#endif
