// SPDX-License-Identifier: GPL-2.0

//! A path of a session: an address pair, its state, and its live part while there is one
//! (spec: rtrs 3.5, 3.7).
//!
//! The state decides who does what: a step of the state machine is granted to exactly one
//! caller, who then does what belongs to it. Taking down runs on the module's queue or in
//! the caller who closes the path, never in a completion.

use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    fmt::Show,
    net::SockAddr,
    sync::{
        AtomicEnum,
        Completion, //
    },
    workqueue::cancel_sync,
};
use rtrs_core::{
    address::Endpoints,
    heartbeat::Heartbeat,
    uuid, //
};
use rtrs_logic::client_path::{
    Event,
    State, //
};
use rtrs_proto::Uuid;

use crate::{
    connect,
    fault::Fault,
    inner::Inner, //
    live::Live,
    stats::Stats,
    trace,
};

/// What is known about a path once it was connected; shown in sysfs.
#[derive(Clone)]
pub(crate) struct Known {
    /// The real source address.
    pub(crate) src: SockAddr,
    /// The destination address.
    pub(crate) dst: SockAddr,
    /// The name of the RDMA device.
    pub(crate) device: KnownName,
    /// The port of the device.
    pub(crate) port: u32,
    /// The heartbeat, for its latency.
    pub(crate) heartbeat: Arc<Heartbeat>,
}

/// The name of a device, at most 64 bytes (`IB_DEVICE_NAME_MAX`).
#[derive(Clone, Copy)]
pub(crate) struct KnownName {
    bytes: [u8; 64],
    len: usize,
}

impl KnownName {
    /// Copies a name; cuts off what is too long.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 64];
        let len = name.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        Self { bytes, len }
    }

    /// The name.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// A path. Lives as long as it is listed in its session.
#[pin_data]
pub(crate) struct Path {
    session: Arc<Inner>,
    uuid: Uuid,
    /// The name of its directory, once it has one.
    name: SetOnce<CString>,
    endpoints: Endpoints,
    state: AtomicEnum<State>,
    /// Attempts to connect so far; the low bits go onto the wire.
    attempts: Atomic<u32>,
    /// Whether the server may create the session for this path (spec: rtrs 2.2).
    first_conn: Atomic<bool>,
    /// Woken when the info response is here, or the attempt has failed.
    #[pin]
    info: Completion,
    /// Bytes of the info response.
    info_len: Atomic<usize>,
    /// Whether a failed work request of this incarnation was reported.
    explained: Atomic<bool>,
    /// The live part. Held while it is built and while it is taken down, so whoever waits
    /// for the lock finds one or the other done.
    #[pin]
    life: Mutex<Option<Arc<Live>>>,
    #[pin]
    known: Mutex<Option<Known>>,
    stats: Arc<Stats>,
    #[pin]
    recovery: Work<Path>,
}

impl_has_work! {
    impl HasWork<Self> for Path { self.recovery }
}

