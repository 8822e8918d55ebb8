// SPDX-License-Identifier: GPL-2.0

//! What the user of the transport (the "upper layer") implements.
//!
//! The transport calls, the user answers through [`Operation`]. All references to the user's
//! values are given back before [`Server`](crate::Server) is gone.

use kernel::{
    prelude::*,
    sync::Arc, //
};

use rtrs_proto::Features;

use crate::{
    notice::SessionLink,
    operation::Operation, //
};

/// What is known of a new session.
#[derive(Clone)]
pub struct SessionFacts<'a> {
    /// The name that the client gave: 1 to 254 bytes, none of them a slash, a dot, a space or a
    /// control character. Unique among the sessions of this server; it proves nothing.
    pub name: &'a [u8],
    /// Most requests in flight on one path.
    pub queue_depth: u16,
    /// Most bytes of data in one request.
    pub max_io_size: u32,
    /// What both sides can do beyond the C implementation; none with a C client. Whether the
    /// user may use extensions of its own is [`Features::USER`].
    pub features: Features,
    /// For speaking to the client without being asked. It may be kept.
    pub link: SessionLink,
}

/// The user of a server.
pub trait Ulp: Send + Sync {
    /// The first path of a session is up. Process context, may sleep; calls for one session never
    /// overlap with each other or with [`UlpSession::disconnected`].
    ///
    /// # Errors
    ///
    /// With any error the path is closed, and the client sees a disconnect.
    fn connected(&self, session: SessionFacts<'_>) -> Result<Arc<dyn UlpSession>>;
}

/// A session as its user sees it.
pub trait UlpSession: Send + Sync {
    /// A request. Runs in the workqueue of the completions: it may sleep a little, but meanwhile
    /// nothing else completes on this connection. Calls of several connections overlap.
    fn request(&self, operation: Operation);

    /// The last path is gone, and every [`Operation`] was answered or dropped before. Process
    /// context, may sleep. The reference to the session is dropped afterwards.
    fn disconnected(&self);
}
