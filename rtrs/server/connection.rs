// SPDX-License-Identifier: GPL-2.0

//! One connection of a path: what its completions mean (spec: rtrs 5.2).
//!
//! A [`Connection`] is the context of a queue pair and exists from the connect request on. A
//! [`Link`] is a connection by which requests are served; it is made for all connections of a path
//! at once, when the user has accepted the session. So a request that comes too early finds no link
//! and thereby nobody to hand it to (weak points S15 and S16).
//!
//! Nothing here sleeps, allocates, or takes a lock for longer than a few instructions.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Arc, //
    },
};
use kernel_ext::{
    log::warn_limited,
    rdma::{
        Context,
        Done,
        Lost,
        QueuePair,
        Received,
        Remote,
        Token,
        Wr, //
    },
    sync::ArcCell, //
};
use rtrs_proto::{
    Immediate,
    IoPayload, //
};

use crate::{
    chunk::Pool,
    fifo::Waiting,
    info,
    notice::Outstanding,
    operation::{
        Op,
        Operation, //
    },
    path::Path,
    reason::Reason,
    respond,
    ulp::UlpSession, //
};

/// The tokens of a queue pair: one per chunk for its invalidation, then these.
pub(crate) struct Tokens {
    /// The info request was received.
    pub(crate) info: Token,
    /// A group of regions was registered.
    pub(crate) registered: Token,
    /// A notice was sent.
    pub(crate) notice: Token,
    /// How many there are.
    pub(crate) count: u32,
}

impl Tokens {
    /// The tokens for a depth of `depth` chunks.
    pub(crate) const fn new(depth: u32) -> Self {
        Self {
            info: Token(depth),
            registered: Token(depth.saturating_add(1)),
            notice: Token(depth.saturating_add(2)),
            count: depth.saturating_add(3),
        }
    }
}

/// A connection by which requests are served.
pub(crate) struct Link {
    /// The connection.
    pub(crate) con: Arc<Connection>,
    /// Its queue pair.
    pub(crate) qp: Arc<QueuePair<Connection>>,
    /// The chunks of the path.
    pub(crate) pool: Arc<Pool>,
    /// Who gets the requests.
    pub(crate) user: Arc<dyn UlpSession>,
}

impl Link {
    /// Leaves the gate of the path for one request that is over.
    ///
    /// The path may be taken down as soon as the gate is empty; everything but its memory has to
    /// be let go of before.
    pub(crate) fn leave(self: Arc<Self>) {
        let path = self.con.path.clone();
        drop(self);
        path.ops.leave();
    }
}

/// A connection of a path, the context of its queue pair.
#[pin_data]
pub(crate) struct Connection {
    /// The path.
    pub(crate) path: Arc<Path>,
    /// The number of the connection, below the path's `cid_num`.
    pub(crate) cid: u16,
    /// Present while requests are served.
    #[pin]
    pub(crate) link: ArcCell<Link>,
    /// Requests that need room in the send queue.
    #[pin]
    waiting: Waiting,
    /// How often room came free after somebody found none.
    rooms: Atomic<u32>,
    /// Notices on their way.
    pub(crate) notices: Outstanding,
}

impl Connection {
    /// A connection without a queue pair yet. Process context.
    pub(crate) fn new(path: Arc<Path>, cid: u16) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                path,
                cid,
                link <- ArcCell::new(None),
                waiting <- Waiting::new(),
                rooms: Atomic::new(0),
                notices: Outstanding::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Posts what a request needs next, or lines it up until there is room. Any context.
    pub(crate) fn submit(&self, op: KBox<Op>) {
        let op = if self.waiting.any() {
            op
        } else {
            match respond::post(op) {
                Ok(()) => return,
                Err(op) => op,
            }
        };
        match self.waiting.push(op) {
            Ok(()) => self.pump(),
            Err(op) => op.release(),
        }
    }

    /// Posts for the waiting requests as long as there is room.
    ///
    /// Several may do so at once; their order does not matter. Whoever finds no room puts his
    /// request back, and looks whether room came free in between: the one who announced it may have
    /// found nobody waiting. The lock of the list orders the two.
    fn pump(&self) {
        loop {
            let rooms = self.rooms.load(Acquire);
            let Some(op) = self.waiting.pop() else {
                return;
            };
            let Err(op) = respond::post(op) else {
                continue;
            };
            if let Err(op) = self.waiting.push_front(op) {
                op.release();
                return;
            }
            if self.rooms.load(Acquire) == rooms {
                return;
            }
        }
    }

    /// Ends all waiting requests without an answer; later ones end at once. Called when the path
    /// is no longer connected.
    pub(crate) fn flush(&self) {
        self.waiting.close();
        while let Some(op) = self.waiting.pop() {
            op.release();
        }
    }

