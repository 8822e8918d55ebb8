// SPDX-License-Identifier: GPL-2.0

//! What arrives on one connection, and what has been sent over it.
//!
//! The context of a queue pair. Each mode of a path has exactly one kind of transfer for
//! each thing a server may say (spec: rtrs 4.6, 5.4); everything else ends the path.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        SetOnce, //
    },
};
use kernel_ext::{
    cpu,
    error::errno,
    rdma::{
        Context,
        Done,
        Lost,
        QueuePair,
        Received,
        Token, //
    }, //
};
use rtrs_proto::{
    limits::RKEY_MSG_LEN,
    ChunkIndex,
    Features,
    Immediate,
    RkeyMsg, //
};

use crate::{
    fault::Fault,
    live::Live,
    path::Path, //
};

/// In [`Connection::invalidated`]: there is a key in the low half.
const KEY_PRESENT: u64 = 1 << 32;

/// One connection of a path.
///
/// The queue pair refers to it until it is shut down, and it refers to the live path,
/// which refers to the queue pair: shutting down breaks the circle.
pub(crate) struct Connection {
    cid: u16,
    /// The processor it was made for.
    cpu: u32,
    path: Arc<Path>,
    live: SetOnce<Arc<Live>>,
    /// The key that the last send with invalidation took away, until the next answer.
    invalidated: Atomic<u64>,
    /// A request waits for room in the send queue.
    wants_room: Atomic<bool>,
    /// So does the answer to a heartbeat.
    owes_ack: Atomic<bool>,
}

/// What a receive means.
enum Arrival {
    /// Nothing that has to be done.
    Nothing,
    /// The server took a key of ours away; our device did it.
    Invalidated(u32),
    /// The server answered a request.
    Answer(ChunkIndex, i32),
    HeartbeatMsg,
    HeartbeatAck,
    /// The server has news for our user.
    Notice(u32),
}

