/*
 * http_peer.h - which addresses a call may be connected to.
 *
 * A name of the settings is looked up by DNS, which others answer: one that points to this
 * host's link, where clouds serve the machine's own credentials (169.254.169.254,
 * fd00:ec2::254), or to "this host" is not followed there. Who means such an address writes
 * it into the URL itself. Pure but for http_peer_open.
 */
#ifndef COMMON_HTTP_HTTP_PEER_H
#define COMMON_HTTP_HTTP_PEER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

/* What an address is that a name may not lead to ("link-local", "unspecified"), or NULL. IPv4
 * within IPv6 (mapped, NAT64) is looked at, too. */
const char *http_peer_objection(const struct sockaddr *address);
/* Is the URL's host an address, rather than a name? */
bool http_peer_is_literal(const char *url);

/* Opens the socket, or returns CURL_SOCKET_BAD and fills `why` ("link-local address
 * 169.254.169.254"). */
curl_socket_t http_peer_open(CURL *easy, const struct curl_sockaddr *address, char *why,
                             size_t why_size);

#endif
