// SPDX-License-Identifier: GPL-2.0

//! A path: one client address, one server address, and the connections between them
//! (spec: rtrs 3.6).
//!
//! A path is made by the first connect request with its identifier, served after the info exchange,
//! and closed exactly once: whoever takes the step to the closing state queues the work that takes
//! it down. There is no way back; a client that returns gets a new path.
//!
//! What is heavy (connections, chunks, directories) is in [`Setup`] and is taken out by the close
//! work. What remains may be dropped in any context, by whoever holds the last reference.
//!
//! Lock order: the setup lock of a path, the lock of its session, the registry. The setup lock is
//! held while connections are made, while the info request is worked on, and by the close work just
//! long enough to take everything out; a state other than `Connecting` under it means that nothing
//! may be added (weak point S14).

use kernel::{
    impl_has_delayed_work, impl_has_work, new_delayed_work, new_mutex, new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        DelayedWork,
        Queue,
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    fmt::Show,
    net::SockAddr,
    new_irq_spinlock,
    rdma::QueuePair,
    sync::{
        AtomicEnum,
        Completion,
        Gate,
        IrqSpinLock, //
    },
    time,
    workqueue::enqueue_delayed, //
};
use rtrs_core::heartbeat::{
    Heartbeat,
    HeartbeatPath, //
};
use rtrs_logic::server_path::{
    Event,
    State, //
};
use rtrs_proto::{
    ConnectRequest,
    Immediate,
    SessionName,
    Uuid, //
};

use crate::{
    budget::{
        Budget,
        Charge, //
    },
    chunk::Pool,
    close,
    connection::{
        empty,
        Connection,
        Tokens, //
    },
    fence,
    fifo::Waiting,
    info,
    operation::{
        resume,
        Op,
        Operation, //
    },
    reason::Reason,
    server::Shared,
    session::Session,
    stats::Stats,
    sysfs::PathDir, //
};

/// A connection that the client was told is accepted.
pub(crate) struct Established {
    /// The context of the queue pair.
    pub(crate) con: Arc<Connection>,
    /// The queue pair.
    pub(crate) qp: Arc<QueuePair<Connection>>,
    /// For its memory.
    pub(crate) _charge: Charge,
}

/// What a path consists of, as far as it is there.
pub(crate) struct Setup {
    /// The chunks; made with the first connection.
    pub(crate) pool: Option<Arc<Pool>>,
    /// One place per connection, in the order of their numbers; none before the pool is there.
    pub(crate) connections: KVec<Option<Established>>,
    /// The directory of the path; present when the session counts the path.
    pub(crate) dir: Option<PathDir>,
}

/// A path.
#[pin_data]
pub(crate) struct Path {
    /// The identifier that the client made.
    pub(crate) uuid: Uuid,
    /// The session it belongs to.
    pub(crate) session: Arc<Session>,
    /// The server.
    pub(crate) shared: Arc<Shared>,
    /// The address of the client.
    pub(crate) client: SockAddr,
    /// The address of ours that the client connected to.
    pub(crate) server: SockAddr,
    /// The memory that its host may make us take.
    pub(crate) budget: Arc<Budget>,
    /// How many connections the path will have.
    pub(crate) cid_num: u16,
    /// Its heartbeat; runs while the path is connected.
    pub(crate) heartbeat: Arc<Heartbeat>,
    /// What it counts.
    pub(crate) stats: Arc<Stats>,
    state: AtomicEnum<State>,
    /// When the path was made, in milliseconds.
    born_ms: u64,
    /// When the path last made progress in being established, in milliseconds.
    progress_ms: Atomic<u64>,
    /// Connect requests that are worked on or wait for each other.
    joining: Atomic<u32>,
    /// Requests that are not over yet.
    #[pin]
    pub(crate) ops: Gate,
    /// Regions were registered, or the path is being closed.
    #[pin]
    pub(crate) registered: Completion,
    /// The path is forgotten.
    #[pin]
    pub(crate) gone: Completion,
    /// What the client calls itself, from the info request to the work on it.
    #[pin]
    pub(crate) name: IrqSpinLock<Option<SessionName>>,
    /// Why the path was closed, from then on.
    #[pin]
    reason: IrqSpinLock<Option<Reason>>,
    /// What the work item goes on with: requests that waited for their turn and have it now, and
    /// fences.
    #[pin]
    pub(crate) later: Waiting,
    /// Everything heavy.
    #[pin]
    pub(crate) setup: Mutex<Setup>,
    #[pin]
    info_work: Work<Path, INFO>,
    #[pin]
    close_work: Work<Path, CLOSE>,
    #[pin]
    later_work: Work<Path, LATER>,
    #[pin]
    timer: DelayedWork<Path, TIMER>,
}