    /// The client broke the protocol: the path is closed.
    fn violation(&self, what: &'static str) {
        self.path.close(Reason::Protocol(self.cid, what));
    }

    /// Posting failed: the path is closed.
    pub(crate) fn broken(&self, error: Error) {
        self.path.close(Reason::Local(self.cid, error.to_errno()));
    }

    fn received(&self, qp: &QueuePair<Self>, received: Received<'_, Self>) {
        if received.tag().is_some() {
            info::received(&self.path, &received);
            return;
        }
        let immediate = received.imm().filter(|_| received.is_write_imm());
        // Another one may arrive at once; what was received is copied already.
        if let Err(e) = received.repost() {
            self.broken(e);
            return;
        }
        let Some(immediate) = immediate else {
            self.violation("message without an immediate");
            return;
        };
        self.path.heartbeat.heard();
        match Immediate::decode(immediate) {
            Immediate::IoRequest(payload) => self.request(payload),
            Immediate::HeartbeatMsg if self.cid == 0 => self.acknowledge(qp),
            Immediate::HeartbeatAck if self.cid == 0 => {
                self.path.heartbeat.acknowledged();
            }
            _ => warn_limited!(
                "{}: connection {}: immediate {:#010x} ignored\n",
                self.path.name(),
                self.cid,
                immediate
            ),
        }
    }

    /// Answers a heartbeat.
    fn acknowledge(&self, qp: &QueuePair<Self>) {
        let answer = [empty(Immediate::HeartbeatAck)];
        match qp.post(&answer, None) {
            // Without room there are answers on the way, which prove as much.
            Ok(()) | Err(EAGAIN) => {}
            Err(e) => self.broken(e),
        }
    }

    /// A request arrived.
    fn request(&self, payload: IoPayload) {
        let path = &self.path;
        let Some(link) = self.link.get() else {
            self.violation("request before the session was established");
            return;
        };
        let pool = &link.pool;
        let Ok((chunk, off)) = pool.params().io_request(payload) else {
            self.violation("request outside of the chunks");
            return;
        };
        let Some(slot) = pool.slot(chunk) else {
            return;
        };
        if !path.ops.enter() {
            return;
        }
        let Some(mut op) = slot.idle.take() else {
            self.violation("second request in a busy chunk");
            link.leave();
            return;
        };
        let close_to_client = slot.key.is_some();
        op.begin(link.clone(), off);
        if close_to_client {
            self.submit(op);
        } else {
            self.deliver(&link, op);
        }
    }

    /// The client cannot change the chunk of `op` any more, or is trusted: reads the request and
    /// hands it to the user.
    fn deliver(&self, link: &Arc<Link>, mut op: KBox<Op>) {
        if !self.path.is_connected() {
            op.release();
            return;
        }
        let pool = &link.pool;
        let Some(slot) = pool.slot(op.chunk) else {
            op.release();
            return;
        };
        let session = &self.path.session;
        match op.read(slot, pool.params(), session.features) {
            Ok(()) if op.fence.is_some() => self.path.postpone(op),
            Ok(()) => {
                op.count(&self.path.stats);
                if let Some(op) = session.turns.take(op) {
                    link.user.request(Operation::new(op));
                }
            }
            Err(e) => {
                self.violation(e.as_str());
                op.release();
            }
        }
    }

    fn sent(&self, token: Token) {
        let tokens = self.path.tokens();
        if token == tokens.registered {
            self.path.registered.complete();
            return;
        }
        if token == tokens.notice {
            self.notices.give_back();
            return;
        }
        let Some(link) = self.link.get() else {
            return;
        };
        let op = link
            .pool
            .params()
            .chunk(token.0)
            .and_then(|chunk| link.pool.slot(chunk))
            .and_then(|slot| slot.invalidating.take());
        if let Some(op) = op {
            self.deliver(&link, op);
        }
    }
}

impl Context for Connection {
    fn completed(&self, qp: &QueuePair<Self>, done: Done<'_, Self>) {
        match done {
            Done::Recv(received) => self.received(qp, received),
            Done::Sent(token) => self.sent(token),
            // Also a failed LOCAL_INV ends here; its request is never delivered (S17).
            Done::Failed { status, .. } => self.path.close(Reason::Work(self.cid, status)),
        }
    }

    fn lost(&self, why: Lost) {
        self.path.close(Reason::Lost(why));
    }

    fn space(&self, _qp: &QueuePair<Self>) {
        self.rooms.fetch_add(1, Full);
        self.pump();
    }
}

/// A message that consists of nothing but its immediate.
///
/// Address and key of the zero bytes are zero: nothing of ours must leak in them (S24).
pub(crate) fn empty(immediate: Immediate) -> Wr<'static> {
    Wr::WriteImm {
        local: &[],
        remote: Remote::ZERO,
        imm: immediate.encode(),
    }
}
