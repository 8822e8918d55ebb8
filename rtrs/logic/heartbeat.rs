// SPDX-License-Identifier: GPL-2.0

//! When to send a heartbeat, and when the peer is dead (spec: rtrs 6.1).
//!
//! Both sides do the same. A heartbeat is sent in every interval, unless the last one is
//! not answered yet; whatever the peer sends is an answer, heartbeat or not. A peer from
//! which nothing comes for as long as [`Limits::patience_ms`] is dead.
//!
//! ```text
//!  heard          sent    sent, had there been an answer       dead
//!    |              |              |              |              |       |
//!    +--------------+--------------+--------------+-------+------+
//!    0              1              2              3      3.5   intervals, 3 may be missed
//! ```
//!
//! The IO path only raises a flag when something arrives. A [`Watch`] looks at the flag
//! several times in an interval, so it knows well enough when that was.
//!
//! [`RoundTrip`] is one number, so that the room can keep it in an atomic.

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

    /// Least milliseconds of an interval.
    pub const INTERVAL_MIN_MS: u32 = 100;
    /// Most milliseconds of an interval.
    pub const INTERVAL_MAX_MS: u32 = 600_000;
    /// Least number of intervals that may be missed.
    pub const MISSED_MIN: u32 = 1;
    /// Most intervals that may be missed.
    pub const MISSED_MAX: u32 = 1000;

    /// A heartbeat every `interval_ms` milliseconds (100 to 600000), and a peer that may miss
    /// `missed_max` of them (1 to 1000).
    pub const fn new(interval_ms: u32, missed_max: u32) -> Option<Self> {
        let limits = Self {
            interval_ms,
            missed_max,
        };
        let interval = interval_ms >= Self::INTERVAL_MIN_MS && interval_ms <= Self::INTERVAL_MAX_MS;
        let missed = missed_max >= Self::MISSED_MIN && missed_max <= Self::MISSED_MAX;
        match interval && missed {
            true => Some(limits),
            false => None,
        }
    }

    /// Milliseconds from heartbeat to heartbeat.
    pub const fn interval_ms(self) -> u32 {
        self.interval_ms
    }

    /// Intervals that the peer may miss.
    pub const fn missed_max(self) -> u32 {
        self.missed_max
    }

    /// Milliseconds without a sign of life after which a peer is dead: what it may miss, and half
    /// an interval. At most 600300000.
    ///
    /// Half, because a heartbeat that is sent at the end of an interval wants its time, too, and
    /// whoever allows 3 intervals of 500 ms means to know it after 2 s.
    pub const fn patience_ms(self) -> u64 {
        let interval = self.interval_ms as u64;
        interval
            .saturating_mul(self.missed_max as u64)
            .saturating_add(interval / 2)
    }

    /// Milliseconds between two looks at the flag: a quarter of an interval. At most a second, so
    /// that changed limits are seen soon.
    const fn step_ms(self) -> u64 {
        let quarter = self.interval_ms as u64 / 4;
        match quarter {
            0 => 1,
            1..=1000 => quarter,
            _ => 1000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Reads a number that was written to a file: decimal, with or without a newline.
pub fn parse_number(text: &[u8]) -> Option<u32> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    // The parser of the language takes a sign, too.
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// What to do after a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tick {
    /// Send a heartbeat message, and look again in so many milliseconds.
    Send(u32),
    /// Look again in so many milliseconds.
    Wait(u32),
    /// Give the path up.
    Dead,
}

/// The watch over a peer. Times are milliseconds of any clock that does not go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    limits: Limits,
    /// The peer may have been silent since then.
    quiet_since: u64,
    /// The last look.
    looked: u64,
    /// When the next heartbeat is due.
    send_at: u64,
    /// Nothing came since the last heartbeat was sent.
    unanswered: bool,
}

impl Watch {
    /// A watch that begins at `now`, over a peer that has just been heard.
    pub const fn new(now: u64, limits: Limits) -> Self {
        Self {
            limits,
            quiet_since: now,
            looked: now,
            send_at: now.saturating_add(limits.interval_ms as u64),
            unanswered: false,
        }
    }

    /// Milliseconds until the first look.
    pub const fn first_ms(limits: Limits) -> u32 {
        limits.step_ms() as u32
    }

    /// How long the peer has been silent at `now`, at most.
    const fn silence_ms(&self, now: u64) -> u64 {
        now.saturating_sub(self.quiet_since)
    }

    /// Looks at `now`, when something was `heard` since the last look or was not. The limits may
    /// be others than last time; they begin with this look, and the silence before it is forgiven:
    /// so far there was no need to speak so often.
    pub fn look(&mut self, heard: bool, now: u64, limits: Limits) -> Tick {
        if limits != self.limits {
            *self = Self::new(now, limits);
        }
        let step = limits.step_ms();
        let before = self.looked;
        self.looked = now;
        if heard {
            // It came after the last look, perhaps right after.
            self.quiet_since = before;
            self.unanswered = false;
        }
        // Whoever comes too late to look did not run, and may have it to himself that he did not
        // hear anything: that time is not the peer's.
        let late = now
            .saturating_sub(before)
            .saturating_sub(step.saturating_mul(2));
        self.quiet_since = self.quiet_since.saturating_add(late).min(now);

        let patience = limits.patience_ms();
        let left = patience.saturating_sub(self.silence_ms(now));
        if left == 0 {
            return Tick::Dead;
        }
        let interval = u64::from(limits.interval_ms);
        let due = now >= self.send_at && !self.unanswered;
        if due {
            self.send_at = now.saturating_add(interval);
            self.unanswered = true;
        }
        let mut next = step.min(left);
        if !self.unanswered {
            next = next.min(self.send_at.saturating_sub(now));
        }
        // At most a second.
        let next = u32::try_from(next).unwrap_or(1000).max(1);
        match due {
            true => Tick::Send(next),
            false => Tick::Wait(next),
        }
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

/// A question for a sign of life that is asked out of turn, because somebody will not wait until
/// the patience is over. Whatever arrives after it was sent is the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Milliseconds when it was sent; 0 is no question, 1 one that is not sent yet.
    sent: u64,
}

impl Question {
    /// There is none, or it was answered.
    pub const NONE: Self = Self { sent: 0 };

    /// The next look sends it.
    pub const WANTED: Self = Self { sent: 1 };

    /// The value for an atomic.
    pub const fn to_raw(self) -> u64 {
        self.sent
    }

    /// The value out of an atomic.
    pub const fn from_raw(sent: u64) -> Self {
        Self { sent }
    }

    /// What becomes of it with a look at `now`, when something was `heard` since the last look
    /// or was not. One that was wanted is sent.
    pub fn look(self, heard: bool, now: u64) -> Self {
        match self {
            Self::NONE => self,
            Self::WANTED => Self {
                sent: now.max(Self::WANTED.sent.saturating_add(1)),
            },
            _ if heard => Self::NONE,
            _ => self,
        }
    }

    /// For how long the answer has been owed at `now`, which is 0 before it is sent; none if
    /// nothing is owed.
    pub fn owed_ms(self, now: u64) -> Option<u64> {
        match self {
            Self::NONE => None,
            Self::WANTED => Some(0),
            _ => Some(now.saturating_sub(self.sent)),
        }
    }
}
