// SPDX-License-Identifier: GPL-2.0

//! Where protection domains are torn down.
//!
//! The last handle on a protection domain may be dropped in a completion, where nothing may sleep,
//! or in a handler of the very connection manager id that has to be destroyed. So the teardown runs
//! as a work item. Whoever owns the [`Reaper`] (the module that carries this crate) guarantees that
//! the code of this crate stays until the last item has run.

use crate::{
    time::sleep_ms,
    workqueue::{
        Flags,
        OwnedQueue, //
    }, //
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

/// How many threads are between reading `QUEUE` and being done with it.
///
/// A reader counts itself before it reads, the reaper's end clears `QUEUE` before it looks at the
/// count; all fully ordered. So when the count is 0 nobody has the old pointer any more.
static READERS: Atomic<i32> = Atomic::new(0);

/// Owns the queue on which protection domains are torn down.
///
/// At most one exists. The module that carries this crate keeps it as the last field to be dropped,
/// so that all code of a teardown is still there when it runs. Without one the system's queue is
/// used, and nobody waits for it.
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
        QUEUE.xchg(ptr::null_mut(), Full);
        while READERS.fetch_add(0, Full) != 0 {
            sleep_ms(1);
        }
        // Nobody can add items any more. Dropping the queue runs what is in it.
        self.queue.flush();
    }
}

/// The C queue behind a queue reference.
fn raw_queue(queue: &Queue) -> *mut bindings::workqueue_struct {
    // `Queue` is a transparent wrapper of the C structure.
    ptr::from_ref(queue).cast_mut().cast()
}

/// Runs `work` with the reaper's queue, if there is one.
fn with_reaper<R>(work: impl FnOnce(Option<&Queue>) -> R) -> R {
    READERS.fetch_add(1, Full);
    let raw = QUEUE.load(Acquire);
    // SAFETY: the queue is destroyed only after it is no longer in `QUEUE` and nobody who might have
    // read it there is counted in `READERS`; this thread is, until `work` is done.
    let queue = (!raw.is_null()).then(|| unsafe { Queue::from_raw(raw) });
    let result = work(queue);
    READERS.fetch_sub(1, Full);
    result
}

/// Runs `work` with the queue for teardowns. Any context, if `work` does not sleep.
pub(super) fn with_queue<R>(work: impl FnOnce(&Queue) -> R) -> R {
    with_reaper(|queue| match queue {
        Some(queue) => work(queue),
        // SAFETY: the static is written once, while the kernel boots, and its queue lives for ever.
        None => work(unsafe { Queue::from_raw(bindings::system_dfl_wq) }),
    })
}

/// Waits until every protection domain whose last handle is gone is torn down. Sleeps.
///
/// Useful when a module ends and its devices should be free at once. Without a [`Reaper`] it does
/// nothing.
pub fn flush_teardown() {
    with_reaper(|queue| {
        if let Some(queue) = queue {
            // SAFETY: the queue is valid for the duration of the call.
            unsafe { bindings::__flush_workqueue(raw_queue(queue)) }
        }
    })
}
