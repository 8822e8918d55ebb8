// SPDX-License-Identifier: GPL-2.0

//! Work requests as values, and their translation into what the verbs want.
//!
//! A room describes a chain of up to [`MAX_WRS`] requests; the queue pair translates it on the
//! stack and posts it with one call. Nothing here allocates.

use super::mr::Mr;
use core::mem::{
    ManuallyDrop,
    MaybeUninit, //
};
use kernel::{
    ffi::c_int,
    prelude::*, //
};
use rdma_bindings as c;

/// Longest chain of one post.
pub const MAX_WRS: usize = 8;
/// Most scatter/gather elements of one post, over all requests of the chain.
pub const MAX_SGES: usize = 32;

/// A piece of local memory, as a work request names it.
///
/// It remembers the protection domain it is good for: a queue pair of another one refuses it.
#[derive(Clone, Copy)]
pub struct Sge {
    addr: u64,
    len: u32,
    key: u32,
    pd: u64,
}

impl Sge {
    /// An element without bytes, to fill arrays with. No queue pair accepts it.
    pub const EMPTY: Self = Self {
        addr: 0,
        len: 0,
        key: 0,
        pd: 0,
    };

    /// An element; the caller vouches that the range stays mapped as long as the protection domain
    /// with this serial number.
    pub(crate) fn new(addr: u64, len: u32, key: u32, pd: u64) -> Self {
        Self { addr, len, key, pd }
    }

    /// Length in bytes.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A place in the peer's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote {
    /// The peer's address.
    pub addr: u64,
    /// The key the peer gave out for it.
    pub key: u32,
}

impl Remote {
    /// For requests without data, where the target does not matter.
    pub const ZERO: Self = Self { addr: 0, key: 0 };
}

/// One work request. Immediate values are in CPU order.
#[derive(Clone, Copy)]
pub enum Wr<'a> {
    /// Writes local memory into the peer's.
    Write {
        /// What to write.
        local: &'a [Sge],
        /// Where to.
        remote: Remote,
    },
    /// The same, and completes one receive of the peer with `imm`.
    WriteImm {
        /// What to write; may be empty.
        local: &'a [Sge],
        /// Where to; [`Remote::ZERO`] if `local` is empty.
        remote: Remote,
        /// Immediate value.
        imm: u32,
    },
    /// Sends into a receive of the peer.
    Send {
        /// What to send; may be empty.
        local: &'a [Sge],
    },
    /// The same, with an immediate value.
    SendImm {
        /// What to send; may be empty.
        local: &'a [Sge],
        /// Immediate value.
        imm: u32,
    },
    /// An empty send that invalidates a key of the peer.
    SendInv {
        /// The peer's key.
        key: u32,
    },
    /// Registers what is mapped into a memory region, with its present key.
    RegMr {
        /// The region.
        mr: &'a Mr,
        /// Whether the peer may write into it.
        remote_write: bool,
    },
    /// Takes back a registration.
    LocalInv {
        /// The key it was registered with.
        key: u32,
    },
}

/// Either kind of request; both start with an `ib_send_wr`.
#[repr(C)]
union Slot {
    rdma: ManuallyDrop<c::ib_rdma_wr>,
    reg: ManuallyDrop<c::ib_reg_wr>,
}

/// Space for a chain: less than 1.2 KiB, and only what is used is written.
///
/// # Invariants
///
/// The first `wrs` slots and the first `sges` elements are initialised.
pub(super) struct Chain {
    slots: [MaybeUninit<Slot>; MAX_WRS],
    elements: [MaybeUninit<c::ib_sge>; MAX_SGES],
    wrs: usize,
    sges: usize,
}

/// What a queue pair accepts.
pub(super) struct Rules {
    /// Serial number of the protection domain.
    pub(super) pd: u64,
    /// Most elements of one request.
    pub(super) max_sge: u32,
    /// The completion entry of all requests but, possibly, the last.
    pub(super) cqe: *mut c::ib_cqe,
}

impl Chain {
    /// An empty chain. It is made where it stays: it is too large to be moved.
    pub(super) fn new() -> Result<KBox<Self>> {
        let mut chain = KBox::<Self>::new_uninit(GFP_KERNEL)?;
        let place = chain.as_mut_ptr();
        // INVARIANT: nothing was appended, so no slot and no element has to be initialised.
        // SAFETY:
        // - The place is allocated, and ours alone.
        // - With the two counters all fields are initialised: the arrays are of `MaybeUninit`.
        unsafe {
            (&raw mut (*place).wrs).write(0);
            (&raw mut (*place).sges).write(0);
            Ok(chain.assume_init())
        }
    }

    /// Forgets what was appended.
    pub(super) fn clear(&mut self) {
        // INVARIANT: nothing needs to be initialised; and nothing of it needs to be dropped.
        self.wrs = 0;
        self.sges = 0;
    }

