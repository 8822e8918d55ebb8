// SPDX-License-Identifier: GPL-2.0

//! What the paths of a session share: what they agreed about, which of them are
//! connected, and the choice among them.
//!
//! The handle of the session's user is [`Session`](crate::Session). Paths refer to
//! [`Inner`], and `Inner` lists the paths; closing breaks the circle.

mod opening;

use kernel::{
    alloc::{
        flags::__GFP_NOWARN,
        Flags, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
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
        Work, //
    },
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    fmt::Show,
    memory,
    net::Namespace,
    new_irq_spinlock,
    sync::{
        synchronize_rcu,
        ArcCell,
        AtomicEnum,
        IrqSpinLock,
        WaitQueue, //
    },
    workqueue::enqueue_delayed,
};
use rtrs_core::{heartbeat, uuid};
use rtrs_logic::{
    policy::Policy,
    reconnect::{
        MaxAttempts,
        Pace, //
    }, //
};
use rtrs_proto::{
    limits::MAX_PATHS,
    Features,
    SessionName,
    SessionParams,
    Uuid, //
};

use crate::{
    context::Context,
    live::Live,
    permit::{
        Permit,
        Pool, //
    },
    plan::Operation,
    request::Refused,
    routes::Routes,
    session::{
        Limits,
        OpenParams, //
    },
    sysfs::Tree,
    ulp::{
        LinkEvent,
        Ulp, //
    },
    wreck::Wreck,
};

/// Bytes of a page of a memory region, the unit in which requests are bounded.
const SEGMENT_BYTES: u32 = 4096;

/// What a server tells about itself, and all paths of a session must agree about: an
/// index or a key that means one thing on one path must not mean another on the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) params: SessionParams,
    /// Whether every answer brings a new key for its chunk.
    pub(crate) new_rkey: bool,
    /// What the server accepted of what we can beyond the C implementation.
    pub(crate) features: Features,
}

/// Milliseconds until a list of paths is made for which there was no memory.
const STALE_MS: u32 = 1000;
/// Most wrecks that are known at a time.
const WRECKS_MAX: usize = 2 * MAX_PATHS;

/// The paths that are connected, and what the user was told about them.
struct Control {
    /// In the order in which the paths were added, as far as they are connected.
    lives: KVec<Arc<Live>>,
    /// Whether the user is told about changes.
    announced: bool,
    /// Requests still see a list with a path that is gone, which keeps its device.
    stale: bool,
}

/// What the paths of a session share.
#[pin_data]
pub(crate) struct Inner {
    context: Arc<Context>,
    name: SessionName,
    uuid: Uuid,
    ulp: Arc<dyn Ulp>,
    /// Where the addresses of the paths mean something.
    net: Namespace,
    nr_poll: u32,
    /// Completions that were found by polling.
    polled: Atomic<u64>,
    port: u16,
    max_reconnects: Atomic<i32>,
    policy: AtomicEnum<Policy>,
    /// How patient its paths are.
    heartbeat: Arc<heartbeat::Settings>,
    /// The least of all paths; grows never.
    max_segments: Atomic<u32>,
    /// Nothing is kept any more.
    closing: Atomic<bool>,
    /// The permits, once they are made.
    pool: SetOnce<Arc<Pool>>,
    /// What lost paths left behind, as long as the server may work on it. Its room is made
    /// with it, as recovery must not allocate.
    #[pin]
    wrecks: IrqSpinLock<KVec<Arc<Wreck>>>,
    /// Woken when one of the wrecks or paths gets another state.
    #[pin]
    changed: WaitQueue,
    /// A pass over the requests without a path: soon, and later.
    #[pin]
    soon: Work<Inner, 0>,
    #[pin]
    later: DelayedWork<Inner, 1>,
    /// How much time there is between attempts to connect a path again.
    #[pin]
    pace: Mutex<Pace>,
    #[pin]
    agreed: Mutex<Option<Agreed>>,
    /// What requests see of `control`.
    #[pin]
    routes: ArcCell<Routes>,
    #[pin]
    control: Mutex<Control>,
    /// How many paths were connected and are not completely taken down. Changed under the lock of
    /// `control`.
    up: Atomic<u32>,
    /// The paths, and their files.
    #[pin]
    tree: Mutex<Tree>,
}

