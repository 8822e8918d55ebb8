// SPDX-License-Identifier: GPL-2.0

//! Why a path is closed.
//!
//! Whoever closes a path says why, in any context and without logging; the close work, which runs
//! once per path and may sleep, tells the log. So a peer gets one line per path that it breaks, and
//! those are limited too.

use core::fmt;
use kernel_ext::rdma::Lost;

/// Why a path is closed.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    /// The client has disconnected, or its host is gone.
    Lost(Lost),
    /// An administrator wants it.
    Administrator,
    /// The server is being closed.
    Server,
    /// The client lost this path, and wants to be sure that it is over.
    Fenced,
    /// The client has come again.
    Replaced,
    /// The client was not established in time.
    Late,
    /// The client does not answer heartbeats.
    Silent,
    /// The client broke the protocol on the connection with this number.
    Protocol(u16, &'static str),
    /// A work request of the connection failed with this `ib_wc_status`.
    Work(u16, u32),
    /// Something could not be posted or prepared on the connection; a negative errno.
    Local(u16, i32),
    /// The info exchange failed with this negative errno.
    Info(i32),
}

impl Reason {
    /// Whether nothing is wrong.
    pub(crate) fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::Lost(Lost::Disconnected)
                | Self::Administrator
                | Self::Server
                | Self::Fenced
                | Self::Replaced
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(Lost::Disconnected) => f.write_str("the client has disconnected"),
            Self::Lost(lost) => write!(f, "connection lost ({lost:?})"),
            Self::Administrator => f.write_str("disconnected by the administrator"),
            Self::Server => f.write_str("the server is closed"),
            Self::Fenced => f.write_str("the client has lost this path"),
            Self::Replaced => f.write_str("the client has come again"),
            Self::Late => f.write_str("not established in time"),
            Self::Silent => f.write_str("the client is silent"),
            Self::Protocol(cid, what) => write!(f, "connection {cid}: {what}"),
            Self::Work(cid, status) => {
                write!(f, "connection {cid}: work completion status {status}")
            }
            Self::Local(cid, errno) => write!(f, "connection {cid}: error {errno}"),
            Self::Info(errno) => write!(f, "session not established (error {errno})"),
        }
    }
}
