// SPDX-License-Identifier: GPL-2.0

//! The connecting side of the self-test.

use super::{
    ensure,
    pack,
    server::Server,
    step,
    unpack,
    Keeper,
    AREA,
    FLOOD,
    IMM_ANSWER,
    IMM_DATA,
    IMM_FLOOD,
    PATIENCE, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use kernel_ext::{
    net::{
        Namespace,
        SockAddr, //
    },
    new_irq_spinlock,
    rdma::{
        cm,
        Context,
        Direction,
        Done,
        Lost,
        MappedSg,
        Pd,
        Poll,
        QpConfig,
        QueuePair,
        Received,
        Remote,
        SgTable,
        Token,
        Wr, //
    },
    sync::{
        ArcCell,
        Completion,
        IrqSpinLock, //
    },
    time::sleep_ms, //
};

pub(crate) const CONFIG: QpConfig = QpConfig {
    send_wr: 16,
    recv_wr: 64,
    send_sge: 2,
    tokens: 4,
    poll: Poll::Softirq,
    vector: 0,
};

/// What the client has learned so far.
#[derive(Clone, Copy, Default)]
struct Facts {
    server: Option<(u64, u32)>,
    invalidated: Option<u32>,
    answered: bool,
    sent: u32,
    failed: Option<u32>,
    once: u32,
    errors: u32,
}

/// The context of the connection.
#[pin_data]
pub(crate) struct Client {
    #[pin]
    facts: IrqSpinLock<Facts>,
    #[pin]
    news: Completion,
    #[pin]
    room: Completion,
    lost: Atomic<i32>,
    /// Who ends the connection when the device goes away.
    #[pin]
    pub(crate) keeper: ArcCell<Keeper>,
}

impl Client {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                facts <- new_irq_spinlock!(Facts::default()),
                news <- Completion::new(),
                room <- Completion::new(),
                lost: Atomic::new(0),
                keeper <- ArcCell::new(None),
            }),
            GFP_KERNEL,
        )
    }

    fn receive(&self, facts: &mut Facts, what: Received<'_, Self>) -> Result {
        if what.tag() == Some(Token(77)) {
            facts.once = facts.once.saturating_add(1);
            let mut bytes = [0; 12];
            ensure(what.len() == 12 && what.copy(0, &mut bytes) == 12)?;
            facts.server = Some(unpack(bytes));
            ensure(what.repost().is_err())?;
            return Ok(());
        }
        match (what.imm(), what.invalidated()) {
            (None, Some(key)) => facts.invalidated = Some(key),
            (Some(IMM_ANSWER), None) => facts.answered = what.is_write_imm(),
            _ => return Err(EINVAL),
        }
        what.repost()
    }

    /// Waits until `ready` says so.
    fn wait(&self, ready: impl Fn(&Facts) -> bool) -> Result {
        loop {
            {
                let facts = self.facts.lock();
                ensure(facts.errors == 0)?;
                if ready(&facts) {
                    return Ok(());
                }
            }
            ensure(self.news.wait_timeout(PATIENCE))?;
        }
    }
}

impl Context for Client {
    fn completed(&self, _qp: &QueuePair<Self>, done: Done<'_, Self>) {
        let mut facts = self.facts.lock();
        match done {
            Done::Recv(what) => {
                if self.receive(&mut facts, what).is_err() {
                    facts.errors = facts.errors.saturating_add(1);
                }
            }
            Done::Sent(Token(token)) => facts.sent |= 1 << token,
            Done::Failed { status, .. } => facts.failed = Some(status),
        }
        drop(facts);
        self.news.complete();
    }

    fn lost(&self, why: Lost) {
        self.lost.add(1, Relaxed);
        if why == Lost::DeviceRemoval {
            if let Some(keeper) = self.keeper.get() {
                keeper.end();
            }
        }
    }

    fn space(&self, _qp: &QueuePair<Self>) {
        self.room.complete();
    }
}

/// One connection, from birth to death.
pub(crate) fn run(server: &Server, dst: &SockAddr) -> Result {
    let (ctx, qp, pd) = connect(dst)?;
    let ended = step("traffic", traffic(&ctx, &qp, &pd, server));
    qp.disconnect();
    qp.shutdown();
    ensure(!qp.is_open())?;
    ensure(qp.post(&[Wr::Send { local: &[] }], None).is_err())?;
    ended
}

/// A connection and what belongs to it.
pub(crate) type Connected = (Arc<Client>, Arc<QueuePair<Client>>, Arc<Pd>);

/// A connection with receives.
pub(crate) fn connect(dst: &SockAddr) -> Result<Connected> {
    let resolved = step(
        "resolve",
        cm::resolve(
            &Namespace::current(),
            Some(&dst.with_port(0)),
            dst,
            PATIENCE,
        ),
    )?;
    let info = resolved.info();
    ensure(info.mem_mgt_extensions && info.max_fast_reg_pages >= 8 && !info.name().is_empty())?;
    ensure(resolved.src().same_host(dst) && resolved.dst() == *dst)?;
    let pd = Pd::new(&resolved)?;
    let other_pd = Pd::new(&resolved)?;
    let ctx = Client::new()?;
    let prepared = step(
        "prepare",
        resolved.prepare(ctx.clone(), &pd, &CONFIG, PATIENCE),
    )?;
    let once = pd.buffer(64, Direction::FromDevice)?;
    prepared.post_recv_once(once, Token(77))?;
    ensure(
        prepared
            .post_recv_once(other_pd.buffer(64, Direction::FromDevice)?, Token(78))
            .is_err(),
    )?;
    let stranger = other_pd.buffer(8, Direction::ToDevice)?.sge(0, 8)?;
    let (qp, private) = match prepared.connect(b"ping", PATIENCE) {
        Ok(connected) => connected,
        Err(cm::ConnectError::Failed(error)) => return step("connect", Err(error)),
        Err(cm::ConnectError::Rejected { .. }) => return step("connect", Err(EACCES)),
    };
    ensure(private.as_slice().starts_with(b"pong"))?;
    ensure(qp.post(&[Wr::Send { local: &[stranger] }], None).is_err())?;
    ensure(qp.arm_receives(65, 16).is_err())?;
    qp.arm_receives(32, 16)?;
    ensure(qp.arm_receives(1, 16).is_err())?;
    Ok((ctx, qp, pd))
}

