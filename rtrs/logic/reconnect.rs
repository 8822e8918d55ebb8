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

/// The attempts of one outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    delay_ms: u32,
    max: MaxAttempts,
    attempts: u32,
}

impl Schedule {
    /// Attempts that begin `delay_s` seconds after each failure.
    pub fn new(delay_s: u8, max: MaxAttempts) -> Self {
        Self {
            delay_ms: u32::from(delay_s).saturating_mul(1000),
            max,
            attempts: 0,
        }
    }

    /// The administrator changes the limit.
    pub fn set_max(&mut self, max: MaxAttempts) {
        self.max = max;
    }

    /// The limit in force.
    pub const fn max(&self) -> MaxAttempts {
        self.max
    }

    /// The path broke, or an attempt failed. `random` is any random number; it keeps the
    /// paths of a session from coming back all at once.
    pub fn on_failure(&self, random: u32) -> Next {
        if !self.max.allows(self.attempts) {
            return Next::GiveUp;
        }
        let jitter = random % RECONNECT_JITTER_MS;
        Next::After(
            self.delay_ms
                .saturating_add(jitter)
                .saturating_add(RECONNECT_BACKOFF_MS),
        )
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
