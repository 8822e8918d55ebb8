// SPDX-License-Identifier: GPL-2.0

//! How long a device waits: for the server to answer, and for a path to it.
//!
//! The administrator writes the two limits to the device's files; `queue.rs`, `session.rs` and
//! `revive.rs` ask here. Plain numbers and the clock: any context, never sleeps, and never
//! decides what happens when the patience is over.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use kernel_ext::time::{
    now_ms,
    now_ns,
    NS_PER_MS, //
};

/// The longest limit that may be written, in seconds: a week.
pub(crate) const LIMIT_MAX_S: u32 = 7 * 24 * 3600;

/// How often the block layer looks for requests that take long if there is no limit, in
/// milliseconds; its own default.
const NO_LIMIT_MS: u32 = 30_000;

/// The block layer's timers are coarse and begin before ours: a request this much younger than
/// the limit has reached it.
const SLACK_MS: u64 = 500;

const MS_PER_S: u32 = 1000;

/// What a device waits for when there is no path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPath {
    /// Nothing: requests fail at once.
    Fail,
    /// As long as it takes.
    Wait,
    /// So many seconds from when the last path went.
    Seconds(u32),
}

/// The limits of a device, and the clocks they are measured against.
pub(crate) struct Patience {
    /// Seconds that a request may take while there is a path; 0 for no limit.
    io_s: Atomic<u32>,
    /// Seconds without a path; -1 for no limit.
    no_path_s: Atomic<i32>,
    /// When the last path went; 0 while there is one. Milliseconds.
    down_ms: Atomic<u64>,
    /// When the device was last opened on the server. Nanoseconds.
    up_ns: Atomic<u64>,
}

impl Patience {
    /// No limits, and no waiting for a path: what the C client does.
    pub(crate) fn new() -> Self {
        Self {
            io_s: Atomic::new(0),
            no_path_s: Atomic::new(0),
            down_ms: Atomic::new(0),
            up_ns: Atomic::new(0),
        }
    }

    /// Seconds that a request may take; 0 for no limit.
    pub(crate) fn io_s(&self) -> u32 {
        self.io_s.load(Relaxed)
    }

    /// Sets [`Self::io_s`]; fails with `EINVAL` beyond [`LIMIT_MAX_S`].
    pub(crate) fn set_io_s(&self, seconds: u64) -> Result {
        self.io_s.store(limit(seconds)?, Relaxed);
        Ok(())
    }

    /// When the block layer has to look for requests that take long, in milliseconds.
    pub(crate) fn io_poll_ms(&self) -> u32 {
        match self.io_s() {
            0 => NO_LIMIT_MS,
            seconds => seconds.saturating_mul(MS_PER_S),
        }
    }

    /// Whether a request that was sent at `started_ns` takes too long.
    pub(crate) fn is_late(&self, started_ns: u64) -> bool {
        let limit_ms = u64::from(self.io_s()).saturating_mul(u64::from(MS_PER_S));
        // Without a path nobody could answer.
        let since = started_ns.max(self.up_ns.load(Relaxed));
        let age_ms = now_ns().saturating_sub(since) / NS_PER_MS;
        limit_ms != 0 && age_ms.saturating_add(SLACK_MS) >= limit_ms
    }

    /// What is waited for when there is no path.
    pub(crate) fn no_path(&self) -> NoPath {
        match self.no_path_s.load(Relaxed) {
            0 => NoPath::Fail,
            seconds => u32::try_from(seconds).map_or(NoPath::Wait, NoPath::Seconds),
        }
    }

    /// Sets [`Self::no_path`]; fails with `EINVAL` beyond [`LIMIT_MAX_S`].
    pub(crate) fn set_no_path(&self, what: NoPath) -> Result {
        let seconds = match what {
            NoPath::Fail => 0,
            NoPath::Wait => -1,
            NoPath::Seconds(seconds) => i32::try_from(limit(u64::from(seconds))?)?,
        };
        self.no_path_s.store(seconds, Relaxed);
        Ok(())
    }

    /// Milliseconds for which requests still wait for a path; `None` if they do not.
    pub(crate) fn waits_ms(&self) -> Option<u32> {
        let seconds = match self.no_path() {
            NoPath::Fail => return None,
            NoPath::Wait => return Some(u32::MAX),
            NoPath::Seconds(seconds) => seconds,
        };
        let limit = u64::from(seconds.saturating_mul(MS_PER_S));
        let waited = match self.down_ms.load(Relaxed) {
            0 => 0,
            down => now_ms().saturating_sub(down),
        };
        let left = limit.checked_sub(waited).filter(|left| *left > 0)?;
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// The last path has gone.
    pub(crate) fn down(&self) {
        self.down_ms.store(now_ms().max(1), Relaxed);
    }

    /// The device is open on the server (again).
    pub(crate) fn up(&self) {
        self.up_ns.store(now_ns(), Relaxed);
        self.down_ms.store(0, Relaxed);
    }
}

fn limit(seconds: u64) -> Result<u32> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= LIMIT_MAX_S)
        .ok_or(EINVAL)
}
