// SPDX-License-Identifier: GPL-2.0

//! The IO path: from a parsed IO message to a bio, and from its end to the answer.
//!
//! Called by `session.rs` in the context of the transport's completions, which may sleep a
//! little; the end of a bio arrives in interrupt context. It must never allocate while the
//! pool suffices, never log, and never pass on what the backend did not promise to do: ranges
//! outside the device, changes to a read-only mapping and operations that the backend lacks
//! are answered here.

use block_bio::{
    BackendLimits,
    BioFlags,
    BioOp,
    FileIo,
    FileOwner,
    Io,
    Owner, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        Arc,
        LockClassKey, //
    }, //
};
use kernel_ext::{
    error::errno,
    sync::IrqSpinLock, //
};
use rnbd_proto::{
    AccessMode,
    Flags,
    Op, //
};
use rtrs_server::Operation;

use crate::{
    backend::Route,
    mapping::Mapping,
    session::Session,
    stats::Begun, //
};

/// Bytes of a sector, the unit of all positions on the wire (`spec` of the IO message).
const SECTOR: u64 = 512;

/// Idle requests for a backend, as many as can be in flight unless paths break.
#[pin_data]
pub(crate) struct Pool<T> {
    /// Makes another one. May sleep.
    make: fn() -> Result<T>,
    #[pin]
    idle: IrqSpinLock<KVec<T>>,
}

/// Bios, of one session.
pub(crate) type BioPool = Pool<KBox<Io<InFlight>>>;

/// Requests through the page cache, of one session.
pub(crate) type CachePool = Pool<Pin<KBox<FileIo<InFlight>>>>;

impl BioPool {
    /// Allocates `depth` bios. Process context.
    pub(crate) fn of_bios(depth: usize) -> Result<Arc<Self>> {
        Self::new(depth, Io::new)
    }
}

impl CachePool {
    /// Allocates `depth` requests. Process context.
    pub(crate) fn of_requests(depth: usize) -> Result<Arc<Self>> {
        Self::new(depth, FileIo::new)
    }
}

impl<T> Pool<T> {
    fn new(depth: usize, make: fn() -> Result<T>) -> Result<Arc<Self>> {
        let mut idle = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            idle.push(make()?, GFP_KERNEL)?;
        }
        let (name, key) = class();
        Arc::pin_init(
            pin_init!(Self {
                make,
                idle <- IrqSpinLock::new(idle, name, key),
            }),
            GFP_KERNEL,
        )
    }

    /// An idle request; a new one only if more are in flight than the session has chunks, as
    /// after the loss of a path.
    fn take(&self) -> Result<T> {
        if let Some(io) = self.idle.lock().pop() {
            return Ok(io);
        }
        (self.make)()
    }

    fn give(&self, io: T) {
        // What does not fit was allocated on top; it is freed outside the lock.
        let surplus = self.idle.lock().push_within_capacity(io).err();
        drop(surplus);
    }
}

/// The lock class of all pools. Not in the generic code, where each type could have its own copy
/// of the name.
#[inline(never)]
fn class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"rnbd_server::Pool", static_lock_class!())
}

/// What belongs to a request at its backend: the request to answer and the mapping it counts for.
pub(crate) struct InFlight {
    operation: Operation,
    mapping: Arc<Mapping>,
    begun: Begun,
}

impl InFlight {
    fn end(self, errno: i32) {
        let Self {
            operation,
            mapping,
            begun,
        } = self;
        mapping.stats.end(begun, errno);
        operation.respond(errno);
        mapping.gate.leave();
    }
}

impl Owner for InFlight {
    fn done(io: KBox<Io<Self>>, payload: Self, errno: i32) {
        payload.mapping.pool.give(io);
        payload.end(errno);
    }
}

impl FileOwner for InFlight {
    fn done(io: Pin<KBox<FileIo<Self>>>, payload: Self, errno: i32) {
        if let Some(cache) = &payload.mapping.cache {
            cache.give(io);
        }
        payload.end(errno);
    }
}

