#include "common/http/http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char *
objection_to_ipv4(const unsigned char *bytes)
{
    if (bytes[0] == 0)
        return "unspecified";
    if (bytes[0] == 169 && bytes[1] == 254)
        return "link-local";
    return NULL;
}

static const char *
objection_to_ipv6(const unsigned char *bytes)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const unsigned char metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    static const unsigned char unspecified[16] = {0};

    if (memcmp(bytes, mapped, sizeof(mapped)) == 0 || memcmp(bytes, nat64, sizeof(nat64)) == 0)
        return objection_to_ipv4(bytes + 12);
    if (memcmp(bytes, unspecified, sizeof(unspecified)) == 0)
        return "unspecified";
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
        return "link-local";
    return memcmp(bytes, metadata, sizeof(metadata)) == 0 ? "metadata service's" : NULL;
}

/* Where the bytes of an address stand, or NULL for a family that is none of the Internet's. */
static const void *
bytes_of(const struct sockaddr *address)
{
    const void *raw = address;

    if (address->sa_family == AF_INET)
        return &((const struct sockaddr_in *)raw)->sin_addr;
    if (address->sa_family == AF_INET6)
        return &((const struct sockaddr_in6 *)raw)->sin6_addr;
    return NULL;
}

const char *
http_peer_objection(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return objection_to_ipv4(bytes_of(address));
    if (address->sa_family == AF_INET6)
        return objection_to_ipv6(bytes_of(address));
    return NULL;
}

bool
http_peer_is_literal(const char *url)
{
    CURLU *parts = curl_url();
    char *host = NULL;
    struct in_addr ipv4;
    bool is_literal = false;

    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        is_literal = host[0] == '[' || inet_pton(AF_INET, host, &ipv4) == 1;
    curl_free(host);
    curl_url_cleanup(parts);
    return is_literal;
}

curl_socket_t
http_peer_open(CURL *easy, const struct curl_sockaddr *address, char *why, size_t why_size)
{
    const char *objection = http_peer_objection(&address->addr);
    char shown[INET6_ADDRSTRLEN] = "?";
    const char *url = NULL;

    if (objection != NULL)
        curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    if (objection == NULL || (url != NULL && http_peer_is_literal(url)))
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    inet_ntop(address->family, bytes_of(&address->addr), shown, sizeof(shown));
    snprintf(why, why_size, "%s address %s", objection, shown);
    return CURL_SOCKET_BAD;
}
