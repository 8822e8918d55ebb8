// SPDX-License-Identifier: GPL-2.0

//! The life of a path on the server (spec: rtrs 3.6).
//!
//! ```text
//!             Established                Close               Drained
//!  CONNECTING ----------> CONNECTED ------------> CLOSING ----------> CLOSED
//!       |                                            ^
//!       +--------------------- Close ----------------+
//! ```
//!
//! A server never reconnects: a path that is closed is forgotten.

/// Where a path is in its life. The numbers are those of the log and of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum State {
    /// The client is establishing its connections.
    Connecting = 0,
    /// The info exchange is done; requests are served.
    Connected = 1,
    /// The path is being taken down.
    Closing = 2,
    /// Nothing of the path is left but its memory.
    Closed = 3,
}

/// What happens to a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The info request was valid, and the user accepted the session.
    Established,
    /// The client, an administrator, an error, a silent peer or a time limit ends it.
    Close,
    /// Every request is answered and every connection is gone.
    Drained,
}

impl State {
    /// Every state, in the order of the numbers.
    pub const ALL: [Self; 4] = [
        Self::Connecting,
        Self::Connected,
        Self::Closing,
        Self::Closed,
    ];

    /// The state after `event`, or none if the event has no effect in this state.
    pub const fn step(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Connecting, Event::Established) => Some(Self::Connected),
            (Self::Connecting | Self::Connected, Event::Close) => Some(Self::Closing),
            (Self::Closing, Event::Drained) => Some(Self::Closed),
            _ => None,
        }
    }

    /// Whether requests are served and answers are sent.
    #[inline]
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected)
    }

    /// The name for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closing => "closing",
            Self::Closed => "closed",
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
            1 => Ok(Self::Connected),
            2 => Ok(Self::Closing),
            3 => Ok(Self::Closed),
            _ => Err(UnknownState(number)),
        }
    }
}
