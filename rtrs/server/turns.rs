// SPDX-License-Identifier: GPL-2.0

//! One request at a time for each chunk index of a session, whatever path it came by.
//!
//! A client that lost a path sends the request again on another one, with the same index, while
//! the server may still be executing the first copy (spec: rtrs 10.4). The second copy must not
//! overtake the first: a late old write would undo a newer one. So whoever executes a request has
//! the turn of its index, and a copy that comes meanwhile waits here until the first is over. The
//! waiting requests themselves are the links of the list, at most one per path and index: nothing
//! is allocated.
//!
//! Without a copy this costs two atomic operations per request.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};
use kernel_ext::{
    new_irq_spinlock,
    sync::IrqSpinLock, //
};
use rtrs_proto::ChunkIndex;

use crate::{
    fifo::Stack,
    operation::Op,
    path::Path, //
};

/// Nobody executes a request with this index.
const FREE: u32 = 0;
/// Somebody does.
const TAKEN: u32 = 1;
/// Somebody does, and the list has to be looked at when it is over. Set with the lock held.
const WANTED: u32 = 2;

/// The turns of a session.
#[pin_data]
pub(crate) struct Turns {
    /// One state per index.
    states: KVec<Atomic<u32>>,
    /// Who waits for each index, the oldest first.
    #[pin]
    waiting: IrqSpinLock<KVec<Stack>>,
}

impl Turns {
    /// The turns of `depth` indices. Process context.
    pub(crate) fn new(depth: u16) -> Result<impl PinInit<Self>> {
        let depth = usize::from(depth);
        let mut states = KVec::with_capacity(depth, GFP_KERNEL)?;
        let mut waiting = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            states.push(Atomic::new(FREE), GFP_KERNEL)?;
            waiting.push(Stack::new(), GFP_KERNEL)?;
        }
        Ok(pin_init!(Self {
            states,
            waiting <- new_irq_spinlock!(waiting, "rtrs_server::Turns"),
        }))
    }

    /// Takes the turn of the request's index; gives the request back if it may be executed now.
    /// Otherwise it waits, or has ended as its path is being closed. Any context.
    #[inline]
    pub(crate) fn take(&self, op: KBox<Op>) -> Option<KBox<Op>> {
        let Some(state) = self.states.get(op.chunk.index()) else {
            return Some(op);
        };
        if state.cmpxchg(FREE, TAKEN, Full).is_ok() {
            return Some(op);
        }
        self.wait(state, op)
    }

    fn wait(&self, state: &Atomic<u32>, op: KBox<Op>) -> Option<KBox<Op>> {
        let mut waiting = self.waiting.lock();
        loop {
            match state.load(Relaxed) {
                FREE if state.cmpxchg(FREE, TAKEN, Full).is_ok() => {
                    drop(waiting);
                    return Some(op);
                }
                TAKEN if state.cmpxchg(TAKEN, WANTED, Full).is_err() => {}
                TAKEN | WANTED => break,
                _ => {}
            }
        }
        // The close work takes out what waits after the step of the path, and with the lock. So
        // whoever still sees the path connected here is found there.
        let connected = op
            .link
            .as_ref()
            .is_some_and(|link| link.con.path.is_connected());
        let line = waiting.get_mut(op.chunk.index()).filter(|_| connected);
        match line {
            Some(line) => line.push_last(op),
            None => {
                drop(waiting);
                op.release();
            }
        }
        None
    }

    /// A request with this index is over. Gives out the one whose turn it is now, if any waits;
    /// it has the turn already. Any context.
    #[inline]
    #[must_use]
    pub(crate) fn over(&self, chunk: ChunkIndex) -> Option<KBox<Op>> {
        let state = self.states.get(chunk.index())?;
        if state.cmpxchg(TAKEN, FREE, Full).is_ok() {
            return None;
        }
        let mut waiting = self.waiting.lock();
        let next = waiting.get_mut(chunk.index()).and_then(Stack::pop);
        // What waits behind it is found by the next call, as the state stays as it is; if nothing
        // waits there, that call finds nothing and makes it free.
        if next.is_none() {
            state.xchg(FREE, Full);
        }
        next
    }

    /// Ends all requests of a path that wait. Called when the path is no longer connected.
    /// Process context.
    pub(crate) fn flush(&self, path: &Path) {
        for at in 0..self.states.len() {
            let mut waiting = self.waiting.lock();
            let line = waiting.get_mut(at);
            let mut gone = line.map_or(Stack::new(), |line| line.split(|op| op.is_of(path)));
            drop(waiting);
            while let Some(op) = gone.pop() {
                op.release();
            }
        }
    }
}
