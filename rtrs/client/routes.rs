// SPDX-License-Identifier: GPL-2.0

//! The paths that requests may take, as an immutable snapshot (spec: rtrs 4.9).
//!
//! A session replaces the snapshot when a path comes or goes. The IO path reads it inside
//! an RCU read-side section and lets go of it there, so whoever replaces it can wait until
//! nobody uses the old one: the last reference never dies in atomic context.

use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::cpu;
use rtrs_logic::policy::{
    Facts,
    Policy, //
};
use rtrs_proto::limits::MAX_PATHS;

use crate::live::Live;

// A bit per path tells which were tried.
const _: () = assert!(MAX_PATHS <= u128::BITS as usize);

/// Where round robin stands on one processor. On a cache line of its own.
#[repr(align(64))]
struct Turn(Atomic<u32>);

/// The connected paths of a session, in the order in which they were added.
pub(crate) struct Routes {
    lives: KVec<Arc<Live>>,
    turns: KVec<Turn>,
}

impl Routes {
    /// A snapshot of these paths, in memory as `flags` allow.
    pub(crate) fn new(lives: &[Arc<Live>], flags: Flags) -> Result<Arc<Self>> {
        let mut copy = KVec::with_capacity(lives.len(), flags)?;
        for live in lives {
            copy.push(live.clone(), flags)?;
        }
        let mut turns = KVec::new();
        // A single path needs no turns.
        if lives.len() > 1 {
            let count = cpu::nr_cpu_ids();
            turns.reserve(usize::try_from(count)?, flags)?;
            for _ in 0..count {
                turns.push(Turn(Atomic::new(0)), flags)?;
            }
        }
        Ok(Arc::new(Self { lives: copy, turns }, flags)?)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.lives.iter()
    }

    /// Whether there is a path to try at all.
    pub(crate) fn any_usable(&self) -> bool {
        self.lives.iter().any(|live| live.is_usable())
    }

    /// Handles what the poll connections for `queue` have completed; returns how much. Not in
    /// interrupts.
    pub(crate) fn poll(&self, queue: u32) -> u32 {
        self.lives
            .iter()
            .map(|live| live.poll(queue))
            .fold(0, u32::saturating_add)
    }

    /// The next path to try for a request; `tried` has the bits of those that were.
    #[inline]
    pub(crate) fn choose(&self, policy: Policy, tried: &mut u128) -> Option<&Arc<Live>> {
        let turn = usize::try_from(cpu::current())
            .ok()
            .and_then(|cpu| self.turns.get(cpu));
        let last = turn.and_then(|turn| usize::try_from(turn.0.load(Relaxed)).ok());
        let facts = self.lives.iter().enumerate().map(|(at, live)| Facts {
            usable: *tried & bit(at) == 0 && live.is_usable(),
            inflight: live.inflight(),
            latency_ns: live.heartbeat().latency_ns(),
        });
        let at = policy.choose(last, facts)?;
        *tried |= bit(at);
        if let (Some(turn), Ok(at)) = (turn, u32::try_from(at)) {
            turn.0.store(at, Relaxed);
        }
        self.lives.get(at)
    }
}

/// The bit of the path at this position.
const fn bit(at: usize) -> u128 {
    if at < MAX_PATHS {
        1 << at
    } else {
        0
    }
}
