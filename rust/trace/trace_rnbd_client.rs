// SPDX-License-Identifier: GPL-2.0

//! The trace points of `rnbd_client`, as safe functions.
//!
//! The events are defined in C (`rust/helpers/rnbd_clt_trace.h`), where the kernel's macros
//! make their format.

use kernel::{
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};
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

/// What is told about a session that comes or goes.
pub struct SessionFacts<'a> {
    /// Requests that it can have in flight.
    pub depth: i32,
    /// Its name.
    pub name: &'a CStr,
}

/// What is told about the versions of a session.
pub struct VersionFacts<'a> {
    /// The version that both use.
    pub agreed: u8,
    /// Ours.
    pub client: u8,
    /// The name of the session.
    pub name: &'a CStr,
}

/// What is told about an open message.
pub struct OpenFacts<'a> {
    /// The access mode as on the wire.
    pub access: u8,
    /// The name of the session.
    pub name: &'a CStr,
    /// The name of the device.
    pub path: &'a CStr,
}

/// What is told about a close message.
pub struct CloseFacts<'a> {
    /// The device on the server.
    pub device_id: u32,
    /// The name of the session.
    pub name: &'a CStr,
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

trace_event! {
    /// A session was made. Any context.
    create_sess(|facts: SessionFacts<'a>|
        facts.depth => c_int,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_create_sess, rust_do_trace_create_sess
}

trace_event! {
    /// A session is going. Any context.
    destroy_sess(|facts: SessionFacts<'a>|
        facts.depth => c_int,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_destroy_sess, rust_do_trace_destroy_sess
}

trace_event! {
    /// The server has answered our version. Any context.
    send_msg_sess_info(|facts: VersionFacts<'a>|
        facts.agreed => u8,
        facts.client => u8,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_send_msg_sess_info, rust_do_trace_send_msg_sess_info
}

trace_event! {
    /// An open message is about to go. Any context.
    send_msg_open(|facts: OpenFacts<'a>|
        facts.access => u8,
        facts.name.as_char_ptr() => *const c_char,
        facts.path.as_char_ptr() => *const c_char),
    __tracepoint_send_msg_open, rust_do_trace_send_msg_open
}

trace_event! {
    /// A close message is about to go. Any context.
    send_msg_close(|facts: CloseFacts<'a>|
        facts.device_id => u32,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_send_msg_close, rust_do_trace_send_msg_close
}
