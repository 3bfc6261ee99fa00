/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HTTP_P2P_H
#define RAFSI_HTTP_P2P_H

#include "backend/http.h"

/*
 * Data of blobs through a proxy in front of peers, such as Dragonfly's daemon: it is told
 * how urgent the data is, asked whether it is well, and passed where it fails.
 */
struct http_p2p;

int rafsi_p2p_new(rafs_http *http, const rafs_p2p_options *options, struct http_p2p **out,
                  rafs_error *err);
void rafsi_p2p_free(rafs_http *http, struct http_p2p *p2p); /* NULL is fine */

/* May it be passed? */
bool rafsi_p2p_passable(const struct http_p2p *p2p);

/* rafsi_http_do() through the proxy or, where it fails and that is allowed, without. */
int rafsi_p2p_do(rafs_http *http, struct http_p2p *p2p,
                 const struct http_request *request, const rafs_call *call,
                 struct http_answer *answer, rafs_error *err);

#endif
