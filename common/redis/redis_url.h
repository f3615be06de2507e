/*
 * redis_url.h - what REDIS_URL says. Pure.
 *
 *     redis://[[user]:password@]host[:port][/db]     unix://[[user]:password@]/path[?db=N]
 *
 * User and password are percent-decoded. redis+socket:// is taken as unix://, as Celery
 * writes it; virtual_host= and db= both name the database. rediss://, redis+sentinel:// and
 * redis+cluster:// are known names of what is not built yet: the error says so.
 */
#ifndef COMMON_REDIS_URL_H
#define COMMON_REDIS_URL_H

#include "common/error.h"

#include <stddef.h>

struct redis_url {
    char host[256];     /* empty with a socket path */
    int port;           /* 1-65535 */
    char path[108];     /* unix socket; empty otherwise */
    char username[128]; /* empty: the default user */
    char password[512]; /* empty: none */
    int db;             /* 0-16383 */
};

int redis_url_parse(const char *text, struct redis_url *url, struct error *err) WARN_UNUSED;
/* "redis://user:***@host:6379/0": for logs and errors. */
void redis_url_show(const struct redis_url *url, char *out, size_t out_size);

#endif
