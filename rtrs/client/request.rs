// SPDX-License-Identifier: GPL-2.0

//! One request on one path: posting it, and ending it exactly once
//! (spec: rtrs 4.2 to 4.6).
//!
//! Every live path has a [`Slot`] for each permit. The slot's lock is held while a request
//! is posted, so an answer cannot overtake the bookkeeping, and whatever ends a request
//! takes it out of the slot under the lock: exactly one does.
//!
//! # When is a request over?
//!
//! The server says so with an answer, and it may lie. Pages are given back only when the
//! device cannot touch them any more, which takes one proof of our own hardware:
//!
//! - the completion of the server's invalidation of this very key, or
//! - the completion of our own invalidation, or
//! - for a write without a key: the completion of the write, which the device fetched and
//!   the server acknowledged, or
//! - the end of all queue pairs of the path.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    new_irq_spinlock,
    rdma::{
        self,
        Buffer,
        MappedSg,
        Mr,
        Pd,
        QueuePair,
        Remote,
        SgTable,
        Sge,
        Token,
        Wr,
        MAX_SGES, //
    },
    sync::IrqSpinLock,
};
use rtrs_proto::{
    ChunkIndex,
    Direction,
    FenceRequest, //
};

use crate::{
    connection::Connection,
    fault::Fault,
    live::Live,
    permit::{
        Permit,
        Ticket, //
    },
    plan::{
        List,
        Operation,
        Plan, //
    },
    wreck::{
        Held,
        Wreck, //
    }, //
};

/// A request that was not accepted: the permit comes back with the reason.
pub(crate) type Refused = (Permit, Error);

/// What a request in flight waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The answer; nothing else is missing.
    Answer,
    /// The answer and the completion of our write, in any order.
    AnswerAndSent,
    /// The completion of our write; the answer is here.
    Sent,
    /// The completion of our invalidation; the answer is here.
    Invalidation,
    /// Room in the send queue to post our invalidation.
    Room,
}

/// The memory of a request.
enum Memory {
    /// Not used by the request.
    Idle(KBox<SgTable>),
    /// Mapped for the device.
    Mapped(MappedSg),
}

impl Memory {
    fn release(self) -> KBox<SgTable> {
        match self {
            Self::Idle(table) => table,
            Self::Mapped(mapped) => mapped.unmap(),
        }
    }
}

/// What a slot carries.
enum Load {
    /// A request of the user.
    Request {
        ticket: Ticket,
        memory: Memory,
        direction: Direction,
        /// Bytes of the user's header, at the front of the slot's.
        usr_len: usize,
        /// Whether memory is transferred.
        data: bool,
    },
    /// A fence for this wreck, with the permit that it has for itself; without one it is in the
    /// place of a request that waits.
    Fence(Arc<Wreck>, Option<Permit>),
}

/// A request that the slot owns.
struct InFlight {
    chunk: ChunkIndex,
    load: Load,
    /// The connection that carries it.
    cid: u16,
    stage: Stage,
    /// The key that has to be invalid before the request may end.
    key: Option<u32>,
    /// What the answer said.
    status: i32,
    /// Whether it is counted in the path's number of requests in flight.
    counted: bool,
}

impl InFlight {
    /// Whether the server has answered, so that only our own device was waited for.
    fn is_answered(&self) -> bool {
        match self.stage {
            Stage::Answer | Stage::AnswerAndSent => false,
            Stage::Sent | Stage::Invalidation | Stage::Room => true,
        }
    }

    /// Ends the request. Called without the slot's lock.
    fn end(self, live: &Live, status: i32) {
        if self.counted {
            live.leave();
        }
        match self.load {
            Load::Request { ticket, memory, .. } => {
                let permit = Permit::new(ticket, memory.release());
                live.ulp().complete(permit, status);
            }
            Load::Fence(wreck, spare) => {
                let session = live.path.session();
                session.fence_ended(&wreck, self.chunk, Some(status));
                drop(spare);
            }
        }
    }
}

/// The place of one permit on one live path.
#[pin_data]
pub(crate) struct Slot {
    header: Buffer,
    mr: Mr,
    /// Where a submission puts its elements; its owner is whoever holds the permit. Taken before
    /// `inner`, and only by submissions.
    #[pin]
    list: IrqSpinLock<List>,
    #[pin]
    inner: IrqSpinLock<Option<InFlight>>,
}

impl Slot {
    /// A slot with a header buffer of `header_len` bytes and a region of `pages` pages.
    pub(crate) fn new(pd: &Arc<Pd>, header_len: usize, pages: u32) -> Result<Pin<KBox<Self>>> {
        let gaps = pd.info().gaps_mr;
        KBox::pin_init(
            try_pin_init!(Self {
                header: Pd::buffer(pd, header_len, rdma::Direction::ToDevice)?,
                mr: Pd::mr(pd, pages, gaps)?,
                list <- new_irq_spinlock!([Sge::EMPTY; MAX_SGES], "rtrs_client::list"),
                inner <- new_irq_spinlock!(None, "rtrs_client::slot"),
            }),
            GFP_KERNEL,
        )
    }

