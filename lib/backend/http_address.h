/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HTTP_ADDRESS_H
#define RAFSI_HTTP_ADDRESS_H

/*
 * Addresses that a server must not send us to: link-local ones, behind which clouds keep
 * what tells a machine its own credentials. However they are written: 169.254.1.2 is
 * also 2852061442, 0xa9fe0102, [::ffff:169.254.1.2] and [64:ff9b::a9fe:102].
 */

#include <stdbool.h>
#include <sys/socket.h>

bool rafsi_address_link_local(const struct sockaddr *address);

/* The same of the host of "scheme://host:port", if it is written as an address. A name is
 * judged when it was looked up. */
bool rafsi_origin_link_local(const char *origin);

#endif
