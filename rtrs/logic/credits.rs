// SPDX-License-Identifier: GPL-2.0

//! How many work requests a send queue can still take (spec: rtrs 5.4, weak point S26).
//!
//! Every work request occupies an entry from its posting until a signaled one at or
//! behind it completes: a completion says nothing about its own request only, it returns
//! everything that was posted up to it. So each signaled posting is told how many entries
//! its completion will give back, and the room keeps that number with the request.
//!
//! The room serialises: one lock around reserving and posting, so that the order here is
//! the order in the queue.

/// The entries of one send queue.
///
/// # Invariants
///
/// `unsignaled <= used <= capacity`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendQueue {
    capacity: u32,
    used: u32,
    unsignaled: u32,
}

/// There are not enough free entries. Come back after a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl SendQueue {
    /// A queue of `capacity` entries, all free.
    pub const fn new(capacity: u32) -> Self {
        Self {
            capacity,
            used: 0,
            unsignaled: 0,
        }
    }

    /// Takes `count` entries for requests that are posted together, of which the last one
    /// is signaled or none is.
    ///
    /// Answers how many entries the completion of the last one returns; 0 if it will not
    /// have any. A queue that is half full of unsignaled requests takes signaled ones
    /// only, since nothing else would ever empty it.
    pub fn reserve(&mut self, count: u32, signaled: bool) -> Result<u32, Full> {
        let used = self.used.checked_add(count).ok_or(Full)?;
        if used > self.capacity || (!signaled && self.must_signal(count)) {
            return Err(Full);
        }
        self.used = used;
        // At most `used`, so this does not wrap.
        let unsignaled = self.unsignaled.wrapping_add(count);
        self.unsignaled = if signaled { 0 } else { unsignaled };
        Ok(if signaled { unsignaled } else { 0 })
    }

    /// Whether the next `count` requests have to be signaled.
    pub const fn must_signal(&self, count: u32) -> bool {
        self.unsignaled.saturating_add(count) > self.capacity / 2
    }

    /// A signaled request completed whose reservation answered `count`.
    pub fn completed(&mut self, count: u32) {
        self.used = self.used.saturating_sub(count).max(self.unsignaled);
    }

    /// How many entries are free.
    pub const fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.used)
    }
}
