// SPDX-License-Identifier: GPL-2.0

//! The listening side of the self-test.
//!
//! It offers an area, waits for the client's data, answers into the client's area, invalidates the
//! client's key and its own.

use super::{
    ensure,
    pack,
    unpack,
    AREA,
    IMM_ANSWER,
    IMM_DATA,
    IMM_FLOOD, //
};
use kernel::{
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use kernel_ext::{
    new_irq_spinlock,
    rdma::{
        cm::{
            Accept,
            Deferred,
            Request, //
        },
        Buffer,
        Chunk,
        Context,
        Direction,
        Done,
        Lost,
        Mr,
        Pd,
        Poll,
        QpConfig,
        QueuePair,
        Remote,
        Token,
        Wr, //
    },
    sync::{
        ArcCell,
        IrqSpinLock, //
    },
    workqueue::{
        Flags,
        OwnedQueue, //
    }, //
};

const CONFIG: QpConfig = QpConfig {
    send_wr: 16,
    recv_wr: 64,
    send_sge: 2,
    tokens: 2,
    poll: Poll::Workqueue,
    vector: 1,
};

/// What the server has for one connection.
pub(crate) struct Resources {
    pub(crate) area: Chunk,
    mr: Mr,
    message: Buffer,
}

/// The context of the accepted connection.
#[pin_data]
pub(crate) struct Peer {
    resources: Resources,
    /// Where the client wants its answer.
    #[pin]
    target: IrqSpinLock<Option<Remote>>,
    pub(crate) flooded: Atomic<i32>,
    pub(crate) errors: Atomic<i32>,
    pub(crate) invalidated: Atomic<bool>,
    pub(crate) lost: Atomic<i32>,
}

impl Peer {
    fn receive(&self, qp: &QueuePair<Self>, what: kernel_ext::rdma::Received<'_, Self>) -> Result {
        match what.imm() {
            None => {
                let mut bytes = [0; 12];
                ensure(what.len() == 12 && what.copy(0, &mut bytes) == 12)?;
                let (addr, key) = unpack(bytes);
                *self.target.lock() = Some(Remote { addr, key });
            }
            Some(IMM_DATA) => {
                ensure(what.is_write_imm() && what.is_empty())?;
                let mut byte = [0];
                for at in [0, 1, 4095] {
                    self.resources.area.read(at, &mut byte)?;
                    ensure(byte == [0xa5])?;
                }
                self.resources.area.read(4096, &mut byte)?;
                ensure(byte == [0])?;
                let target = (*self.target.lock()).ok_or(EINVAL)?;
                self.resources.area.write(0, &[0x5a; 100])?;
                let answer = self.resources.area.sge(0, 4096)?;
                qp.post(
                    &[
                        Wr::Write {
                            local: &[answer],
                            remote: target,
                        },
                        Wr::SendInv { key: target.key },
                        Wr::WriteImm {
                            local: &[],
                            remote: Remote::ZERO,
                            imm: IMM_ANSWER,
                        },
                        Wr::LocalInv {
                            key: self.resources.mr.key(),
                        },
                    ],
                    Some(Token(1)),
                )?;
            }
            Some(IMM_FLOOD) => {
                self.flooded.add(1, Relaxed);
            }
            Some(_) => return Err(EINVAL),
        }
        what.repost()
    }
}

impl Context for Peer {
    fn completed(&self, qp: &QueuePair<Self>, done: Done<'_, Self>) {
        match done {
            Done::Recv(what) => {
                if self.receive(qp, what).is_err() {
                    self.errors.add(1, Relaxed);
                }
            }
            Done::Sent(Token(1)) => self.invalidated.store(true, Relaxed),
            Done::Sent(_) => {}
            Done::Failed { .. } => {
                self.errors.add(0x100, Relaxed);
            }
        }
    }

    fn lost(&self, why: Lost) {
        if why == Lost::Disconnected {
            self.lost.add(1, Relaxed);
        }
    }
}

/// The server: accepts one connection at a time, in a work item.
#[pin_data]
pub(crate) struct Server {
    #[pin]
    pub(crate) peer: ArcCell<Peer>,
    #[pin]
    qp: Mutex<Option<Arc<QueuePair<Peer>>>>,
    queue: OwnedQueue,
}

/// A request that waits for its answer.
#[pin_data]
struct Pending {
    server: Arc<Server>,
    #[pin]
    request: Mutex<Option<Deferred>>,
    #[pin]
    work: Work<Pending>,
}

impl_has_work! {
    impl HasWork<Self> for Pending { self.work }
}

impl WorkItem for Pending {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let request = this.request.lock().take();
        if let Some(request) = request {
            if let Err(error) = this.server.accept(request) {
                pr_err!("accepting failed: {}\n", error.to_errno());
            }
        }
    }
}

