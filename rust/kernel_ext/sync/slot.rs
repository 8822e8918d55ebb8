// SPDX-License-Identifier: GPL-2.0

//! A lock-free place for one owned pointer.
//!
//! Used where a request waits for its completion: whoever takes the content owns it, and exactly one
//! taker gets it, however many try at once.

use core::{
    marker::PhantomData,
    ptr::null_mut, //
};
use kernel::{
    ffi::c_void,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    types::ForeignOwnable, //
};

/// An `Option<T>` that is changed by atomic exchange. Any context.
///
/// # Invariants
///
/// `raw` is null or a pointer that `T::into_foreign` returned and that nobody has turned back: the
/// slot owns the value.
pub struct AtomicSlot<T: ForeignOwnable> {
    raw: Atomic<*mut c_void>,
    _owns: PhantomData<T>,
}

// SAFETY: the slot owns a `T` and gives it away as a whole; sending it sends the `T`.
unsafe impl<T: ForeignOwnable + Send> Send for AtomicSlot<T> {}
// SAFETY: through a shared reference the value can only be moved in or out, never be looked at; so
// sharing the slot needs no more than that the value may change threads.
unsafe impl<T: ForeignOwnable + Send> Sync for AtomicSlot<T> {}

impl<T: ForeignOwnable> AtomicSlot<T> {
    /// A slot without content.
    pub const fn empty() -> Self {
        // INVARIANT: null.
        Self {
            raw: Atomic::new(null_mut()),
            _owns: PhantomData,
        }
    }

    /// A slot with content.
    pub fn new(value: T) -> Self {
        // INVARIANT: the pointer comes from `into_foreign` and is kept nowhere else.
        Self {
            raw: Atomic::new(value.into_foreign()),
            _owns: PhantomData,
        }
    }

    /// Puts a value in and returns what was there. Fully ordered.
    pub fn put(&self, value: T) -> Option<T> {
        self.exchange(value.into_foreign())
    }

    /// Takes the content out. Fully ordered: of several takers exactly one gets it.
    pub fn take(&self) -> Option<T> {
        self.exchange(null_mut())
    }

    /// Whether there was no content at the moment of looking.
    pub fn is_empty(&self) -> bool {
        self.raw.load(Relaxed).is_null()
    }

    /// Stores `raw`, which must be null or fresh from `into_foreign`, and returns the old content.
    fn exchange(&self, raw: *mut c_void) -> Option<T> {
        // INVARIANT: both callers pass null or a pointer whose ownership they hand over.
        let old = self.raw.xchg(raw, Full);
        // SAFETY: by the invariant `old` is null or an owned foreign pointer; the exchange removed it
        // from the slot, so nobody else can turn it back.
        unsafe { T::try_from_foreign(old) }
    }
}

impl<T: ForeignOwnable> Default for AtomicSlot<T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: ForeignOwnable> Drop for AtomicSlot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
