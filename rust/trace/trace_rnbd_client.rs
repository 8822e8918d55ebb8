// SPDX-License-Identifier: GPL-2.0

//! The trace points of `rnbd_client`, as safe functions.
//!
//! The events are defined in C (`rust/helpers/rnbd_clt_trace.h`), where the kernel's macros
//! make their format. As long as nobody traces, a call is one instruction that does nothing;
//! the facts are only collected when somebody does.

use kernel::{
    bindings,
    ffi::c_int,
    jump_label::static_branch_unlikely, //
};

/// What is told about a request that goes out.
pub struct SendFacts {
    /// The number in the name of the disk.
    pub disk: u32,
    /// The device on the server.
    pub device_id: u32,
    /// The first sector.
    pub sector: u64,
    /// Operation and flags as on the wire.
    pub flags: u32,
    /// Bytes of the range.
    pub size: u32,
    /// The priority.
    pub prio: u16,
}

/// What is told about a request that has ended.
pub struct EndFacts {
    /// The number in the name of the disk.
    pub disk: u32,
    /// The first sector.
    pub sector: u64,
    /// Bytes of the range.
    pub size: u32,
    /// 0 or a negative errno.
    pub error: i32,
    /// Nanoseconds since it went out.
    pub nanoseconds: u64,
}

/// What is told about a device.
pub struct DeviceFacts {
    /// The number in the name of the disk.
    pub disk: u32,
    /// The code of its new state.
    pub state: i32,
    /// The device on the server.
    pub device_id: u32,
}

/// Defines the safe function for an event. The arguments of the C function are fields of the
/// facts.
macro_rules! event {
    (
        $(#[$meta:meta])*
        $event:ident($kind:ident: $($field:ident: $ty:ty),*),
        $key:ident, $fire:ident
    ) => {
        #[expect(improper_ctypes, reason = "only the address of the tracepoint is used")]
        extern "C" {
            static $key: bindings::tracepoint;
            fn $fire($($field: $ty),*);
        }

        $(#[$meta])*
        #[inline(always)]
        pub fn $event(facts: impl FnOnce() -> $kind) {
            // SAFETY: the key is that of the tracepoint, which C defines in this very module.
            if unsafe { static_branch_unlikely!($key, bindings::tracepoint, key) } {
                let facts = facts();
                // SAFETY: all arguments are plain numbers. A tracepoint may be fired in any
                // context.
                unsafe { $fire($(facts.$field),*) }
            }
        }
    };
}

event! {
    /// A request goes to the transport. Any context.
    send_io(SendFacts: disk: u32, device_id: u32, sector: u64, flags: u32, size: u32, prio: u16),
    __tracepoint_send_io, rust_do_trace_send_io
}

event! {
    /// A request has ended. Any context.
    end_io(EndFacts: disk: u32, sector: u64, size: u32, error: c_int, nanoseconds: u64),
    __tracepoint_end_io, rust_do_trace_end_io
}

event! {
    /// A device has another state. Any context.
    device_state(DeviceFacts: disk: u32, state: c_int, device_id: u32),
    __tracepoint_device_state, rust_do_trace_device_state
}
