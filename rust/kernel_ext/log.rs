// SPDX-License-Identifier: GPL-2.0

//! Rate limits for messages that a peer or a user can cause.
//!
//! The kernel crate's `pr_*!` have no limited form. [`RateLimit`] is a lock-free token window;
//! [`warn_limited!`](crate::warn_limited), [`err_limited!`](crate::err_limited) and
//! [`info_limited!`](crate::info_limited) give each call site its own. Nothing on the IO path may
//! log, limited or not.

use crate::time;
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// Interval of the limited macros: 5 s, as the kernel's `DEFAULT_RATELIMIT_INTERVAL`.
pub const DEFAULT_INTERVAL_MS: u32 = 5_000;
/// Messages a limited macro lets through per interval and call site, as the kernel's
/// `DEFAULT_RATELIMIT_BURST`.
pub const DEFAULT_BURST: u32 = 10;

/// Lets `burst` events per `interval_ms` through.
///
/// May be a static. CPUs that cross an interval's border together may let a few more or a few fewer
/// through.
pub struct RateLimit {
    /// Length of the window in nanoseconds.
    interval_ns: u64,
    /// Events let through per window.
    burst: u32,
    /// When the window began; 0 before the first event.
    begin_ns: Atomic<u64>,
    /// Events of this window, let through or not.
    seen: Atomic<u32>,
}

impl RateLimit {
    /// A limit of `burst` events per `interval_ms` milliseconds.
    pub const fn new(interval_ms: u32, burst: u32) -> Self {
        Self {
            interval_ns: (interval_ms as u64).wrapping_mul(time::NS_PER_MS),
            burst,
            begin_ns: Atomic::new(0),
            seen: Atomic::new(0),
        }
    }

    /// Counts an event; false if it exceeds the limit and should be dropped. Any context but NMI.
    pub fn allow(&self) -> bool {
        self.allow_at(time::now_ns())
    }

    /// [`allow`](Self::allow) for who knows the time, in nanoseconds since boot. Any context.
    pub fn allow_at(&self, now: u64) -> bool {
        let begin = self.begin_ns.load(Relaxed);
        let over = begin == 0 || now.saturating_sub(begin) >= self.interval_ns;
        // Whoever moves the border opens the new window; the others just count into it.
        if over && self.begin_ns.cmpxchg(begin, now, Full).is_ok() {
            self.seen.store(0, Relaxed);
        }
        loop {
            let seen = self.seen.load(Relaxed);
            // Saturates instead of wrapping, or a flood would be let through again every 2^32.
            if seen >= self.burst {
                return false;
            }
            if self
                .seen
                .cmpxchg(seen, seen.wrapping_add(1), Relaxed)
                .is_ok()
            {
                return true;
            }
        }
    }
}

/// `pr_warn!` with a limit of its own: at most [`DEFAULT_BURST`](crate::log::DEFAULT_BURST)
/// messages per [`DEFAULT_INTERVAL_MS`](crate::log::DEFAULT_INTERVAL_MS).
#[macro_export]
macro_rules! warn_limited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::log::RateLimit = $crate::log::RateLimit::new(
            $crate::log::DEFAULT_INTERVAL_MS,
            $crate::log::DEFAULT_BURST,
        );
        if LIMIT.allow() {
            ::kernel::pr_warn!($($arg)*);
        }
    }};
}

/// `pr_err!` with a limit of its own; see [`warn_limited!`](crate::warn_limited).
#[macro_export]
macro_rules! err_limited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::log::RateLimit = $crate::log::RateLimit::new(
            $crate::log::DEFAULT_INTERVAL_MS,
            $crate::log::DEFAULT_BURST,
        );
        if LIMIT.allow() {
            ::kernel::pr_err!($($arg)*);
        }
    }};
}

/// `pr_info!` with a limit of its own; see [`warn_limited!`](crate::warn_limited).
#[macro_export]
macro_rules! info_limited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::log::RateLimit = $crate::log::RateLimit::new(
            $crate::log::DEFAULT_INTERVAL_MS,
            $crate::log::DEFAULT_BURST,
        );
        if LIMIT.allow() {
            ::kernel::pr_info!($($arg)*);
        }
    }};
}

pub use crate::{
    err_limited,
    info_limited,
    warn_limited, //
};
