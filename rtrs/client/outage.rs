// SPDX-License-Identifier: GPL-2.0

//! Since when a session has no path.
//!
//! An outage begins when the last path is down and ends when the user says that the
//! server knows everything again, which is some time after the first path is back.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel_ext::time;

/// When it began, in milliseconds since boot; 0 if there is none.
pub(crate) struct Outage(Atomic<u64>);

impl Outage {
    /// There is none.
    pub(crate) fn none() -> Self {
        Self(Atomic::new(0))
    }

    /// One begins, unless it has already.
    pub(crate) fn begin(&self) {
        let _ = self.0.cmpxchg(0, time::now_ms().max(1), Relaxed);
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.0.store(0, Relaxed);
    }

    /// How long it lasts so far, in milliseconds; none without one. Any context.
    #[inline]
    pub(crate) fn ms(&self) -> Option<u64> {
        match self.0.load(Relaxed) {
            0 => None,
            since => Some(time::now_ms().saturating_sub(since)),
        }
    }
}
