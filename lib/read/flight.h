/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FLIGHT_H
#define RAFSI_FLIGHT_H

#include "cache/cache.h"

/*
 * One flight for a chunk that several threads want: the first fetches, the others wait
 * for it, each no longer than its own deadline. If the first gives up for reasons of its
 * own (deadline, cancel, memory), one of the others takes over.
 */

struct rafsi_flights;
struct rafsi_flight;

int rafsi_flights_new(const struct rafsi_env *env, struct rafsi_flights **out,
                      rafs_error *err);
void rafsi_flights_free(struct rafsi_flights *flights);

/*
 * Join the flight of a chunk. On success either *lead is set: fetch the chunk and call
 * rafsi_flight_land(); or *good is: somebody else's chunk, with a reference for us.
 */
int rafsi_flight_join(struct rafsi_flights *flights, const struct rafsi_cache_key *key,
                      const rafs_call *call, struct rafsi_flight **lead,
                      struct verified **good, rafs_error *err);
/* Lead the flight of a chunk that nobody fetches now; NULL: somebody does, or no memory.
 * Never waits. */
struct rafsi_flight *rafsi_flight_try(struct rafsi_flights *flights,
                                      const struct rafsi_cache_key *key);
/* Tell the others how it ended. good: with RAFS_OK, stays the caller's; err: else. */
void rafsi_flight_land(struct rafsi_flights *flights, struct rafsi_flight *flight, int rc,
                       struct verified *good, const rafs_error *err);

#endif