    /// Submits a request. Any context.
    pub(crate) fn submit(
        &self,
        live: &Live,
        operation: &Operation<'_>,
        permit: Permit,
        counted: bool,
    ) -> Result<(), Refused> {
        let Some((cid, qp)) = live.connection_for(permit.ticket()) else {
            return Err((permit, EINVAL));
        };
        let data = operation.data && permit.bytes() != 0;
        let (ticket, table) = permit.into_parts();
        let memory = if data {
            let direction = match operation.direction {
                Direction::Read => rdma::Direction::FromDevice,
                Direction::Write => rdma::Direction::ToDevice,
            };
            match MappedSg::map(table, live.pd(), direction) {
                Ok(mapped) => Memory::Mapped(mapped),
                Err((table, error)) => return Err((Permit::new(ticket, table), error)),
            }
        } else {
            Memory::Idle(table)
        };
        let mapped = match &memory {
            Memory::Mapped(mapped) => Some(mapped),
            Memory::Idle(_) => None,
        };
        let mut list = self.list.lock();
        let plan = Plan::compose(
            live,
            operation,
            ticket.chunk,
            &self.header,
            &self.mr,
            mapped,
            &mut list,
        );
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => return Err((Permit::new(ticket, memory.release()), error)),
        };
        let token = Token(u32::from(ticket.chunk.get()));
        let request = InFlight {
            chunk: ticket.chunk,
            load: Load::Request {
                ticket,
                memory,
                direction: operation.direction,
                usr_len: operation.user.len(),
                data,
            },
            cid,
            stage: match plan.is_bare_write() {
                true => Stage::AnswerAndSent,
                false => Stage::Answer,
            },
            key: plan.registers().then(|| self.mr.key()),
            status: 0,
            counted,
        };
        if counted {
            live.enter();
        }
        let done = plan.is_bare_write().then_some(token);
        let mut inner = self.inner.lock();
        if inner.is_some() {
            // The permit is the caller's, so the slot is empty; if not, better refuse than
            // lose a request.
            drop(inner);
            return refuse(request, live, EBUSY);
        }
        match plan.post(qp, &self.mr, done) {
            Ok(()) => {
                *inner = Some(request);
                live.stats().sent(operation.direction, plan.bytes());
                Ok(())
            }
            Err(reason) if reason == EAGAIN => {
                drop(inner);
                refuse(request, live, reason)
            }
            Err(reason) if reason == error(errno::ENOTCONN) => {
                drop(inner);
                live.fail(Fault::Broken);
                refuse(request, live, reason)
            }
            Err(reason) => {
                // Part of it may have been posted. The device lets go of the memory when
                // the path is taken down, which ends the request.
                *inner = Some(request);
                drop(inner);
                live.fail(Fault::post(reason));
                Ok(())
            }
        }
    }

    /// The server answered. `invalidated` is the key whose remote invalidation this
    /// connection has just seen. Completion context.
    pub(crate) fn answered(
        &self,
        live: &Live,
        connection: &Connection,
        qp: &QueuePair<Connection>,
        status: i32,
        invalidated: Option<u32>,
    ) -> Result<(), Fault> {
        let mut inner = self.inner.lock();
        let Some(request) = (*inner).as_mut().filter(|r| r.cid == connection.cid()) else {
            return Err(Fault::Response);
        };
        match request.stage {
            Stage::Answer => {}
            Stage::AnswerAndSent => {
                request.status = status;
                request.stage = Stage::Sent;
                return Ok(());
            }
            Stage::Sent | Stage::Invalidation | Stage::Room => return Err(Fault::Response),
        }
        request.status = status;
        // What the answer claims about the key counts for nothing.
        if request.key.is_some() && request.key != invalidated {
            return invalidate(request, connection, qp);
        }
        let request = inner.take();
        drop(inner);
        if let Some(request) = request {
            request.end(live, status);
        }
        Ok(())
    }

    /// A signaled send of this request completed: its write, or its invalidation.
    /// Completion context.
    pub(crate) fn sent(&self, live: &Live, connection: &Connection) -> Result<(), Fault> {
        let mut inner = self.inner.lock();
        let Some(request) = (*inner).as_mut().filter(|r| r.cid == connection.cid()) else {
            return Err(Fault::Bookkeeping);
        };
        match request.stage {
            Stage::AnswerAndSent => {
                request.stage = Stage::Answer;
                return Ok(());
            }
            Stage::Sent | Stage::Invalidation => {}
            Stage::Answer | Stage::Room => return Err(Fault::Bookkeeping),
        }
        let request = inner.take();
        drop(inner);
        if let Some(request) = request {
            let status = request.status;
            request.end(live, status);
        }
        Ok(())
    }

    /// There is room in the send queue again. Completion context.
    pub(crate) fn room(
        &self,
        connection: &Connection,
        qp: &QueuePair<Connection>,
    ) -> Result<(), Fault> {
        let mut inner = self.inner.lock();
        match &mut *inner {
            Some(request) if request.cid == connection.cid() && request.stage == Stage::Room => {
                invalidate(request, connection, qp)
            }
            _ => Ok(()),
        }
    }

    /// Asks the server to be done with `wreck`, with the permit `spare` or in the place of a request
    /// that waits. The slot is empty, as the permit is not in use anywhere else. Any context.
    ///
    /// On success `spare` is taken, and the answer, or the end of the path, is reported to the session.
    pub(crate) fn fence(
        &self,
        live: &Live,
        chunk: ChunkIndex,
        wreck: &Arc<Wreck>,
        spare: &mut Option<Permit>,
    ) -> Result {
        let service = live.connections.get(0).ok_or(EINVAL)?;
        let remote = live.chunk(chunk).ok_or(EINVAL)?;
        let imm = live.params().io_immediate(chunk, 0).map_err(|_| EINVAL)?;
        let message = FenceRequest { path: wreck.path }.to_bytes();
        let mut inner = self.inner.lock();
        if inner.is_some() {
            return Err(EBUSY);
        }
        self.header.write(0, &message)?;
        let local = [self.header.sge(0, message.len())?];
        let transfer = Wr::WriteImm {
            local: &local,
            remote: Remote {
                addr: remote.addr,
                key: remote.key(),
            },
            imm: imm.encode(),
        };
        service.post(&[transfer], None)?;
        *inner = Some(InFlight {
            chunk,
            load: Load::Fence(wreck.clone(), spare.take()),
            cid: 0,
            stage: Stage::Answer,
            key: None,
            status: 0,
            counted: false,
        });
        Ok(())
    }

    /// Whether there is something in it that waits for the server, and `is_it`: as long as there is,
    /// the permit does not change hands. Any context.
    pub(crate) fn is_unanswered(&self, is_it: impl FnOnce() -> bool) -> bool {
        let inner = self.inner.lock();
        (*inner)
            .as_ref()
            .is_some_and(|request| !request.is_answered() && is_it())
    }

    /// Takes out whatever is in flight, when all queue pairs of the path are gone: what is
    /// answered has ended, everything else waits in its berth, and true is answered. Process
    /// context.
    pub(crate) fn abort(&self, live: &Live) -> bool {
        let request = self.inner.lock().take();
        let Some(request) = request else {
            return false;
        };
        if request.is_answered() {
            let status = request.status;
            request.end(live, status);
            return false;
        }
        if request.counted {
            live.leave();
        }
        let chunk = request.chunk;
        match request.load {
            Load::Fence(wreck, spare) => {
                live.path.session().fence_ended(&wreck, chunk, None);
                drop(spare);
                false
            }
            Load::Request {
                ticket,
                memory,
                direction,
                usr_len,
                data,
            } => {
                let pool = ticket.pool.clone();
                let held = Held {
                    ticket,
                    table: memory.release(),
                    direction,
                    usr_len,
                    data,
                    wreck: live.wreck.clone(),
                    carries_fence: false,
                };
                let moored = match pool.berth(chunk.index()) {
                    Some(berth) => berth.moor(held, |user| self.header.read(0, user)),
                    None => Err(held),
                };
                // The berth is that of the permit, which was here; so there is room.
                if let Err(held) = moored {
                    let (permit, wreck) = held.into_permit();
                    wreck.soil();
                    live.ulp().complete(permit, -errno::ECONNABORTED);
                }
                true
            }
        }
    }
}

/// Undoes a submission: nothing of it was posted.
fn refuse(request: InFlight, live: &Live, reason: Error) -> Result<(), Refused> {
    if request.counted {
        live.leave();
    }
    match request.load {
        Load::Request { ticket, memory, .. } => {
            Err((Permit::new(ticket, memory.release()), reason))
        }
        // Fences are not submitted.
        Load::Fence(..) => Ok(()),
    }
}

/// Invalidates the key of an answered request; its end comes with the completion.
fn invalidate(
    request: &mut InFlight,
    connection: &Connection,
    qp: &QueuePair<Connection>,
) -> Result<(), Fault> {
    let Some(key) = request.key else {
        return Err(Fault::Bookkeeping);
    };
    let token = Token(u32::from(request.chunk.get()));
    match qp.post(&[Wr::LocalInv { key }], Some(token)) {
        Ok(()) => {
            request.stage = Stage::Invalidation;
            Ok(())
        }
        Err(error) if error == EAGAIN => {
            request.stage = Stage::Room;
            connection.wants_room();
            Ok(())
        }
        Err(error) => Err(Fault::post(error)),
    }
}
