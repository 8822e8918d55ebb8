// SPDX-License-Identifier: GPL-2.0

//! The client side of the transport: sessions with a server, over one path or several.
//!
//! Used by `rnbd_client`, which implements [`Ulp`] and owns a [`Session`]. This crate
//! knows connections, chunks and requests; it does not know what a request means, and it
//! believes nothing that a server says.
//!
//! # Words
//!
//! - A *session* has one permit per chunk of the server; a request needs one.
//! - A *path* is an address pair, long lived; it connects and may lose its connections.
//! - A path that is connected has a *live* part: queue pairs, memory, request slots. It
//!   is built by one attempt to connect and never repaired; the next attempt builds
//!   another one.
//!
//! # Lock order
//!
//! `Session::closing`, `Path::life`, `Inner::control`; then a request's berth, a request's slot,
//! and the queue pair inside the verbs layer. `Inner::tree` is held with none of the first three.
//! Requests are ended with no lock of a berth or a slot held; news of the link are told under
//! `Inner::control`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

mod connect;
mod connection;
mod context;
mod fault;
mod inner;
mod live;
mod params;
mod path;
mod permit;
mod plan;
mod request;
mod routes;
mod salvage;
mod session;
mod stats;
mod sysfs;
mod trace;
mod ulp;
mod wreck;

pub use permit::{
    Kind,
    Permit, //
};
pub use session::{Limits, OpenParams, Session};
pub use ulp::{
    LinkEvent,
    Ulp, //
};

module! {
    type: RtrsClient,
    name: "rtrs_client",
    authors: ["RNBD in Rust"],
    description: "RDMA transport client",
    license: "GPL",
}

/// The module itself: it lends its context to the sessions that are opened.
struct RtrsClient;

impl kernel::Module for RtrsClient {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // Wrong parameters are told when they are given.
        params::check()?;
        context::start(module)?;
        Ok(Self)
    }
}

impl Drop for RtrsClient {
    fn drop(&mut self) {
        context::stop();
    }
}
