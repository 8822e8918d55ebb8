// SPDX-License-Identifier: GPL-2.0

//! How much memory clients may make this host take (weak point S20).
//!
//! A connect request of 56 bytes costs a pool of chunks or a queue pair, long before anybody knows
//! who asks. So every pool and every connection holds a [`Charge`], made before the memory is
//! allocated and given back with it; what exceeds the limit is refused. One limit is for all
//! clients together, another one for each host they come from (`peer.rs`).

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// What a connection costs however short its queues are: the objects of the verbs and of the
/// connection manager with their first pages. Bytes.
const PER_CONNECTION: u64 = 128 * 1024;
/// What one entry of a send or receive queue costs in soft-RoCE, the completion included; adapters
/// take less. Bytes.
const PER_ENTRY: u64 = 320;
/// What a chunk costs beside itself: its record, its region and its message with the key. Bytes.
const PER_CHUNK: u64 = 4096;

/// The memory of all clients of a server, or of one host among them.
pub(crate) struct Budget {
    /// Whose limit holds as well.
    all: Option<Arc<Budget>>,
    limit: u64,
    used: Atomic<u64>,
}

impl Budget {
    /// Nothing is used of `limit` bytes. Process context.
    pub(crate) fn new(limit: u64) -> Result<Arc<Self>> {
        Self::make(None, limit)
    }

    /// Nothing is used of the `limit` bytes that one host may use of `all`. Process context.
    pub(crate) fn of_peer(all: &Arc<Self>, limit: u64) -> Result<Arc<Self>> {
        Self::make(Some(all.clone()), limit)
    }

    /// Whether anything is charged.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Relaxed) != 0
    }

    fn make(all: Option<Arc<Self>>, limit: u64) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                all,
                limit,
                used: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// The charge for a pool of `depth` chunks of `chunk` bytes, header records of `header` bytes
    /// included.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the limit would be exceeded.
    pub(crate) fn pool(self: &Arc<Self>, depth: u32, chunk: u32, header: u32) -> Result<Charge> {
        let each = u64::from(chunk)
            .saturating_add(u64::from(header))
            .saturating_add(PER_CHUNK);
        self.charge(each.saturating_mul(u64::from(depth)))
    }

    /// The charge for a connection with queues of so many entries.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the limit would be exceeded.
    pub(crate) fn connection(self: &Arc<Self>, send: u32, receive: u32) -> Result<Charge> {
        let entries = u64::from(send).saturating_add(u64::from(receive));
        self.charge(
            entries
                .saturating_mul(PER_ENTRY)
                .saturating_add(PER_CONNECTION),
        )
    }

    fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        Ok(Charge {
            _own: self.take(bytes)?,
            // If this fails, the own part is given back.
            _all: match &self.all {
                Some(all) => Some(all.take(bytes)?),
                None => None,
            },
        })
    }

    /// Takes from this budget alone.
    fn take(self: &Arc<Self>, bytes: u64) -> Result<Part> {
        let mut used = self.used.load(Relaxed);
        loop {
            let more = used.checked_add(bytes).ok_or(ENOMEM)?;
            if more > self.limit {
                return Err(ENOMEM);
            }
            match self.used.cmpxchg(used, more, Full) {
                Ok(_) => break,
                Err(now) => used = now,
            }
        }
        Ok(Part {
            budget: self.clone(),
            bytes,
        })
    }
}

/// Memory that is accounted for, given back when dropped. Any context.
pub(crate) struct Charge {
    _own: Part,
    _all: Option<Part>,
}

/// What was taken of one budget.
struct Part {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Full);
    }
}
