// SPDX-License-Identifier: GPL-2.0

//! Connecting a path: its connections one after the other, then the info exchange
//! (spec: rtrs 3.2, 3.3).
//!
//! [`build`] either answers a complete [`Live`] or has undone everything. It runs in
//! process context and may take long; what arrives meanwhile on connections that exist
//! already is seen in the path's state between the steps.

use kernel::{
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    },
};
use kernel_ext::{
    cpu,
    error::{
        errno,
        error, //
    },
    fmt::Show,
    rdma::{
        cm,
        Buffer,
        ConnectError,
        DeviceInfo,
        Direction,
        Pd,
        Poll,
        QpConfig,
        QueuePair,
        Token,
        Wr,
        MAX_SGES, //
    },
    time,
};
use rtrs_core::heartbeat::Heartbeat;
use rtrs_proto::{
    limits::{
        CONNECT_TIMEOUT_MS,
        INFO_REQ_LEN,
        INFO_TIMEOUT_MS,
        MAX_CONNECTIONS,
        MAX_SEGMENTS,
        RKEY_MSG_LEN,
        SERVICE_QUEUE_DEPTH,
        SERVICE_QUEUE_WRS, //
    },
    ConnectReply,
    ConnectRequest,
    InfoRequest,
    InfoResponse,
    RejectErrno, //
};

use crate::{
    connection::Connection,
    inner::Agreed,
    live::{
        Connections,
        Live,
        RemoteChunk,
        SERVICE_TOKENS, //
    },
    params,
    path::{
        Known,
        KnownName,
        Path, //
    },
    request::Slot,
    wreck::Wreck,
};

/// Bytes of user header and message that a slot has room for. More than any user has,
/// and much less than a server offers.
const HEADER_LEN: u32 = 512;
/// Bytes of a page of a memory region (spec: rtrs 4.4).
const REGION_PAGE: u64 = 4096;
/// Memory of a send queue, and what an entry and an element of it take: the measures of
/// common adapters, good enough to choose a number of elements.
const SEND_QUEUE_BYTES: u32 = 1 << 20;
const SEND_ENTRY_BYTES: u32 = 96;
const SEND_ELEMENT_BYTES: u32 = 16;
/// Requests on their way at once for which the send queue of a connection has room in the worst
/// case. With more a request may have to wait a moment; a server must not be able to choose how
/// much memory each of our queues takes.
const SEND_DEPTH_MAX: u32 = 1024;
/// Names the one receive that is posted before the path is live.
const INFO_TOKEN: Token = Token(0);

/// The connections of an attempt, with what is needed to make a live path of them.
struct Attempt {
    connections: Connections,
    contexts: KVec<Arc<Connection>>,
    pd: Arc<Pd>,
    agreed: Agreed,
    /// Elements that a send may have on every connection.
    send_sge: u32,
}

/// Builds the live part of `path`. Sleeps.
pub(crate) fn build(path: &Arc<Path>, attempt: u32) -> Result<Arc<Live>> {
    let io_connections = cpu::nr_cpu_ids();
    let total = io_connections
        .checked_add(1)
        .and_then(|total| total.checked_add(path.session().poll_connections()))
        .and_then(|total| u16::try_from(total).ok())
        .filter(|total| *total <= MAX_CONNECTIONS)
        .ok_or(EINVAL)?;
    let attempt = establish(path, total, io_connections, attempt)?;

    let info = attempt.pd.info().clone();
    let pages = region_pages(&info);
    let depth = attempt.agreed.params.depth();
    let header_len = HEADER_LEN.min(attempt.agreed.params.max_hdr());
    let header_len = usize::try_from(header_len)?;
    let mut slots = KVVec::with_capacity(usize::from(depth.get()), GFP_KERNEL)?;
    for _ in 0..depth.get() {
        slots.push(Slot::new(&attempt.pd, header_len, pages)?, GFP_KERNEL)?;
    }
    let heartbeat = Heartbeat::new(path.session().heartbeat().clone())?;
    let chunks = exchange_info(path, &attempt)?;

    let Attempt {
        connections,
        contexts,
        pd,
        agreed,
        send_sge,
    } = attempt;
    let live = Arc::new(
        Live {
            connections,
            path: path.clone(),
            params: agreed.params,
            new_rkey: agreed.new_rkey,
            features: agreed.features,
            io_connections,
            send_sge: usize::try_from(send_sge)?,
            header_len,
            max_segments: pages.saturating_sub(1).clamp(1, MAX_SEGMENTS),
            chunks,
            slots,
            heartbeat,
            stats: path.stats().clone(),
            wreck: Wreck::new(path.uuid())?,
            counted_up: Atomic::new(false),
            pd,
        },
        GFP_KERNEL,
    )?;
    for context in &contexts {
        context.go_live(&live);
    }
    if let Err(error) = arm(&live) {
        // Also breaks the circle of references.
        live.connections.shutdown();
        return Err(error);
    }
    Ok(live)
}

