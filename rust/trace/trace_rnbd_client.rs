// SPDX-License-Identifier: GPL-2.0

//! The trace points of `rnbd_client`, as safe functions.
//!
//! The events are defined in C (`rust/helpers/rnbd_clt_trace.h`), where the kernel's macros
//! make their format.

use kernel::ffi::c_int;
use kernel_ext::trace_event;

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

trace_event! {
    /// A request goes to the transport. Any context.
    send_io(|facts: SendFacts|
        facts.disk => u32,
        facts.device_id => u32,
        facts.sector => u64,
        facts.flags => u32,
        facts.size => u32,
        facts.prio => u16),
    __tracepoint_send_io, rust_do_trace_send_io
}

trace_event! {
    /// A request has ended. Any context.
    end_io(|facts: EndFacts|
        facts.disk => u32,
        facts.sector => u64,
        facts.size => u32,
        facts.error => c_int,
        facts.nanoseconds => u64),
    __tracepoint_end_io, rust_do_trace_end_io
}

trace_event! {
    /// A device has another state. Any context.
    device_state(|facts: DeviceFacts|
        facts.disk => u32,
        facts.state => c_int,
        facts.device_id => u32),
    __tracepoint_device_state, rust_do_trace_device_state
}
