// SPDX-License-Identifier: GPL-2.0

//! Receives of a queue pair: the ring, one-shot receives, and what arrives in them.
//!
//! Every receive has a slot with its own piece of memory (or none); a completion leads to the slot,
//! and only that slot can be posted again. Nothing the peer sends chooses memory.

use super::{
    context::{
        Context,
        Event,
        Token, //
    },
    pd::Pd,
    qp::{
        Core,
        QueuePair, //
    }, //
};
use crate::{
    dma::{
        Buffer,
        Region, //
    },
    error::{
        errno,
        error, //
    }, //
};
use core::mem::ManuallyDrop;
use kernel::{
    container_of,
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

/// Distance of the receives of a ring, in bytes: a cache line, so that what the device writes into
/// one does not share a line with another one that is being read.
const STRIDE: u32 = 64;

/// One receive.
///
/// # Invariants
///
/// - `core` is the queue pair that owns this slot.
/// - `region`, if present, has `len` bytes from `offset` on, and is of the queue pair's protection
///   domain.
pub(super) struct RecvSlot {
    cqe: c::ib_cqe,
    core: *const Core,
    region: Option<Region>,
    offset: usize,
    len: u32,
    /// Of a one-shot receive; slots of the ring have none.
    token: Option<Token>,
}

// SAFETY: the pointer is to a value that is `Sync`, and good while callbacks can run.
unsafe impl Send for RecvSlot {}

/// The receives of a queue pair.
pub(super) struct RecvQueue {
    open: bool,
    /// Slots that are posted or may be posted again at any time.
    committed: u32,
    /// Can be large, if the peer announces a deep queue.
    ring: KVVec<RecvSlot>,
    once: KVec<KBox<RecvSlot>>,
}

impl RecvQueue {
    /// No receives.
    pub(super) fn new() -> Self {
        Self {
            open: true,
            committed: 0,
            ring: KVVec::new(),
            once: KVec::new(),
        }
    }

    /// Stops posting.
    pub(super) fn close(&mut self) {
        self.open = false;
    }

    /// Takes all slots away, to be freed; nobody may use them any more.
    pub(super) fn take(&mut self) -> (KVVec<RecvSlot>, KVec<KBox<RecvSlot>>) {
        (
            core::mem::take(&mut self.ring),
            core::mem::take(&mut self.once),
        )
    }
}

/// What a completion says about a receive.
#[derive(Clone, Copy)]
pub(super) struct RecvFacts {
    /// Bytes that arrived in the receive's memory.
    len: u32,
    imm: Option<u32>,
    invalidated: Option<u32>,
    write_imm: bool,
}

impl Core {
    /// Posts the receive of a slot.
    ///
    /// # Safety
    ///
    /// The slot must belong to this queue pair, must not be posted, and must stay until the queue
    /// pair is destroyed.
    unsafe fn post_recv(&self, slot: &RecvSlot) -> Result {
        let queue = self.recv.lock();
        // SAFETY: promised by the caller.
        unsafe { self.post_locked(&queue, slot) }
    }

    /// The same, for callers who hold the lock.
    ///
    /// # Safety
    ///
    /// As of [`post_recv`](Self::post_recv), and `queue` must be this queue pair's.
    unsafe fn post_locked(&self, queue: &RecvQueue, slot: &RecvSlot) -> Result {
        if !queue.open {
            return Err(error(errno::ENOTCONN));
        }
        let mut sge = c::ib_sge {
            addr: 0,
            length: slot.len,
            lkey: 0,
        };
        let mut num_sge = 0;
        if let Some(region) = &slot.region {
            region.to_device(slot.offset, slot.len as usize)?;
            sge.addr = region.addr(slot.offset);
            sge.lkey = region.pd().local_key();
            num_sge = 1;
        }
        let wr = c::ib_recv_wr {
            next: core::ptr::null_mut(),
            __bindgen_anon_1: c::ib_recv_wr__bindgen_ty_1 {
                wr_cqe: ManuallyDrop::new((&raw const slot.cqe).cast_mut()),
            },
            sg_list: &mut sge,
            num_sge,
        };
        // SAFETY:
        // - The queue is open, so the queue pair is valid: it is closed, under the lock that the
        //   caller holds, before the queue pair is destroyed.
        // - The request and its element live for the call, which copies them.
        // - Slot and memory stay, as the caller promises and by the slot's invariant.
        let posted = unsafe { c::rdx_post_recv(self.qp, &wr) };
        if posted != 0 {
            return Err(error(posted));
        }
        Ok(())
    }

    /// See [`QueuePair::post_recv_once`].
    pub(super) fn post_recv_once(&self, buf: Buffer, token: Token) -> Result {
        let region = buf.0;
        if region.pd().serial() != self.serial {
            return Err(EINVAL);
        }
        let len = u32::try_from(region.len()).map_err(|_| EINVAL)?;
        // INVARIANT: the whole buffer, of our protection domain.
        let slot = KBox::new(
            RecvSlot {
                cqe: c::ib_cqe {
                    done: Some(recv_done),
                },
                core: self,
                region: Some(region),
                offset: 0,
                len,
                token: Some(token),
            },
            GFP_KERNEL,
        )?;
        loop {
            let wanted = self.recv.lock().once.len().checked_add(4).ok_or(ENOMEM)?;
            // Allocated and freed outside the lock, which keeps interrupts off.
            let mut larger = KVec::with_capacity(wanted, GFP_KERNEL)?;
            let mut queue = self.recv.lock();
            if queue.once.len() >= wanted {
                // Others were faster; once more.
                continue;
            }
            let result = self.keep_and_post(&mut queue, &mut larger, slot);
            drop(queue);
            drop(larger);
            return result;
        }
    }

    /// Moves the list of one-shot receives into `larger`, which has room, and adds and posts one.
    fn keep_and_post(
        &self,
        queue: &mut RecvQueue,
        larger: &mut KVec<KBox<RecvSlot>>,
        slot: KBox<RecvSlot>,
    ) -> Result {
        if !queue.open {
            return Err(error(errno::ENOTCONN));
        }
        if queue.committed >= self.recv_wr {
            return Err(ENOSPC);
        }
        while let Some(old) = queue.once.pop() {
            larger.push_within_capacity(old).map_err(|_| ENOMEM)?;
        }
        core::mem::swap(&mut queue.once, larger);
        queue.once.push_within_capacity(slot).map_err(|_| ENOMEM)?;
        let slot = queue.once.last().ok_or(ENOMEM)?;
        // SAFETY: the slot is new, and its box stays in the list until the queue pair is destroyed.
        unsafe { self.post_locked(queue, slot) }?;
        queue.committed = queue.committed.saturating_add(1);
        Ok(())
    }

    /// See [`QueuePair::arm_receives`].
    pub(super) fn arm_receives(&self, count: u32, len: u32) -> Result {
        if count == 0 {
            return Err(EINVAL);
        }
        let region = match len {
            0 => None,
            _ => Some(ring_memory(&self.pd()?, count, len)?),
        };
        let mut ring = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for index in 0..count {
            let slot = RecvSlot {
                cqe: c::ib_cqe {
                    done: Some(recv_done),
                },
                core: self,
                region: region.clone(),
                // `ring_memory` has checked that this does not overflow.
                offset: (index as usize).wrapping_mul(stride(len)),
                len,
                token: None,
            };
            // INVARIANT: the slots divide the region.
            ring.push_within_capacity(slot).map_err(|_| ENOMEM)?;
        }
        {
            let mut queue = self.recv.lock();
            let refused = if !queue.open {
                Some(error(errno::ENOTCONN))
            } else if !queue.ring.is_empty() {
                Some(EBUSY)
            } else if queue.committed.saturating_add(count) > self.recv_wr {
                Some(ENOSPC)
            } else {
                None
            };
            if let Some(error) = refused {
                drop(queue);
                return Err(error);
            }
            queue.committed = queue.committed.saturating_add(count);
            queue.ring = ring;
        }
        // One at a time, so that interrupts are not off for long. Somebody may shut the queue pair
        // down meanwhile, hence the slot is looked up under the lock.
        for index in 0..count as usize {
            let queue = self.recv.lock();
            let slot = queue.ring.get(index).ok_or(error(errno::ENOTCONN))?;
            // SAFETY:
            // - The ring stays in place until the queue pair is destroyed.
            // - Nobody else posts a slot that has not completed, and each is visited once.
            unsafe { self.post_locked(&queue, slot) }?;
        }
        Ok(())
    }
}

/// Distance of receives of this length.
fn stride(len: u32) -> usize {
    (len as usize).next_multiple_of(STRIDE as usize)
}

/// Memory for a ring.
fn ring_memory(pd: &Arc<Pd>, count: u32, len: u32) -> Result<Region> {
    let each = len.checked_next_multiple_of(STRIDE).ok_or(EINVAL)?;
    let bytes = each.checked_mul(count).ok_or(EINVAL)?;
    pd.receive_memory(bytes as usize)
}

/// A receive that is completed.
///
/// Dropping it takes the receive out of circulation; [`repost`](Self::repost) puts it back.
pub struct Received<'a, C: Context> {
    qp: &'a QueuePair<C>,
    slot: &'a RecvSlot,
    facts: RecvFacts,
}

