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
    Status, //
};
use kernel::prelude::*;
use kernel_ext::error::errno;
use rnbd_proto::{
    Flags,
    Io,
    Op, //
};
use rtrs_client::Kind;

use crate::device::{
    Device,
    State, //
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
        if device.state() != State::Mapped {
            return Err(idle.fail(Status::from_errno(-errno::EIO)));
        }
        let Some(op) = operation(idle.op()) else {
            return Err(idle.fail(Status::from_errno(-errno::EOPNOTSUPP)));
        };
        let Some(session) = device.session() else {
            return Err(idle.fail(Status::from_errno(-errno::EIO)));
        };
        let Some(mut permit) = session.transport().permit(Kind::Io) else {
            return Err(idle.busy());
        };

        let request = idle.start();
        if op.has_data() {
            if let Err(e) = request.map_sg(permit.sg()) {
                drop(permit);
                request.end(Status::from_errno(e.to_errno()));
                return Ok(());
            }
        }
        let message = Io {
            device_id: device.id(),
            // The position of a flush means nothing, and some servers stumble over it.
            sector: if op == Op::Flush { 0 } else { request.sector() },
            op,
            flags: Flags::for_request(
                op,
                request.sync(),
                request.fua(),
                request.preflush(),
                request.nounmap(),
            ),
            size: if op == Op::Flush { 0 } else { request.bytes() },
            prio: Some(request.ioprio()),
        }
        .to_bytes();
        let read = op.is_transport_read();
        match session.send_io(permit, request, &message, read, op.has_data()) {
            Ok(()) => {}
            Err((request, EAGAIN)) => request.requeue(),
            Err((request, e)) => request.end(Status::from_errno(e.to_errno())),
        }
        Ok(())
    }

    fn open(device: &Device, _write: bool) -> Result {
        device.opened()
    }

    fn release(device: &Device) {
        device.released();
    }
}