/// Most connect requests that are worked on at a time. A client that keeps to the protocol has one;
/// but it may send the next while the thread with the last one is still on its way out.
const MAX_JOINING: u32 = 4;

/// The work items of a path: the info request, taking it down, and the time limit.
const INFO: u64 = 1;
const CLOSE: u64 = 2;
pub(crate) const TIMER: u64 = 3;
/// And what cannot be done in a completion.
const LATER: u64 = 4;

impl_has_work! {
    impl HasWork<Self, 1> for Path { self.info_work }
    impl HasWork<Self, 2> for Path { self.close_work }
    impl HasWork<Self, 4> for Path { self.later_work }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 3> for Path { self.timer }
}

impl Path {
    /// A path without any connection, for `request`, which came from `client` to `server`. Process
    /// context.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        budget: Arc<Budget>,
        request: &ConnectRequest,
        client: SockAddr,
        server: SockAddr,
    ) -> Result<Arc<Self>> {
        let heartbeat = Heartbeat::new(session.heartbeat.clone())?;
        let stats = Stats::new()?;
        let now = time::now_ms();
        let path = Arc::pin_init(
            pin_init!(Self {
                uuid: request.path(),
                session: session.clone(),
                shared: shared.clone(),
                client,
                server,
                budget,
                cid_num: request.cid_num(),
                heartbeat,
                stats,
                state: AtomicEnum::new(State::Connecting),
                born_ms: now,
                progress_ms: Atomic::new(now),
                joining: Atomic::new(0),
                ops <- Gate::new(),
                registered <- Completion::new(),
                gone <- Completion::new(),
                name <- new_irq_spinlock!(None, "rtrs_server::Path::name"),
                reason <- new_irq_spinlock!(None, "rtrs_server::Path::reason"),
                later <- Waiting::new(),
                setup <- new_mutex!(
                    Setup {
                        pool: None,
                        connections: KVec::new(),
                        dir: None,
                    },
                    "rtrs_server::Path::setup"
                ),
                info_work <- new_work!("rtrs_server::Path::info"),
                close_work <- new_work!("rtrs_server::Path::close"),
                later_work <- new_work!("rtrs_server::Path::later"),
                timer <- new_delayed_work!("rtrs_server::Path::timer"),
            }),
            GFP_KERNEL,
        )?;
        Ok(path)
    }

    /// The name of the path for the log: `client@server`.
    pub(crate) fn name(&self) -> Show<Name<'_>> {
        Show(Name(self))
    }

    /// The tokens of each of its queue pairs.
    #[inline]
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::new(self.shared.config.depth())
    }

    /// Whether requests are served. Any context.
    #[inline]
    pub(crate) fn is_connected(&self) -> bool {
        self.state.load().is_connected()
    }

    /// The code of the state. Any context.
    pub(crate) fn state_code(&self) -> i32 {
        self.state.load().into()
    }

    /// Whether connections may be added. Any context; final only under the setup lock.
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.state.load(), State::Connecting)
    }

    /// The client made progress in establishing the path.
    pub(crate) fn progress(&self) {
        self.progress_ms.store(time::now_ms(), Relaxed);
    }

    /// Asks the client for a sign of life; see [`Self::silence_ms`]. One caller at a time.
    pub(crate) fn ask(&self) {
        self.heartbeat.ask();
    }

    /// For how many milliseconds the client has given no sign of life though it was asked, which is
    /// for ever on a path that is over; none if it has given one, or is still connecting.
    pub(crate) fn silence_ms(&self) -> Option<u64> {
        match self.state.load() {
            State::Connecting => None,
            State::Connected => self.heartbeat.owed_ms(),
            State::Closing | State::Closed => Some(u64::MAX),
        }
    }

    /// Takes one of the few turns that there are for connect requests; none if they are taken.
    pub(crate) fn turn(self: &Arc<Self>) -> Option<Turn> {
        let taken = self.joining.fetch_add(1, Relaxed);
        let turn = Turn(self.clone());
        (taken < MAX_JOINING).then_some(turn)
    }

    /// Requests are served from now on. False if the path has been closed in the meantime.
    pub(crate) fn establish(&self) -> bool {
        self.step(Event::Established)
    }

    /// The close work is done with the path.
    pub(crate) fn drained(&self) {
        self.step(Event::Drained);
    }

    fn step(&self, event: Event) -> bool {
        self.state.step(|state| state.step(event)).is_ok()
    }

    /// Closes the path; harmless if it is closed already. Any context.
    pub(crate) fn close(self: &Arc<Self>, reason: Reason) {
        if self.step(Event::Close) {
            *self.reason.lock() = Some(reason);
            // Whoever waits for a registration looks at the state next.
            self.registered.complete_all();
            // The step is taken once, so the item cannot be queued already.
            let _ = self.queue().enqueue::<_, CLOSE>(self.clone());
        }
    }

    /// Why the path was closed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        *self.reason.lock()
    }

    /// Starts the work on the info request. Any context.
    pub(crate) fn queue_info(self: &Arc<Self>) {
        // If it is queued already, the client has sent two; that one will find out.
        let _ = self
            .shared
            .context
            .setup
            .queue()
            .enqueue::<_, INFO>(self.clone());
    }

    /// Has the work item go on with a request. Any context.
    pub(crate) fn postpone(self: &Arc<Self>, op: KBox<Op>) {
        match self.later.push(op) {
            Ok(()) => self.queue_later(),
            Err(op) => op.release(),
        }
    }

    /// Something was put into [`Self::later`]. Any context.
    pub(crate) fn queue_later(self: &Arc<Self>) {
        // If it is queued already, it has not looked yet.
        let _ = self.queue().enqueue::<_, LATER>(self.clone());
    }

    /// Ends what the work item has not begun with. Called when the path is no longer connected.
    pub(crate) fn flush_later(&self) {
        self.later.close();
        while let Some(op) = self.later.pop() {
            let next = match op.fence {
                Some(_) => None,
                None => op.over(),
            };
            op.release();
            resume(next);
        }
    }

    /// Starts the timer that closes the path unless it is established in time.
    pub(crate) fn start_timer(self: &Arc<Self>, ms: u32) {
        // It is queued once at the beginning, and by itself.
        let _ = enqueue_delayed::<_, TIMER>(self.queue(), self.clone(), ms);
    }
}