    /// Copies elements into the chain; returns how many.
    fn gather(&mut self, local: &[Sge], rules: &Rules) -> Result<c_int> {
        let count = u32::try_from(local.len()).map_err(|_| EINVAL)?;
        let end = self.sges.checked_add(local.len()).ok_or(EINVAL)?;
        if count > rules.max_sge {
            return Err(EINVAL);
        }
        let room = self.elements.get_mut(self.sges..end).ok_or(EINVAL)?;
        for (to, from) in room.iter_mut().zip(local) {
            if from.pd != rules.pd {
                return Err(EINVAL);
            }
            to.write(c::ib_sge {
                addr: from.addr,
                length: from.len,
                lkey: from.key,
            });
        }
        // INVARIANT: the elements up to `end` have just been written.
        self.sges = end;
        Ok(count as c_int)
    }

    /// Translates and appends one request.
    pub(super) fn push(&mut self, wr: &Wr<'_>, rules: &Rules) -> Result {
        const NONE: &[Sge] = &[];
        let (opcode, local, ex) = match *wr {
            Wr::Write { local, .. } => (c::ib_wr_opcode_IB_WR_RDMA_WRITE, local, 0),
            Wr::WriteImm { local, imm, .. } => (
                c::ib_wr_opcode_IB_WR_RDMA_WRITE_WITH_IMM,
                local,
                imm.to_be(),
            ),
            Wr::Send { local } => (c::ib_wr_opcode_IB_WR_SEND, local, 0),
            Wr::SendImm { local, imm } => (c::ib_wr_opcode_IB_WR_SEND_WITH_IMM, local, imm.to_be()),
            Wr::SendInv { key } => (c::ib_wr_opcode_IB_WR_SEND_WITH_INV, NONE, key),
            Wr::RegMr { .. } => (c::ib_wr_opcode_IB_WR_REG_MR, NONE, 0),
            Wr::LocalInv { key } => (c::ib_wr_opcode_IB_WR_LOCAL_INV, NONE, key),
        };
        let num_sge = self.gather(local, rules)?;
        let head = c::ib_send_wr {
            next: core::ptr::null_mut(),
            __bindgen_anon_1: c::ib_send_wr__bindgen_ty_1 {
                wr_cqe: ManuallyDrop::new(rules.cqe),
            },
            // `link` fills this in: the elements may still move.
            sg_list: core::ptr::null_mut(),
            num_sge,
            opcode,
            send_flags: 0,
            // Immediate data and the key to invalidate share the place and the type.
            ex: c::ib_send_wr__bindgen_ty_2 {
                invalidate_rkey: ManuallyDrop::new(ex),
            },
        };
        let slot = match *wr {
            Wr::RegMr { mr, remote_write } => {
                if mr.pd().serial() != rules.pd {
                    return Err(EINVAL);
                }
                let mut access = c::ib_access_flags_IB_ACCESS_LOCAL_WRITE;
                if remote_write {
                    access |= c::ib_access_flags_IB_ACCESS_REMOTE_WRITE;
                }
                Slot {
                    reg: ManuallyDrop::new(c::ib_reg_wr {
                        wr: head,
                        mr: mr.raw(),
                        key: mr.key(),
                        access: access as c_int,
                    }),
                }
            }
            Wr::Write { remote, .. } | Wr::WriteImm { remote, .. } => Slot {
                rdma: ManuallyDrop::new(c::ib_rdma_wr {
                    wr: head,
                    remote_addr: remote.addr,
                    rkey: remote.key,
                }),
            },
            _ => Slot {
                rdma: ManuallyDrop::new(c::ib_rdma_wr {
                    wr: head,
                    remote_addr: 0,
                    rkey: 0,
                }),
            },
        };
        self.slots.get_mut(self.wrs).ok_or(EINVAL)?.write(slot);
        // INVARIANT: one more slot is initialised. It cannot overflow: the index was in bounds.
        self.wrs = self.wrs.wrapping_add(1);
        Ok(())
    }

    /// Links the requests with their elements and with each other, and marks the last one; returns
    /// the first. `None` if there is none.
    ///
    /// The result points into `self` and is good until `self` moves, changes or ends.
    pub(super) fn link(&mut self, signal: Option<*mut c::ib_cqe>) -> Option<*const c::ib_send_wr> {
        let count = self.wrs;
        let base = self.slots.as_mut_ptr().cast::<Slot>();
        let mut sge = self.elements.as_mut_ptr().cast::<c::ib_sge>();
        let last = count.checked_sub(1)?;
        for index in 0..count {
            // SAFETY:
            // - The first `count` slots are initialised, by the invariant.
            // - Each starts with an `ib_send_wr`, whichever kind it is.
            // - The requests were appended together with their elements, in the same order.
            unsafe {
                let wr = base.wrapping_add(index).cast::<c::ib_send_wr>();
                if (*wr).num_sge > 0 {
                    (*wr).sg_list = sge;
                    sge = sge.wrapping_add((*wr).num_sge as usize);
                }
                if index < last {
                    (*wr).next = base.wrapping_add(index.wrapping_add(1)).cast();
                } else if let Some(cqe) = signal {
                    (*wr).send_flags = c::ib_send_flags_IB_SEND_SIGNALED as c_int;
                    (*wr).__bindgen_anon_1.wr_cqe = ManuallyDrop::new(cqe);
                }
            }
        }
        Some(base.cast_const().cast())
    }
}
