// SPDX-License-Identifier: GPL-2.0

//! The send queue of a queue pair: exact accounting, posting, completions.
//!
//! Entries become free only when a later signaled request is reported, in order. So the queue
//! remembers, for each signaled request on its way, how many entries it will free, and signals by
//! itself often enough that a full queue always has a signaled request near its end.

use super::{
    context::{
        Event,
        Token, //
    },
    qp::Core,
    wr::{
        Chain,
        Rules,
        Wr,
        MAX_WRS, //
    }, //
};
use crate::error::{
    errno,
    error, //
};
use core::ptr;
use kernel::{
    container_of,
    prelude::*, //
};
use rdma_bindings as c;

/// What a completion entry leads to.
///
/// # Invariants
///
/// `core` is null, or the queue pair that owns this slot. Requests are posted with bound slots only.
pub(super) struct SendSlot {
    cqe: c::ib_cqe,
    core: *const Core,
    token: Option<Token>,
}

impl SendSlot {
    /// A slot that is not bound to a queue pair.
    pub(super) fn new(token: Option<Token>) -> Self {
        Self {
            cqe: c::ib_cqe {
                done: Some(send_done),
            },
            core: ptr::null(),
            token,
        }
    }

    /// Binds it to the queue pair that is about to own it.
    pub(super) fn bind(&mut self, core: *const Core) {
        // INVARIANT: the caller is the maker of that queue pair.
        self.core = core;
    }

    /// For work requests; the verbs only read it.
    fn cqe(&self) -> *mut c::ib_cqe {
        (&raw const self.cqe).cast_mut()
    }
}

/// The accounting of a send queue.
///
/// # Invariants
///
/// `free` + the sum of the batches + `unsignaled` is the number of usable entries, while the queue
/// is open.
pub(super) struct SendQueue {
    open: bool,
    /// Entries that can be used.
    free: u32,
    /// Entries used since the last signaled request.
    unsignaled: u32,
    /// Somebody was refused for lack of room.
    starved: bool,
    /// A ring: for each signaled request on its way, how many entries it frees.
    batches: KVec<u32>,
    /// Index of the oldest batch.
    first: usize,
    /// Number of batches.
    count: usize,
    /// Number of usable entries.
    size: u32,
    /// Where a chain is built while the lock is held: on the stack it would be a burden for those
    /// who write back memory from deep within a file system.
    chain: KBox<Chain>,
}

impl SendQueue {
    /// An empty queue of `size` entries, at least 1.
    pub(super) fn new(size: u32) -> Result<Self> {
        Ok(Self {
            open: true,
            free: size,
            unsignaled: 0,
            starved: false,
            batches: KVec::from_elem(0, size as usize, GFP_KERNEL)?,
            first: 0,
            count: 0,
            size,
            chain: Chain::new()?,
        })
    }

    /// Stops posting; says whether it was possible until now.
    pub(super) fn close(&mut self) -> bool {
        core::mem::replace(&mut self.open, false)
    }

    /// Whether posting is possible.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Takes `count` entries for a chain; says whether its last request has to be signaled.
    fn take(&mut self, count: u32, wanted: bool) -> Result<bool> {
        if !self.open {
            return Err(error(errno::ENOTCONN));
        }
        if count > self.size {
            return Err(EINVAL);
        }
        let Some(free) = self.free.checked_sub(count) else {
            self.starved = true;
            return Err(EAGAIN);
        };
        let unsignaled = self.unsignaled.saturating_add(count);
        // Half of the queue may be unsignaled; and a chain that leaves no room for the longest
        // chain is signaled, so that whoever is refused will hear when there is room again.
        let signal = wanted || unsignaled >= self.size / 2 || free < MAX_WRS as u32;
        if signal {
            // Every batch has at least one entry, so there are never more batches than entries.
            let len = self.batches.len();
            let mut at = self.first.wrapping_add(self.count);
            if at >= len {
                at = at.wrapping_sub(len);
            }
            *self.batches.get_mut(at).ok_or(EINVAL)? = unsignaled;
            self.count = self.count.wrapping_add(1);
            self.unsignaled = 0;
        } else {
            self.unsignaled = unsignaled;
        }
        self.free = free;
        Ok(signal)
    }

