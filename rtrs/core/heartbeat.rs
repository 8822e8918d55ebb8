// SPDX-License-Identifier: GPL-2.0

//! The heartbeat of a path: a timer around the decisions of `rtrs_logic::heartbeat`
//! (spec: rtrs 6.1).
//!
//! Both sides start one when a path is connected and stop it before the path is taken
//! down. What arrives is reported from completions in any context; what is to be sent is
//! handed to the path, which alone knows its connection 0. It never touches a queue pair.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    workqueue::{
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork,
        Queue,
        WorkItem, //
    },
};
use kernel_ext::{
    new_irq_spinlock,
    sync::IrqSpinLock,
    time,
    workqueue::{
        cancel_delayed_sync,
        enqueue_delayed, //
    },
};
use rtrs_logic::heartbeat::{
    self as logic,
    Limits,
    RoundTrip,
    Tick, //
};
use rtrs_proto::Immediate;

/// What a heartbeat needs of the path it belongs to.
pub trait HeartbeatPath: Send + Sync {
    /// Sends an empty message with this immediate on connection 0. Process context; must
    /// not wait. An error means that the path is dead.
    fn send(&self, message: Immediate) -> Result;

    /// The peer has been silent for too long, or nothing can be sent to it. Process
    /// context, on [`Self::queue`]; must not stop the heartbeat itself, but may queue the
    /// work that does.
    fn dead(&self);

    /// The queue on which the timer runs. Must outlive the heartbeat.
    fn queue(&self) -> &Queue;
}

/// The heartbeat of one incarnation of a path. Started once, stopped once.
#[pin_data]
pub struct Heartbeat {
    #[pin]
    work: DelayedWork<Heartbeat>,
    /// The path; none before the start and after the stop. Its presence is what keeps the
    /// timer going.
    #[pin]
    path: IrqSpinLock<Option<Arc<dyn HeartbeatPath>>>,
    limits: Limits,
    /// [`logic::Heartbeat`]: silent ticks.
    missed: Atomic<u32>,
    /// [`RoundTrip`]: when the outstanding message was sent.
    sent_ns: Atomic<u64>,
    latency_ns: Atomic<u64>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Heartbeat { self.work }
}

impl Heartbeat {
    /// A heartbeat that is not started, with the interval and patience of `limits`.
    ///
    /// Fails with `ENOMEM` only.
    pub fn new(limits: Limits) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_delayed_work!("rtrs_core::heartbeat"),
                path <- new_irq_spinlock!(None, "rtrs_core::heartbeat"),
                limits,
                missed: Atomic::new(logic::Heartbeat::new().to_raw()),
                sent_ns: Atomic::new(RoundTrip::IDLE.to_raw()),
                latency_ns: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts the timer; the first tick comes after one interval. The path is referenced
    /// until [`Self::stop`]. Process context.
    pub fn start(self: &Arc<Self>, path: Arc<dyn HeartbeatPath>) {
        let before = self.path.lock().replace(path.clone());
        drop(before);
        self.rearm(&*path);
    }

    /// Stops the timer, waits for a tick that is running, and lets go of the path.
    ///
    /// Sleeps; must not be called by the path's own [`HeartbeatPath`] methods. Harmless
    /// if the heartbeat was never started or is stopped already.
    pub fn stop(self: &Arc<Self>) {
        let path = self.path.lock().take();
        cancel_delayed_sync(self);
        drop(path);
    }

    /// Something arrived from the peer, whatever it was. Any context; cheap enough for
    /// every completion.
    #[inline]
    pub fn heard(&self) {
        let now = logic::Heartbeat::new().to_raw();
        // Usually so already; reading does not take the cache line away from others.
        if self.missed.load(Relaxed) != now {
            self.missed.store(now, Relaxed);
        }
    }

    /// The answer to a heartbeat arrived. Any context. An answer that nobody waits for is
    /// ignored and returns false.
    pub fn acknowledged(&self) -> bool {
        let sent = self.sent_ns.xchg(RoundTrip::IDLE.to_raw(), Full);
        let Some(latency) = RoundTrip::from_raw(sent).answered(time::now_ns()) else {
            return false;
        };
        self.latency_ns.store(latency, Relaxed);
        true
    }

    /// The last round trip in nanoseconds; none before the first. Any context.
    pub fn latency_ns(&self) -> Option<u64> {
        match self.latency_ns.load(Relaxed) {
            0 => None,
            latency => Some(latency),
        }
    }

    fn rearm(self: &Arc<Self>, path: &dyn HeartbeatPath) {
        // Refused while `stop` waits for us; the reference then comes back and is dropped.
        let _ = enqueue_delayed(path.queue(), self.clone(), self.limits.interval_ms());
    }

    /// Counts this tick. A reception at the same moment wins.
    fn tick(&self) -> Tick {
        let mut raw = self.missed.load(Relaxed);
        loop {
            let mut state = logic::Heartbeat::from_raw(raw);
            let tick = state.on_tick(&self.limits);
            match self.missed.cmpxchg(raw, state.to_raw(), Relaxed) {
                Ok(_) => return tick,
                Err(now) => raw = now,
            }
        }
    }
}

impl WorkItem for Heartbeat {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let Some(path) = this.path.lock().clone() else {
            return;
        };
        let alive = match this.tick() {
            Tick::Send => {
                let sent = RoundTrip::started(time::now_ns());
                this.sent_ns.xchg(sent.to_raw(), Full);
                path.send(Immediate::HeartbeatMsg).is_ok()
            }
            Tick::Wait => true,
            Tick::Dead => false,
        };
        if alive {
            this.rearm(&*path);
        } else {
            path.dead();
        }
    }
}