/// What sysfs shows about a path that is connected.
pub(crate) fn known(live: &Live) -> Known {
    let service = live.connections.get(0);
    let (wanted_src, wanted_dst) = live.path.endpoints();
    Known {
        src: service
            .map(|qp| qp.src())
            .or(*wanted_src)
            .unwrap_or(*wanted_dst),
        dst: service.map_or(*wanted_dst, |qp| qp.dst()),
        device: KnownName::new(live.pd.info().name()),
        port: live.pd.port_num(),
        heartbeat: live.heartbeat.clone(),
    }
}

/// Until when a connection has to be there, and whether it is still wanted.
struct Deadline<'a> {
    end_ms: u64,
    wanted: &'a dyn Fn() -> Result,
}

impl<'a> Deadline<'a> {
    fn after_ms(ms: u32, wanted: &'a dyn Fn() -> Result) -> Self {
        Self {
            end_ms: time::now_ms().saturating_add(u64::from(ms)),
            wanted,
        }
    }

    fn left(&self) -> Result<cm::Limit<'a>> {
        match u32::try_from(self.end_ms.saturating_sub(time::now_ms())) {
            Ok(left) if left > 0 => Ok(cm::Limit::new(left, self.wanted)),
            _ => Err(error(errno::ETIMEDOUT)),
        }
    }
}

/// Establishes connections 0 to `total` - 1, strictly in this order.
///
/// Connection 0 has no processor of its own; `io_connections` after it have one each, and
/// those behind them begin anew.
fn establish(path: &Arc<Path>, total: u16, io_connections: u32, attempt: u32) -> Result<Attempt> {
    let mut connections = Connections::with_capacity(usize::from(total))?;
    let mut contexts = KVec::with_capacity(usize::from(total), GFP_KERNEL)?;

    let first = Connection::new(path.clone(), 0)?;
    let wanted = || path.still_connecting();
    let deadline = Deadline::after_ms(CONNECT_TIMEOUT_MS, &wanted);
    let resolved = resolve(path, &deadline)?;
    if !resolved.info().mem_mgt_extensions {
        pr_warn!(
            "session {}: the device has no fast registration\n",
            Show(path.session().name())
        );
        return Err(error(errno::EOPNOTSUPP));
    }
    let pd = Pd::new(&resolved)?;
    let info = pd.info().clone();
    let service_wr = SERVICE_QUEUE_WRS.min(info.max_qp_wr);
    let service = QpConfig {
        send_wr: service_wr,
        recv_wr: service_wr,
        send_sge: send_sge(&info, service_wr),
        tokens: SERVICE_TOKENS,
        poll: Poll::Softirq,
        vector: 0,
    };
    let request = |cid: u16| {
        // The low 16 bits are what the message has room for.
        let request = ConnectRequest::new(
            cid,
            total,
            attempt as u16,
            path.uuid(),
            path.session().uuid(),
            // A server that has forgotten the session must not make a new one, in which devices
            // have other numbers, while requests go over paths of the old one.
            !path.session().is_connected(),
        );
        request
            .map(|request| request.offer(params::features()))
            .map_err(|error| kernel_ext::error::error(error.errno()))
    };
    let prepared = resolved.prepare(first.clone(), &pd, &service, deadline.left()?)?;
    let (qp, agreed) = connect(prepared, &request(0)?, &deadline)?;
    connections.push(qp)?;
    contexts.push(first, GFP_KERNEL)?;
    path.session()
        .agree(&agreed)
        .inspect_err(|_| path.set_hopeless())?;

    let depth = u32::from(agreed.params.depth().get());
    let send_wr = depth
        .min(SEND_DEPTH_MAX)
        .saturating_mul(4)
        .saturating_add(1)
        .min(info.max_qp_wr);
    let io = QpConfig {
        send_wr,
        recv_wr: depth
            .saturating_mul(3)
            .saturating_add(1)
            .min(info.max_qp_wr),
        send_sge: send_sge(&info, send_wr),
        tokens: depth,
        ..service
    };
    for cid in 1..total {
        path.still_connecting()?;
        let context = Connection::new(path.clone(), cid)?;
        let deadline = Deadline::after_ms(CONNECT_TIMEOUT_MS, &wanted);
        let resolved = resolve(path, &deadline)?;
        let cpu = u32::from(cid).wrapping_sub(1).checked_rem(io_connections);
        let config = QpConfig {
            // The queue pair takes it modulo the number of vectors.
            vector: cpu.unwrap_or(0),
            poll: match u32::from(cid) > io_connections {
                true => Poll::Direct,
                false => Poll::Softirq,
            },
            ..io
        };
        let prepared = resolved.prepare(context.clone(), &pd, &config, deadline.left()?)?;
        let (qp, answer) = connect(prepared, &request(cid)?, &deadline)?;
        connections.push(qp)?;
        contexts.push(context, GFP_KERNEL)?;
        if answer != agreed {
            // The same server says something else for the same path.
            return Err(error(errno::ECONNRESET));
        }
    }
    path.still_connecting()?;
    Ok(Attempt {
        connections,
        contexts,
        pd,
        agreed,
        send_sge: service.send_sge.min(io.send_sge),
    })
}

