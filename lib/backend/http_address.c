/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

/* 169.254.0.0/16 */
static bool is_v4(const uint8_t at[4])
{
    return at[0] == 169 && at[1] == 254;
}

/* fe80::/10, and the forms that carry an IPv4 address in them: ::a.b.c.d, ::ffff:a.b.c.d,
 * 64:ff9b::a.b.c.d, 2002:ab:cd::. Sources: RFC 4291, 6052, 3056. */
static bool is_v6(const uint8_t at[16])
{
    static const uint8_t zero[12];
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};

    if (at[0] == 0xfe && (at[1] & 0xc0) == 0x80)
        return true;
    if (memcmp(at, zero, 12) == 0 || memcmp(at, mapped, 12) == 0 ||
        memcmp(at, nat64, 12) == 0)
        return is_v4(at + 12);
    return at[0] == 0x20 && at[1] == 0x02 && is_v4(at + 2);
}

bool rafsi_address_link_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        uint8_t bytes[4];

        memcpy(&v4, address, sizeof(v4));
        memcpy(bytes, &v4.sin_addr, sizeof(bytes));
        return is_v4(bytes);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        uint8_t bytes[16];

        memcpy(&v6, address, sizeof(v6));
        memcpy(bytes, &v6.sin6_addr, sizeof(bytes));
        return is_v6(bytes);
    }
    return false;
}

bool rafsi_origin_link_local(const char *origin)
{
    const char *start = strstr(origin, "://");
    char host[256];
    uint8_t bytes[16];
    struct in_addr v4;
    size_t len;

    start = start ? start + 3 : origin;
    if (*start == '[') {
        len = strcspn(start + 1, "]%");
        if (len >= sizeof(host))
            return false;
        memcpy(host, start + 1, len);
        host[len] = '\0';
        return inet_pton(AF_INET6, host, bytes) == 1 && is_v6(bytes);
    }
    len = strcspn(start, ":/");
    while (len > 0 && start[len - 1] == '.')
        len--;
    if (len >= sizeof(host))
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    /* The old function knows the old spellings, as the resolver does. */
    if (inet_aton(host, &v4) == 0)
        return false;
    memcpy(bytes, &v4, 4);
    return is_v4(bytes);
}
