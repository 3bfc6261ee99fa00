/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_TRACE_PLOT_H
#define RAFS_COMMAND_TRACE_PLOT_H

#include "command.h"

/* A picture of a trace as SVG: time to the right, place in the blob upwards, a panel for
 * each blob. False: out of memory, or the file failed (errno). */
bool trace_plot(const rafs_trace *trace, unsigned width, unsigned height, FILE *out);

#endif
