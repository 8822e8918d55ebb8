// SPDX-License-Identifier: GPL-2.0
/* The bodies of the trace points in rnbd_clt_trace.h, and a way to them for Rust. */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "rnbd_clt_trace.h"
