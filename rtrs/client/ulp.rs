// SPDX-License-Identifier: GPL-2.0

//! What a user of a session has to offer (spec: rtrs 8.1).

use crate::Permit;

/// What happened to a session as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// The first path came up again; requests are accepted. The server may have forgotten
    /// everything: the user has to tell it anew.
    Up,
    /// The last path went down; its requests have been failed.
    Down,
}

/// The user of a session.
///
/// No method is called after [`Session::close`](crate::Session::close) returned.
pub trait Ulp: Send + Sync {
    /// A request has ended. Called exactly once for each that was accepted, possibly
    /// before the submitting call returns.
    ///
    /// `status` is 0 or a negative errno: the server's, `-ECONNABORTED` if the last path was
    /// lost and nobody knows whether the request was executed,
    /// or `-ETIMEDOUT` after [`Session::expire`](crate::Session::expire). The data of a read is
    /// in the pages of the permit's table, and nobody else touches them any more.
    ///
    /// Softirq or process context; must not sleep. Dropping the permit returns it.
    fn complete(&self, permit: Permit, status: i32);

    /// The session lost its last path or got a first one again. Not called for the paths
    /// that are connected when the session is opened, nor for its closing.
    ///
    /// Process context, one event at a time. May submit requests, but must not wait for
    /// them, and must not close the session.
    fn link(&self, event: LinkEvent);

    /// The server has news about `payload` (28 bits, the server's user knows what they
    /// mean). Only if both sides have [`Features::NOTICE`](rtrs_proto::Features::NOTICE).
    ///
    /// Softirq or process context; must not sleep. Notices may be repeated.
    fn notice(&self, _payload: u32) {}
}
