// SPDX-License-Identifier: GPL-2.0

//! When to send a heartbeat, and when the peer is dead (spec: rtrs 6.1).
//!
//! Both sides do the same: a timer ticks, and anything heard from the peer sets the count
//! of silent ticks back. Only one heartbeat is outstanding at a time.
//!
//! [`Heartbeat`] is one small number, and [`RoundTrip`] another, so that the room can
//! keep each in an atomic: what is received on the IO path just stores
//! [`Heartbeat::new`], and the tick runs in a compare-exchange loop. A tick that loses
//! against a reception sees its result in the next round.

use rtrs_proto::limits::{
    HEARTBEAT_INTERVAL_MS,
    HEARTBEAT_MISSED_MAX, //
};

/// How patient we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    interval_ms: u32,
    missed_max: u32,
}

impl Limits {
    /// What every peer does that was not told otherwise.
    pub const DEFAULT: Self = Self {
        interval_ms: HEARTBEAT_INTERVAL_MS,
        missed_max: HEARTBEAT_MISSED_MAX,
    };

    /// A tick every `interval_ms` milliseconds (10 to 600000), and a dead peer after more
    /// than `missed_max` silent ones (1 to 1000).
    pub const fn new(interval_ms: u32, missed_max: u32) -> Option<Self> {
        match (interval_ms, missed_max) {
            (10..=600_000, 1..=1000) => Some(Self {
                interval_ms,
                missed_max,
            }),
            _ => None,
        }
    }

    /// Milliseconds from tick to tick.
    pub const fn interval_ms(self) -> u32 {
        self.interval_ms
    }

    /// Silent ticks that are still accepted.
    pub const fn missed_max(self) -> u32 {
        self.missed_max
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What to do at a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tick {
    /// Send a heartbeat message.
    Send,
    /// Send nothing: the last message is not answered yet.
    Wait,
    /// Give the path up.
    Dead,
}

/// The number of ticks since the peer was heard.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Heartbeat {
    missed: u32,
}

impl Heartbeat {
    /// A peer that was heard just now.
    #[inline]
    pub const fn new() -> Self {
        Self { missed: 0 }
    }

    /// The value for an atomic.
    #[inline]
    pub const fn to_raw(self) -> u32 {
        self.missed
    }

    /// The value out of an atomic.
    #[inline]
    pub const fn from_raw(missed: u32) -> Self {
        Self { missed }
    }

    /// The timer ticks.
    pub fn on_tick(&mut self, limits: &Limits) -> Tick {
        let silent = self.missed;
        if silent > limits.missed_max {
            return Tick::Dead;
        }
        self.missed = silent.saturating_add(1);
        match silent {
            0 => Tick::Send,
            _ => Tick::Wait,
        }
    }

    /// Anything comes from the peer.
    #[inline]
    pub fn on_receive(&mut self) {
        *self = Self::new();
    }
}

/// The time of the outstanding heartbeat message, for measuring the round trip.
///
/// An answer that nobody asked for measures nothing: otherwise a peer could make itself
/// look fast.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RoundTrip {
    /// Nanoseconds; 0 is no message.
    sent: u64,
}

impl RoundTrip {
    /// No message is outstanding.
    pub const IDLE: Self = Self { sent: 0 };

    /// A message is sent at `now_ns`.
    pub const fn started(now_ns: u64) -> Self {
        Self { sent: now_ns }
    }

    /// The value for an atomic. The one who takes it out for [`Self::answered`] leaves
    /// the value of [`Self::IDLE`] there.
    pub const fn to_raw(self) -> u64 {
        self.sent
    }

    /// The value out of an atomic.
    pub const fn from_raw(sent: u64) -> Self {
        Self { sent }
    }

    /// The answer comes at `now_ns`: the nanoseconds it took, at least 1, or none if
    /// there was no message.
    pub fn answered(self, now_ns: u64) -> Option<u64> {
        (self != Self::IDLE).then(|| now_ns.saturating_sub(self.sent).max(1))
    }
}