impl Server {
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        let queue = OwnedQueue::new(
            c"rdx_ping",
            Flags {
                unbound: true,
                ..Flags::default()
            },
        )?;
        Ok(pin_init!(Self {
            peer <- ArcCell::new(None),
            qp <- new_mutex!(None),
            queue,
        }))
    }

    fn accept(&self, request: Deferred) -> Result {
        let pd = Pd::new(&request)?;
        let area = pd.chunk(AREA)?;
        let mr = pd.mr(8, false)?;
        mr.map_chunks(&[area.clone()], 4096)?;
        ensure(mr.len() == AREA as u32)?;
        mr.rotate_key();
        let message = pd.buffer(12, Direction::ToDevice)?;
        message.write(0, &pack(mr.iova(), mr.key()))?;
        let peer = Arc::pin_init(
            pin_init!(Peer {
                resources: Resources { area, mr, message },
                target <- new_irq_spinlock!(None),
                flooded: Atomic::new(0),
                errors: Atomic::new(0),
                invalidated: Atomic::new(false),
                lost: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;
        let prepared = request.prepare(peer.clone(), &pd, &CONFIG)?;
        prepared.arm_receives(32, 16)?;
        let qp = request.accept(prepared, b"pong")?;
        let mr = &peer.resources.mr;
        qp.post(
            &[
                Wr::RegMr {
                    mr,
                    remote_write: true,
                },
                Wr::Send {
                    local: &[peer.resources.message.sge(0, 12)?],
                },
            ],
            Some(Token(0)),
        )?;
        self.peer.set(Some(peer));
        *self.qp.lock() = Some(qp);
        Ok(())
    }

    /// The queue pair of the peer, which may still be on its way.
    pub(crate) fn settle(&self) {
        self.queue.flush();
    }

    pub(crate) fn close(&self) {
        self.settle();
        let qp = self.qp.lock().take();
        if let Some(qp) = qp {
            qp.shutdown();
            qp.shutdown();
        }
    }

    pub(crate) fn reset(&self) {
        self.peer.set(None);
    }
}

impl Server {
    fn put_off(self: &Arc<Self>, request: Deferred) -> Result {
        let pending = Arc::pin_init(
            pin_init!(Pending {
                server: self.clone(),
                request <- new_mutex!(Some(request)),
                work <- new_work!(),
            }),
            GFP_KERNEL,
        )?;
        let _ = self.queue.queue().enqueue(pending);
        Ok(())
    }
}

/// The listener needs a reference it can clone; the test has one server only.
pub(crate) struct Door(pub(crate) Arc<Server>);

impl Accept for Door {
    fn request(&self, req: Request<'_>) {
        let data = req.private_data();
        if data.starts_with(b"ping") {
            match req.defer() {
                Ok(request) => {
                    let _ = self.0.put_off(request);
                }
                Err(error) => pr_err!("putting off failed: {}\n", error.to_errno()),
            }
        } else if data.starts_with(b"no") {
            req.reject(b"refused");
        } else if data.starts_with(b"drop") {
            drop(req.defer());
        } else if data.starts_with(b"late") {
            if let Ok(request) = req.defer() {
                request.reject(b"late");
            }
        }
    }
}
