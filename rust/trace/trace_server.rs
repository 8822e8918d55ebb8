// SPDX-License-Identifier: GPL-2.0

//! The trace point of `rtrs_server`, as a safe function (spec: rtrs 9).
//!
//! The event is defined in C (`rust/helpers/rtrs_srv_trace.h`), where the kernel's macros make
//! its format. As long as nobody traces, a call is one instruction that does nothing; the facts
//! are only collected when somebody does.

use core::fmt::Write as _;
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int, //
    },
    jump_label::static_branch_unlikely,
    str::NullTerminatedFormatter, //
};

/// What is told about an answer.
pub struct ResponseFacts<N> {
    /// Whether it answers a write.
    pub write: bool,
    /// Whether the client wants its key invalidated with it.
    pub need_inval: bool,
    /// Whether the client's key to the chunk is changed with every request.
    pub always_invalidate: bool,
    /// The number of the chunk.
    pub msg_id: u32,
    /// Work requests that it consists of.
    pub wr_cnt: i32,
    /// Work requests after which one asks for a completion.
    pub signal_interval: u32,
    /// The code of the state of the path.
    pub state: i32,
    /// 0 or a negative errno.
    pub errno: i32,
    /// The name of the path; what does not fit into 254 bytes is not shown.
    pub name: N,
}

#[expect(improper_ctypes, reason = "only the address of the tracepoint is used")]
extern "C" {
    static __tracepoint_send_io_resp_imm: bindings::tracepoint;
    fn rust_do_trace_send_io_resp_imm(
        write: bool,
        need_inval: bool,
        always_invalidate: bool,
        msg_id: u32,
        wr_cnt: c_int,
        signal_interval: u32,
        state: c_int,
        errno: c_int,
        name: *const c_char,
    );
}

/// An answer is about to be posted. Any context.
#[inline(always)]
pub fn send_io_resp_imm<N: core::fmt::Display>(facts: impl FnOnce() -> ResponseFacts<N>) {
    // SAFETY: the key is that of the tracepoint, which C defines in this very module.
    if unsafe { static_branch_unlikely!(__tracepoint_send_io_resp_imm, bindings::tracepoint, key) }
    {
        fire(facts());
    }
}

/// Out of line, for the sake of the stack of those who are not traced.
#[cold]
#[inline(never)]
fn fire<N: core::fmt::Display>(facts: ResponseFacts<N>) {
    let mut name = [0u8; 255];
    if let Some(mut text) = NullTerminatedFormatter::new(&mut name) {
        // What does not fit ends the printing.
        let _ = write!(text, "{}", facts.name);
    }
    // SAFETY: the name is a C string, by the guarantee of the formatter, and outlives the call, which
    // copies it; the other arguments are plain numbers. A tracepoint may be fired in any context.
    unsafe {
        rust_do_trace_send_io_resp_imm(
            facts.write,
            facts.need_inval,
            facts.always_invalidate,
            facts.msg_id,
            facts.wr_cnt,
            facts.signal_interval,
            facts.state,
            facts.errno,
            name.as_ptr().cast(),
        )
    }
}
