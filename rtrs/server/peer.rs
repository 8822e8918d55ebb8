// SPDX-License-Identifier: GPL-2.0

//! The hosts that clients come from, and what one of them may take (weak point S20).
//!
//! A host is an address. It is known as long as it has a path here. Its memory is accounted for in
//! a budget of its own, below the one of all clients; its sessions and paths are counted where they
//! are listed, in the registry.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::net::SockAddr;

use crate::budget::Budget;

/// All hosts with a path here.
pub(crate) struct Peers {
    peers: KVec<Peer>,
}

struct Peer {
    host: SockAddr,
    budget: Arc<Budget>,
}

impl Peers {
    /// Nobody is here.
    pub(crate) const fn new() -> Self {
        Self { peers: KVec::new() }
    }

    /// The budget of the host with the address `host`: at most `limit` bytes, and whatever `all`
    /// leaves. Process context.
    pub(crate) fn budget(
        &mut self,
        host: &SockAddr,
        all: &Arc<Budget>,
        limit: u64,
    ) -> Result<Arc<Budget>> {
        let known = self.peers.iter().find(|peer| peer.host.same_host(host));
        if let Some(peer) = known {
            return Ok(peer.budget.clone());
        }
        let budget = Budget::of_peer(all, limit)?;
        let peer = Peer {
            host: *host,
            budget: budget.clone(),
        };
        self.peers.push(peer, GFP_KERNEL)?;
        Ok(budget)
    }

    /// Forgets the hosts that `keep` does not know and that have given everything back.
    pub(crate) fn retain(&mut self, keep: impl Fn(&SockAddr) -> bool) {
        self.peers
            .retain(|peer| keep(&peer.host) || peer.budget.is_used());
    }
}
