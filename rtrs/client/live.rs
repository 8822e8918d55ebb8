// SPDX-License-Identifier: GPL-2.0

//! The live part of a path: what one successful attempt to connect has built.
//!
//! Protection domain, queue pairs, request slots and the table of the server's chunks.
//! Nothing of it is ever exchanged; when a connection breaks, all of it is taken down.
//! The protection domain is this path's alone, so no other peer can name memory in it.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    },
    workqueue::Queue,
};
use kernel_ext::rdma::{
    Pd,
    QueuePair,
    Remote,
    Wr, //
};
use rtrs_core::heartbeat::{
    Heartbeat,
    HeartbeatPath, //
};
use rtrs_proto::{
    limits::SERVICE_QUEUE_DEPTH,
    ChunkIndex,
    Features,
    Immediate,
    SessionParams, //
};

use crate::{
    connection::Connection,
    fault::Fault,
    path::Path,
    permit::{
        Kind,
        Permit,
        Ticket, //
    },
    plan::Operation,
    request::{
        Refused,
        Slot, //
    },
    stats::Stats,
    ulp::Ulp,
    wreck::Wreck,
};

/// Signaled sends that connection 0 can tell apart; a permit beyond goes elsewhere.
pub(crate) const SERVICE_TOKENS: u32 = SERVICE_QUEUE_DEPTH;

/// Completions that one look at a poll connection handles at most; others want the processor, too.
const POLL_BUDGET: u32 = 64;

/// A chunk of the server, as this path reaches it.
pub(crate) struct RemoteChunk {
    /// Where it starts, in the server's terms.
    pub(crate) addr: u64,
    key: Atomic<u32>,
}

impl RemoteChunk {
    pub(crate) fn new(addr: u64, key: u32) -> Self {
        Self {
            addr,
            key: Atomic::new(key),
        }
    }

    /// The newest key.
    #[inline]
    pub(crate) fn key(&self) -> u32 {
        self.key.load(Acquire)
    }
}

/// The connections of a path, in the order of their ids. Dropping it ends them.
pub(crate) struct Connections(KVec<Arc<QueuePair<Connection>>>);

