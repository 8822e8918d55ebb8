// SPDX-License-Identifier: GPL-2.0

//! Sleeping until a condition holds.
//!
//! The counterpart of C's `wait_event` and `wake_up_all`. A waiter queues itself first and tests its
//! condition afterwards; a waker changes the state first and looks for waiters after a full
//! barrier. Whatever the timing, one of them sees the other, so no wake-up is lost.

use crate::{
    ffi,
    time::ms_to_jiffies, //
};
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_long, //
    },
    prelude::*,
    static_lock_class,
    types::Opaque, //
};

/// A place where threads sleep until somebody changes the state they are interested in.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: a wait queue head is bound to no thread.
unsafe impl Send for WaitQueue {}
// SAFETY: all accesses to the head go through C functions, which take its lock.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A queue without waiters.
    pub fn new() -> impl PinInit<Self> {
        // A static and not a literal in the closure: the closure is compiled into every module that
        // makes a queue, and lockdep wants one name, at one address, for one class.
        static NAME: &CStr = c"kernel_ext wait queue";

        pin_init!(Self {
            head <- Opaque::ffi_init(|slot: *mut bindings::wait_queue_head| {
                // SAFETY:
                // - `slot` is valid for writes and will stay pinned.
                // - the name and the lock class live for ever.
                unsafe {
                    bindings::__init_waitqueue_head(
                        slot,
                        NAME.as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    )
                }
            }),
        })
    }

    /// Sleeps until `condition` returns true. Process context; not interruptible.
    ///
    /// `condition` is called repeatedly and must not sleep (a spinlock is fine). Whoever makes it
    /// true must call [`wake_all`](Self::wake_all) afterwards.
    pub fn wait_event(&self, condition: impl FnMut() -> bool) {
        self.wait(None, condition);
    }

    /// Like [`wait_event`](Self::wait_event), for at most `ms` milliseconds. Returns the last value
    /// of the condition: false if the time ran out.
    pub fn wait_event_timeout(&self, ms: u32, condition: impl FnMut() -> bool) -> bool {
        let ticks = c_long::try_from(ms_to_jiffies(ms)).unwrap_or(c_long::MAX);
        self.wait(Some(ticks), condition)
    }

    /// Wakes all waiters, so that they test their conditions again. Any context.
    ///
    /// Costs a barrier and a load if nobody waits.
    pub fn wake_all(&self) {
        // SAFETY: the head was initialised by `new`, is pinned, and stays alive for this call.
        unsafe { ffi::kx_wake_up_all(self.head.get()) }
    }

    fn wait(&self, mut left: Option<c_long>, mut condition: impl FnMut() -> bool) -> bool {
        if condition() {
            return true;
        }
        let head = self.head.get();
        let mut entry = MaybeUninit::<bindings::wait_queue_entry>::uninit();
        let entry = entry.as_mut_ptr();
        // SAFETY: `entry` is valid for writes. It stays where it is until `finish_wait` below has
        // taken it off the queue; there is no way out of this function in between, and panics do
        // not unwind.
        unsafe { bindings::init_wait_entry(entry, 0) };
        let met = loop {
            // SAFETY:
            // - the head was initialised by `new` and is pinned.
            // - the entry was initialised above and is used by this thread only.
            unsafe {
                bindings::prepare_to_wait_event(
                    head,
                    entry,
                    bindings::TASK_UNINTERRUPTIBLE as c_int,
                )
            };
            if condition() {
                break true;
            }
            match &mut left {
                // SAFETY: a thread that may sleep, as documented, may call the scheduler.
                None => unsafe { bindings::schedule() },
                Some(0) => break false,
                // SAFETY: as above; the number of ticks is not negative.
                Some(ticks) => *ticks = unsafe { bindings::schedule_timeout(*ticks) }.max(0),
            }
        };
        // SAFETY: the head and the entry are those that were queued above.
        unsafe { bindings::finish_wait(head, entry) };
        met
    }
}
