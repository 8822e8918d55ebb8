// SPDX-License-Identifier: GPL-2.0

//! Permits: the right to have one request in flight (spec: rtrs 4.1).
//!
//! A permit owns one chunk of the server and one scatter table on our side. There are as
//! many as the queue is deep, made when the session is opened. Taking and returning one
//! works in any context and allocates nothing.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
    types::ScopeGuard,
};
use kernel_ext::{
    cpu,
    rdma::SgTable,
    sync::{
        AtomicSlot,
        WaitQueue, //
    },
};
use rtrs_logic::permits::{
    words_for,
    Permits,
    Word, //
};
use rtrs_proto::{
    ChunkIndex,
    SessionParams, //
};

use crate::wreck::Berth;

/// What a permit is for; it decides about the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A block request: goes over the connection of the processor that took the permit.
    Io,
    /// A message of the user's own protocol: goes over connection 0.
    Admin,
    /// A block request that somebody polls for: goes over the poll connection of this number,
    /// counted from 0 and taken modulo how many there are, and ends in
    /// [`Session::poll`](crate::Session::poll) with the same number. If the session has no poll
    /// connections it is as [`Self::Io`].
    Poll(u32),
}

/// Permits that the transport leaves to its user: twice what rnbd_client keeps for control messages.
const KEPT_FREE: usize = 4;

/// A word of the bitmap.
struct PermitWord(Atomic<usize>);

impl Word for PermitWord {
    #[inline]
    fn load(&self) -> usize {
        self.0.load(Relaxed)
    }

    #[inline]
    fn compare_exchange(&self, current: usize, new: usize) -> Result<usize, usize> {
        self.0.cmpxchg(current, new, Full)
    }
}

/// The uses of a permit, counted; 0 is none. A number comes again after 2^32 of them.
struct Turn {
    taken: Atomic<u32>,
    /// The one whose request the user has given up on.
    expired: Atomic<u32>,
}

impl Turn {
    fn new() -> Self {
        Self {
            taken: Atomic::new(0),
            expired: Atomic::new(0),
        }
    }

    /// The permit was taken, and is the caller's.
    #[inline]
    fn begin(&self) -> u32 {
        let turn = self.taken.load(Relaxed).wrapping_add(1).max(1);
        self.taken.store(turn, Relaxed);
        if self.expired.load(Relaxed) != 0 {
            self.expired.store(0, Relaxed);
        }
        turn
    }
}

/// All permits of a session.
#[pin_data]
pub(crate) struct Pool {
    words: KVVec<PermitWord>,
    /// What tells one use of a permit from another.
    turns: KVVec<Turn>,
    /// The scatter table of each permit that is free.
    tables: KVVec<AtomicSlot<KBox<SgTable>>>,
    /// Where the request of each permit waits while it has no path.
    berths: KVVec<Pin<KBox<Berth>>>,
    params: SessionParams,
    #[pin]
    waiters: WaitQueue,
}

