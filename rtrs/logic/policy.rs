// SPDX-License-Identifier: GPL-2.0

//! Which path a request takes (spec: rtrs 4.9, 7.1).
//!
//! The rooms know the paths; here are only facts about them, in the order in which the
//! paths were added. One pass over the facts, no memory: a path that was tried for this
//! request already is simply not usable any more.

use core::fmt;

/// How a session chooses among its paths.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(i32)]
pub enum Policy {
    /// One after the other.
    RoundRobin = 0,
    /// The one with the fewest requests in flight.
    #[default]
    MinInflight = 1,
    /// The one with the shortest round trip of the last heartbeat.
    MinLatency = 2,
}

impl Policy {
    /// Parses what an administrator writes: the number, the long name with anything
    /// behind it, or the short name; in any case of letters, with or without a newline.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let word = text.strip_suffix(b"\n").unwrap_or(text);
        Self::ALL.into_iter().find(|policy| {
            let long = policy.name().as_bytes();
            word == [b'0' + policy.number()]
                || word.eq_ignore_ascii_case(policy.short_name().as_bytes())
                || word
                    .get(..long.len())
                    .is_some_and(|front| front.eq_ignore_ascii_case(long))
        })
    }

    const ALL: [Self; 3] = [Self::RoundRobin, Self::MinInflight, Self::MinLatency];

    const fn number(self) -> u8 {
        self as u8
    }

    const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::MinInflight => "min-inflight",
            Self::MinLatency => "min-latency",
        }
    }

    const fn short_name(self) -> &'static str {
        match self {
            Self::RoundRobin => "RR",
            Self::MinInflight => "MI",
            Self::MinLatency => "ML",
        }
    }

    /// Chooses a usable path; answers its position, or none if there is none.
    ///
    /// `last` is the position that round robin chose before. Equally good paths are
    /// taken in their order.
    #[inline]
    pub fn choose<I>(self, last: Option<usize>, paths: I) -> Option<usize>
    where
        I: IntoIterator<Item = Facts>,
    {
        let usable = paths
            .into_iter()
            .enumerate()
            .filter(|(_, facts)| facts.usable);
        // Of equal keys, `min_by_key` takes the first.
        let best = match self {
            Self::RoundRobin => usable.min_by_key(|(at, _)| {
                let behind = last.is_none_or(|last| *at > last);
                u64::from(!behind)
            }),
            Self::MinInflight => usable.min_by_key(|(_, facts)| u64::from(facts.inflight)),
            Self::MinLatency => {
                usable.min_by_key(|(_, facts)| facts.latency_ns.unwrap_or(u64::MAX))
            }
        };
        best.map(|(at, _)| at)
    }
}

/// Writes the policy as sysfs shows it, without a newline.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}: {})",
            self.name(),
            self.short_name(),
            self.number()
        )
    }
}

impl From<Policy> for i32 {
    fn from(policy: Policy) -> Self {
        policy as Self
    }
}

/// The number is not that of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownPolicy(pub i32);

impl TryFrom<i32> for Policy {
    type Error = UnknownPolicy;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::RoundRobin),
            1 => Ok(Self::MinInflight),
            2 => Ok(Self::MinLatency),
            _ => Err(UnknownPolicy(number)),
        }
    }
}

/// What counts about a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Connected, and not tried for this request yet.
    pub usable: bool,
    /// Requests in flight.
    pub inflight: u32,
    /// Round trip of the last heartbeat. A path without one comes last: it would
    /// otherwise get everything for knowing nothing.
    pub latency_ns: Option<u64>,
}
