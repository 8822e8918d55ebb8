// SPDX-License-Identifier: GPL-2.0

//! What becomes of the requests of a path that was lost (spec: rtrs 4.8, 10.4).
//!
//! They are its *wreck*. Nobody knows which of them the server still works on, so none
//! may be sent again until that is over: [`Wreck`] is how far this is proved. A request
//! that has no path waits in its permit's place; [`Facts::verdict`] decides what happens
//! to it, each time something has changed.

/// How far it is proved that the server is done with a lost path.
///
/// ```text
///            Fence                    Over
///  OPEN ----------------> FENCING -----------> OVER
///  ^  ^     Failed           |                  ^
///  |  +----------------------+                  |
///  |        Return   ^ Fence          Over      |
///  +------> RETURNING --------------------------+
///     Failed (back to OPEN)
/// ```
///
/// A fence that arrives after the path has come back takes the new path down. So a path
/// does not return before an answer, and the server is not asked about one that is just
/// returning; unless that takes long, as requests are waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Wreck {
    /// Nothing is proved, nobody asks.
    Open = 0,
    /// The server was asked over another path.
    Fencing = 1,
    /// The path itself is being connected again, which is a proof if it works.
    Returning = 2,
    /// The server is done: what the path carried may be sent again.
    Over = 3,
}

/// What happens to a wreck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The server is to be asked.
    Fence,
    /// The path is to be connected again.
    Return,
    /// Neither came to an end: no answer, or no connection.
    Failed,
    /// The answer is here, the path is back, or the time that counts as a proof is over.
    Over,
}

impl Wreck {
    /// Every state, in the order of the numbers.
    pub const ALL: [Self; 4] = [Self::Open, Self::Fencing, Self::Returning, Self::Over];

    /// The state after `event`, or none if the event has no effect.
    pub const fn step(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Open | Self::Returning, Event::Fence) => Some(Self::Fencing),
            (Self::Open, Event::Return) => Some(Self::Returning),
            (Self::Fencing | Self::Returning, Event::Failed) => Some(Self::Open),
            (Self::Open | Self::Fencing | Self::Returning, Event::Over) => Some(Self::Over),
            _ => None,
        }
    }

    /// Whether what the path carried may be sent again.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Over)
    }
}

impl From<Wreck> for i32 {
    #[inline]
    fn from(state: Wreck) -> Self {
        state as Self
    }
}

/// The number is not that of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownWreck(pub i32);

impl TryFrom<i32> for Wreck {
    type Error = UnknownWreck;

    #[inline]
    fn try_from(number: i32) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::Open),
            1 => Ok(Self::Fencing),
            2 => Ok(Self::Returning),
            3 => Ok(Self::Over),
            _ => Err(UnknownWreck(number)),
        }
    }
}

/// What is known about a request that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The session is being closed.
    pub closing: bool,
    /// A fence is on its way in the place of the request.
    pub carries_fence: bool,
    /// Its user has given up on it.
    pub expired: bool,
    /// The server is done with the path that carried it.
    pub safe: bool,
    /// Milliseconds since the path that carried it was lost.
    pub waited_ms: u64,
    /// Milliseconds that a request may wait for being safe once its user has given up.
    pub grace_ms: u64,
    /// A path is connected.
    pub path: bool,
}

/// What to do with a request that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Send it.
    Send,
    /// End it: there is no path, or the session is closed.
    Abort,
    /// End it: it took too long.
    TimeOut,
    /// Leave it; look again in so many milliseconds, or when something has changed.
    Wait(Option<u64>),
}

impl Facts {
    /// Decides.
    pub fn verdict(&self) -> Verdict {
        // The place is in use until the fence is answered or lost.
        if self.carries_fence {
            return Verdict::Wait(None);
        }
        if self.closing {
            return Verdict::Abort;
        }
        if self.expired {
            return match self.grace_ms.checked_sub(self.waited_ms) {
                Some(left @ 1..) if !self.safe => Verdict::Wait(Some(left)),
                _ => Verdict::TimeOut,
            };
        }
        match (self.path, self.safe) {
            (true, true) => Verdict::Send,
            // Whoever finds the proof says so.
            (true, false) => Verdict::Wait(None),
            // Its user knows better whether it is worth another try.
            (false, _) => Verdict::Abort,
        }
    }
}
