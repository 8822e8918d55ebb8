// SPDX-License-Identifier: GPL-2.0

//! The trace points of `rnbd_server`, as safe functions (spec: rnbd 6.1).
//!
//! The events are defined in C (`rust/helpers/rnbd_srv_trace.h`), where the kernel's macros
//! make their format.

use kernel::{
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};
use kernel_ext::trace_event;

/// What is told about a session that comes or goes.
pub struct SessionFacts<'a> {
    /// Requests that it can have in flight.
    pub depth: i32,
    /// Its name.
    pub name: &'a CStr,
}

/// What is told about an IO message.
pub struct IoFacts<'a> {
    /// The name of the session.
    pub name: &'a CStr,
    /// Whether the transport carries it as a write.
    pub write: bool,
    /// The version of the session.
    pub version: u8,
    /// The device.
    pub device_id: u32,
    /// The first sector.
    pub sector: u64,
    /// Operation and flags as on the wire.
    pub flags: u32,
    /// Bytes of the range.
    pub size: u32,
    /// The priority.
    pub prio: u16,
    /// Bytes of data.
    pub data_len: u32,
    /// Bytes of the message.
    pub usr_len: usize,
}

/// What is told about the versions of a session.
pub struct VersionFacts<'a> {
    /// The version that both use.
    pub agreed: u8,
    /// The client's.
    pub client: u8,
    /// Ours.
    pub server: u8,
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
    /// The device.
    pub device_id: u32,
    /// The name of the session.
    pub name: &'a CStr,
}

trace_event! {
    /// A session was made. Any context.
    create_sess(|facts: SessionFacts<'a>|
        facts.depth => c_int,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_create_sess, rust_do_trace_create_sess
}

trace_event! {
    /// A session that had devices is going. Any context.
    destroy_sess(|facts: SessionFacts<'a>|
        facts.depth => c_int,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_destroy_sess, rust_do_trace_destroy_sess
}

trace_event! {
    /// An IO message came. Any context.
    process_rdma(|facts: IoFacts<'a>|
        facts.name.as_char_ptr() => *const c_char,
        facts.write => bool,
        facts.version => u8,
        facts.device_id => u32,
        facts.sector => u64,
        facts.flags => u32,
        facts.size => u32,
        facts.prio => u16,
        facts.data_len => u32,
        facts.usr_len => usize),
    __tracepoint_process_rdma, rust_do_trace_process_rdma
}

trace_event! {
    /// A client said its version. Any context.
    process_msg_sess_info(|facts: VersionFacts<'a>|
        facts.agreed => u8,
        facts.client => u8,
        facts.server => u8,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_process_msg_sess_info, rust_do_trace_process_msg_sess_info
}

trace_event! {
    /// An open message came. Any context.
    process_msg_open(|facts: OpenFacts<'a>|
        facts.access => u8,
        facts.name.as_char_ptr() => *const c_char,
        facts.path.as_char_ptr() => *const c_char),
    __tracepoint_process_msg_open, rust_do_trace_process_msg_open
}

trace_event! {
    /// A close message came. Any context.
    process_msg_close(|facts: CloseFacts<'a>|
        facts.device_id => u32,
        facts.name.as_char_ptr() => *const c_char),
    __tracepoint_process_msg_close, rust_do_trace_process_msg_close
}