impl<'a, C: Context> Received<'a, C> {
    /// Dresses a completion.
    pub(super) fn new(qp: &'a QueuePair<C>, slot: &'a RecvSlot, facts: RecvFacts) -> Self {
        Self { qp, slot, facts }
    }

    /// Bytes that arrived in the memory of the receive; never more than it has, and 0 if the peer
    /// wrote elsewhere ([`is_write_imm`](Self::is_write_imm)).
    pub fn len(&self) -> usize {
        self.facts.len as usize
    }

    /// Whether nothing arrived in the memory of the receive.
    pub fn is_empty(&self) -> bool {
        self.facts.len == 0
    }

    /// The immediate value, in CPU order.
    pub fn imm(&self) -> Option<u32> {
        self.facts.imm
    }

    /// The key of ours that the peer's send has invalidated.
    pub fn invalidated(&self) -> Option<u32> {
        self.facts.invalidated
    }

    /// Whether this announces a remote write, as opposed to a send.
    pub fn is_write_imm(&self) -> bool {
        self.facts.write_imm
    }

    /// The token of a one-shot receive; `None` for one of the ring.
    pub fn tag(&self) -> Option<Token> {
        self.slot.token
    }

    /// Copies what arrived, from `off` on; returns how many bytes. Any context.
    pub fn copy(&self, off: usize, out: &mut [u8]) -> usize {
        let Some(region) = &self.slot.region else {
            return 0;
        };
        let len = self.len().saturating_sub(off).min(out.len());
        let (Some(out), Some(at)) = (out.get_mut(..len), self.slot.offset.checked_add(off)) else {
            return 0;
        };
        match region.read(at, out) {
            Ok(()) => len,
            Err(_) => 0,
        }
    }