fn resolve(path: &Path, deadline: &Deadline<'_>) -> Result<cm::Resolved> {
    let (src, dst) = path.endpoints();
    cm::resolve(path.session().net(), src.as_ref(), dst, deadline.left()?)
}

/// Elements of a send in a queue of `send_wr` entries: as many as device and one post can
/// have, as long as the queue stays within the memory that devices have for one. Two, as
/// every peer uses, is always possible.
fn send_sge(info: &DeviceInfo, send_wr: u32) -> u32 {
    let most = u32::try_from(MAX_SGES).unwrap_or(u32::MAX);
    let entry = SEND_QUEUE_BYTES.checked_div(send_wr).unwrap_or(0);
    let fitting = entry.saturating_sub(SEND_ENTRY_BYTES) / SEND_ELEMENT_BYTES;
    info.max_send_sge.min(most).min(fitting.max(2)).max(1)
}

/// Pages of a memory region: what the device allows, up to what one request may have. That is one
/// more than its bytes would fill, as they need not begin where a page does.
fn region_pages(info: &DeviceInfo) -> u32 {
    let by_size = u32::try_from(info.max_mr_size / REGION_PAGE).unwrap_or(u32::MAX);
    MAX_SEGMENTS
        .saturating_add(1)
        .min(by_size)
        .min(info.max_fast_reg_pages)
        .max(1)
}

/// Asks for one connection and takes the answer apart.
fn connect(
    prepared: cm::Prepared<Connection>,
    request: &ConnectRequest,
    deadline: &Deadline<'_>,
) -> Result<(Arc<QueuePair<Connection>>, Agreed)> {
    let (qp, data) = match prepared.connect(&request.to_bytes(), deadline.left()?) {
        Ok(connected) => connected,
        Err(ConnectError::Rejected {
            consumer_defined,
            data,
        }) => {
            let reason = match consumer_defined {
                true => RejectErrno::from_private_data(data.as_slice()),
                false => RejectErrno::RESET,
            };
            return Err(error(reason.get()));
        }
        Err(ConnectError::Failed(error)) => return Err(error),
    };
    match ConnectReply::parse(data.as_slice()) {
        Ok(ConnectReply::Accept {
            params,
            new_rkey,
            features,
            // Only what was offered can be switched on.
        }) if params::features().has(features) => {
            let agreed = Agreed {
                params,
                new_rkey,
                features,
            };
            Ok((qp, agreed))
        }
        Ok(_) | Err(_) => {
            qp.shutdown();
            Err(error(errno::ECONNRESET))
        }
    }
}

/// Tells the session's name and learns where the chunks are.
fn exchange_info(path: &Path, attempt: &Attempt) -> Result<KVVec<RemoteChunk>> {
    let params = &attempt.agreed.params;
    let service = attempt.connections.get(0).ok_or(EINVAL)?;
    let response = Pd::buffer(
        &attempt.pd,
        InfoResponse::len(params.depth().get()),
        Direction::FromDevice,
    )?;
    let request = Pd::buffer(&attempt.pd, INFO_REQ_LEN, Direction::ToDevice)?;
    let message = InfoRequest {
        name: path.session().name().clone(),
    };
    request.write(0, &message.to_bytes())?;
    service.post_recv_once(response.clone(), INFO_TOKEN)?;
    let local = [request.sge(0, INFO_REQ_LEN)?];
    service.post(&[Wr::Send { local: &local }], None)?;
    let len = path.wait_info(INFO_TIMEOUT_MS)?;
    read_info(path, attempt, &response, len)
}

fn read_info(
    path: &Path,
    attempt: &Attempt,
    response: &Buffer,
    len: usize,
) -> Result<KVVec<RemoteChunk>> {
    let params = &attempt.agreed.params;
    let mut bytes = KVVec::from_elem(0u8, len.min(response.len()), GFP_KERNEL)?;
    response.read(0, &mut bytes)?;
    let parsed = InfoResponse::parse(&bytes, params).map_err(|refused| {
        pr_warn!(
            "session {}: bad info response: {}\n",
            Show(path.session().name()),
            refused.as_str()
        );
        error(errno::ECONNRESET)
    })?;
    let mut chunks = KVVec::with_capacity(usize::from(params.depth().get()), GFP_KERNEL)?;
    for chunk in parsed.chunks() {
        chunks.push(RemoteChunk::new(chunk.addr, chunk.key), GFP_KERNEL)?;
    }
    Ok(chunks)
}

/// Posts all receives: two per request, as an answer to a read may need both.
fn arm(live: &Live) -> Result {
    let len = match live.new_rkey {
        true => u32::try_from(RKEY_MSG_LEN)?,
        false => 0,
    };
    let depth = u32::from(live.params.depth().get());
    for (cid, qp) in live.connections.iter().enumerate() {
        let wanted = match cid {
            0 => SERVICE_QUEUE_DEPTH.saturating_mul(2),
            _ => depth.saturating_mul(2),
        };
        qp.arm_receives(wanted.min(qp.recv_wr()), len)?;
    }
    Ok(())
}
