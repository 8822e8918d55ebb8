// SPDX-License-Identifier: GPL-2.0

//! From a request of the block layer to a message for the server.
//!
//! The block layer calls [`DiskQueue::queue_rq`] in a context that must not sleep. The tags of
//! a session are fewer than its permits, so a permit is there unless control messages hold
//! more than were set aside; then the block layer is told to come again and does so by
//! itself, without a busy loop. It must never allocate or log.

use block_mq::{
    Command,
    IdleRequest,
    Operations,
    Refusal,
    Request,
    Status, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};
use kernel_ext::{
    error::errno,
    time::now_ns, //
};
use rnbd_proto::{
    DeviceState,
    Flags,
    Io,
    Op, //
};
use rtrs_client::Permit;

use trace_rnbd_client::{
    EndFacts,
    SendFacts, //
};

use crate::{
    device::Device,
    session::Session,
    stats::Ended, //
};

/// The queue of a mapped device.
pub(crate) struct DiskQueue;

/// The operation on the wire; there is none for what the limits do not admit.
fn operation(command: Command) -> Option<Op> {
    match command {
        Command::Read => Some(Op::Read),
        Command::Write => Some(Op::Write),
        Command::Flush => Some(Op::Flush),
        Command::Discard => Some(Op::Discard),
        Command::SecureErase => Some(Op::SecureErase),
        Command::WriteZeroes => Some(Op::WriteZeroes),
        Command::Other(_) => None,
    }
}

impl Operations for DiskQueue {
    type Set = ();
    type Queue = Device;

    fn queue_rq<'a>(
        device: &Device,
        idle: IdleRequest<'a, Self>,
        _last: bool,
    ) -> Result<(), Refusal<'a>> {
        // From the look at the state until the request is out with the device's number: who
        // opens devices again after an outage waits for this first.
        let _reading = rcu::read_lock();
        match device.state() {
            DeviceState::Mapped => {}
            DeviceState::Disconnected if device.patience.waits_ms().is_some() => {
                // The queue is about to be halted.
                return Err(idle.busy());
            }
            DeviceState::Disconnected => return Err(fail(device, idle, Status::TRANSPORT)),
            DeviceState::Init | DeviceState::Unmapped => {
                return Err(fail(device, idle, Status::IOERR))
            }
        }
        let Some(op) = operation(idle.op()) else {
            return Err(idle.fail(Status::from_errno(-errno::EOPNOTSUPP)));
        };
        let Some(session) = device.session() else {
            return Err(fail(device, idle, Status::IOERR));
        };
        let Some(permit) = session.transport().permit(session.kind(idle.hw_queue())) else {
            return Err(idle.busy());
        };

        idle.start_and(|request| submit(device, &session, op, permit, request))
    }

    fn timed_out(device: &Device, token: u32) {
        if let Some(session) = device.session() {
            session.expire_late(device, token);
        }
    }

    fn poll(device: &Device, hw_queue: u32) -> u32 {
        device.session().map_or(0, |session| session.poll(hw_queue))
    }

    fn open(device: &Device, write: bool) -> Result {
        device.opened(write)
    }

    fn release(device: &Device) {
        device.released();
    }
}

/// Ends a request that cannot be sent, as a failed one.
fn fail<'a>(device: &Device, idle: IdleRequest<'a, DiskQueue>, status: Status) -> Refusal<'a> {
    if let Some(op) = operation(idle.op()) {
        device.stats.failed(op);
    }
    idle.fail(status)
}

/// Whether a request ended, or was refused, because there was no path. Only the transport says so:
/// a server that does is taken to say `EIO`.
fn is_lost(errno: i32) -> bool {
    errno == -errno::ECONNABORTED
}

/// How a request ends.
fn outcome(errno: i32) -> Status {
    match is_lost(errno) {
        true => Status::TRANSPORT,
        false => Status::from_errno(errno),
    }
}

/// A request that was sent at `started_ns` has ended with a negative errno or 0. Any context.
pub(crate) fn ended(request: Request<DiskQueue>, errno: i32, started_ns: u64) {
    let device = request.queue();
    trace_rnbd_client::end_io(|| EndFacts {
        disk: device.index,
        sector: request.sector(),
        size: request.bytes(),
        error: errno,
        nanoseconds: now_ns().saturating_sub(started_ns),
    });
    if is_lost(errno) && device.waits_for_path() {
        device.stats.requeued();
        request.requeue();
        return;
    }
    if errno == -errno::ENOTCONN {
        device.forgotten();
    }
    if let Some(op) = operation(request.op()) {
        device.stats.ended(&Ended {
            op,
            bytes: request.bytes(),
            started_ns,
            ok: errno == 0,
        });
    }
    request.end(outcome(errno));
}

/// Sends the message for a request. The request comes back if the transport has no room for it
/// at the moment; whatever else goes wrong ends it.
fn submit(
    device: &Device,
    session: &Session,
    op: Op,
    mut permit: Permit,
    request: Request<DiskQueue>,
) -> Result<(), Request<DiskQueue>> {
    if op.has_data() {
        if let Err(e) = request.map_sg(permit.sg()) {
            drop(permit);
            device.stats.failed(op);
            request.end(Status::from_errno(e.to_errno()));
            return Ok(());
        }
    }
    device.stats.started();
    let flush = matches!(op, Op::Flush);
    let io = Io {
        device_id: device.id(),
        // The position of a flush means nothing, and some servers stumble over it.
        sector: if flush { 0 } else { request.sector() },
        op,
        flags: Flags::for_request(
            op,
            request.sync(),
            request.fua(),
            request.preflush(),
            request.nounmap(),
        ),
        size: if flush { 0 } else { request.bytes() },
        prio: session.has_priority().then(|| request.ioprio()),
    };
    let message = io.to_bytes();
    trace_rnbd_client::send_io(|| SendFacts {
        disk: device.index,
        device_id: io.device_id,
        sector: io.sector,
        flags: io.rw(),
        size: io.size,
        prio: io.prio.unwrap_or(0),
    });
    let read = op.is_transport_read();
    match session.send_io(permit, request, &message, read, op.has_data()) {
        Ok(()) => Ok(()),
        Err((request, EAGAIN)) => {
            device.stats.refused();
            Err(request)
        }
        // The news of the loss is on its way.
        Err((request, e)) if is_lost(e.to_errno()) && device.waits_for_path() => {
            device.stats.refused();
            Err(request)
        }
        Err((request, e)) => {
            ended(request, e.to_errno(), now_ns());
            Ok(())
        }
    }
}
