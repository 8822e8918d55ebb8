// SPDX-License-Identifier: GPL-2.0

//! Workqueues of one's own, and taking back what was queued.
//!
//! The kernel crate has the items (`Work`, `DelayedWork`, `impl_has_work!`,
//! `impl_has_delayed_work!`) and can only feed the system's queues. A transport and a block driver
//! need queues that make progress under memory pressure, and a way to end: [`OwnedQueue`] is the
//! queue, [`cancel_sync`] and [`cancel_delayed_sync`] take an item back together with the reference
//! that queueing it gave away.
//!
//! Two rules no type can enforce, as with the system's queues: cancel every delayed item before
//! its queue or its module goes (a timer that has not fired is not part of the queue yet), and never
//! cancel, flush or drop a queue from one of its own items.

use crate::time::ms_to_jiffies;
use core::ptr::NonNull;
use kernel::{
    bindings,
    container_of,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::Arc,
    workqueue::{
        HasDelayedWork,
        HasWork,
        Queue,
        Work,
        WorkItem, //
    }, //
};

/// How a queue works.
#[derive(Clone, Copy, Default)]
pub struct Flags {
    /// Guarantees progress of one item when no memory is left for new threads. Wanted by everything
    /// that takes part in writing back dirty pages.
    pub mem_reclaim: bool,
    /// Items may run on any CPU instead of the one they were queued on.
    pub unbound: bool,
    /// Runs one item at a time, in the order of queueing. Implies `unbound`.
    pub ordered: bool,
}

/// A workqueue that is destroyed with its owner.
///
/// Dropping it first runs everything that is queued; it sleeps.
///
/// # Invariants
///
/// `raw` points to a workqueue that only `drop` destroys.
pub struct OwnedQueue {
    raw: NonNull<bindings::workqueue_struct>,
}

// SAFETY: a workqueue is bound to no thread.
unsafe impl Send for OwnedQueue {}
// SAFETY: all functions that work on a shared workqueue do their own locking.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Allocates a queue. Sleeps. The name is seen in `ps` for queues with `mem_reclaim`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &'static CStr, flags: Flags) -> Result<OwnedQueue> {
        let mut raw_flags: c_uint = if flags.unbound || flags.ordered {
            bindings::wq_flags_WQ_UNBOUND
        } else {
            bindings::wq_flags_WQ_PERCPU
        };
        if flags.mem_reclaim {
            raw_flags |= bindings::wq_flags_WQ_MEM_RECLAIM;
        }
        let mut max_active: c_int = 0;
        if flags.ordered {
            raw_flags |= bindings::wq_flags___WQ_ORDERED;
            max_active = 1;
        }
        // SAFETY: the format takes one string, which lives for ever; the flags name exactly one of
        // bound and unbound, as the function demands.
        let raw = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                raw_flags,
                max_active,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: the queue is new and known to nobody else.
        NonNull::new(raw)
            .map(|raw| OwnedQueue { raw })
            .ok_or(ENOMEM)
    }

    /// The queue, for `enqueue` and `enqueue_delayed`. See the [module](self) for delayed items.
    pub fn queue(&self) -> &Queue {
        // SAFETY: by the invariant the workqueue is valid as long as `self`, which the returned
        // reference borrows.
        unsafe { Queue::from_raw(self.raw.as_ptr()) }
    }

    /// Waits for everything that was queued before the call. Sleeps.
    pub fn flush(&self) {
        // SAFETY: by the invariant the workqueue is valid.
        unsafe { bindings::__flush_workqueue(self.raw.as_ptr()) }
    }

    /// Waits until the queue is empty, including what its items queue. Sleeps.
    ///
    /// While it runs nobody else may queue.
    pub fn drain(&self) {
        // SAFETY: by the invariant the workqueue is valid.
        unsafe { bindings::drain_workqueue(self.raw.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: by the invariant the workqueue is valid and nobody else destroys it. The function
        // drains it first.
        unsafe { bindings::destroy_workqueue(self.raw.as_ptr()) }
    }
}

/// Queues a delayed item to run in `ms` milliseconds. Any context.
///
/// # Errors
///
/// Gives the reference back if the item is queued already or being cancelled.
pub fn enqueue_delayed<T, const ID: u64>(queue: &Queue, item: Arc<T>, ms: u32) -> Result<(), Arc<T>>
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID> + Send + Sync + 'static,
{
    queue.enqueue_delayed::<Arc<T>, ID>(item, ms_to_jiffies(ms))
}

/// Takes an item back and waits for the end of a run that has begun. Sleeps.
///
/// True if it was queued and will not run; the reference that queueing took is dropped then. While
/// this runs, attempts to queue the item fail. Never call it from the item itself.
pub fn cancel_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasWork<T, ID>,
{
    let ptr = Arc::as_ptr(item).cast_mut();
    // SAFETY: `ptr` points to a valid `T`, kept alive by `item`.
    let work = unsafe { Work::raw_get(T::raw_get_work(ptr)) };
    // SAFETY: the work was initialised by `Work::new`, the only way to make one.
    let was_queued = unsafe { bindings::cancel_work_sync(work) };
    if was_queued {
        // SAFETY: queueing turned an `Arc<T>` into `ptr`; the item was taken off before it could
        // run, so nobody else will turn it back.
        drop(unsafe { Arc::from_raw(ptr.cast_const()) });
    }
    was_queued
}

/// [`cancel_sync`] for a delayed item, whether its timer or its queue holds it. Sleeps.
pub fn cancel_delayed_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID>,
{
    let ptr = Arc::as_ptr(item).cast_mut();
    // SAFETY: `ptr` points to a valid `T`, kept alive by `item`.
    let work = unsafe { Work::raw_get(T::raw_get_work(ptr)) };
    // SAFETY: `HasDelayedWork` promises that the work is the `work` field of a `delayed_work` with
    // the same access rules.
    let delayed = unsafe { container_of!(work, bindings::delayed_work, work) };
    // SAFETY: it was initialised by `DelayedWork::new`, the only way to make one.
    let was_queued = unsafe { bindings::cancel_delayed_work_sync(delayed) };
    if was_queued {
        // SAFETY: queueing turned an `Arc<T>` into `ptr`; timer and queue have let go of it before
        // it could run, so nobody else will turn it back.
        drop(unsafe { Arc::from_raw(ptr.cast_const()) });
    }
    was_queued
}
