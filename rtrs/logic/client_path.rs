// SPDX-License-Identifier: GPL-2.0

//! The life of a path on the client (spec: rtrs 3.5).
//!
//! ```text
//!                   Reconnect                     Established
//! RECONNECTING ------------------> CONNECTING -------------------> CONNECTED
//!   ^     ^                         (born so)                          |
//!   |     |                             | Failed                       |
//!   |     |          Retry              v                              |
//!   |     +---------------------- CONNECTING_ERR                       |
//!   |                            Failed                                |
//!   +------------------------------------------------------------------+
//!
//!  any of these four --Close--> CLOSING --Drained--> CLOSED --Remove--> DEAD
//!  RECONNECTING --Exhausted--> CLOSING
//!  CONNECTED, CONNECTING_ERR, RECONNECTING, CLOSED --Revive--> RECONNECTING
//! ```
//!
//! The state itself lives in an atomic of the path; a step is tried in a
//! compare-exchange loop, and whoever succeeds does what belongs to the new state.

/// Where a path is in its life. The numbers are those of the log and of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum State {
    /// The connections are being established. Every path is born so.
    Connecting = 0,
    /// Establishing failed; whoever did it has to clean up.
    ConnectingErr = 1,
    /// The path broke and is being taken down, or waits for its next attempt.
    Reconnecting = 2,
    /// The path carries requests.
    Connected = 3,
    /// The path is being taken down for good.
    Closing = 4,
    /// The path is down; only an administrator can change that.
    Closed = 5,
    /// The path is out of its session and about to be freed.
    Dead = 6,
}

/// What happens to a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A valid info response came and all receives are posted.
    Established,
    /// A connection, a completion, a post or the heartbeat failed, or an answer did not
    /// come in time.
    Failed,
    /// The attempt that failed was a reconnect: try again later.
    Retry,
    /// The time for the next attempt has come.
    Reconnect,
    /// No attempt is left.
    Exhausted,
    /// An administrator wants the path to connect anew, now.
    Revive,
    /// An administrator, the session's owner or the device's removal wants it closed.
    Close,
    /// Everything that belonged to the connections is gone.
    Drained,
    /// The path leaves its session.
    Remove,
}

impl State {
    /// Every state, in the order of the numbers.
    pub const ALL: [Self; 7] = [
        Self::Connecting,
        Self::ConnectingErr,
        Self::Reconnecting,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Dead,
    ];

    /// The state after `event`, or none if the event has no effect in this state.
    ///
    /// A step to the same state is one that is granted: there is something to do.
    pub const fn step(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Connecting, Event::Established) => Some(Self::Connected),
            (Self::Connecting, Event::Failed) => Some(Self::ConnectingErr),
            (Self::Connected, Event::Failed) => Some(Self::Reconnecting),
            (Self::ConnectingErr, Event::Retry) => Some(Self::Reconnecting),
            (Self::Reconnecting, Event::Reconnect) => Some(Self::Connecting),
            (Self::Reconnecting, Event::Exhausted) => Some(Self::Closing),
            (
                Self::Connected | Self::ConnectingErr | Self::Closed | Self::Reconnecting,
                Event::Revive,
            ) => Some(Self::Reconnecting),
            (
                Self::Connecting | Self::ConnectingErr | Self::Reconnecting | Self::Connected,
                Event::Close,
            ) => Some(Self::Closing),
            (Self::Closing, Event::Drained) => Some(Self::Closed),
            (Self::Closed, Event::Remove) => Some(Self::Dead),
            _ => None,
        }
    }

    /// Whether requests may be sent.
    #[inline]
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Whether the path is on its way out, or there already.
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::Closed | Self::Dead)
    }

    /// The name for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::ConnectingErr => "connecting failed",
            Self::Reconnecting => "reconnecting",
            Self::Connected => "connected",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Dead => "dead",
        }
    }
}

impl From<State> for i32 {
    #[inline]
    fn from(state: State) -> Self {
        state as Self
    }
}

/// The number is not that of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownState(pub i32);

impl TryFrom<i32> for State {
    type Error = UnknownState;

    #[inline]
    fn try_from(number: i32) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::Connecting),
            1 => Ok(Self::ConnectingErr),
            2 => Ok(Self::Reconnecting),
            3 => Ok(Self::Connected),
            4 => Ok(Self::Closing),
            5 => Ok(Self::Closed),
            6 => Ok(Self::Dead),
            _ => Err(UnknownState(number)),
        }
    }
}
