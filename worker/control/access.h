/*
 * access.h - who may use the HTTP port. Pure.
 *
 * A port on loopback is within reach of every page in every browser of this host. The Host
 * header tells a page that made its own name point here (DNS rebinding), Origin and
 * Sec-Fetch-Site tell a page of another site.
 */
#ifndef WORKER_CONTROL_ACCESS_H
#define WORKER_CONTROL_ACCESS_H

#include <stdbool.h>

struct access_rules {
    const char *address; /* that we listen on, without brackets */
    int port;
    const char *token; /* NULL: none is asked for */
};

/* What a request says of itself; each may be NULL. */
struct access_claims {
    const char *host;
    const char *origin;
    const char *fetch_site; /* Sec-Fetch-Site */
    const char *authorization;
};

/* Is this an address of 127.0.0.0/8 or ::1? */
bool access_is_loopback(const char *address);
/* NULL, or why the request is refused (a sentence). */
const char *access_refuses_site(const struct access_rules *rules,
                                const struct access_claims *claims);
/* Does it bear the token, where one is asked for? In constant time. */
bool access_has_token(const struct access_rules *rules, const struct access_claims *claims);

#endif