    /// Posts the same receive again. Any context.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a one-shot receive, `ENOTCONN` after shutdown has begun, or the errno of the
    /// driver.
    pub fn repost(self) -> Result {
        if self.slot.token.is_some() {
            return Err(EINVAL);
        }
        // SAFETY: the slot is of the ring of this queue pair; its receive is completed and, as
        // `self` is the only one for this completion, not posted again.
        unsafe { self.qp.core.post_recv(self.slot) }
    }
}

/// A receive is completed, or has failed.
///
/// # Safety
///
/// To be called by the completion queue, for a receive that was posted with the entry of a
/// [`RecvSlot`].
unsafe extern "C" fn recv_done(_cq: *mut c::ib_cq, wc: *mut c::ib_wc) {
    // SAFETY:
    // - The work completion is valid for the call and was made for an entry of a slot.
    // - Slots and queue pair stay until no completion can run any more.
    let (wc, slot, core) = unsafe {
        let wc = &*wc;
        let cqe: *mut c::ib_cqe = *wc.__bindgen_anon_1.wr_cqe;
        let slot = &*container_of!(cqe, RecvSlot, cqe);
        (wc, slot, &*slot.core)
    };
    let deliver = |event: Event<'_>| {
        // SAFETY: the core was made with operations of its own type; the context is held until
        // after the last completion.
        unsafe { (core.ops.deliver)(core, event) }
    };
    if slot.token.is_some() {
        let mut queue = core.recv.lock();
        queue.committed = queue.committed.saturating_sub(1);
    }
    match wc.status {
        c::ib_wc_status_IB_WC_SUCCESS => {}
        status => {
            // A flush is news only if nobody knows of the end yet; see `send_done`.
            let news = core.send.lock().close();
            if news || status != c::ib_wc_status_IB_WC_WR_FLUSH_ERR {
                deliver(Event::Failed(None, status));
            }
            return;
        }
    }
    let flag = |flag: c::ib_wc_flags| wc.wc_flags as c::ib_wc_flags & flag != 0;
    // SAFETY: immediate data and invalidated key share one place of plain data; the flags say which
    // it is.
    let extra = unsafe { *wc.ex.invalidate_rkey };
    let write_imm = wc.opcode == c::ib_wc_opcode_IB_WC_RECV_RDMA_WITH_IMM;
    let facts = RecvFacts {
        len: if write_imm {
            0
        } else {
            wc.byte_len.min(slot.len)
        },
        imm: flag(c::ib_wc_flags_IB_WC_WITH_IMM).then(|| u32::from_be(extra)),
        invalidated: flag(c::ib_wc_flags_IB_WC_WITH_INVALIDATE).then_some(extra),
        write_imm,
    };
    deliver(Event::Recv(slot, facts));
}