    /// The oldest signaled request is done: frees its entries; says whether somebody waits for room.
    fn retire(&mut self) -> bool {
        if self.count == 0 {
            return false;
        }
        let freed = self.batches.get(self.first).copied().unwrap_or(0);
        self.count = self.count.wrapping_sub(1);
        self.first = self.first.wrapping_add(1);
        if self.first >= self.batches.len() {
            self.first = 0;
        }
        self.free = self.free.saturating_add(freed).min(self.size);
        core::mem::replace(&mut self.starved, false)
    }
}

impl Core {
    /// See [`QueuePair::post`](super::QueuePair::post).
    pub(super) fn post(&self, wrs: &[Wr<'_>], done: Option<Token>) -> Result {
        if wrs.is_empty() || wrs.len() > MAX_WRS {
            return Err(EINVAL);
        }
        let token = match done {
            Some(token) => Some(self.tokens.get(token.0 as usize).ok_or(EINVAL)?),
            None => None,
        };
        let rules = Rules {
            pd: self.serial,
            max_sge: self.max_sge,
            cqe: self.plain.cqe(),
        };

        // The lock is held while posting, so that batches are in the order of the hardware.
        let mut queue = self.send.lock();
        queue.chain.clear();
        for wr in wrs {
            queue.chain.push(wr, &rules)?;
        }
        let signal = queue.take(wrs.len() as u32, token.is_some())?;
        let cqe = signal.then(|| token.unwrap_or(&self.plain).cqe());
        let Some(first) = queue.chain.link(cqe) else {
            // Not reached: the chain is not empty.
            return Err(EINVAL);
        };
        // SAFETY:
        // - The queue is open, so the queue pair is valid: it is closed, under this lock, before
        //   the queue pair is destroyed.
        // - The chain is linked and stays as it is for the call, which copies it, as the lock is
        //   held; its elements refer to
        //   memory and regions of the queue pair's own protection domain, which stays.
        // - The completion entries live as long as `self`, which outlives the queue pair.
        let posted = unsafe { c::rdx_post_send(self.qp, first) };
        if posted != 0 {
            // Part of the chain may be on its way, so the accounting is lost, and with it the queue.
            queue.close();
            return Err(error(posted));
        }
        Ok(())
    }
}

/// A request is done, or has failed.
///
/// # Safety
///
/// To be called by the completion queue, for a request that was posted with the entry of a bound
/// [`SendSlot`].
unsafe extern "C" fn send_done(_cq: *mut c::ib_cq, wc: *mut c::ib_wc) {
    // SAFETY:
    // - The work completion is valid for the call and was made for an entry of a slot.
    // - The slot is part of its queue pair, which stays until no completion can run any more.
    let (slot, core, status) = unsafe {
        let cqe: *mut c::ib_cqe = *(*wc).__bindgen_anon_1.wr_cqe;
        let slot = &*container_of!(cqe, SendSlot, cqe);
        (slot, &*slot.core, (*wc).status)
    };
    let deliver = |event: Event<'_>| {
        // SAFETY: the core was made with operations of its own type; the context is held until
        // after the last completion.
        unsafe { (core.ops.deliver)(core, event) }
    };
    if status == c::ib_wc_status_IB_WC_SUCCESS {
        // Only signaled requests are reported as successes.
        let space = core.send.lock().retire();
        if let Some(token) = slot.token {
            deliver(Event::Sent(token));
        }
        if space {
            deliver(Event::Space);
        }
        return;
    }
    let news = core.send.lock().close();
    // Flushes follow the end of a connection, which is known by then: it was ours, or a failure was
    // reported. But a device may end a queue pair and tell nothing except that what was posted is
    // flushed (soft-RoCE does, when it stumbles over a request of its own queue); somebody has to
    // notice, or those requests are waited for without end.
    if news || status != c::ib_wc_status_IB_WC_WR_FLUSH_ERR {
        deliver(Event::Failed(slot.token, status));
    }
}