/// What is exchanged on the connection.
fn traffic(ctx: &Client, qp: &QueuePair<Client>, pd: &Arc<Pd>, server: &Server) -> Result {
    // The server's area comes in the one-shot receive.
    step(
        "the server's area",
        ctx.wait(|facts| facts.server.is_some()),
    )?;
    let (addr, key) = ctx.facts.lock().server.ok_or(EINVAL)?;
    server.settle();
    let peer = server.peer.get().ok_or(EINVAL)?;

    // Our own area goes to the server, and data into its area.
    let area = pd.chunk(AREA)?;
    let mr = pd.mr(8, false)?;
    mr.map_chunks(&[area.clone()], 4096)?;
    let our_key = mr.rotate_key();
    let message = pd.buffer(12, Direction::ToDevice)?;
    message.write(0, &pack(mr.iova(), our_key))?;
    let data = pd.buffer(4096, Direction::ToDevice)?;
    data.write(0, &[0xa5; 100])?;
    for at in (100..4096).step_by(4) {
        data.write(at, &[0xa5; 4])?;
    }
    ensure(data.write(4093, &[0; 4]).is_err() && area.sge(1, AREA).is_err())?;
    ensure(qp.post(&[], None).is_err())?;
    ensure(qp.post(&[Wr::LocalInv { key: 1 }], Some(Token(4))).is_err())?;
    qp.post(
        &[
            Wr::RegMr {
                mr: &mr,
                remote_write: true,
            },
            Wr::Send {
                local: &[message.sge(0, 12)?],
            },
            Wr::WriteImm {
                local: &[data.sge(0, 100)?, data.sge(100, 3996)?],
                remote: Remote { addr, key },
                imm: IMM_DATA,
            },
        ],
        None,
    )?;
    step("the answer", ctx.wait(|facts| facts.answered))?;
    step(
        "the invalidated key",
        ensure(ctx.facts.lock().invalidated == Some(our_key)),
    )?;
    let mut bytes = [0; 101];
    area.read(0, &mut bytes)?;
    ensure(bytes.iter().all(|&byte| byte == 0x5a || byte == 0xa5))?;
    ensure(bytes.first() == Some(&0x5a) && bytes.last() == Some(&0xa5))?;

    // A mapped scatter list, registered and taken back.
    let mut table = SgTable::new(4)?;
    table.use_scratch(512)?;
    let mapped = MappedSg::map(table, pd, Direction::FromDevice).map_err(|(_, error)| error)?;
    ensure(mapped.nents() == 1 && mapped.bytes() == 512)?;
    mr.map_sg(&mapped)?;
    ensure(mr.len() == 512)?;
    mr.rotate_key();
    qp.post(
        &[
            Wr::RegMr {
                mr: &mr,
                remote_write: false,
            },
            Wr::LocalInv { key: mr.key() },
        ],
        Some(Token(2)),
    )?;
    step("local invalidation", ctx.wait(|facts| facts.sent & 4 != 0))?;
    ensure(mapped.unmap().scratch_read(&mut bytes) == bytes.len())?;

    // More than the send queue holds; the glue signals by itself and says when there is room.
    let mut waits = 0;
    for _ in 0..FLOOD {
        let wr = Wr::WriteImm {
            local: &[],
            remote: Remote::ZERO,
            imm: IMM_FLOOD,
        };
        loop {
            match qp.post(&[wr, wr], None) {
                Ok(()) => break,
                Err(error) if error == EAGAIN => {
                    waits += 1;
                    step_quiet(ctx.room.wait_timeout(PATIENCE))?;
                }
                Err(error) => return step("flood", Err(error)),
            }
        }
    }
    for _ in 0..100 {
        if peer.flooded.load(Relaxed) == 2 * FLOOD as i32 {
            break;
        }
        sleep_ms(20);
    }
    pr_info!("flood: waited {} times\n", waits);
    step(
        "all of the flood arrived",
        ensure(peer.flooded.load(Relaxed) == 2 * FLOOD as i32),
    )?;
    ensure(peer.errors.load(Relaxed) == 0 && peer.invalidated.load(Relaxed))?;
    ensure(ctx.facts.lock().failed.is_none() && ctx.lost.load(Relaxed) == 0)?;

    // The server has taken back its key: using it once more must fail and break the connection.
    qp.post(
        &[Wr::Write {
            local: &[data.sge(0, 8)?],
            remote: Remote { addr, key },
        }],
        Some(Token(3)),
    )?;
    step(
        "a stale key fails",
        ctx.wait(|facts| facts.failed.is_some()),
    )?;
    ensure(!qp.is_open())
}

/// An error unless `ok`, without a message.
fn step_quiet(ok: bool) -> Result {
    ensure(ok).map_err(|_| EBUSY)
}
