// SPDX-License-Identifier: GPL-2.0

//! The requests of a group of disks, and how they spread over hardware queues.

use crate::{
    operations::{
        Operations,
        Vtable, //
    },
    request::PDU_SIZE,
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

// Asserted in `rust/helpers/block_mq.c`.
const BLK_MQ_F_TAG_HCTX_SHARED: u32 = 1 << 3;
const BLK_MQ_F_NO_SCHED_BY_DEFAULT: u32 = 1 << 6;
const BLK_MQ_MAX_DEPTH: u32 = 10240;
const DEFAULT: usize = 0;
const READ: usize = 1;
const POLL: usize = 2;

/// More hardware queues than this are refused; the kernel's own limit on CPUs
/// is of this order, and every queue costs memory on every disk.
const MAX_QUEUES: u32 = 8192;

/// The requests that all disks of a group share (`struct blk_mq_tag_set`).
///
/// Tags are common to all hardware queues: `depth` is the number of requests in
/// flight of *all* disks and queues together, not of each queue. Disks get no
/// IO scheduler unless the administrator chooses one.
///
/// # Invariants
///
/// `inner` was successfully allocated and is freed by the destructor only.
#[pin_data(PinnedDrop)]
pub struct TagSet<O: Operations> {
    #[pin]
    inner: Opaque<bindings::blk_mq_tag_set>,
    data: Arc<O::Set>,
    _ops: PhantomData<O>,
}

// SAFETY: the tag set is not bound to a thread; `O::Set` is `Send` and `Sync`.
unsafe impl<O: Operations> Send for TagSet<O> {}

// SAFETY: the C functions that work on a tag set synchronise by themselves;
// `O::Set` is `Sync`.
unsafe impl<O: Operations> Sync for TagSet<O> {}

impl<O: Operations> TagSet<O> {
    /// Allocates `depth` requests and the maps of `nr_hw` hardware queues for
    /// reads and writes, followed by `nr_poll` queues for polled requests.
    ///
    /// `depth` above 10240 is lowered to that. Fails with `EINVAL` if `nr_hw` or
    /// `depth` is 0 or there are too many queues, and with `ENOMEM`. May sleep.
    pub fn new(data: Arc<O::Set>, nr_hw: u32, nr_poll: u32, depth: u32) -> Result<Arc<Self>> {
        let queues = nr_hw.checked_add(nr_poll).ok_or(EINVAL)?;
        if nr_hw == 0 || depth == 0 || queues > MAX_QUEUES {
            return Err(EINVAL);
        }
        let depth = depth.min(BLK_MQ_MAX_DEPTH);
        Arc::pin_init(
            try_pin_init!(Self {
                inner <- Opaque::try_ffi_init(move |set: *mut bindings::blk_mq_tag_set| {
                    // SAFETY:
                    // - The slot is valid for writes and pinned; all-zero is a
                    //   valid starting state of the C structure.
                    // - Everything `blk_mq_alloc_tag_set` reads is set before.
                    to_result(unsafe {
                        set.write(pin_init::zeroed());
                        (*set).ops = Vtable::<O>::TABLE;
                        (*set).nr_hw_queues = queues;
                        (*set).nr_maps = if nr_poll == 0 { 2 } else { 3 };
                        (*set).queue_depth = depth;
                        (*set).cmd_size = PDU_SIZE;
                        (*set).numa_node = bindings::NUMA_NO_NODE;
                        (*set).flags =
                            BLK_MQ_F_TAG_HCTX_SHARED | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
                        // Not a pointer: `map_queues` runs inside the next call
                        // and needs one number.
                        (*set).driver_data =
                            core::ptr::without_provenance_mut::<c_void>(nr_poll as usize);
                        bindings::blk_mq_alloc_tag_set(set)
                    })
                }),
                data,
                _ops: PhantomData,
            }),
            GFP_KERNEL,
        )
    }

    /// What the disks of this set share.
    pub fn data(&self) -> &Arc<O::Set> {
        &self.data
    }

    /// How many requests may be in flight; can be less than was asked for.
    pub fn depth(&self) -> u32 {
        // SAFETY: by the invariant the tag set is initialised, and the field
        // does not change after that.
        unsafe { (*self.raw()).queue_depth }
    }

    /// Which of the queues for polled requests, counted from 0, hardware queue `hw_queue` is; none
    /// if it is one for reads and writes.
    pub fn poll_queue(&self, hw_queue: u32) -> Option<u32> {
        // SAFETY: by the invariant the tag set is initialised, and the fields do not change after
        // that: the number of queues is never updated.
        let first = unsafe { (*self.raw()).map[DEFAULT].nr_queues };
        hw_queue.checked_sub(first)
    }

    pub(crate) fn raw(&self) -> *mut bindings::blk_mq_tag_set {
        self.inner.get()
    }
}

#[pinned_drop]
impl<O: Operations> PinnedDrop for TagSet<O> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY:
        // - By the invariant the tag set was allocated and not yet freed.
        // - No disk uses it: every disk holds an `Arc` to its tag set until
        //   its queue has exited.
        unsafe { bindings::blk_mq_free_tag_set(self.inner.get()) };
    }
}

/// Spreads the CPUs over the hardware queues: reads and writes share the first
/// ones, polled requests have the rest.
///
/// # Safety
///
/// May only be called by blk-mq, with a tag set that is being made by
/// [`TagSet::new`].
pub(crate) unsafe extern "C" fn map_queues(set: *mut bindings::blk_mq_tag_set) {
    // SAFETY: the tag set is initialised up to here and nobody else has it.
    let set = unsafe { &mut *set };
    let nr_poll = u32::try_from(set.driver_data.addr()).unwrap_or(0);
    let nr_hw = set.nr_hw_queues.saturating_sub(nr_poll);
    set.map[DEFAULT].nr_queues = nr_hw;
    set.map[DEFAULT].queue_offset = 0;
    set.map[READ].nr_queues = nr_hw;
    set.map[READ].queue_offset = 0;
    set.map[POLL].nr_queues = nr_poll;
    set.map[POLL].queue_offset = nr_hw;
    let maps = if nr_poll == 0 { POLL } else { POLL + 1 };
    for map in &mut set.map[..maps] {
        // SAFETY: the map has room for every CPU, and at least one queue.
        unsafe { bindings::blk_mq_map_queues(map) };
    }
}
