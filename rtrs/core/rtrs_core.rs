// SPDX-License-Identifier: GPL-2.0

//! The part of the transport that both sides share.
//!
//! Addresses of paths, heartbeats, and names that are random; used by `rtrs_client` and
//! `rtrs_server`. The crates below it (verbs, protocol, decisions) are linked into the
//! same module, so that the modules above share one copy of them. This crate does not
//! know which side it is on, and never looks at a request.

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel_ext::rdma::Reaper;

pub mod address;
pub mod counters;
pub mod global;
pub mod heartbeat;
pub mod uuid;

module! {
    type: RtrsCore,
    name: "rtrs_core",
    authors: ["RNBD in Rust"],
    description: "RDMA transport: what client and server share",
    license: "GPL",
}

/// The module itself.
struct RtrsCore {
    /// Tears down what the last user of an RDMA device leaves behind. Dropped when nobody
    /// can use one any more: the modules above are unloaded first.
    _reaper: Reaper,
}

impl kernel::Module for RtrsCore {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _reaper: Reaper::start()?,
        })
    }
}
