// SPDX-License-Identifier: GPL-2.0

//! The module's parameters and what they make of every session (spec: rtrs 7.4).
//!
//! They are set when the module is loaded and never change afterwards. [`Config::load`] checks them
//! once, at load; nobody reads a parameter anywhere else. The exception is the list of clients that
//! may connect: it is read with each connect request ([`is_allowed`]).

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kernel_ext::{
    dma,
    fmt::Show,
    memory,
    net::SockAddr,
    param_bool,
    param_int,
    param_live_str, //
};
use rtrs_core::{
    address,
    heartbeat::checked_limits, //
};
use rtrs_logic::heartbeat::Limits;
use rtrs_proto::{
    limits,
    AllowList,
    ConnectReply,
    Features,
    SessionParams, //
};

param_bool! {
    ALWAYS_INVALIDATE = true,
    "always_invalidate",
    "Take the client's access to a chunk away before the request in it is read (default: Y)"
}

param_bool! {
    EXTENSIONS = true,
    "extensions",
    "Agree to the extensions that a client offers, if it is one of ours; N: be as the C server for everybody (default: Y)"
}

param_int! {
    MAX_CHUNK_SIZE: i32 = 131_072,
    "max_chunk_size",
    "Most bytes of data in one request: a power of two, at least 8192 and two pages; the page for the headers comes on top if sess_queue_depth leaves room for it, else it is part of them (default: 131072)"
}

param_int! {
    SESS_QUEUE_DEPTH: i32 = 512,
    "sess_queue_depth",
    "Chunks of a session, the most requests in flight: 1 to 65535 (default: 512)"
}

param_int! {
    SETUP_TIMEOUT_MS: i32 = 30_000,
    "setup_timeout_ms",
    "A path that makes no progress in being established is given up after this many milliseconds: 100 to 3600000 (default: 30000)"
}

param_int! {
    SETUP_LIMIT_MS: i32 = 120_000,
    "setup_limit_ms",
    "A path that is not established after this many milliseconds is given up, whatever its progress; at least setup_timeout_ms, at most 14400000 (default: 120000)"
}

param_int! {
    MAX_MEMORY_MIB: i32 = 0,
    "max_memory_mib",
    "Most MiB that all clients together may make the server take for chunks and connections; 0 for half of the memory (default: 0)"
}

param_int! {
    MAX_PATHS: i32 = 1024,
    "max_paths",
    "Most paths of all clients together: 1 to 65536 (default: 1024)"
}

param_int! {
    HEARTBEAT_INTERVAL_MS: i32 = 5000,
    "heartbeat_interval_ms",
    "Milliseconds between the heartbeats of a new session's paths: 100 to 600000 (default: 5000)"
}

param_int! {
    HEARTBEAT_MISSED_MAX: i32 = 5,
    "heartbeat_missed_max",
    "Intervals that a peer may be silent before its path is given up, half an interval later: 1 to 1000 (default: 5)"
}

param_int! {
    MAX_SESSIONS: i32 = 1024,
    "max_sessions",
    "Most sessions of all clients together: 1 to 65536 (default: 1024)"
}

param_int! {
    MAX_PATHS_PER_PEER: i32 = 512,
    "max_paths_per_peer",
    "Most paths from one client address: 1 to 65536 (default: 512)"
}

param_int! {
    MAX_SESSIONS_PER_PEER: i32 = 256,
    "max_sessions_per_peer",
    "Most sessions from one client address: 1 to 65536 (default: 256)"
}

param_int! {
    MAX_MEMORY_PER_PEER_MIB: i32 = 0,
    "max_memory_per_peer_mib",
    "Most MiB that one client address may make the server take; 0 for max_memory_mib (default: 0)"
}

param_live_str! {
    ALLOWED_CLIENTS, max 2048,
    "allowed_clients",
    "Addresses that may connect, as ip:10.0.0.0/24,ip:fd00::/64,gid:fe80::2; empty for all. Can be written at any time, for new connections (default: empty)",
    check: check_allowed
}

/// Milliseconds that a path may at least have for being established.
const SETUP_TIMEOUT_MIN_MS: u32 = 100;
/// Milliseconds that a path may at most have for being established.
const SETUP_TIMEOUT_MAX_MS: u32 = 3_600_000;
/// Largest value of `setup_limit_ms`.
const SETUP_LIMIT_MAX_MS: u32 = 14_400_000;
/// Bytes of a MiB.
const MIB: u64 = 1 << 20;
/// Largest number of paths or sessions.
const COUNT_LIMIT: u32 = 65_536;

/// Checked parameters.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    /// Depth and sizes of every session.
    pub(crate) params: SessionParams,
    /// Whether a chunk is closed to the client while its request is worked on.
    pub(crate) always_invalidate: bool,
    /// What may be agreed upon with a client that offers it.
    pub(crate) features: Features,
    /// Milliseconds without progress after which a path that is being established is closed.
    pub(crate) setup_timeout_ms: u32,
    /// Milliseconds after which a path that is still being established is closed.
    pub(crate) setup_limit_ms: u32,
    /// Bytes that all clients together may make the server take.
    pub(crate) max_memory: u64,
    /// Bytes that the clients of one host may make the server take.
    pub(crate) max_memory_per_peer: u64,
    /// Most paths of all sessions together.
    pub(crate) max_paths: usize,
    /// Most paths of one host.
    pub(crate) max_paths_per_peer: usize,
    /// Most sessions.
    pub(crate) max_sessions: usize,
    /// Most sessions of one host.
    pub(crate) max_sessions_per_peer: usize,
}

