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
        impl_has_delayed_work,
        impl_has_work,
        new_delayed_work,
        new_work,
        DelayedWork,
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
    memory,
    net::SockAddr,
    random,
    rdma::Lost,
    sync::{
        AtomicEnum,
        Completion, //
    },
    workqueue::{
        cancel_delayed_sync,
        cancel_sync,
        enqueue_delayed, //
    },
};
use rtrs_core::{
    address::Endpoints,
    heartbeat::Heartbeat,
    uuid, //
};
use rtrs_logic::{
    client_path::{
        Event,
        State, //
    },
    reconnect::{
        Next,
        Schedule, //
    }, //
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
    /// Woken when the info response is here, or the attempt has failed.
    #[pin]
    info: Completion,
    /// Bytes of the info response.
    info_len: Atomic<usize>,
    /// The server has become another one: no attempt to connect can succeed.
    hopeless: Atomic<bool>,
    /// Whether a failed work request of this incarnation was reported.
    explained: Atomic<bool>,
    /// The live part. Held while it is built and while it is taken down, so whoever waits
    /// for the lock finds one or the other done.
    #[pin]
    life: Mutex<Option<Arc<Live>>>,
    #[pin]
    known: Mutex<Option<Known>>,
    stats: Arc<Stats>,
    /// The attempts of the outage.
    #[pin]
    schedule: Mutex<Schedule>,
    /// Takes the path down.
    #[pin]
    recovery: Work<Path, RECOVERY>,
    /// Connects it again.
    #[pin]
    attempt: DelayedWork<Path, ATTEMPT>,
}

/// Number of the work item that takes the path down.
const RECOVERY: u64 = 0;
/// Number of the one that connects it again.
const ATTEMPT: u64 = 1;
/// How often an attempt is repeated at once that the server has refused, and after how many
/// milliseconds at most.
const EAGER_ATTEMPTS: u32 = 2;
const EAGER_PAUSE_MAX_MS: u32 = 5000;

impl_has_work! {
    impl HasWork<Self, 0> for Path { self.recovery }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Path { self.attempt }
}

