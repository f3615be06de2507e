/* Which addresses a name may not lead to. */
#include "common/http/http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *
objection_to(const char *text)
{
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    const void *address = &ipv4;

    if (strchr(text, ':') != NULL) {
        assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
        address = &ipv6;
    } else {
        assert_int_equal(inet_pton(AF_INET, text, &ipv4.sin_addr), 1);
    }
    return http_peer_objection(address);
}

static void
names_do_not_lead_to_this_host_or_its_link(void **state)
{
    static const char *const refused[] = {
        "0.0.0.0",
        "0.1.2.3",
        "169.254.0.1",
        "169.254.169.254",
        "::",
        "fe80::1",
        "febf::1",
        "::ffff:169.254.169.254",
        "::ffff:0:0",
        "64:ff9b::169.254.169.254",
        "fd00:ec2::254",
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_non_null(objection_to(refused[i]));
    (void)state;
}

static void
every_other_address_is_fine(void **state)
{
    static const char *const fine[] = {
        "127.0.0.1",      "10.0.0.1",     "169.253.0.1", "169.255.0.1", "192.168.1.1", "::1",
        "::ffff:8.8.8.8", "2600:1f00::1", "fec0::1",     "fd00::1",     "1.0.0.0",
    };

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        assert_null(objection_to(fine[i]));
    (void)state;
}

static void
an_address_in_the_url_is_told_from_a_name(void **state)
{
    assert_true(http_peer_is_literal("http://169.254.169.254/latest"));
    assert_true(http_peer_is_literal("http://[fe80::1]:8080/"));
    assert_true(http_peer_is_literal("https://0.0.0.0:1"));
    assert_false(http_peer_is_literal("https://bedrock.example/"));
    assert_false(http_peer_is_literal("https://169.254.169.254.example/"));
    assert_false(http_peer_is_literal("no url"));
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_do_not_lead_to_this_host_or_its_link),
        cmocka_unit_test(every_other_address_is_fine),
        cmocka_unit_test(an_address_in_the_url_is_told_from_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
