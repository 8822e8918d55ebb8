// SPDX-License-Identifier: GPL-2.0

//! A completion with time limits.
//!
//! The kernel crate's `Completion` can neither be waited for with a limit nor be used twice. This
//! one wraps the same C structure.

use crate::time::ms_to_jiffies;
use kernel::{
    bindings,
    prelude::*,
    types::Opaque, //
};

/// Something one thread waits for and another one announces.
///
/// Each [`complete`](Self::complete) lets one wait through, [`complete_all`](Self::complete_all)
/// every wait until [`reinit`](Self::reinit). What was written before completing is visible after
/// the wait.
#[pin_data]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: a `struct completion` is bound to no thread.
unsafe impl Send for Completion {}
// SAFETY: all accesses to the inner structure go through the C functions, which take its lock.
unsafe impl Sync for Completion {}

impl Completion {
    /// A completion that nothing has completed yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writes and will stay pinned.
                unsafe { bindings::init_completion(slot) }
            }),
        })
    }

    /// Lets one waiter, present or future, through. Any context.
    pub fn complete(&self) {
        // SAFETY: `inner` was initialised by `new` and is pinned.
        unsafe { bindings::complete(self.inner.get()) }
    }

    /// Lets all waiters, present and future, through. Any context.
    pub fn complete_all(&self) {
        // SAFETY: `inner` was initialised by `new` and is pinned.
        unsafe { bindings::complete_all(self.inner.get()) }
    }

    /// Makes the completion incomplete again. Any context.
    ///
    /// If this races with somebody who completes, either order may win; the caller must know that
    /// nobody does.
    pub fn reinit(&self) {
        // SAFETY:
        // - `inner` was initialised by `new`, so the field is valid for writes.
        // - The store is a single word and volatile, so C code that reads it under its lock sees
        //   the old or the new value; the queue of waiters is not touched.
        unsafe { core::ptr::write_volatile(&raw mut (*self.inner.get()).done, 0) }
    }

    /// Waits without a limit. Sleeps; not interruptible.
    pub fn wait(&self) {
        // SAFETY: `inner` was initialised by `new` and is pinned.
        unsafe { bindings::wait_for_completion(self.inner.get()) }
    }

    /// Waits for at most `ms` milliseconds; false if the time ran out. Sleeps; not interruptible.
    pub fn wait_timeout(&self, ms: u32) -> bool {
        let ticks = ms_to_jiffies(ms);
        // SAFETY: `inner` was initialised by `new` and is pinned.
        unsafe { bindings::wait_for_completion_timeout(self.inner.get(), ticks) != 0 }
    }

    /// Waits for at most `ms` milliseconds or until a signal arrives. Sleeps.
    ///
    /// `Ok(true)` if completed, `Ok(false)` if the time ran out.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal arrived first.
    pub fn wait_interruptible_timeout(&self, ms: u32) -> Result<bool> {
        let ticks = ms_to_jiffies(ms);
        // SAFETY: `inner` was initialised by `new` and is pinned.
        let left =
            unsafe { bindings::wait_for_completion_interruptible_timeout(self.inner.get(), ticks) };
        match left {
            0 => Ok(false),
            1.. => Ok(true),
            _ => Err(ERESTARTSYS),
        }
    }
}
