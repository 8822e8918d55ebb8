// SPDX-License-Identifier: GPL-2.0

//! Self-test of `kernel_ext::rdma`: a loopback connection over soft-RoCE.
//!
//! Loading the module runs the whole scenario in its `init`: listen on 10.0.0.1, connect to it,
//! exchange SEND, RDMA WRITE, WRITE WITH IMM, SEND WITH INV, REG_MR and LOCAL_INV, fill the send
//! queue to the brim, be refused in several ways, break the connection with a stale key, and tear
//! everything down. It prints `rdx_ping: ok`, or where it failed. Never part of a release; like the
//! rooms it stands for it has no unsafe code.

#![forbid(unsafe_code)]

mod client;
mod server;

use kernel::{
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use kernel_ext::{
    net::{
        Namespace,
        SockAddr, //
    },
    rdma::{
        self,
        cm,
        ConnectError,
        QueuePair,
        Reaper, //
    },
    workqueue::{
        Flags,
        OwnedQueue, //
    }, //
};

module! {
    type: Ping,
    name: "rdx_ping",
    authors: ["RNBD in Rust"],
    description: "Self-test of kernel_ext::rdma",
    license: "GPL",
}

/// Where the test listens.
const SERVER: SockAddr = SockAddr::v4([10, 0, 0, 1], 4321);
/// The same in IPv6.
const SERVER6: SockAddr =
    SockAddr::v6([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 4321, 0);
/// Bytes of the area each side offers.
const AREA: usize = 8192;
/// How long anything may take, in milliseconds.
const PATIENCE: u32 = 20_000;
/// Zero-length writes to fill the queues with.
const FLOOD: u32 = 500;
/// Immediate of the client's data.
const IMM_DATA: u32 = 0x1234;
/// Immediate of the server's answer.
const IMM_ANSWER: u32 = 0x8000_0077;
/// Immediate of the flood.
const IMM_FLOOD: u32 = 0x00ff_00ff;

/// Address and key of an area as a message of 12 bytes.
fn pack(addr: u64, key: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (a, k) = bytes.split_at_mut(8);
    a.copy_from_slice(&addr.to_le_bytes());
    k.copy_from_slice(&key.to_le_bytes());
    bytes
}

/// The way back.
fn unpack(bytes: [u8; 12]) -> (u64, u32) {
    let [a0, a1, a2, a3, a4, a5, a6, a7, k0, k1, k2, k3] = bytes;
    (
        u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        u32::from_le_bytes([k0, k1, k2, k3]),
    )
}

/// Says where the test is, so that a failure tells what failed.
fn step<T>(what: &str, result: Result<T>) -> Result<T> {
    match &result {
        Ok(_) => pr_info!("{}\n", what),
        Err(error) => pr_err!("{} failed: {}\n", what, error.to_errno()),
    }
    result
}

/// An error unless `ok`.
fn ensure(ok: bool) -> Result {
    if ok {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// Connects with this private data and expects to be refused.
fn refused(private: &[u8], dst: &SockAddr, by_consumer: bool, with: &[u8]) -> Result {
    let resolved = cm::resolve(&Namespace::current(), None, dst, PATIENCE)?;
    let pd = rdma::Pd::new(&resolved)?;
    let ctx = client::Client::new()?;
    let prepared = resolved.prepare(ctx, &pd, &client::CONFIG, PATIENCE)?;
    match prepared.connect(private, PATIENCE) {
        Err(ConnectError::Rejected {
            consumer_defined,
            data,
        }) => {
            ensure(consumer_defined == by_consumer)?;
            ensure(data.as_slice().starts_with(with))
        }
        Err(ConnectError::Failed(error)) => Err(error),
        Ok(_) => Err(EINVAL),
    }
}

/// The whole scenario.
fn run() -> Result {
    let server = Arc::pin_init(server::Server::new()?, GFP_KERNEL)?;
    let door = Arc::new(server::Door(server.clone()), GFP_KERNEL)?;
    let listener = step(
        "listen",
        cm::Listener::new(&Namespace::current(), &SERVER, 8, door.clone()),
    )?;
    step(
        "a second listener on the same port is refused",
        ensure(cm::Listener::new(&Namespace::current(), &SERVER, 8, door).is_err()),
    )?;
    step(
        "refused with data",
        refused(b"no", &SERVER, true, b"refused"),
    )?;
    step(
        "refused without data",
        refused(b"ignore", &SERVER, true, b""),
    )?;
    step(
        "put off and dropped within the callback",
        refused(b"drop", &SERVER, true, b""),
    )?;
    step(
        "put off and refused within the callback",
        refused(b"late", &SERVER, true, b"late"),
    )?;
    step(
        "nobody listens",
        refused(b"ping", &SERVER.with_port(4322), false, b""),
    )?;
    step(
        "no such host",
        ensure(
            cm::resolve(
                &Namespace::current(),
                None,
                &SockAddr::v4([10, 99, 0, 1], 1),
                1000,
            )
            .is_err(),
        ),
    )?;
    step("the connection", client::run(&server, &SERVER))?;
    server.close();
    // A second life on the same listener.
    server.reset();
    step("once more", client::run(&server, &SERVER))?;
    drop(listener);
    server.close();
    step(
        "the listener is gone",
        refused(b"ping", &SERVER, false, b""),
    )?;

    let door = Arc::new(server::Door(server.clone()), GFP_KERNEL)?;
    let port = SERVER.port();
    let ip = step(
        "listen on all IP addresses",
        cm::Listener::new(
            &Namespace::current(),
            &SockAddr::any_v6(port),
            8,
            door.clone(),
        ),
    )?;
    let ib = step(
        "listen on all GIDs",
        cm::Listener::new(&Namespace::current(), &SockAddr::any_ib(port), 8, door),
    )?;
    for dst in [SERVER, SERVER6] {
        server.reset();
        pr_info!("to {}\n", dst);
        let ended = client::run(&server, &dst);
        server.close();
        step("by wildcard", ended)?;
    }
    drop(ib);
    drop(ip);
    Ok(())
}

/// Keeps a connection until the module goes, or the device.
#[pin_data]
struct Keeper {
    #[pin]
    client: Mutex<Option<Arc<QueuePair<client::Client>>>>,
    server: Arc<server::Server>,
    queue: OwnedQueue,
    #[pin]
    work: Work<Keeper>,
}

impl_has_work! {
    impl HasWork<Self> for Keeper { self.work }
}

impl WorkItem for Keeper {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.close();
        pr_info!("the device is gone, and so is the connection\n");
    }
}

impl Keeper {
    fn new() -> Result<Arc<Self>> {
        let server = Arc::pin_init(server::Server::new()?, GFP_KERNEL)?;
        let door = Arc::new(server::Door(server.clone()), GFP_KERNEL)?;
        let listener = cm::Listener::new(&Namespace::current(), &SERVER, 8, door)?;
        let (ctx, qp, _pd) = client::connect(&SERVER)?;
        drop(listener);
        server.settle();
        let this = Arc::pin_init(
            pin_init!(Self {
                client <- new_mutex!(Some(qp)),
                server,
                queue: OwnedQueue::new(c"rdx_keeper", Flags::default())?,
                work <- new_work!(),
            }? Error),
            GFP_KERNEL,
        )?;
        ctx.keeper.set(Some(this.clone()));
        Ok(this)
    }

    /// Closes in a work item. Any context.
    fn end(self: Arc<Self>) {
        let item = self.clone();
        let _ = self.queue.queue().enqueue(item);
    }

    /// Closes. Sleeps.
    fn close(&self) {
        let qp = self.client.lock().take();
        if let Some(qp) = qp {
            qp.shutdown();
        }
        self.server.close();
        self.server.reset();
    }
}

/// The loaded test.
struct Ping {
    keeper: Arc<Keeper>,
    _reaper: Option<Reaper>,
}

impl kernel::Module for Ping {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // rtrs_core has one already, if the foundation comes from there.
        let reaper = Reaper::start().ok();
        let result = run().and_then(|()| step("a connection that stays", Keeper::new()));
        rdma::flush_teardown();
        let keeper = result?;
        pr_info!("ok\n");
        Ok(Self {
            keeper,
            _reaper: reaper,
        })
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.keeper.close();
        self.keeper.queue.flush();
    }
}
