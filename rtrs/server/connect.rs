// SPDX-License-Identifier: GPL-2.0

//! Connect requests: every check of the specification, and the connections made of those that pass
//! (spec: rtrs 3.2 to 3.4).
//!
//! The handler of the connection manager only parses and hands over to a work item: memory and
//! queue pairs take time, and nobody else shall wait for it (weak point S22). A refusal carries its
//! errno in the private data of the reject.

use kernel::{
    impl_has_work, new_work,
    prelude::*,
    sync::{
        atomic::{
            Relaxed, //
        },
        Arc, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    cpu,
    error::{
        self,
        errno, //
    },
    fmt::Show,
    log::warn_limited,
    rdma::{
        Accept,
        Deferred,
        DeviceInfo,
        Direction,
        Pd,
        Poll,
        Prepared,
        QpConfig,
        Request, //
    },
};
use rtrs_proto::{
    limits::{
        CONNECT_MSG_LEN,
        INFO_REQ_LEN, //
    },
    ConnectReply,
    ConnectRequest,
    RejectErrno, //
};

use crate::{
    budget::Charge,
    chunk::Pool,
    connection::Connection,
    info,
    params::{
        is_allowed,
        Config, //
    },
    path::{
        Established,
        Path,
        Setup, //
    },
    reason::Reason,
    server::Shared, //
};

/// Most connect requests that wait for their work item. A client has one at a time per path.
const MAX_PENDING: u32 = 1024;
/// Work requests beyond those for requests: heartbeats, registrations, the info response.
const EXTRA_SENDS: u32 = 16;

/// What listens.
pub(crate) struct Acceptor {
    shared: Arc<Shared>,
}

impl Acceptor {
    /// An acceptor for a server.
    pub(crate) fn new(shared: &Arc<Shared>) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                shared: shared.clone(),
            },
            GFP_KERNEL,
        )?)
    }
}

impl Accept for Acceptor {
    fn request(&self, request: Request<'_>) {
        // Whoever may not connect learns nothing else, and costs nothing else (weak point S20).
        if !is_allowed(&request.src()) {
            warn_limited!("{}: not among allowed_clients, refused\n", request.src());
            request.reject(&refusal(-errno::EACCES));
            return;
        }
        let message = match ConnectRequest::parse(request.private_data()) {
            Ok(message) => message,
            Err(e) => {
                warn_limited!("{}: connect request: {}\n", request.src(), Show(e));
                request.reject(&refusal(e.errno()));
                return;
            }
        };
        let Some(place) = Place::take(&self.shared) else {
            request.reject(&refusal(-errno::ENOMEM));
            return;
        };
        // If it cannot be handed over it is dropped, which rejects it.
        let Ok(deferred) = request.defer() else {
            return;
        };
        let pending = KBox::pin_init(
            pin_init!(Pending {
                work <- new_work!("rtrs_server::Pending"),
                asked: Some(Asked {
                    deferred,
                    message,
                    place,
                }),
            }),
            GFP_KERNEL,
        );
        if let Ok(pending) = pending {
            self.shared.context.setup.queue().enqueue(pending);
        }
    }
}

/// One of the places for requests that wait.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let taken = shared.pending.fetch_add(1, Relaxed);
        let place = Self(shared.clone());
        (taken < MAX_PENDING).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Relaxed);
    }
}

/// A well-formed request and who sent it.
struct Asked {
    deferred: Deferred,
    message: ConnectRequest,
    place: Place,
}

/// A request on its way through the queue.
#[pin_data]
struct Pending {
    #[pin]
    work: Work<Pending>,
    asked: Option<Asked>,
}

impl_has_work! {
    impl HasWork<Self> for Pending { self.work }
}

impl WorkItem for Pending {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        let Some(asked) = this.as_mut().project().asked.take() else {
            return;
        };
        let client = asked.deferred.src();
        let cid = asked.message.cid();
        if let Err(e) = connect(asked) {
            warn_limited!(
                "{}: connection {} is refused (error {})\n",
                client,
                cid,
                e.to_errno()
            );
        }
    }
}

/// The private data of a reject.
fn refusal(errno: i32) -> [u8; CONNECT_MSG_LEN] {
    ConnectReply::Reject(RejectErrno::new(errno)).to_bytes()
}