impl Connection {
    /// A connection of `path`, not yet part of a live path.
    pub(crate) fn new(path: Arc<Path>, cid: u16) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                cid,
                cpu: u32::from(cid.saturating_sub(1))
                    .checked_rem(cpu::nr_cpu_ids())
                    .unwrap_or(0),
                path,
                live: SetOnce::new(),
                invalidated: Atomic::new(0),
                wants_room: Atomic::new(false),
                owes_ack: Atomic::new(false),
            },
            GFP_KERNEL,
        )?)
    }

    /// Its number in the path.
    #[inline]
    pub(crate) fn cid(&self) -> u16 {
        self.cid
    }

    /// The path is established: what arrives from now on belongs to `live`.
    pub(crate) fn go_live(&self, live: &Arc<Live>) {
        self.live.populate(live.clone());
    }

    /// A request waits for room in the send queue.
    #[inline]
    pub(crate) fn wants_room(&self) {
        self.wants_room.store(true, Relaxed);
    }

    /// Before the path is live only the info response is expected, on connection 0.
    fn early(&self, received: &Received<'_, Self>) -> Result<(), Fault> {
        if self.cid != 0 || received.tag().is_none() || received.imm().is_some() {
            return Err(Fault::Carrier);
        }
        self.path.info_arrived(received.len());
        Ok(())
    }

    fn received(
        &self,
        live: &Live,
        qp: &QueuePair<Self>,
        received: Received<'_, Self>,
    ) -> Result<(), Fault> {
        live.heartbeat().heard();
        live.stats().arrived(self.cpu);
        let arrival = self.understand(live, &received)?;
        // The buffer is read; the peer gets its credit back before anything else.
        received.repost().map_err(Fault::post)?;
        match arrival {
            Arrival::Nothing => Ok(()),
            Arrival::Invalidated(key) => {
                let word = KEY_PRESENT | u64::from(key);
                self.invalidated.store(word, Relaxed);
                Ok(())
            }
            Arrival::Answer(chunk, status) => {
                // Good for this answer only, whether it is used or not.
                let word = self.invalidated.xchg(0, Relaxed);
                let key = (word & KEY_PRESENT != 0).then_some(word as u32);
                live.slot(chunk.index())
                    .ok_or(Fault::MessageId)?
                    .answered(live, self, qp, status, key)
            }
            Arrival::Notice(payload) => {
                live.ulp().notice(payload);
                Ok(())
            }
            Arrival::HeartbeatMsg => self.acknowledge(live),
            Arrival::HeartbeatAck => {
                live.heartbeat().acknowledged();
                Ok(())
            }
        }
    }

    fn understand(&self, live: &Live, received: &Received<'_, Self>) -> Result<Arrival, Fault> {
        let Some(imm) = received.imm() else {
            // A send without an immediate is there to take a key away, and for nothing
            // else.
            return received
                .invalidated()
                .map(Arrival::Invalidated)
                .ok_or(Fault::Carrier);
        };
        let write = received.is_write_imm();
        match Immediate::decode(imm) {
            Immediate::IoResponse { id, errno, .. } => {
                let chunk = live.params().chunk(id).ok_or(Fault::MessageId)?;
                match (live.new_rkey, write) {
                    (false, true) => {}
                    (true, false) => self.new_key(live, received, chunk)?,
                    (false, false) | (true, true) => return Err(Fault::Carrier),
                }
                Ok(Arrival::Answer(chunk, status(errno.errno())))
            }
            Immediate::HeartbeatMsg if write && self.cid == 0 => Ok(Arrival::HeartbeatMsg),
            Immediate::HeartbeatAck if write && self.cid == 0 => Ok(Arrival::HeartbeatAck),
            Immediate::HeartbeatMsg | Immediate::HeartbeatAck => Err(Fault::Carrier),
            Immediate::IoRequest(_) => Err(Fault::Immediate),
            Immediate::Notice(payload) if live.features.has(Features::NOTICE) => {
                match write && self.cid == 0 {
                    true => Ok(Arrival::Notice(payload)),
                    false => Err(Fault::Carrier),
                }
            }
            // Room for later versions of the protocol.
            Immediate::Notice(_) | Immediate::Unknown(_) => Ok(Arrival::Nothing),
        }
    }

    /// Takes the new key of the chunk out of the answer.
    fn new_key(
        &self,
        live: &Live,
        received: &Received<'_, Self>,
        chunk: ChunkIndex,
    ) -> Result<(), Fault> {
        let mut bytes = [0; RKEY_MSG_LEN];
        let copied = received.copy(0, &mut bytes);
        let bytes = bytes.get(..copied).unwrap_or(&[]);
        let message = RkeyMsg::parse(bytes, live.params()).map_err(|_| Fault::RkeyMessage)?;
        if message.buf_id != chunk {
            return Err(Fault::RkeyMessage);
        }
        live.set_key(chunk, message.rkey);
        Ok(())
    }

    fn sent(&self, live: &Live, token: Token) -> Result<(), Fault> {
        usize::try_from(token.0)
            .ok()
            .and_then(|index| live.slot(index))
            .ok_or(Fault::Bookkeeping)?
            .sent(live, self)
    }

    /// Answers a heartbeat, or remembers to.
    fn acknowledge(&self, live: &Live) -> Result<(), Fault> {
        match live.post_heartbeat(Immediate::HeartbeatAck) {
            Err(error) if error == EAGAIN => {
                self.owes_ack.store(true, Relaxed);
                Ok(())
            }
            result => result.map_err(Fault::post),
        }
    }

    fn has_room(&self, live: &Live, qp: &QueuePair<Self>) -> Result<(), Fault> {
        if self.owes_ack.load(Relaxed) && self.owes_ack.xchg(false, Full) {
            self.acknowledge(live)?;
        }
        // A server that invalidates never gets us here, so a walk is good enough.
        if self.wants_room.load(Relaxed) && self.wants_room.xchg(false, Full) {
            for slot in &live.slots {
                slot.room(self, qp)?;
            }
        }
        Ok(())
    }

    fn note(&self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.path.fail(fault);
        }
    }
}

/// The status of a request that was answered. That a path was lost is for this side to say, as the
/// user sends such a request again; from a server it is an error like others.
fn status(answered: i32) -> i32 {
    match answered == -errno::ECONNABORTED {
        true => -errno::EIO,
        false => answered,
    }
}

impl Context for Connection {
    fn completed(&self, qp: &QueuePair<Self>, done: Done<'_, Self>) {
        self.note(match (self.live.as_ref(), done) {
            (_, Done::Failed { status, .. }) => Err(Fault::Completion(status)),
            (Some(live), Done::Recv(received)) => self.received(live, qp, received),
            (Some(live), Done::Sent(token)) => self.sent(live, token),
            (None, Done::Recv(received)) => self.early(&received),
            (None, Done::Sent(_)) => Ok(()),
        });
    }

    fn lost(&self, why: Lost) {
        self.path.fail(Fault::Lost(why));
    }

    fn space(&self, qp: &QueuePair<Self>) {
        if let Some(live) = self.live.as_ref() {
            self.note(self.has_room(live, qp));
        }
    }
}