impl Path {
    /// A path of `session`, not connected.
    pub(crate) fn new(session: Arc<Inner>, endpoints: Endpoints) -> Result<Arc<Self>> {
        let stats = Stats::new()?;
        Arc::pin_init(
            pin_init!(Self {
                session,
                uuid: uuid::random(),
                name: SetOnce::new(),
                endpoints,
                state: AtomicEnum::new(State::Connecting),
                attempts: Atomic::new(0),
                info <- Completion::new(),
                info_len: Atomic::new(0),
                hopeless: Atomic::new(false),
                explained: Atomic::new(false),
                life <- new_mutex!(None, "rtrs_client::path_life"),
                known <- new_mutex!(None, "rtrs_client::path_known"),
                stats,
                schedule <- new_mutex!(Schedule::new(), "rtrs_client::schedule"),
                recovery <- new_work!("rtrs_client::recovery"),
                attempt <- new_delayed_work!("rtrs_client::attempt"),
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

    /// The server offers what the session cannot change to any more.
    pub(crate) fn set_hopeless(&self) {
        self.hopeless.store(true, Relaxed);
    }

    fn is_hopeless(&self) -> bool {
        self.hopeless.load(Relaxed)
    }

    /// Fails if the attempt to connect has failed meanwhile, or the path is being closed.
    pub(crate) fn still_connecting(&self) -> Result {
        match self.state.load() {
            // An administrator may have begun an attempt after the paths were told to give up.
            State::Connecting if !self.session.is_closing() => Ok(()),
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

    /// Wakes whoever connects the path, to look at its state. Any context.
    fn interrupt(&self) {
        self.info.complete_all();
        self.session.changed().wake_all();
    }

    /// The attempt to connect was successful. Any context.
    ///
    /// Fails with `ECONNRESET` if the path has broken meanwhile, or is being closed.
    pub(crate) fn established(&self) -> Result {
        match self.step(Event::Established) {
            Some(State::Connected) => Ok(()),
            _ => Err(error(errno::ECONNRESET)),
        }
    }

    fn step(&self, event: Event) -> Option<State> {
        let stepped = self.state.step(|state| state.step(event));
        stepped.ok().map(|(_, new)| new)
    }

    /// Something broke. The first report of an incarnation is logged and leads to the
    /// path's being taken down; all others have no effect. Any context.
    ///
    /// A device that is being removed closes the path for good: an administrator has to
    /// connect it again when there is another one.
    pub(crate) fn fail(self: &Arc<Self>, fault: Fault) {
        trace::error_recovery(self);
        let event = match fault {
            Fault::Lost(Lost::DeviceRemoval) => Event::Close,
            _ => Event::Failed,
        };
        match self.step(event) {
            // Whoever is connecting cleans up.
            Some(State::ConnectingErr) => self.interrupt(),
            Some(_) => {
                self.interrupt();
                let queue = self.session.context().queue();
                let _ = queue.enqueue::<_, RECOVERY>(self.clone());
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

    fn report_attempt(&self, error: &Error) {
        pr_warn!(
            "session {}: path to {}: connecting failed with error {}\n",
            Show(self.session.name()),
            self.endpoints.1,
            error.to_errno()
        );
    }

    /// Connects the path for the first time; it must be in the state `Connecting`. Sleeps,
    /// for tens of seconds if the peer does not answer.
    ///
    /// On failure the path has been taken down and is `Closed`, or on its way there.
    pub(crate) fn connect(self: &Arc<Self>) -> Result {
        let result = self.try_connect();
        if let Err(error) = &result {
            // A fault has put it there already; everything else is our own finding.
            let _ = self.step(Event::Failed);
            self.report_attempt(error);
            self.close();
        }
        result
    }

    fn try_connect(self: &Arc<Self>) -> Result {
        let mut life = self.life.lock();
        self.bury(life.take());
        self.still_connecting()?;
        self.info.reinit();
        self.explained.store(false, Relaxed);
        let attempt = self.attempts.fetch_add(1, Relaxed).wrapping_add(1);
        let live = connect::build(self, attempt)?;
        // From here on whoever takes the path down finds it.
        *life = Some(live.clone());
        *self.known.lock() = Some(connect::known(&live));
        loop {
            self.session.settle(&live)?;
            match self.session.path_up(&live) {
                Err(EAGAIN) => {}
                result => break result?,
            }
        }
        self.stats.reconnected(true);
        live.heartbeat().start(live.clone());
        // While nobody can take this incarnation down, and leave another wreck of this path.
        self.session.returned(self.uuid);
        Ok(())
    }

    /// Connects the path again, if that is its turn; only one caller gets it. Sleeps.
    ///
    /// Fails with `EBUSY` if it is not, or as connecting does; then the next attempt is
    /// scheduled, or the path is closed.
    fn connect_again(self: &Arc<Self>) -> Result {
        trace::reconnect_work(self);
        if self.step(Event::Reconnect).is_none() {
            return Err(EBUSY);
        }
        // Disks may be waiting for us, so nothing here may wait for disks (weak point L14).
        memory::without_io(|| {
            self.schedule.lock().on_attempt();
            let result = self.session.begin_return(self).and_then(|()| {
                let mut result = self.try_connect();
                for _ in 0..EAGER_ATTEMPTS {
                    // The server has found out by this very attempt that the old path is over,
                    // and is about to take it down.
                    let refused = result == Err(error(errno::ECONNRESET));
                    if !refused || self.is_hopeless() || self.still_connecting().is_err() {
                        break;
                    }
                    // As long as the path is wanted: whoever closes it waits for us.
                    let pause = self.session.pace().backoff_ms.min(EAGER_PAUSE_MAX_MS);
                    self.session
                        .changed()
                        .wait_event_timeout(pause, || self.still_connecting().is_err());
                    result = self.try_connect();
                }
                result
            });
            match &result {
                Ok(()) => {
                    self.schedule.lock().reset();
                    pr_info!(
                        "session {}: path to {}: connected again\n",
                        Show(self.session.name()),
                        self.endpoints.1
                    );
                }
                Err(error) => {
                    self.session.not_returned(self.uuid);
                    let _ = self.step(Event::Failed);
                    self.stats.reconnected(false);
                    self.report_attempt(error);
                    self.take_down();
                    let _ = self.step(Event::Retry);
                    self.schedule_next();
                }
            }
            result
        })
    }

    /// Schedules the next attempt, or closes the path if none is left. Does nothing if the
    /// path does not wait for one.
    fn schedule_next(self: &Arc<Self>) {
        if self.state.load() != State::Reconnecting {
            return;
        }
        let (max, pace) = (self.session.max_reconnects(), self.session.pace());
        let next = self.schedule.lock().on_failure(max, &pace, random_u32());
        match next {
            Next::After(_) if self.is_hopeless() => self.exhaust(),
            Next::After(ms) => {
                let queue = self.session.context().connecting();
                let _ = enqueue_delayed::<_, ATTEMPT>(queue, self.clone(), ms);
            }
            Next::GiveUp => self.exhaust(),
        }
    }

    /// Closes the path, which waits for its next attempt, as there is none.
    fn exhaust(self: &Arc<Self>) {
        if self.step(Event::Exhausted).is_some() {
            self.report("no attempt to connect is left; write 1 to its file reconnect");
            let _ = self.step(Event::Drained);
            // Requests may be waiting for its return.
            self.session.kick();
        }
    }

    /// Takes the live part down if it is broken or to be closed. When this returns, nothing
    /// of it is in use any more, and what was in flight waits for another path or has
    /// ended. Sleeps.
    fn take_down(self: &Arc<Self>) {
        let mut life = self.life.lock();
        // Whoever was faster may have built another one.
        match self.state.load() {
            State::Connecting | State::Connected => {}
            _ => self.bury(life.take()),
        }
    }

    /// Takes a live part down, with the lock of `life` held. Sleeps.
    fn bury(&self, live: Option<Arc<Live>>) {
        let Some(live) = live else {
            return;
        };
        // Disks wait for the requests that end here, whoever it is that takes the path down; so
        // nothing here may wait for disks (weak point L14).
        memory::without_io(|| {
            self.session.withdraw(&live);
            self.session.list_wreck(&live.wreck);
            if !live.take_down() {
                self.session.forget(&live.wreck);
            }
            // First the requests, then the news.
            self.session.salvage();
            self.session.path_down(&live);
            drop(live);
        })
    }

    /// A connected path broke, its device is being removed, or an attempt to connect has
    /// ended. Process context.
    fn recover(self: &Arc<Self>) {
        self.take_down();
        if self.step(Event::Drained).is_none() {
            self.schedule_next();
        }
    }

    /// Connects the path anew, on behalf of an administrator, whatever it does now and how
    /// many attempts it has had. Sleeps, for tens of seconds if the peer does not answer.
    ///
    /// Fails with `EBUSY` if it is just being connected or closed, and with `ENOTCONN` if
    /// the attempt failed (spec: rtrs 3.5). With `ERESTARTSYS` a signal came in between: the writer's
    /// system call begins anew, so that the end of a child does not keep the path down.
    pub(crate) fn reconnect(self: &Arc<Self>) -> Result {
        if self.state.load() == State::Connecting || self.step(Event::Revive).is_none() {
            return Err(EBUSY);
        }
        // The attempt that was scheduled is the one that is made now.
        cancel_delayed_sync::<_, ATTEMPT>(self);
        self.schedule.lock().reset();
        self.hopeless.store(false, Relaxed);
        self.take_down();
        match self.connect_again() {
            Err(EBUSY) => Err(EBUSY),
            _ if self.is_connected() => Ok(()),
            Err(ERESTARTSYS) => Err(ERESTARTSYS),
            _ => Err(error(errno::ENOTCONN)),
        }
    }

    /// The session is being closed: ends an attempt to connect soon. Any context.
    pub(crate) fn give_up(&self) {
        let _ = self.step(Event::Close);
        self.interrupt();
    }

    /// Closes the path for good, and waits until it is. Sleeps; must not be called by the
    /// path's own work.
    pub(crate) fn close(self: &Arc<Self>) {
        trace::close_conns(self);
        self.give_up();
        self.take_down();
        cancel_sync::<_, RECOVERY>(self);
        cancel_delayed_sync::<_, ATTEMPT>(self);
        let _ = self.step(Event::Drained);
        self.session.kick();
    }

    /// The path leaves its session. True for one caller, after [`Self::close`].
    pub(crate) fn retire(&self) -> bool {
        self.step(Event::Remove).is_some()
    }
}

impl WorkItem<RECOVERY> for Path {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.recover();
    }
}

impl WorkItem<ATTEMPT> for Path {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _ = this.connect_again();
    }
}

fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    random::bytes(&mut bytes);
    u32::from_ne_bytes(bytes)
}
