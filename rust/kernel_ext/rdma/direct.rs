// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to look at a completion queue that raises no interrupts.
//!
//! Such a queue has no context of its own: whoever waits for something polls it. Contexts are
//! promised that their callbacks never run in parallel, and shutting down must know that nobody is
//! inside; both come from one word, so a poller never waits: if somebody else is at it, it is taken
//! care of.

use crate::time::sleep_ms;
use core::ptr;
use kernel::{
    ffi::c_int,
    sync::atomic::{
        Atomic,
        Full, //
    }, //
};
use rdma_bindings as c;

/// Nobody polls.
const IDLE: u32 = 0;
/// Somebody polls.
const TAKEN: u32 = 1;
/// Nobody polls any more.
const CLOSED: u32 = 2;

/// The turn of one completion queue.
///
/// # Invariants
///
/// `cq` is valid until [`close`](Self::close) has returned, or null and `turn` is `CLOSED`.
pub(super) struct Direct {
    cq: *mut c::ib_cq,
    turn: Atomic<u32>,
}

impl Direct {
    /// The turn of `cq`, which must be valid until [`close`](Self::close) has returned; or, if it is
    /// null, of a queue that raises interrupts and is not to be polled.
    ///
    /// # Safety
    ///
    /// As said.
    pub(super) const unsafe fn new(cq: *mut c::ib_cq) -> Self {
        let turn = if cq.is_null() { CLOSED } else { IDLE };
        // INVARIANT: as the caller promises.
        Self {
            cq,
            turn: Atomic::new(turn),
        }
    }

    /// A queue that raises interrupts.
    pub(super) const fn none() -> Self {
        // SAFETY: there is nothing to be valid.
        unsafe { Self::new(ptr::null_mut()) }
    }

    /// Handles what is completed, at most about `budget` completions; returns how many. 0 also if
    /// somebody else is at it. Not in interrupts.
    pub(super) fn poll(&self, budget: u32) -> u32 {
        if self.turn.cmpxchg(IDLE, TAKEN, Full).is_err() {
            return 0;
        }
        let budget = c_int::try_from(budget).unwrap_or(c_int::MAX);
        // SAFETY: the turn was idle, so it is not closed, and `close` waits until it is idle again:
        // the queue is valid. It is of the direct kind, and nobody else processes it: the turn is
        // ours.
        let found = unsafe { c::ib_process_cq_direct(self.cq, budget) };
        // Nobody changes a turn that is taken.
        self.turn.xchg(IDLE, Full);
        u32::try_from(found).unwrap_or(0)
    }

    /// Ends polling; nobody is inside when this returns. Sleeps; not from a callback.
    pub(super) fn close(&self) {
        while self.turn.cmpxchg(IDLE, CLOSED, Full) == Err(TAKEN) {
            sleep_ms(1);
        }
    }
}
