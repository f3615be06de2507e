/*
 * redis_url.h - what REDIS_URL says. Pure.
 *
 *     redis://[[user]:password@]host[:port][/db]     unix://[[user]:password@]/path[?db=N]
 *     redis+sentinel://[[user]:password@]host[:port],.../master-name[/db]
 *     redis+cluster://[[user]:password@]host[:port],...
 *
 * With rediss for redis the connection is TLS. User, password, path and option values are
 * percent-decoded. redis+socket:// is taken as unix://, as Celery writes it.
 *
 * Options behind '?', joined with '&': db= and virtual_host= name the database; redis-py's
 * ssl_ca_certs=, ssl_certfile= and ssl_keyfile= name PEM files; ssl_cert_reqs=required is the
 * only value of it there is; sentinel_username= and sentinel_password= log in to the sentinels.
 */
#ifndef COMMON_REDIS_URL_H
#define COMMON_REDIS_URL_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define REDIS_SEEDS_MAX 16

enum redis_topology {
    REDIS_SINGLE,
    REDIS_SENTINEL, /* the seeds are sentinels, who know where the primary is */
    REDIS_CLUSTER,  /* the seeds are nodes, who know all others */
};

struct redis_seed {
    char host[256];
    int port; /* 1-65535 */
};

/* Where to find a server's certificate trustworthy, and our own. PEM files; empty: none. */
struct redis_tls_files {
    char ca[1024];         /* empty: the system's authorities */
    char cert[1024];       /* our certificate and its chain */
    char key[1024];        /* its key */
    char server_name[256]; /* whom the certificate must name; empty: the host */
};

struct redis_url {
    enum redis_topology topology;
    bool is_tls;
    char host[256]; /* where a connection goes; the first seed's, unless told better. Empty with a
                       socket path */
    int port;       /* 1-65535 */
    int seed_count; /* 1 or more with Sentinel and Cluster */
    struct redis_seed seeds[REDIS_SEEDS_MAX];
    char path[108];     /* unix socket; empty otherwise */
    char username[128]; /* empty: the default user */
    char password[512]; /* empty: none */
    int db;             /* 0-16383; 0 with Cluster, which has no other */
    char master_name[128];
    char sentinel_username[128];
    char sentinel_password[512];
    struct redis_tls_files tls;
};

int redis_url_parse(const char *text, struct redis_url *url, struct error *err) WARN_UNUSED;
/* "redis://user:***@host:6379/0": for logs and errors. No option is shown. */
void redis_url_show(const struct redis_url *url, char *out, size_t out_size);
/* The same for the one server at `host` and `port`, whatever the topology. */
void redis_url_show_server(const struct redis_url *url, char *out, size_t out_size);

#endif
