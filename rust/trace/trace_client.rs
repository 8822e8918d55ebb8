// SPDX-License-Identifier: GPL-2.0

//! The trace points of `rtrs_client`, as safe functions (spec: rtrs 9).
//!
//! The events are defined in C (`rust/helpers/rtrs_clt_trace.h`), where the kernel's macros
//! make their format.

use kernel::{
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};
use kernel_ext::trace_event;

/// What is told about a path.
pub struct PathFacts<'a> {
    /// The code of its state.
    pub state: i32,
    /// Attempts to connect it again in this outage.
    pub attempts: i32,
    /// Most of these; -1 is as many as it takes.
    pub max_attempts: i32,
    /// Attempts that failed, ever.
    pub failures: i32,
    /// Attempts that succeeded, ever.
    pub successes: i32,
    /// The name of its directory; at most 254 bytes are shown.
    pub name: &'a CStr,
}

/// Defines the safe function for an event of the class.
macro_rules! path_event {
    ($(#[$meta:meta])* $event:ident, $key:ident, $fire:ident) => {
        trace_event! {
            $(#[$meta])*
            $event(|facts: PathFacts<'a>|
                facts.state => c_int,
                facts.attempts => c_int,
                facts.max_attempts => c_int,
                facts.failures => c_int,
                facts.successes => c_int,
                facts.name.as_char_ptr() => *const c_char),
            $key, $fire
        }
    };
}

path_event! {
    /// The work that connects a path again begins. Any context.
    rtrs_clt_reconnect_work,
    __tracepoint_rtrs_clt_reconnect_work,
    rust_do_trace_rtrs_clt_reconnect_work
}

path_event! {
    /// Somebody wants the connections of a path closed. Any context.
    rtrs_clt_close_conns,
    __tracepoint_rtrs_clt_close_conns,
    rust_do_trace_rtrs_clt_close_conns
}

path_event! {
    /// Something of a path broke. Any context.
    rtrs_rdma_error_recovery,
    __tracepoint_rtrs_rdma_error_recovery,
    rust_do_trace_rtrs_rdma_error_recovery
}