impl Connections {
    pub(crate) fn with_capacity(count: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(count, GFP_KERNEL)?))
    }

    pub(crate) fn push(&mut self, qp: Arc<QueuePair<Connection>>) -> Result {
        // There is room, but should there be none the connection is ended, too.
        let again = qp.clone();
        self.0.push(qp, GFP_KERNEL).map_err(|error| {
            again.shutdown();
            error.into()
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, cid: usize) -> Option<&Arc<QueuePair<Connection>>> {
        self.0.get(cid)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<QueuePair<Connection>>> {
        self.0.iter()
    }

    /// Ends all connections. No completion of any of them runs afterwards. Sleeps.
    pub(crate) fn shutdown(&self) {
        // Tell the peer about all of them first, it takes a while.
        for qp in &self.0 {
            qp.disconnect();
        }
        for qp in &self.0 {
            qp.shutdown();
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// See the [module](self). Fields are public to `connect`, which builds it.
pub(crate) struct Live {
    /// Ended first when this is dropped.
    pub(crate) connections: Connections,
    pub(crate) path: Arc<Path>,
    pub(crate) params: SessionParams,
    /// Whether every answer brings a new key for its chunk.
    pub(crate) new_rkey: bool,
    /// What may be used beyond the C implementation.
    pub(crate) features: Features,
    /// How many of the connections after the first carry requests.
    pub(crate) io_connections: u32,
    /// Elements that a send may have on every connection.
    pub(crate) send_sge: usize,
    /// Bytes of user header and message that fit into a slot's buffer.
    pub(crate) header_len: usize,
    /// Most pieces of memory in one request.
    pub(crate) max_segments: u32,
    pub(crate) chunks: KVVec<RemoteChunk>,
    pub(crate) slots: KVVec<Pin<KBox<Slot>>>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    /// What the path counts.
    pub(crate) stats: Arc<Stats>,
    /// What it leaves behind, made beforehand.
    pub(crate) wreck: Arc<Wreck>,
    /// Whether the session counts the path among those that are up. Changed under the
    /// session's control lock.
    pub(crate) counted_up: Atomic<bool>,
    /// Kept last: everything above refers to it.
    pub(crate) pd: Arc<Pd>,
}

impl Live {
    #[inline]
    pub(crate) fn params(&self) -> &SessionParams {
        &self.params
    }

    #[inline]
    pub(crate) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    #[inline]
    pub(crate) fn send_sge(&self) -> usize {
        self.send_sge
    }

    #[inline]
    pub(crate) fn header_len(&self) -> usize {
        self.header_len
    }

    #[inline]
    pub(crate) fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// What the path counts.
    #[inline]
    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    #[inline]
    pub(crate) fn ulp(&self) -> &dyn Ulp {
        self.path.session().ulp()
    }

    /// Whether requests may be sent over the path.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.path.is_connected()
    }

    /// Requests in flight, as far as they are counted.
    #[inline]
    pub(crate) fn inflight(&self) -> u32 {
        self.stats.inflight()
    }

    #[inline]
    pub(crate) fn enter(&self) {
        self.stats.enter();
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.stats.leave();
    }

    /// Posts a heartbeat message or its answer. Any context.
    pub(crate) fn post_heartbeat(&self, message: Immediate) -> Result {
        let service = self.connections.get(0).ok_or(EINVAL)?;
        let transfer = Wr::WriteImm {
            local: &[],
            remote: Remote::ZERO,
            imm: message.encode(),
        };
        service.post(&[transfer], None)
    }

    /// Gives the path up. Any context.
    pub(crate) fn fail(&self, fault: Fault) {
        self.path.fail(fault);
    }

    /// The chunk of a request.
    #[inline]
    pub(crate) fn chunk(&self, index: ChunkIndex) -> Option<&RemoteChunk> {
        self.chunks.get(index.index())
    }

    /// Notes the new key of a chunk.
    #[inline]
    pub(crate) fn set_key(&self, index: ChunkIndex, key: u32) {
        if let Some(chunk) = self.chunk(index) {
            chunk.key.store(key, Release);
        }
    }

    /// The slot of a request.
    #[inline]
    pub(crate) fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index).map(|slot| &**slot)
    }

    /// The connection that a request goes over, and its id.
    #[inline]
    pub(crate) fn connection_for(
        &self,
        ticket: &Ticket,
    ) -> Option<(u16, &Arc<QueuePair<Connection>>)> {
        let service = ticket.kind == Kind::Admin && u32::from(ticket.chunk.get()) < SERVICE_TOKENS;
        let polled = match ticket.kind {
            Kind::Poll(queue) => self.poll_cid(queue),
            Kind::Io | Kind::Admin => None,
        };
        let cid = match polled {
            Some(cid) => cid,
            None if service => 0,
            None => {
                let at = ticket.cpu.checked_rem(self.io_connections)?;
                u16::try_from(at).ok()?.checked_add(1)?
            }
        };
        let qp = self.connections.get(usize::from(cid))?;
        Some((cid, qp))
    }

    /// The id of the poll connection for a queue, if there are any: they are the last ones.
    fn poll_cid(&self, queue: u32) -> Option<u16> {
        let first = self.io_connections.checked_add(1)?;
        let count = u32::try_from(self.connections.len())
            .ok()?
            .checked_sub(first)?;
        let cid = first.checked_add(queue.checked_rem(count)?)?;
        u16::try_from(cid).ok()
    }

    /// Handles what the poll connection of `queue` has completed; returns how much. Not in
    /// interrupts.
    pub(crate) fn poll(&self, queue: u32) -> u32 {
        let connection = self
            .poll_cid(queue)
            .and_then(|cid| self.connections.get(usize::from(cid)));
        connection.map_or(0, |qp| qp.poll(POLL_BUDGET))
    }

    /// Looks after all poll connections, for those that nobody polls any more: a request must end,
    /// and an answer must give back its receive, though whoever waited for it may be gone.
    fn poll_all(&self) {
        let first = usize::try_from(self.io_connections)
            .ok()
            .and_then(|count| count.checked_add(1))
            .unwrap_or(usize::MAX);
        for qp in self.connections.iter().skip(first) {
            qp.poll(POLL_BUDGET);
        }
    }

    /// Submits a request over this path. Any context.
    #[inline]
    pub(crate) fn submit(
        &self,
        operation: &Operation<'_>,
        permit: Permit,
        counted: bool,
    ) -> Result<(), Refused> {
        match self.slot(permit.index()) {
            Some(slot) => slot.submit(self, operation, permit, counted),
            None => Err((permit, EINVAL)),
        }
    }

    /// Asks the server to be done with a lost path, with the permit `spare`, which is taken, or in
    /// the place of the request with this chunk, which waits. Any context.
    ///
    /// Fails with `EAGAIN` if the queue is full, or as posting does.
    pub(crate) fn fence(
        &self,
        waiting: ChunkIndex,
        wreck: &Arc<Wreck>,
        spare: &mut Option<Permit>,
    ) -> Result {
        let chunk = spare.as_ref().map_or(waiting, |spare| spare.ticket().chunk);
        self.slot(chunk.index())
            .ok_or(EINVAL)?
            .fence(self, chunk, wreck, spare)
    }

    /// Gives the path up if it carries the request with this index, and that is the one meant.
    /// Any context.
    pub(crate) fn expire(&self, index: usize, is_it: impl FnOnce() -> bool) {
        if self
            .slot(index)
            .is_some_and(|slot| slot.is_unanswered(is_it))
        {
            self.fail(Fault::Expired);
        }
    }

    /// Takes everything down; what is in flight waits in its berth afterwards, as part of
    /// [`Self::wreck`]. Answers whether there is any. Nobody submits any more. Sleeps.
    pub(crate) fn take_down(&self) -> bool {
        self.heartbeat.stop();
        // From here on no completion runs, and the peer has no way to our memory.
        self.connections.shutdown();
        self.wreck.begin();
        let mut any = false;
        for slot in &self.slots {
            any |= slot.abort(self);
        }
        any
    }
}

impl HeartbeatPath for Live {
    fn send(&self, message: Immediate) -> Result {
        self.poll_all();
        match self.post_heartbeat(message) {
            // The queue is full: the peer is slow, which the next ticks will judge.
            Err(error) if error == EAGAIN => Ok(()),
            result => result,
        }
    }

    fn dead(&self) {
        self.fail(Fault::Heartbeat);
    }

    fn queue(&self) -> &Queue {
        self.path.session().context().queue()
    }
}