impl Path {
    /// A path of `session`, not connected. The first one may create the session on the
    /// server.
    pub(crate) fn new(session: Arc<Inner>, endpoints: Endpoints, first: bool) -> Result<Arc<Self>> {
        let stats = Stats::new()?;
        Arc::pin_init(
            pin_init!(Self {
                session,
                uuid: uuid::random(),
                name: SetOnce::new(),
                endpoints,
                state: AtomicEnum::new(State::Connecting),
                attempts: Atomic::new(0),
                first_conn: Atomic::new(first),
                info <- Completion::new(),
                info_len: Atomic::new(0),
                explained: Atomic::new(false),
                life <- new_mutex!(None, "rtrs_client::path_life"),
                known <- new_mutex!(None, "rtrs_client::path_known"),
                stats,
                recovery <- new_work!("rtrs_client::recovery"),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn session(&self) -> &Arc<Inner> {
        &self.session
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The name of its directory, once it has one. Any context.
    pub(crate) fn name(&self) -> Option<&CStr> {
        self.name.as_ref().map(|name| &**name)
    }

    /// It gets a directory of this name. Allocates.
    pub(crate) fn named(&self, name: &CStr) -> Result {
        self.name.populate(CString::try_from(name)?);
        Ok(())
    }

    /// Where it is in its life. Any context.
    pub(crate) fn state(&self) -> State {
        self.state.load()
    }

    /// What the path counts, over all its reconnects.
    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whether requests may be sent.
    #[inline]
    pub(crate) fn is_connected(&self) -> bool {
        self.state.load().is_connected()
    }

    /// What was learned by the last successful attempt.
    pub(crate) fn known(&self) -> Option<Known> {
        self.known.lock().clone()
    }

    /// Whether the server may create the session.
    pub(crate) fn first_conn(&self) -> bool {
        self.first_conn.load(Relaxed)
    }

    /// Connection 0 is established: the server knows the session now, and may create it
    /// anew whenever it has forgotten it.
    pub(crate) fn known_to_server(&self) {
        self.first_conn.store(true, Relaxed);
    }

    /// Fails if the attempt to connect has failed meanwhile, or the path is being closed.
    pub(crate) fn still_connecting(&self) -> Result {
        match self.state.load() {
            State::Connecting => Ok(()),
            State::ConnectingErr => Err(error(errno::ECONNRESET)),
            _ => Err(error(errno::ECONNABORTED)),
        }
    }

    /// The info response is here, with so many bytes. Completion context.
    pub(crate) fn info_arrived(&self, len: usize) {
        self.info_len.store(len, Relaxed);
        self.info.complete_all();
    }

    /// Waits for the info response and answers how long it is. Sleeps.
    pub(crate) fn wait_info(&self, timeout_ms: u32) -> Result<usize> {
        let arrived = self.info.wait_interruptible_timeout(timeout_ms)?;
        self.still_connecting()?;
        if !arrived {
            return Err(error(errno::ETIMEDOUT));
        }
        Ok(self.info_len.load(Relaxed))
    }

    fn step(&self, event: Event) -> Option<State> {
        let stepped = self.state.step(|state| state.step(event));
        stepped.ok().map(|(_, new)| new)
    }

    /// Something broke. The first report of an incarnation is logged and leads to the
    /// path's being taken down; all others have no effect. Any context.
    pub(crate) fn fail(self: &Arc<Self>, fault: Fault) {
        trace::error_recovery(self);
        match self.step(Event::Failed) {
            // Whoever is connecting cleans up.
            Some(State::ConnectingErr) => self.info.complete_all(),
            Some(State::Reconnecting) => {
                let _ = self.session.context().queue().enqueue(self.clone());
            }
            // It may be what made the first report happen, seen a moment later. Worth a
            // line, but only one.
            _ if matches!(fault, Fault::Completion(_)) && !self.state.load().is_closing() => {}
            _ => return,
        }
        if !matches!(fault, Fault::Completion(_)) || !self.explained.xchg(true, Relaxed) {
            self.report(fault);
        }
    }

    fn report(&self, what: impl core::fmt::Display) {
        pr_warn!(
            "session {}: path to {}: {}\n",
            Show(self.session.name()),
            self.endpoints.1,
            Show(what)
        );
    }

    /// Connects the path; it must be in the state `Connecting`. Sleeps, for tens of
    /// seconds if the peer does not answer.
    ///
    /// On failure the path has been taken down and is `Closed`, or on its way there.
    pub(crate) fn connect(self: &Arc<Self>) -> Result {
        let result = self.try_connect();
        if let Err(error) = &result {
            // A fault has put it there already; everything else is our own finding.
            let _ = self.step(Event::Failed);
            pr_warn!(
                "session {}: path to {}: connecting failed with error {}\n",
                Show(self.session.name()),
                self.endpoints.1,
                error.to_errno()
            );
            self.close();
        }
        result
    }

    fn try_connect(self: &Arc<Self>) -> Result {
        let mut life = self.life.lock();
        self.still_connecting()?;
        self.info.reinit();
        self.explained.store(false, Relaxed);
        let attempt = self.attempts.fetch_add(1, Relaxed).wrapping_add(1);
        let live = connect::build(self, attempt)?;
        // From here on `close` finds it.
        *life = Some(live.clone());
        *self.known.lock() = Some(connect::known(&live));
        if self.step(Event::Established) != Some(State::Connected) {
            return Err(error(errno::ECONNRESET));
        }
        self.stats.reconnected(true);
        live.heartbeat().start(live.clone());
        self.session.path_up(&live)
    }

    /// Takes the live part down, if there is one. When this returns, nothing of it is in
    /// use any more, and everything that was in flight has ended. Sleeps.
    fn take_down(&self) {
        let live = {
            let mut life = self.life.lock();
            let Some(live) = life.take() else {
                return;
            };
            self.session.withdraw(&live);
            live.take_down();
            live
        };
        self.session.path_down(&live);
    }

    /// Closes the path for good, and waits until it is. Sleeps; must not be called by the
    /// path's own work.
    pub(crate) fn close(self: &Arc<Self>) {
        trace::close_conns(self);
        let _ = self.step(Event::Close);
        self.take_down();
        cancel_sync(self);
        let _ = self.step(Event::Drained);
    }
}

impl WorkItem for Path {
    type Pointer = Arc<Self>;

    /// A connected path broke.
    fn run(this: Arc<Self>) {
        this.take_down();
        // The place of the schedule for reconnecting; without one, no attempt is left.
        if this.step(Event::Exhausted).is_some() {
            let _ = this.step(Event::Drained);
        }
    }
}
