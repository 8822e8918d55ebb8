// SPDX-License-Identifier: GPL-2.0

//! Notices: a word of the session's user for the client's user, without being asked.
//!
//! A notice is an immediate on connection 0 of any path that serves, only for clients that agreed
//! to it. It is not answered and may be lost with its path: it says "look again", and whoever
//! sends it makes sure that looking is all that is needed. The number on their way is bounded, so
//! that a client that takes none costs nothing.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::{
    error::{
        self,
        errno, //
    },
    rdma::QueuePair, //
};
use rtrs_proto::{
    limits::NOTICE_MAX,
    Features,
    Immediate, //
};

use crate::{
    connection::{
        empty,
        Connection, //
    },
    session::Session, //
};

/// Most notices of one path that are on their way.
const MAX_OUTSTANDING: u32 = 16;

/// A handle on a session for its user, to speak first.
///
/// It may outlive the session; then it reaches nobody.
#[derive(Clone)]
pub struct SessionLink(Arc<Session>);

impl SessionLink {
    /// A handle on `session`.
    pub(crate) fn new(session: &Arc<Session>) -> Self {
        Self(session.clone())
    }

    /// Sends `payload`, at most 28 bits, to the client's user. Process context, may sleep for a
    /// moment, never for the client.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the client did not agree to notices, `EINVAL` for a payload out of range,
    /// `ENOTCONN` if no path serves, `EAGAIN` if 16 are on their way on every path: the caller
    /// tries again later with what is news by then.
    pub fn notice(&self, payload: u32) -> Result {
        if !self.0.features.has(Features::NOTICE) {
            return Err(error::error(errno::EOPNOTSUPP));
        }
        if payload > NOTICE_MAX {
            return Err(EINVAL);
        }
        self.0.notice(payload)
    }
}

/// Connection 0 of a path that serves, as notices need it.
pub(crate) struct Outlet {
    /// The connection.
    pub(crate) con: Arc<Connection>,
    /// Its queue pair.
    pub(crate) qp: Arc<QueuePair<Connection>>,
}

impl Outlet {
    /// Sends a notice, if this path can take one now.
    pub(crate) fn send(&self, payload: u32) -> Result {
        let path = &self.con.path;
        if !path.is_connected() {
            return Err(error::error(errno::ENOTCONN));
        }
        let place = self.con.notices.take().ok_or(EAGAIN)?;
        let wr = [empty(Immediate::Notice(payload))];
        match self.qp.post(&wr, Some(path.tokens().notice)) {
            Ok(()) => {
                // The completion gives it back.
                place.keep();
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

/// Counts the notices of a connection that are on their way.
pub(crate) struct Outstanding(Atomic<u32>);

impl Outstanding {
    /// None is.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    fn take(&self) -> Option<Place<'_>> {
        let before = self.0.fetch_add(1, Relaxed);
        let place = Place(self);
        (before < MAX_OUTSTANDING).then_some(place)
    }

    /// One has arrived. Any context.
    pub(crate) fn give_back(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The right to send a notice, given back when dropped.
struct Place<'a>(&'a Outstanding);

impl Place<'_> {
    /// It is in use until the completion.
    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
