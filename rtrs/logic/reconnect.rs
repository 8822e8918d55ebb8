// SPDX-License-Identifier: GPL-2.0

//! When a broken path is connected again, and when not any more (spec: rtrs 6.2).
//!
//! The room brings the random number and keeps the time.

use rtrs_proto::limits::{
    MAX_RECONNECT_ATTEMPTS,
    RECONNECT_BACKOFF_MS,
    RECONNECT_JITTER_MS, //
};

/// How many attempts an outage is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxAttempts(i32);

impl MaxAttempts {
    /// As many as it takes.
    pub const ENDLESS: Self = Self(-1);

    /// So many attempts, 0 to 9999, or -1 for as many as it takes.
    pub const fn new(count: i32) -> Option<Self> {
        match count {
            -1..=MAX_RECONNECT_ATTEMPTS => Some(Self(count)),
            _ => None,
        }
    }

    /// The number as sysfs shows it.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Whether another attempt may follow after so many.
    const fn allows(self, attempts: u32) -> bool {
        self.0 < 0 || attempts < self.0.unsigned_abs()
    }
}

/// What to do with a broken path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Begin the next attempt after so many milliseconds.
    After(u32),
    /// Close the path: no attempt is left.
    GiveUp,
}

/// How much time there is between attempts; an administrator may change it at any time.
/// Milliseconds, as [`Pace::is_valid`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// From a failure to the next attempt.
    pub delay_ms: u32,
    /// The pause in front of every attempt, also of one that is repeated at once because the
    /// server has refused it.
    pub backoff_ms: u32,
    /// The random part is smaller than this. It keeps the paths of a session, and the clients of
    /// a server, from coming back all at once.
    pub jitter_ms: u32,
}

impl Pace {
    /// The longest time that may be set: an hour.
    pub const MAX_MS: u32 = 3_600_000;

    /// Attempts that begin `delay_s` seconds after each failure.
    pub const fn new(delay_s: u8) -> Self {
        Self {
            // At most 255 s.
            delay_ms: (delay_s as u32).saturating_mul(1000),
            backoff_ms: RECONNECT_BACKOFF_MS,
            jitter_ms: RECONNECT_JITTER_MS,
        }
    }

    /// The shortest pause in front of an attempt. A server that refuses at once must not keep
    /// us, nor the log, busy.
    pub const BACKOFF_MIN_MS: u32 = 100;

    /// Whether it may be set.
    pub const fn is_valid(&self) -> bool {
        self.delay_ms <= Self::MAX_MS
            && self.backoff_ms >= Self::BACKOFF_MIN_MS
            && self.backoff_ms <= Self::MAX_MS
            && self.jitter_ms <= Self::MAX_MS
    }

    /// Milliseconds from a failure to the next attempt. `random` is any random number.
    fn wait_ms(&self, random: u32) -> u32 {
        self.delay_ms
            .saturating_add(self.backoff_ms)
            .saturating_add(random.checked_rem(self.jitter_ms).unwrap_or(0))
    }
}

/// The attempts of one outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    attempts: u32,
}

impl Schedule {
    /// None yet.
    pub const fn new() -> Self {
        Self { attempts: 0 }
    }

    /// The path broke, or an attempt failed: what to do with the limit and the pace that are
    /// in force. `random` is any random number.
    pub fn on_failure(&self, max: MaxAttempts, pace: &Pace, random: u32) -> Next {
        match max.allows(self.attempts) {
            true => Next::After(pace.wait_ms(random)),
            false => Next::GiveUp,
        }
    }

    /// An attempt begins.
    pub fn on_attempt(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// The path is connected, or an administrator starts from the beginning.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}