/// Carries out an IO message that is well-formed, on `mapping`. Answers it in any case.
pub(crate) fn submit(
    operation: Operation,
    session: &Session,
    mapping: Arc<Mapping>,
    io: &rnbd_proto::Io,
) {
    if !mapping.gate.enter() {
        operation.respond(-errno::ENOTCONN);
        return;
    }
    // Inside the gate, so the backend stays until the answer.
    if let Err((operation, errno)) = start(operation, session, &mapping, io) {
        mapping.stats.refuse(io.op);
        operation.respond(errno);
        mapping.gate.leave();
    }
}

/// Hands a request to the backend. On error it comes back, with the negative errno to answer.
fn start(
    operation: Operation,
    session: &Session,
    mapping: &Arc<Mapping>,
    io: &rnbd_proto::Io,
) -> Result<(), (Operation, i32)> {
    let Some(backend) = mapping.backend.get() else {
        return Err((operation, -errno::ENOTCONN));
    };
    let read_only = mapping.mode == AccessMode::Ro || backend.is_read_only();
    let checked = check(read_only, io, backend.sectors(), &backend.limits());
    let route = backend.route();
    // From here on only the request holds what it goes to: whoever has seen the last request
    // leave the gate finds the backend closed.
    drop(backend);
    let op = match checked {
        Ok(op) => op,
        Err(errno) => return Err((operation, errno)),
    };
    let data = match io.op {
        Op::Read | Op::Write => operation.segment(),
        _ => None,
    };
    let flags = flags(io.op, io.flags);
    match route {
        Route::Bio(device) => {
            let Ok(bio) = mapping.pool.take() else {
                return Err((operation, -errno::ENOMEM));
            };
            let flight = InFlight {
                operation,
                mapping: mapping.clone(),
                begun: mapping.stats.begin(io.op, io.size),
            };
            let prio = io.prio.unwrap_or(0);
            bio.submit(device, op, flags, io.sector, io.size, data, prio, flight);
        }
        Route::Cache(target) => {
            let taken = mapping.cache.as_ref().map(|cache| cache.take());
            let Some(Ok(request)) = taken else {
                return Err((operation, -errno::ENOMEM));
            };
            let flight = InFlight {
                operation,
                mapping: mapping.clone(),
                begun: mapping.stats.begin(io.op, io.size),
            };
            let queue = session.exports.cache().queue();
            request.submit(queue, target, op, flags, io.sector, io.size, data, flight);
        }
    }
    Ok(())
}

/// Decides whether the device may be asked for this. The errors are negative errnos.
///
/// A device that its administrator has made read-only after it was opened counts as such here: the
/// block layer would only say so in the log.
fn check(
    read_only: bool,
    io: &rnbd_proto::Io,
    sectors: u64,
    limits: &BackendLimits,
) -> Result<BioOp, i32> {
    let (op, changes, supported) = match io.op {
        Op::Read => (BioOp::Read, false, true),
        Op::Write => (BioOp::Write, true, true),
        Op::Flush => (BioOp::Flush, false, true),
        Op::Discard => (BioOp::Discard, true, limits.max_discard_sectors > 0),
        Op::SecureErase => (
            BioOp::SecureErase,
            true,
            limits.max_secure_erase_sectors > 0,
        ),
        Op::WriteZeroes => (
            BioOp::WriteZeroes,
            true,
            limits.max_write_zeroes_sectors > 0,
        ),
    };
    if changes && read_only {
        return Err(-errno::EROFS);
    }
    if !supported {
        return Err(-errno::EOPNOTSUPP);
    }
    let size = u64::from(io.size);
    let block = u64::from(limits.logical_block_size).max(SECTOR);
    let aligned = size % block == 0 && io.sector % (block / SECTOR) == 0;
    let inside = io
        .sector
        .checked_add(size / SECTOR)
        .is_some_and(|end| end <= sectors);
    if aligned && inside {
        Ok(op)
    } else {
        Err(-errno::EIO)
    }
}

/// What of a request's flags means something for its operation; the block layer complains
/// about the rest.
fn flags(op: Op, flags: Flags) -> BioFlags {
    let writes = matches!(op, Op::Write);
    BioFlags {
        sync: flags.sync,
        fua: writes && flags.fua,
        preflush: writes && flags.preflush,
        nounmap: matches!(op, Op::WriteZeroes) && flags.nounmap,
    }
}
