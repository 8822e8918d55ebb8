// SPDX-License-Identifier: GPL-2.0

//! Where protection domains are torn down.
//!
//! The last handle on a protection domain may be dropped in a completion, where nothing may sleep,
//! or in a handler of the very connection manager id that has to be destroyed. So the teardown runs
//! as a work item. Whoever owns the [`Reaper`] (the module that carries this crate) guarantees that
//! the code of this crate stays until the last item has run.

use crate::workqueue::{
    Flags,
    OwnedQueue, //
};
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full, //
    },
    workqueue::Queue, //
};

/// The queue of the running reaper, or null.
static QUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

/// Owns the queue on which protection domains are torn down.
///
/// At most one exists. It must outlive every handle of `kernel_ext::rdma`; the module that carries
/// this crate keeps it as the last field to be dropped. Without one the system's queue is used, and
/// nobody waits for it.
pub struct Reaper {
    queue: OwnedQueue,
}

impl Reaper {
    /// Starts the reaper. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EEXIST` if there is one already.
    pub fn start() -> Result<Self> {
        // Not `mem_reclaim`: no I/O waits for a teardown, and a teardown may wait for the connection
        // manager's own queues, which do not have that property either.
        let flags = Flags {
            unbound: true,
            ..Flags::default()
        };
        let queue = OwnedQueue::new(c"rdma_reaper", flags)?;
        let raw = raw_queue(queue.queue());
        match QUEUE.cmpxchg(ptr::null_mut(), raw, Full) {
            Ok(_) => Ok(Self { queue }),
            Err(_) => Err(EEXIST),
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // Nobody can add items any more: the modules that could are gone. What is queued runs
        // before the queue is destroyed.
        self.queue.flush();
        QUEUE.xchg(ptr::null_mut(), Full);
    }
}

/// The C queue behind a queue reference.
fn raw_queue(queue: &Queue) -> *mut bindings::workqueue_struct {
    // `Queue` is a transparent wrapper of the C structure.
    ptr::from_ref(queue).cast_mut().cast()
}

/// Runs `work` with the queue to use.
pub(super) fn with_queue<R>(work: impl FnOnce(&Queue) -> R) -> R {
    let mut raw = QUEUE.load(Acquire);
    if raw.is_null() {
        // SAFETY: the static is written once, while the kernel boots.
        raw = unsafe { bindings::system_dfl_wq };
    }
    // SAFETY:
    // - The system's queue lives for ever.
    // - A reaper's queue lives until the owner of the `Reaper` drops it, which it does only when no
    //   handle of this module is left; the caller is dropping such a handle right now.
    work(unsafe { Queue::from_raw(raw) })
}

/// Waits until every protection domain whose last handle is gone is torn down. Sleeps.
///
/// Useful when a module ends and its devices should be free at once. Without a [`Reaper`] it does
/// nothing.
pub fn flush_teardown() {
    let raw = QUEUE.load(Acquire);
    if !raw.is_null() {
        // SAFETY: see `with_queue`; the caller's module depends on the one that owns the reaper.
        unsafe { bindings::__flush_workqueue(raw) }
    }
}
