/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that change something, and redirects of them. */
#include "backend/http_blob.h"

enum { HOPS_MAX = 5 };

/* Others make a GET of it, and what was to be sent would be lost. */
static bool keeps_method(int status)
{
    return status == 307 || status == 308;
}

int rafsi_site_send(const struct http_site *site, struct http_request *request,
                    bool *away, const rafs_call *call, struct http_answer *answer,
                    rafs_error *err)
{
    const struct rafsi_env *env = rafsi_http_env(site->http);
    const char *first = request->url;
    char *at = NULL;
    char home[300], origin[300];
    int rc = rafsi_url_origin(request->url, home, sizeof(home), err);

    for (unsigned hop = 0; rc == RAFS_OK; hop++) {
        /* Who once was sent away gets no credentials, even if he is sent back. */
        request->guarded = *away;
        rc = *away ? rafsi_http_do(site->http, request, call, answer, err)
                   : site->ask(site->user, request, call, answer, err);
        if (rc < 0 || !keeps_method(answer->status))
            break;
        if (hop == HOPS_MAX)
            rc = rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                            "the server redirects more than %d times", HOPS_MAX);
        else
            rc = rafsi_site_may_send(request->url, answer->location, origin,
                                     sizeof(origin), err);
        if (rc == RAFS_OK) {
            rafs_call_count(call, RAFS_EVENT_REDIRECT, 1);
            rafsi_free(env, at);
            at = answer->location;
            answer->location = NULL;
            request->url = at;
            *away = *away || strcmp(origin, home) != 0;
        }
        rafsi_http_drop(site->http, answer);
    }
    request->url = first;
    request->guarded = false;
    rafsi_free(env, at);
    return rc;
}
