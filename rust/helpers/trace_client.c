// SPDX-License-Identifier: GPL-2.0
/* The body of the trace points in rtrs_clt_trace.h, and a way to it for Rust. */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "rtrs_clt_trace.h"