impl Pool {
    /// Makes all permits, each with a table for `max_segments` pieces. Sleeps.
    pub(crate) fn new(params: SessionParams, max_segments: u32) -> Result<Arc<Self>> {
        let depth = usize::from(params.depth().get());
        let capacity = usize::try_from(max_segments)?;
        let mut words = KVVec::with_capacity(words_for(depth), GFP_KERNEL)?;
        for _ in 0..words_for(depth) {
            words.push(PermitWord(Atomic::new(0)), GFP_KERNEL)?;
        }
        let mut turns = KVVec::with_capacity(depth, GFP_KERNEL)?;
        let mut tables = KVVec::with_capacity(depth, GFP_KERNEL)?;
        let mut berths = KVVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            berths.push(Berth::new()?, GFP_KERNEL)?;
            turns.push(Turn::new(), GFP_KERNEL)?;
            tables.push(AtomicSlot::new(SgTable::new(capacity)?), GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                words,
                turns,
                tables,
                berths,
                params,
                waiters <- WaitQueue::new(),
            }),
            GFP_KERNEL,
        )
    }

    fn bits(&self) -> Permits<'_, PermitWord> {
        Permits::new(&self.words, usize::from(self.params.depth().get()))
    }

    /// How many permits there are.
    pub(crate) fn depth(&self) -> usize {
        self.berths.len()
    }

    /// Where the request of a permit waits while it has no path.
    pub(crate) fn berth(&self, index: usize) -> Option<&Berth> {
        self.berths.get(index).map(|berth| &**berth)
    }

    /// The user has given up on the request of this use of the permit. Any context.
    pub(crate) fn set_expired(&self, index: usize, turn: u32) {
        let Some(of) = self.turns.get(index) else {
            return;
        };
        // A later use may have begun, and been given up, since the caller looked.
        let mut expired = of.expired.load(Relaxed);
        while of.taken.load(Relaxed) == turn {
            match of.expired.cmpxchg(expired, turn, Full) {
                Ok(_) => return,
                Err(now) => expired = now,
            }
        }
    }

    /// Whether the user has given up on the request of this use of the permit. Any context.
    #[inline]
    pub(crate) fn is_expired(&self, index: usize, turn: u32) -> bool {
        self.turns
            .get(index)
            .is_some_and(|of| of.expired.load(Relaxed) == turn)
    }

    /// The use that the permit is in, or was in last. Any context.
    pub(crate) fn turn(&self, index: usize) -> u32 {
        self.turns.get(index).map_or(0, |of| of.taken.load(Relaxed))
    }

    /// Takes a permit if one is free. Any context.
    pub(crate) fn take(self: &Arc<Self>, kind: Kind) -> Option<Permit> {
        let cpu = cpu::current();
        // A word per processor to begin with, so that they do not meet.
        let hint = usize::try_from(cpu).unwrap_or(0).wrapping_mul(64);
        let index = self.bits().acquire(hint)?;
        let chunk = u32::try_from(index)
            .ok()
            .and_then(|index| self.params.chunk(index));
        let table = self.tables.get(index).and_then(AtomicSlot::take);
        let turn = self.turns.get(index).map_or(0, Turn::begin);
        let (Some(chunk), Some(table)) = (chunk, table) else {
            // Neither can be missing while the bit is ours.
            self.bits().release(index);
            return None;
        };
        let ticket = Ticket {
            pool: self.clone(),
            chunk,
            kind,
            cpu,
            turn,
        };
        Some(Permit::new(ticket, table))
    }

    /// Takes a permit for the transport's own use, if some more are free: the user counts on what it
    /// keeps back. Any context.
    pub(crate) fn take_spare(self: &Arc<Self>) -> Option<Permit> {
        let taken = self.bits().in_use().saturating_add(KEPT_FREE);
        if taken >= self.depth() {
            return None;
        }
        self.take(Kind::Admin)
    }

    /// Takes a permit, waiting for at most `ms` milliseconds until one is free. Sleeps,
    /// uninterruptibly.
    pub(crate) fn take_wait(self: &Arc<Self>, kind: Kind, ms: u32) -> Option<Permit> {
        let mut taken = None;
        self.waiters.wait_event_timeout(ms, || {
            taken = self.take(kind);
            taken.is_some()
        });
        taken
    }

    /// Puts back what a permit owns. Any context.
    fn put(&self, chunk: ChunkIndex, table: KBox<SgTable>) {
        if let Some(slot) = self.tables.get(chunk.index()) {
            drop(slot.put(table));
        }
        // Releases the table with the bit; then wakes, with a barrier in between.
        self.bits().release(chunk.index());
        self.waiters.wake_all();
    }

    /// Waits until every permit is back, and until whoever returned the last one has let
    /// go of the pool. Sleeps.
    pub(crate) fn wait_all(&self) {
        self.waiters.wait_event(|| self.bits().in_use() == 0);
        kernel_ext::sync::synchronize_rcu();
    }
}

/// What a permit owns apart from its table. Whoever splits a permit has to put it
/// together again.
pub(crate) struct Ticket {
    pub(crate) pool: Arc<Pool>,
    /// Which chunk of the server, which slot of a path.
    pub(crate) chunk: ChunkIndex,
    /// What the permit is for.
    pub(crate) kind: Kind,
    /// The processor on which it was taken.
    pub(crate) cpu: u32,
    /// Which use of the permit this is.
    pub(crate) turn: u32,
}

struct Parts {
    table: KBox<SgTable>,
    ticket: Ticket,
}

/// The right to have one request in flight. Dropping it returns it to the session, in any
/// context; it must not be kept when the session is closed, which waits for it.
#[must_use = "send a request with it"]
pub struct Permit(ScopeGuard<Parts, fn(Parts)>);

impl Permit {
    pub(crate) fn new(ticket: Ticket, table: KBox<SgTable>) -> Self {
        Self(ScopeGuard::new_with_data(
            Parts { table, ticket },
            give_back,
        ))
    }

    /// Takes the permit apart. It is not returned until [`Self::new`] made one again.
    pub(crate) fn into_parts(self) -> (Ticket, KBox<SgTable>) {
        let parts = self.0.dismiss();
        (parts.ticket, parts.table)
    }

    /// The number of the permit, below the queue depth; nobody else has it at the time.
    #[inline]
    pub fn index(&self) -> usize {
        self.0.ticket.chunk.index()
    }

    /// Which use of the permit this is: not 0, and not that of the uses before it. See
    /// [`Session::expire`](crate::Session::expire).
    #[inline]
    pub fn turn(&self) -> u32 {
        self.0.ticket.turn
    }

    /// What it was taken for.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.0.ticket.kind
    }

    /// The table of the memory to transfer; an empty one at first.
    #[inline]
    pub fn sg(&mut self) -> &mut SgTable {
        &mut self.0.table
    }

    /// Bytes of memory in the table.
    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        self.0.table.bytes()
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.0.ticket
    }
}

fn give_back(parts: Parts) {
    // Keeps the pool from being freed here: its last owner waits for us to leave.
    let _leaving = rcu::read_lock();
    let Parts { mut table, ticket } = parts;
    // What it describes belongs to others from now on. It has room for nothing.
    let _ = table.prepare(0);
    ticket.pool.put(ticket.chunk, table);
}
