/*
 * body.h - the body of a message: what is left when base64 and compression are taken off. Pure.
 */
#ifndef WORKER_CELERY_BODY_H
#define WORKER_CELERY_BODY_H

#include "common/json/json.h"

/* Strict base64, padding included, as a new block; NULL when it is none, or there is no memory. */
char *celery_base64(const char *text, size_t len, size_t *out_len);
/* Inflates a zlib stream (what kombu calls gzip) or a gzip file to at most `most` bytes, as a new
 * block. ERROR_INPUT: no such stream, or larger. */
char *celery_inflate(const char *bytes, size_t len, size_t most, size_t *out_len,
                     struct error *err);

#endif