impl_has_work! {
    impl HasWork<Self, 0> for Inner { self.soon }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 1> for Inner { self.later }
}

impl Inner {
    /// A session without paths.
    pub(crate) fn new(
        params: &OpenParams<'_>,
        max: MaxAttempts,
        ulp: Arc<dyn Ulp>,
    ) -> Result<Arc<Self>> {
        let context = Context::get()?;
        let heartbeat = Arc::new(
            heartbeat::Settings::new(crate::params::heartbeat()?),
            GFP_KERNEL,
        )?;
        let wrecks = KVec::with_capacity(WRECKS_MAX, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                context,
                name: params.name.clone(),
                uuid: uuid::random(),
                ulp,
                net: params.net.clone(),
                nr_poll: params.nr_poll,
                polled: Atomic::new(0),
                port: params.port,
                max_reconnects: Atomic::new(max.get()),
                policy: AtomicEnum::new(Policy::default()),
                heartbeat,
                max_segments: Atomic::new(rtrs_proto::limits::MAX_SEGMENTS),
                closing: Atomic::new(false),
                pool: SetOnce::new(),
                wrecks <- new_irq_spinlock!(wrecks, "rtrs_client::wrecks"),
                changed <- WaitQueue::new(),
                soon <- new_work!("rtrs_client::soon"),
                later <- new_delayed_work!("rtrs_client::later"),
                pace <- new_mutex!(Pace::new(params.reconnect_delay_s), "rtrs_client::pace"),
                agreed <- new_mutex!(None, "rtrs_client::agreed"),
                routes <- ArcCell::new(None),
                control <- new_mutex!(
                    Control { lives: KVec::new(), announced: false, stale: false },
                    "rtrs_client::control"
                ),
                up: Atomic::new(0),
                tree <- new_mutex!(Tree::new(), "rtrs_client::tree"),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn name(&self) -> &SessionName {
        &self.name
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The network namespace of all paths.
    pub(crate) fn net(&self) -> &Namespace {
        &self.net
    }

    pub(crate) fn ulp(&self) -> &dyn Ulp {
        &*self.ulp
    }

    /// Whether a path is connected. Any context.
    pub(crate) fn is_connected(&self) -> bool {
        let _reading = rcu::read_lock();
        self.routes.get().is_some_and(|routes| routes.any_usable())
    }

    /// What the server accepted.
    pub(crate) fn features(&self) -> Features {
        let agreed = *self.agreed.lock();
        agreed.map_or(Features::NONE, |agreed| agreed.features)
    }

    /// The connected paths, for the duration of an RCU section.
    pub(crate) fn routes(&self) -> Option<Arc<Routes>> {
        self.routes.get()
    }

    /// The permits.
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// Where one waits for other states of wrecks and paths.
    pub(crate) fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Lists what a path leaves behind that is going down. Any context.
    pub(crate) fn list_wreck(&self, wreck: &Arc<Wreck>) {
        let mut wrecks = self.wrecks.lock();
        if wrecks.len() >= WRECKS_MAX {
            // Nobody has so many paths; these were removed without a proof long ago.
            drop(wrecks.remove(0));
        }
        // There is room.
        let _ = wrecks.push_within_capacity(wreck.clone());
    }

    /// Forgets what the server is done with. Any context.
    pub(crate) fn forget(&self, wreck: &Arc<Wreck>) {
        let mut wrecks = self.wrecks.lock();
        wrecks.retain(|other| !Arc::ptr_eq(other, wreck));
    }

    /// The first wreck of which this is true. Any context.
    pub(crate) fn find_wreck(&self, wanted: impl Fn(&Wreck) -> bool) -> Option<Arc<Wreck>> {
        let wrecks = self.wrecks.lock();
        wrecks.iter().find(|wreck| wanted(wreck)).cloned()
    }

    /// The port of paths that are added.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How much time there is between attempts to connect a path again. Sleeps.
    pub(crate) fn pace(&self) -> Pace {
        *self.pace.lock()
    }

    /// Changes that; it counts from the next failure on. Sleeps.
    ///
    /// Fails with `EINVAL` if the result may not be set.
    pub(crate) fn set_pace(&self, change: impl FnOnce(&mut Pace)) -> Result {
        let mut pace = self.pace.lock();
        let mut new = *pace;
        change(&mut new);
        if !new.is_valid() {
            return Err(EINVAL);
        }
        *pace = new;
        Ok(())
    }

    pub(crate) fn poll_connections(&self) -> u32 {
        self.nr_poll
    }

    /// How patient its paths are.
    pub(crate) fn heartbeat(&self) -> &Arc<heartbeat::Settings> {
        &self.heartbeat
    }

    pub(crate) fn policy(&self) -> Policy {
        self.policy.load()
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        let _ = self.policy.step(|_| Some(policy));
    }

    pub(crate) fn max_reconnects(&self) -> MaxAttempts {
        MaxAttempts::new(self.max_reconnects.load(Relaxed)).unwrap_or(MaxAttempts::ENDLESS)
    }

    pub(crate) fn set_max_reconnects(&self, max: MaxAttempts) {
        self.max_reconnects.store(max.get(), Relaxed);
    }

    /// Takes what a server says on a path. The first path decides for all others (C3, C4).
    pub(crate) fn agree(&self, offer: &Agreed) -> Result {
        let mut agreed = self.agreed.lock();
        match agreed.as_ref() {
            None => {
                *agreed = Some(*offer);
                Ok(())
            }
            Some(known) if known == offer => Ok(()),
            Some(_) => {
                pr_warn!(
                    "session {}: the server has other parameters than before; map its devices anew\n",
                    Show(&self.name)
                );
                Err(error(errno::ECONNRESET))
            }
        }
    }

    /// The connections of a path are there: it is connected, and requests may take it. Sleeps.
    ///
    /// Fails with `EAGAIN` if all other paths were lost since the path was settled,
    /// `ECONNRESET` if it has broken already, `ENOMEM`, and with `EINVAL` if the path's device
    /// takes less in one request than the user was told.
    pub(crate) fn path_up(&self, live: &Arc<Live>) -> Result {
        // Whoever takes another path down needs the same lock, and write-back may be waiting
        // for that (weak point L14).
        memory::without_io(|| self.route_over(live))
    }

    fn route_over(&self, live: &Arc<Live>) -> Result {
        let mut control = self.control.lock();
        if !self.is_settled(live.path.uuid()) {
            return Err(EAGAIN);
        }
        let segments = self.max_segments.load(Relaxed);
        if live.max_segments < segments {
            if control.announced {
                // The user has built its requests for more.
                pr_warn!(
                    "session {}: the adapter of the path takes {} pieces of memory at once, where {} were promised; map the session's devices anew\n",
                    Show(&self.name),
                    live.max_segments,
                    segments
                );
                live.path.set_hopeless();
                return Err(EINVAL);
            }
            self.max_segments.store(live.max_segments, Relaxed);
        }
        control.lives.push(live.clone(), GFP_KERNEL)?;
        if let Err(error) = self.publish(&mut control, GFP_KERNEL) {
            control.lives.pop();
            return Err(error);
        }
        // If not, whoever takes it down finds it in the list.
        live.path.established()?;
        live.counted_up.store(true, Relaxed);
        let up = self.up.load(Relaxed).saturating_add(1);
        self.up.store(up, Relaxed);
        if control.announced && up == 1 {
            self.ulp.link(LinkEvent::Up);
        }
        Ok(())
    }

    /// Whether a path may carry requests as far as other paths are concerned. With none of them
    /// connected, the server may have made a new session for this one. So the user has to hear of
    /// the loss first, which is when all are completely down, and nothing that they left
    /// behind may come after new requests. Any context.
    fn is_settled(&self, path: Uuid) -> bool {
        self.is_connected() || (self.is_down() && self.dirty_wreck(path).is_none())
    }

    /// Whether all paths are completely down. Any context.
    pub(crate) fn is_down(&self) -> bool {
        self.up.load(Relaxed) == 0
    }

    /// Takes a path away from requests. Nobody submits over it any more when this
    /// returns. Sleeps.
    pub(crate) fn withdraw(self: &Arc<Self>, live: &Arc<Live>) {
        let mut control = self.control.lock();
        control.lives.retain(|other| !Arc::ptr_eq(other, live));
        self.publish_at_once(&mut control);
    }

    /// Shows the list of connected paths to requests without waiting for memory: write-back may be
    /// waiting for the requests that end after this (weak point L14).
    fn publish_at_once(self: &Arc<Self>, control: &mut Control) {
        if self.publish(control, GFP_NOWAIT | __GFP_NOWARN).is_ok() {
            return;
        }
        // The path in the old list is not usable, so requests do not mind. But it keeps its
        // device, for whose removal somebody may be waiting.
        control.stale = true;
        synchronize_rcu();
        if !self.is_closing() {
            let _ = enqueue_delayed::<_, 1>(self.context.queue(), self.clone(), STALE_MS);
        }
    }

    /// Tries again what lack of memory has prevented. Sleeps.
    pub(crate) fn refresh(self: &Arc<Self>) {
        let mut control = self.control.lock();
        if control.stale {
            self.publish_at_once(&mut control);
        }
    }

    /// A path that was up is completely down. Sleeps.
    pub(crate) fn path_down(&self, live: &Live) {
        let control = self.control.lock();
        if !live.counted_up.load(Relaxed) {
            return;
        }
        live.counted_up.store(false, Relaxed);
        let up = self.up.load(Relaxed).saturating_sub(1);
        if control.announced && up == 0 {
            self.ulp.link(LinkEvent::Down);
        }
        self.up.store(up, Relaxed);
        // A path that comes back may be waiting for it.
        self.changed().wake_all();
    }

    /// Shows the list of connected paths to requests.
    fn publish(&self, control: &mut Control, flags: Flags) -> Result {
        let routes = match control.lives.is_empty() {
            true => None,
            false => Some(Routes::new(&control.lives, flags)?),
        };
        let old = self.routes.set(routes);
        // Requests look at the old list inside of an RCU section only. After this, ours
        // is the last reference.
        synchronize_rcu();
        drop(old);
        control.stale = false;
        Ok(())
    }

    /// Sends a request over one of the paths. Any context.
    ///
    /// `replay` says that another path carried it before. Fails with `ECONNABORTED` without
    /// a path.
    pub(crate) fn send(
        &self,
        operation: &Operation<'_>,
        permit: Permit,
        replay: bool,
    ) -> Result<(), Refused> {
        let _reading = rcu::read_lock();
        let Some(routes) = self.routes.get() else {
            return Err((permit, error(errno::ECONNABORTED)));
        };
        let policy = self.policy();
        let counted = policy == Policy::MinInflight;
        let mut tried = 0;
        let mut busy = false;
        let mut refused = (permit, error(errno::ECONNABORTED));
        while let Some(live) = routes.choose(policy, &mut tried) {
            match live.submit(operation, refused.0, counted) {
                Ok(()) => {
                    if replay {
                        live.stats().failed_over();
                    }
                    return Ok(());
                }
                Err((permit, reason)) => refused = (permit, reason),
            }
            // Full, without memory to map, or a fence is still in its place: all of it passes.
            busy |= [EAGAIN, ENOMEM, EBUSY].contains(&refused.1);
            // It would be as wrong on any other path.
            if refused.1 == error(errno::EMSGSIZE) {
                return Err(refused);
            }
        }
        // As long as one path is only full, the request is worth another try.
        if busy {
            refused.1 = EAGAIN;
        } else if refused.1 == error(errno::ENOTCONN) {
            // It broke at this very moment.
            refused.1 = error(errno::ECONNABORTED);
        }
        Err(refused)
    }

    /// Handles what is completed on the poll connections of `queue`. Process context.
    pub(crate) fn poll(&self, queue: u32) -> u32 {
        let _reading = rcu::read_lock();
        let found = self.routes.get().map_or(0, |routes| routes.poll(queue));
        if found != 0 {
            self.polled.fetch_add(u64::from(found), Relaxed);
        }
        found
    }

    /// How many completions were found by polling.
    pub(crate) fn polled(&self) -> u64 {
        self.polled.load(Relaxed)
    }

    /// What the session can take, once a server has said it.
    pub(crate) fn limits(&self) -> Option<Limits> {
        let agreed = (*self.agreed.lock())?;
        let max_segments = self.max_segments.load(Relaxed);
        Some(Limits {
            queue_depth: agreed.params.depth().get(),
            max_io_size: agreed
                .params
                .max_io()
                .min(max_segments.saturating_mul(SEGMENT_BYTES)),
            max_segments,
        })
    }
}
