// SPDX-License-Identifier: GPL-2.0

//! The info exchange: what makes a path of connections a path that serves (spec: rtrs 2.4, 3.4).
//!
//! The completion only copies the name and queues the work; the work may sleep. It either ends with
//! the info response on its way, or it closes the path: there is no error message in the protocol.
//! Everything the client may use is ready before the response is posted.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    error::{
        self,
        errno, //
    },
    rdma::{
        Direction,
        Mr,
        Pd,
        QueuePair,
        Received,
        Wr,
        MAX_WRS, //
    },
};
use rtrs_proto::{
    limits::{
        DESCRIPTOR_LEN,
        INFO_REQ_LEN,
        INFO_RSP_HEADER_LEN, //
    },
    InfoRequest,
    InfoResponse,
    SessionName, //
};

use crate::{
    chunk::Pool,
    connection::{
        Connection,
        Link, //
    },
    notice::Outlet,
    path::{
        Path,
        Pulse,
        Setup, //
    },
    reason::Reason,
    succession,
    sysfs::PathFiles, //
};

/// Empty receives on connection 0 beyond those for requests: a heartbeat and an answer to one of
/// ours, twice.
const HEARTBEAT_RECEIVES: u32 = 4;
/// Milliseconds that a group of registrations may take; they are local to the device.
const REGISTER_TIMEOUT_MS: u32 = 10_000;

/// The info request was received. Context of a completion.
pub(crate) fn received(path: &Arc<Path>, received: &Received<'_, Connection>) {
    let mut message = [0; INFO_REQ_LEN];
    let len = received.copy(0, &mut message);
    match InfoRequest::parse(message.get(..len).unwrap_or(&[])) {
        Ok(request) => {
            *path.name.lock() = Some(request.name);
            path.queue_info();
        }
        Err(e) => {
            path.close(Reason::Protocol(0, e.as_str()));
        }
    }
}

/// Works on the info request.
pub(crate) fn run(path: &Arc<Path>) {
    let Some(name) = path.name.lock().take() else {
        return;
    };
    let mut setup = path.setup.lock();
    if !path.is_connecting() {
        return;
    }
    if let Err(e) = establish(path, &mut setup, &name) {
        path.close(Reason::Info(e.to_errno()));
    }
}

/// How many receives connection `cid` gets: one per request, and some for heartbeats.
pub(crate) fn receives(depth: u32, cid: u16) -> u32 {
    if cid == 0 {
        depth.saturating_add(HEARTBEAT_RECEIVES)
    } else {
        depth
    }
}

/// Makes the path serve.
fn establish(path: &Arc<Path>, setup: &mut Setup, name: &SessionName) -> Result {
    let missing = || error::error(errno::EIO);
    let pool = setup.pool.clone().ok_or_else(missing)?;
    let mut connections = KVec::with_capacity(setup.connections.len(), GFP_KERNEL)?;
    for place in &setup.connections {
        let established = place.as_ref().ok_or_else(missing)?;
        connections.push(established, GFP_KERNEL)?;
    }
    let first = connections.first().ok_or_else(missing)?;
    let (first_con, first) = (first.con.clone(), &first.qp);

    succession::reserve_name(&path.shared, path, name)?;
    let depth = path.shared.config.depth();
    for established in &connections {
        // If the device has fewer, the client waits a little now and then.
        let count = receives(depth, established.con.cid).min(established.qp.recv_wr());
        established.qp.arm_receives(count, 0)?;
    }
    register(path, first, pool.regions())?;

    let pd = pool.pd();
    let files = PathFiles::new(path, pd.info().name(), pd.port_num())?;
    let (dir, user) = path.session.up(&path.shared, name, files)?;
    // From here on the close work undoes what was done.
    setup.dir = Some(dir);

    for established in &connections {
        let link = Arc::new(
            Link {
                con: established.con.clone(),
                qp: established.qp.clone(),
                pool: pool.clone(),
                user: user.clone(),
            },
            GFP_KERNEL,
        )?;
        drop(established.con.link.set(Some(link)));
    }
    let pulse = Pulse::of(path, first)?;
    if !path.establish() {
        return Err(error::error(errno::ECONNRESET));
    }
    path.session.add_outlet(Outlet {
        con: first_con,
        qp: first.clone(),
    })?;
    path.heartbeat.start(pulse);
    respond(pd, first, &pool)
}

/// Registers all regions, a few at a time: the send queue need not hold them all (weak point S30).
fn register(path: &Arc<Path>, qp: &QueuePair<Connection>, regions: &[Mr]) -> Result {
    let token = path.tokens().registered;
    for group in regions.chunks(MAX_WRS) {
        let mut chain = KVec::with_capacity(group.len(), GFP_KERNEL)?;
        for mr in group {
            mr.rotate_key();
            let wr = Wr::RegMr {
                mr,
                remote_write: true,
            };
            chain.push(wr, GFP_KERNEL)?;
        }
        qp.post(&chain, Some(token))?;
        let done = path.registered.wait_timeout(REGISTER_TIMEOUT_MS);
        // Closing the path ends the wait too.
        if !done || !path.is_connecting() {
            return Err(error::error(errno::ECONNRESET));
        }
    }
    Ok(())
}

/// Sends the info response.
fn respond(pd: &Arc<Pd>, qp: &QueuePair<Connection>, pool: &Pool) -> Result {
    let count = u16::try_from(pool.regions().len()).map_err(|_| EINVAL)?;
    let len = InfoResponse::len(count);
    // The protection domain keeps the buffer until the message is sent.
    let buffer = Pd::buffer(pd, len, Direction::ToDevice)?;
    buffer.write(0, &InfoResponse::header(count))?;
    let mut at = INFO_RSP_HEADER_LEN;
    for desc in pool.descriptors() {
        buffer.write(at, &desc.to_bytes())?;
        at = at.checked_add(DESCRIPTOR_LEN).ok_or(EINVAL)?;
    }
    let local = [buffer.sge(0, len)?];
    qp.post(&[Wr::Send { local: &local }], None)
}