impl Config {
    /// Reads and checks the parameters; says in the log what is wrong with them.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn load() -> Result<Self> {
        let depth = positive("sess_queue_depth", SESS_QUEUE_DEPTH.get())?;
        let chunk = positive("max_chunk_size", MAX_CHUNK_SIZE.get())?;
        let page = u32::try_from(PAGE_SIZE).map_err(|_| EINVAL)?;
        // A chunk is contiguous, and the page allocator has its limit (weak point S31).
        if usize::try_from(chunk).map_or(true, |chunk| chunk > dma::MAX_LEN) {
            pr_err!("max_chunk_size must not exceed {} bytes\n", dma::MAX_LEN);
            return Err(EINVAL);
        }
        let params = SessionParams::for_server(depth, chunk, page).map_err(|e| {
            pr_err!(
                "sess_queue_depth={} and max_chunk_size={}: {}\n",
                depth,
                chunk,
                e.as_str()
            );
            EINVAL
        })?;
        // What the parameter says is what a request can carry; the headers come on top.
        let params = params.widened(u32::try_from(dma::MAX_LEN).unwrap_or(u32::MAX));
        let setup_timeout_ms = positive("setup_timeout_ms", SETUP_TIMEOUT_MS.get())?;
        if !(SETUP_TIMEOUT_MIN_MS..=SETUP_TIMEOUT_MAX_MS).contains(&setup_timeout_ms) {
            pr_err!("setup_timeout_ms must be 100 to 3600000\n");
            return Err(EINVAL);
        }
        let setup_limit_ms = positive("setup_limit_ms", SETUP_LIMIT_MS.get())?;
        if setup_limit_ms > SETUP_LIMIT_MAX_MS {
            pr_err!("setup_limit_ms must not exceed 14400000\n");
            return Err(EINVAL);
        }
        let max_memory = match positive("max_memory_mib", MAX_MEMORY_MIB.get())? {
            0 => memory::total() / 2,
            mib => u64::from(mib).saturating_mul(MIB),
        };
        let max_memory_per_peer =
            match positive("max_memory_per_peer_mib", MAX_MEMORY_PER_PEER_MIB.get())? {
                0 => max_memory,
                mib => u64::from(mib).saturating_mul(MIB),
            };
        Ok(Self {
            params,
            always_invalidate: ALWAYS_INVALIDATE.get(),
            features: if EXTENSIONS.get() {
                Features::ALL
            } else {
                Features::NONE
            },
            setup_timeout_ms,
            // Whoever raises the one without the other means both.
            setup_limit_ms: setup_limit_ms.max(setup_timeout_ms),
            max_memory,
            max_memory_per_peer,
            max_paths: count("max_paths", MAX_PATHS.get())?,
            max_paths_per_peer: count("max_paths_per_peer", MAX_PATHS_PER_PEER.get())?,
            max_sessions: count("max_sessions", MAX_SESSIONS.get())?,
            max_sessions_per_peer: count("max_sessions_per_peer", MAX_SESSIONS_PER_PEER.get())?,
        })
    }

    /// Chunks of a session.
    pub(crate) fn depth(&self) -> u32 {
        u32::from(self.params.depth().get())
    }

    /// Work requests that one request may need on its connection's send queue: five with
    /// invalidation (LOCAL_INV, RDMA_WRITE, SEND_WITH_INV, REG_MR, SEND_WITH_IMM), three without.
    pub(crate) fn sends_per_request(&self) -> u32 {
        if self.always_invalidate {
            5
        } else {
            3
        }
    }

    /// The private data with which every connection is accepted of a client with which `features`
    /// were agreed upon (spec: rtrs 2.3).
    pub(crate) fn reply(&self, features: Features) -> [u8; limits::CONNECT_MSG_LEN] {
        ConnectReply::Accept {
            params: self.params,
            new_rkey: self.always_invalidate,
            features,
        }
        .to_bytes()
    }
}

/// How patient the paths of a new session are.
///
/// Fails with `EINVAL`, and says so in the log, if the parameters are out of range; the module
/// is not loaded then.
pub(crate) fn heartbeat() -> Result<Limits> {
    checked_limits(HEARTBEAT_INTERVAL_MS.get(), HEARTBEAT_MISSED_MAX.get())
}

/// Whether a client with this address may connect now. Sleeps a little.
pub(crate) fn is_allowed(client: &SockAddr) -> bool {
    let Some(addr) = address::bare(client) else {
        return false;
    };
    // The text was checked when it was written.
    ALLOWED_CLIENTS.read(|text| AllowList::parse(text).is_ok_and(|list| list.admits(&addr)))
}

fn check_allowed(text: &[u8]) -> Result {
    match AllowList::parse(text) {
        Ok(_) => Ok(()),
        Err(e) => {
            pr_err!("allowed_clients: {}\n", Show(e));
            Err(EINVAL)
        }
    }
}

fn count(name: &'static str, value: i32) -> Result<usize> {
    let value = positive(name, value)?;
    if !(1..=COUNT_LIMIT).contains(&value) {
        pr_err!("{} must be 1 to {}\n", name, COUNT_LIMIT);
        return Err(EINVAL);
    }
    usize::try_from(value).map_err(|_| EINVAL)
}

fn positive(name: &'static str, value: i32) -> Result<u32> {
    u32::try_from(value).map_err(|_| {
        pr_err!("{}={} is negative\n", name, value);
        EINVAL
    })
}
