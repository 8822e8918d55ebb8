// SPDX-License-Identifier: GPL-2.0

//! Why a path is given up: something broke, or the server does not keep the protocol.
//!
//! A fault is reported once per incarnation of a path, so a peer cannot flood the log.

use core::fmt;
use kernel::error::Error;
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    rdma::Lost,
};

/// The reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The connection manager reports the end of a connection.
    Lost(Lost),
    /// A work request failed with this status (`enum ib_wc_status`).
    Completion(u32),
    /// The device refused a work request with this errno.
    Post(i32),
    /// A queue pair has stopped working; what stopped it is reported separately, if it is
    /// at all.
    Broken,
    /// The peer is silent.
    Heartbeat,
    /// A request took longer than its user allows.
    Expired,
    /// A transfer of a kind that does not fit the mode of the path (C2, C10).
    Carrier,
    /// An immediate that only clients send.
    Immediate,
    /// An answer names no chunk of the session (C9).
    MessageId,
    /// An answer to a request that is not waiting for one on this connection (C8).
    Response,
    /// An answer without a valid new key for its chunk.
    RkeyMessage,
    /// A send of our own completed that nobody waits for.
    Bookkeeping,
}

impl Fault {
    /// What a failed post means. A full queue is no fault, and not to be passed here.
    pub(crate) fn post(reason: Error) -> Self {
        if reason == error(errno::ENOTCONN) {
            Self::Broken
        } else {
            Self::Post(reason.to_errno())
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost(Lost::Disconnected) => "disconnected",
            Self::Lost(Lost::DeviceRemoval) => "the device is being removed",
            Self::Lost(Lost::AddrChange) => "the address changed",
            Self::Lost(Lost::TimewaitExit) => "the connection ended",
            Self::Lost(Lost::Error(errno)) => {
                return write!(f, "connection error {errno}");
            }
            Self::Completion(status) => {
                return write!(f, "a work request failed with status {status}");
            }
            Self::Post(errno) => {
                return write!(f, "a work request could not be posted (error {errno})");
            }
            Self::Broken => "a connection broke",
            Self::Heartbeat => "the peer does not answer heartbeats",
            Self::Expired => "a request took too long",
            Self::Carrier => "protocol error: wrong kind of transfer",
            Self::Immediate => "protocol error: request from the server",
            Self::MessageId => "protocol error: message id out of range",
            Self::Response => "protocol error: response without a request",
            Self::RkeyMessage => "protocol error: bad rkey message",
            Self::Bookkeeping => "unexpected send completion",
        })
    }
}