impl WorkItem<INFO> for Path {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        info::run(&this);
    }
}

impl WorkItem<CLOSE> for Path {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        close::run(&this);
    }
}

impl WorkItem<LATER> for Path {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        while let Some(op) = this.later.pop() {
            if let Some(target) = op.fence {
                fence::run(&this, op, target);
                continue;
            }
            let user = op.link.as_ref().map(|link| link.user.clone());
            // Dropping it gives the turn to the next one; nobody is told if the path is closing.
            let operation = Operation::new(op);
            if let Some(user) = user.filter(|_| this.is_connected()) {
                user.request(operation);
            }
        }
    }
}

impl WorkItem<TIMER> for Path {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if !this.is_connecting() {
            return;
        }
        let config = &this.shared.config;
        let now = time::now_ms();
        let quiet = now.saturating_sub(this.progress_ms.load(Relaxed));
        let age = now.saturating_sub(this.born_ms);
        // However steadily it makes connections, it has to be done one day (weak point S21).
        let left = u64::from(config.setup_timeout_ms)
            .saturating_sub(quiet)
            .min(u64::from(config.setup_limit_ms).saturating_sub(age));
        match left {
            1.. => this.start_timer(u32::try_from(left).unwrap_or(u32::MAX)),
            _ => {
                this.close(Reason::Late);
            }
        }
    }
}

/// The right to work on a connect request of a path.
///
/// They come one after the other, but each waits for the lock of the path in a thread of its own:
/// without a limit a client that sends many at once would have all threads wait.
pub(crate) struct Turn(Arc<Path>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.joining.fetch_sub(1, Relaxed);
    }
}

/// The heartbeat's view of a path.
pub(crate) struct Pulse {
    path: Arc<Path>,
    /// The queue pair of connection 0.
    qp: Arc<QueuePair<Connection>>,
}

impl Pulse {
    /// A view of `path`, whose connection 0 has the queue pair `qp`.
    pub(crate) fn of(
        path: &Arc<Path>,
        qp: &Arc<QueuePair<Connection>>,
    ) -> Result<Arc<dyn HeartbeatPath>> {
        let pulse = Arc::new(
            Self {
                path: path.clone(),
                qp: qp.clone(),
            },
            GFP_KERNEL,
        )?;
        Ok(pulse)
    }
}

impl HeartbeatPath for Pulse {
    fn send(&self, message: Immediate) -> Result {
        match self.qp.post(&[empty(message)], None) {
            // Without room there are answers on the way. If the client takes none of them, the
            // next ticks notice.
            Err(EAGAIN) => Ok(()),
            result => result,
        }
    }

    fn dead(&self) {
        self.path.close(Reason::Silent);
    }

    fn queue(&self) -> &Queue {
        self.path.queue()
    }
}

impl Path {
    /// The queue for the timer, the heartbeat and the close work.
    fn queue(&self) -> &Queue {
        self.shared.context.queue.queue()
    }
}

/// Writes the two addresses of a path as its directory is named.
pub(crate) struct Name<'a>(&'a Path);

impl core::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}@{}", self.0.client, self.0.server)
    }
}
