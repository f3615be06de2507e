#include "tests/support/script_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

struct script_connection {
    struct script_server *server;
    struct bufferevent *bev;
    struct event *drip;
    const struct script_step *step; /* being played */
    size_t dripped;
    struct script_connection *prev, *next;
};

static void
connection_free(struct script_connection *connection)
{
    DL_DELETE(connection->server->connections, connection);
    connection->server->open--;
    event_free(connection->drip);
    bufferevent_free(connection->bev);
    free(connection);
}

static void
reset(struct script_connection *connection)
{
    const struct linger now = {.l_onoff = 1};

    setsockopt(bufferevent_getfd(connection->bev), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    connection_free(connection);
}

static size_t
step_len(const struct script_step *step)
{
    if (step->bytes == NULL)
        return 0;
    return step->len > 0 ? step->len : strlen(step->bytes);
}

static void
end_step(struct script_connection *connection)
{
    enum script_end end = connection->step->end;

    connection->step = NULL;
    if (end == SCRIPT_CLOSE)
        connection_free(connection);
    else if (end == SCRIPT_RESET)
        reset(connection);
}

static void
on_drip(evutil_socket_t fd, short what, void *arg)
{
    struct script_connection *connection = arg;
    const struct script_step *step = connection->step;

    (void)fd;
    (void)what;
    bufferevent_write(connection->bev, step->bytes + connection->dripped++, 1);
    if (connection->dripped == step_len(step))
        event_del(connection->drip);
}

static void
play(struct script_connection *connection)
{
    struct script_server *server = connection->server;
    int last = server->step_count - 1;
    const struct script_step *step;

    step = &server->steps[server->requests < last ? server->requests : last];
    server->requests++;
    connection->step = step;
    connection->dripped = step->drip_ms > 0 ? step->drip_from : step_len(step);
    if (connection->dripped > 0)
        bufferevent_write(connection->bev, step->bytes, connection->dripped);
    if (step->drip_ms > 0)
        event_add(connection->drip, &(struct timeval){.tv_usec = step->drip_ms * 1000});
    else if (step_len(step) == 0)
        end_step(connection);
}

/* Bytes of the first whole request in `text`, or 0. */
static size_t
request_len(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    const char *length = strcasestr(text, "\r\nContent-Length:");
    size_t whole;

    if (end == NULL)
        return 0;
    whole = (size_t)(end + 4 - text);
    if (length != NULL && length < end)
        whole += strtoul(length + 17, NULL, 10);
    return whole <= len ? whole : 0;
}

static void
on_readable(struct bufferevent *bev, void *arg)
{
    struct script_connection *connection = arg;
    struct script_server *server = connection->server;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(input);
    char *text = calloc(1, len + 1);
    size_t whole;

    evbuffer_copyout(input, text, len);
    whole = request_len(text, len);
    snprintf(server->last_request, sizeof(server->last_request), "%s", text);
    free(text);
    if (whole == 0)
        return;
    evbuffer_drain(input, whole);
    play(connection);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
    struct script_connection *connection = arg;

    (void)bev;
    if (connection->step != NULL && connection->step->drip_ms == 0)
        end_step(connection);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        connection_free(arg);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len,
          void *arg)
{
    struct script_server *server = arg;
    struct script_connection *connection = calloc(1, sizeof(*connection));

    (void)listener;
    (void)address;
    (void)len;
    connection->server = server;
    connection->drip = event_new(server->base, -1, EV_PERSIST, on_drip, connection);
    connection->bev =
        server->tls != NULL
            ? bufferevent_openssl_socket_new(server->base, fd, SSL_new(server->tls),
                                             BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE)
            : bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(connection->bev, on_readable, on_written, on_event, connection);
    bufferevent_enable(connection->bev, EV_READ | EV_WRITE);
    DL_APPEND(server->connections, connection);
    server->accepted++;
    server->open++;
}

void
script_server_start(struct script_server *server, struct event_base *base)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);

    *server = (struct script_server){.base = base};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = evconnlistener_new_bind(base, on_accept, server, LEV_OPT_CLOSE_ON_FREE, 1024,
                                               (struct sockaddr *)&address, sizeof(address));
    assert(server->listener != NULL);
    getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&address, &len);
    server->port = ntohs(address.sin_port);
}

static X509 *
self_signed(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    X509_add_ext(certificate, san, -1);
    X509_sign(certificate, key, EVP_sha256());
    X509_EXTENSION_free(san);
    return certificate;
}

void
script_server_start_tls(struct script_server *server, struct event_base *base, const char *ca_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = self_signed(key);
    FILE *file = fopen(ca_file, "w");

    script_server_start(server, base);
    server->tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server->tls, certificate);
    SSL_CTX_use_PrivateKey(server->tls, key);
    PEM_write_X509(file, certificate);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void
script_server_drop(struct script_server *server)
{
    while (server->connections != NULL)
        connection_free(server->connections);
}

void
script_server_stop(struct script_server *server)
{
    script_server_drop(server);
    evconnlistener_free(server->listener);
    SSL_CTX_free(server->tls);
}
