// SPDX-License-Identifier: GPL-2.0

//! What a module owns exactly once, for code that is called from other modules.
//!
//! The queue and the class of a side of the transport live as long as its module, but
//! an open call arrives without a reference to it. [`Global`] is where the module leaves
//! them. Control path only: a reader may sleep a moment.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    },
};
use kernel_ext::{
    sync::AtomicSlot,
    time, //
};

/// A place for one `Arc` that can live in a `static` without an initialiser at run time.
///
/// The value is its own lock: whoever reads takes it out, clones it and puts it back.
/// `present` tells an empty place from one whose value is being cloned.
pub struct Global<T: 'static> {
    value: AtomicSlot<Arc<T>>,
    present: Atomic<bool>,
}

impl<T: Send + Sync + 'static> Global<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Self {
            value: AtomicSlot::empty(),
            present: Atomic::new(false),
        }
    }

    /// Fills the place. Called once, when a module is loaded.
    pub fn set(&self, value: Arc<T>) {
        drop(self.value.put(value));
        self.present.store(true, Release);
    }

    /// The value. Fails with `ENODEV` if the module is not there or is going away.
    pub fn get(&self) -> Result<Arc<T>> {
        while self.present.load(Acquire) {
            if let Some(value) = self.value.take() {
                let copy = value.clone();
                drop(self.value.put(value));
                return Ok(copy);
            }
            time::sleep_ms(1);
        }
        Err(ENODEV)
    }

    /// Empties the place. Called once, when a module is unloaded and nobody can call
    /// into it any more.
    pub fn clear(&self) -> Option<Arc<T>> {
        self.present.store(false, Release);
        self.value.take()
    }
}

impl<T: Send + Sync + 'static> Default for Global<T> {
    fn default() -> Self {
        Self::new()
    }
}
