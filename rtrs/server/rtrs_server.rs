// SPDX-License-Identifier: GPL-2.0

//! `rtrs_server`: the target side of the RTRS transport.
//!
//! It owns the memory that clients write their requests into, hands each request to its user (see
//! [`Ulp`]) and sends the answer. It knows its side's story and nothing about blocks or pointers.
//! Nothing that a client sends may make it panic, warn, hang, leak or tell what is not the client's.
//!
//! A table of contents:
//!
//! - [`server`]: the listeners, and what all paths share;
//! - [`registry`]: all sessions and paths, and who may join them;
//! - [`budget`], [`peer`]: the memory that clients may make the server take, together and each;
//! - [`session`]: one client, as its user and sysfs see it;
//! - [`path`]: one address pair, its states and its work items;
//! - [`connect`], [`info`], [`close`], [`reason`]: the beginning and the end of a path;
//! - [`connection`]: one queue pair, and what its completions mean;
//! - [`chunk`]: the memory of a path;
//! - [`operation`], [`respond`], [`fifo`]: a request, its answer, and waiting for room;
//! - [`turns`], [`fence`]: requests that are sent again on another path;
//! - [`notice`]: speaking without being asked;
//! - [`sysfs`], [`params`], [`ulp`]: what administrators and users see.
//!
//! # Words
//!
//! - A *session* is one client; a *path* is one pair of addresses of a session; a *connection* is
//!   one queue pair of a path.
//! - A *chunk* is a buffer that the client writes one request into at a time.
//! - An *immediate* is the 32-bit number that arrives with a write and says what was written.

#![forbid(unsafe_code)]

mod budget;
mod chunk;
mod close;
mod connect;
mod connection;
mod fence;
mod fifo;
mod info;
mod notice;
mod operation;
mod params;
mod path;
mod peer;
mod reason;
mod registry;
mod respond;
mod server;
mod session;
mod stats;
mod succession;
mod sysfs;
mod turns;
mod ulp;

use kernel::{
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    },
};
use kernel_ext::{
    rdma,
    sysfs::Class,
    workqueue::{
        Flags,
        OwnedQueue, //
    },
};

use crate::{
    params::Config,
    server::{
        Context,
        CONTEXT, //
    }, //
};

pub use crate::{
    notice::SessionLink,
    operation::Operation,
    server::Server,
    ulp::{
        SessionFacts,
        Ulp,
        UlpSession, //
    },
};
pub use rtrs_proto::{
    Direction,
    Features, //
};

module! {
    type: RtrsServer,
    name: "rtrs_server",
    authors: ["The RNBD in Rust authors"],
    description: "RDMA Transport Server",
    license: "GPL",
}

/// The loaded module. What it owns is in [`CONTEXT`].
struct RtrsServer;

impl kernel::Module for RtrsServer {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // Wrong parameters are told when they are given, not when somebody listens.
        Config::load()?;
        params::heartbeat()?;
        let flags = Flags {
            mem_reclaim: true,
            unbound: true,
            ordered: false,
        };
        let context = Arc::new(
            Context {
                class: Class::new(c"rtrs-server", module)?,
                queue: OwnedQueue::new(c"rtrs_server", flags)?,
                setup: OwnedQueue::new(c"rtrs_server_setup", flags)?,
                in_use: Atomic::new(false),
            },
            GFP_KERNEL,
        )?;
        CONTEXT.set(context);
        Ok(Self)
    }
}

impl Drop for RtrsServer {
    fn drop(&mut self) {
        // Every user depends on this module, so there is no server any more. What may still be
        // on its way are protection domains, whose teardown runs in the core's queue.
        drop(CONTEXT.clear());
        rdma::flush_teardown();
    }
}
