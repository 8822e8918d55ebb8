// SPDX-License-Identifier: GPL-2.0

//! Monotonic time as plain integers, and sleeping.
//!
//! The pure crates take the time as nanoseconds; this is where the rooms get it. Wall-clock time is
//! deliberately absent: it jumps.

use kernel::{
    bindings,
    time::{
        msecs_to_jiffies,
        Instant,
        Jiffies,
        Monotonic, //
    }, //
};

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

/// Nanoseconds since boot, not counting suspend (`CLOCK_MONOTONIC`).
///
/// Any context but NMI. Never goes back.
pub fn now_ns() -> u64 {
    // SAFETY: `ktime_get` has no preconditions outside NMI context, where no Rust code of ours runs.
    let now = unsafe { bindings::ktime_get() };
    // A monotonic time is never negative; if it were, zero is the harmless answer.
    u64::try_from(now).unwrap_or(0)
}

/// Milliseconds since boot, not counting suspend; rounded down. Any context but NMI.
pub fn now_ms() -> u64 {
    now_ns() / NS_PER_MS
}

/// The same clock as [`now_ns`], as the kernel crate's type.
pub fn now() -> Instant<Monotonic> {
    Instant::now()
}

/// Sleeps for at least `ms` milliseconds, without being interrupted by signals.
///
/// Process context only.
pub fn sleep_ms(ms: u32) {
    // SAFETY: `msleep` may be called wherever sleeping is allowed, which the documentation demands;
    // elsewhere it complains but touches no memory of ours.
    unsafe { bindings::msleep(ms) }
}

/// Converts milliseconds to scheduler ticks, rounded up. Any context.
pub fn ms_to_jiffies(ms: u32) -> Jiffies {
    msecs_to_jiffies(ms)
}

/// The scheduler's tick counter; wraps around. Any context.
pub fn jiffies() -> Jiffies {
    // SAFETY: `jiffies` is a word that the timer interrupt updates; a volatile read of it is what
    // C does too, and cannot tear.
    unsafe { core::ptr::read_volatile(&raw const bindings::jiffies) }
}
