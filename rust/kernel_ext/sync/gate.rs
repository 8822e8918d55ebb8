// SPDX-License-Identifier: GPL-2.0

//! Counts work in flight and can be closed.
//!
//! The usual end of a session or a device: close the gate, so that nothing new comes in, then wait
//! until everything inside has left. The count and the closed bit share one word, so "closed and
//! empty" is a single fact and the last one to leave knows that it is the last.

use crate::sync::WaitQueue;
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    }, //
};

/// Bit of the word that says that nobody may enter any more.
const CLOSED: usize = 1;
/// What one entry adds to the word.
const ONE: usize = 2;

/// A door with a counter. See the [module](self).
#[pin_data]
pub struct Gate {
    /// `CLOSED` or 0, plus `ONE` for everybody inside.
    word: Atomic<usize>,
    /// Where those sleep that wait for "closed and empty".
    #[pin]
    idle: WaitQueue,
}

impl Gate {
    /// An open gate with nobody inside.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            word: Atomic::new(0),
            idle <- WaitQueue::new(),
        })
    }

    /// Enters; false if the gate is closed. Any context.
    ///
    /// Every successful call needs exactly one [`leave`](Self::leave).
    pub fn enter(&self) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & CLOSED != 0 {
                return false;
            }
            // The count would need 2^63 entries to overflow; refuse rather than wrap.
            let Some(next) = word.checked_add(ONE) else {
                return false;
            };
            match self.word.cmpxchg(word, next, Full) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Leaves. Any context. The last one out of a closed gate wakes those who wait.
    ///
    /// A call too many is ignored: the count never goes below zero.
    pub fn leave(&self) {
        let mut word = self.word.load(Relaxed);
        loop {
            let Some(next) = word.checked_sub(ONE) else {
                return;
            };
            match self.word.cmpxchg(word, next, Full) {
                Ok(_) => {
                    // Only the one who makes the word equal `CLOSED` has to wake. If the gate is
                    // closed later instead, `close` sees the count and wakes.
                    if next == CLOSED {
                        self.idle.wake_all();
                    }
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Closes the gate: from now on [`enter`](Self::enter) fails. Idempotent; any context.
    ///
    /// Returns true for the call that closed it.
    pub fn close(&self) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & CLOSED != 0 {
                return false;
            }
            let next = word | CLOSED;
            match self.word.cmpxchg(word, next, Full) {
                Ok(_) => {
                    if next == CLOSED {
                        self.idle.wake_all();
                    }
                    return true;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Whether the gate has been closed. Any context.
    pub fn is_closed(&self) -> bool {
        self.word.load(Acquire) & CLOSED != 0
    }

    /// Number of those inside at the moment of looking. Any context.
    pub fn inside(&self) -> usize {
        self.word.load(Relaxed) / ONE
    }

    /// Waits until the gate is closed and everybody has left. Sleeps; not interruptible.
    ///
    /// What those inside did before leaving is visible afterwards. Call [`close`](Self::close)
    /// first.
    pub fn wait_idle(&self) {
        self.idle.wait_event(|| self.idle_now());
    }

    /// Like [`wait_idle`](Self::wait_idle), for at most `ms` milliseconds; false if the time ran
    /// out.
    pub fn wait_idle_timeout(&self, ms: u32) -> bool {
        self.idle.wait_event_timeout(ms, || self.idle_now())
    }

    fn idle_now(&self) -> bool {
        self.word.load(Acquire) == CLOSED
    }
}