/// Answers a request: makes the connection, or rejects it.
fn connect(asked: Asked) -> Result {
    let Asked {
        deferred,
        message,
        place,
    } = asked;
    let shared = &place.0;
    let client = deferred.src();
    let server = deferred.dst();
    let path = {
        let mut registry = shared.registry.lock();
        registry.admit(shared, &message, client, server)
    };
    let path = match path {
        Ok(path) => path,
        Err(e) => {
            deferred.reject(&refusal(e.to_errno()));
            return Err(e);
        }
    };

    let Some(_turn) = path.turn() else {
        deferred.reject(&refusal(-errno::ECONNRESET));
        return Err(error::error(errno::ECONNRESET));
    };
    let mut setup = path.setup.lock();
    let cid = usize::from(message.cid());
    let taken = setup.connections.get(cid).is_some_and(Option::is_some);
    if taken || !path.is_connecting() {
        deferred.reject(&refusal(-errno::ECONNRESET));
        return Err(error::error(errno::ECONNRESET));
    }
    // From here on a failure is the end of the path.
    let result = add(&path, &mut setup, deferred, message.cid());
    match &result {
        Ok(()) => path.progress(),
        Err(e) => path.close(Reason::Local(message.cid(), e.to_errno())),
    }
    result
}

/// Makes connection `cid` of a path, and its chunks with the first one.
fn add(path: &Arc<Path>, setup: &mut Setup, deferred: Deferred, cid: u16) -> Result {
    let shared = &path.shared;
    let prepared = prepare(path, setup, &deferred, cid);
    let (con, prepared, charge) = match prepared {
        Ok(ready) => ready,
        Err(e) => {
            deferred.reject(&refusal(e.to_errno()));
            return Err(e);
        }
    };
    // If this fails, the peer has been told or is gone.
    let qp = deferred.accept(prepared, &shared.config.reply(path.session.features))?;
    if let Some(place) = setup.connections.get_mut(usize::from(cid)) {
        *place = Some(Established {
            con,
            qp,
            _charge: charge,
        });
    }
    Ok(())
}

/// Makes the queue pair of connection `cid`, and accounts for it.
fn prepare(
    path: &Arc<Path>,
    setup: &mut Setup,
    deferred: &Deferred,
    cid: u16,
) -> Result<(Arc<Connection>, Prepared<Connection>, Charge)> {
    let config = &path.shared.config;
    let pool = match &setup.pool {
        Some(pool) => pool.clone(),
        None => first(path, setup, deferred)?,
    };
    let pd = pool.pd();
    let wanted = qp_config(path, config, pd.info(), cid);
    let most = pd.info().max_qp_wr;
    let charge = path
        .budget
        .connection(wanted.send_wr.min(most), wanted.recv_wr.min(most))?;
    let con = Connection::new(path.clone(), cid)?;
    let prepared = deferred.prepare(con.clone(), pd, &wanted)?;
    if cid == 0 {
        let buffer = Pd::buffer(pd, INFO_REQ_LEN, Direction::FromDevice)?;
        prepared.post_recv_once(buffer, path.tokens().info)?;
    }
    Ok((con, prepared, charge))
}

/// Makes what all connections of a path share. The device is that of the first one.
fn first(path: &Path, setup: &mut Setup, deferred: &Deferred) -> Result<Arc<Pool>> {
    if !deferred.info().mem_mgt_extensions {
        return Err(error::error(errno::EOPNOTSUPP));
    }
    let config = &path.shared.config;
    let charge = path.budget.pool(
        config.depth(),
        config.params.chunk_size(),
        config.params.max_hdr(),
    )?;
    let count = usize::from(path.cid_num);
    let mut connections = KVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        connections.push(None, GFP_KERNEL)?;
    }
    let pd = Pd::new(deferred)?;
    let pool = Pool::new(&pd, config, charge)?;
    setup.connections = connections;
    setup.pool = Some(pool.clone());
    Ok(pool)
}

/// The sizes of a queue pair: every request of the session may come by one connection, and needs
/// its work requests at once. What the device cannot hold waits (weak point S26).
fn qp_config(path: &Path, config: &Config, device: &DeviceInfo, cid: u16) -> QpConfig {
    let depth = config.depth();
    let vectors = device.num_comp_vectors.min(cpu::nr_cpu_ids()).max(1);
    QpConfig {
        send_wr: depth
            .saturating_mul(config.sends_per_request())
            .saturating_add(EXTRA_SENDS),
        // One more for the info request.
        recv_wr: info::receives(depth, cid).saturating_add(1),
        send_sge: 1,
        tokens: path.tokens().count,
        poll: Poll::Workqueue,
        vector: u32::from(cid).checked_rem(vectors).unwrap_or(0),
    }
}
