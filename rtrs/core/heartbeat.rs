// SPDX-License-Identifier: GPL-2.0

//! The heartbeat of a path: a timer around the decisions of `rtrs_logic::heartbeat`
//! (spec: rtrs 6.1), and the settings of it that a session has.
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
    log::warn_limited,
    new_irq_spinlock,
    sync::IrqSpinLock,
    time,
    workqueue::{
        cancel_delayed_sync,
        enqueue_delayed, //
    },
};
use rtrs_logic::heartbeat::{
    parse_number,
    Limits,
    Question,
    RoundTrip,
    Tick,
    Watch, //
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

/// How patient the paths of a session are; may be changed at any time, which all of them
/// notice within a second.
pub struct Settings {
    interval_ms: Atomic<u32>,
    missed_max: Atomic<u32>,
}

impl Settings {
    /// The name of the file, and of the module parameter, for the interval.
    pub const INTERVAL: &'static CStr = c"heartbeat_interval_ms";
    /// The name of the file, and of the module parameter, for the intervals that may be missed.
    pub const MISSED: &'static CStr = c"heartbeat_missed_max";

    /// Settings that begin with these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            interval_ms: Atomic::new(limits.interval_ms()),
            missed_max: Atomic::new(limits.missed_max()),
        }
    }

    /// The present limits. Any context.
    pub fn limits(&self) -> Limits {
        let (interval, missed) = (
            self.interval_ms.load(Relaxed),
            self.missed_max.load(Relaxed),
        );
        // Both were checked, each for itself, before they were stored.
        Limits::new(interval, missed).unwrap_or(Limits::DEFAULT)
    }

    /// Takes a new interval from what was written to its file; `EINVAL` unless it is a number of
    /// milliseconds within the bounds of [`Limits`].
    pub fn set_interval(&self, text: &[u8]) -> Result {
        let given = parse_number(text).filter(|given| Limits::new(*given, 1).is_some());
        let interval = given.ok_or_else(refused_interval)?;
        self.interval_ms.store(interval, Relaxed);
        Ok(())
    }

    /// Takes a new number of intervals that may be missed from what was written to its file;
    /// `EINVAL` unless it is within the bounds of [`Limits`].
    pub fn set_missed(&self, text: &[u8]) -> Result {
        let given = parse_number(text)
            .filter(|given| Limits::new(Limits::INTERVAL_MAX_MS, *given).is_some());
        let missed = given.ok_or_else(refused_missed)?;
        self.missed_max.store(missed, Relaxed);
        Ok(())
    }
}

/// Checks the two module parameters; says in the log what is wrong with them. `EINVAL`.
pub fn checked_limits(interval_ms: i32, missed_max: i32) -> Result<Limits> {
    let interval = u32::try_from(interval_ms).map_err(|_| refused_interval())?;
    let missed = u32::try_from(missed_max).map_err(|_| refused_missed())?;
    if Limits::new(interval, 1).is_none() {
        return Err(refused_interval());
    }
    Limits::new(interval, missed).ok_or_else(refused_missed)
}

fn refused_interval() -> Error {
    warn_limited!(
        "heartbeat_interval_ms must be {} to {}\n",
        Limits::INTERVAL_MIN_MS,
        Limits::INTERVAL_MAX_MS
    );
    EINVAL
}

fn refused_missed() -> Error {
    warn_limited!(
        "heartbeat_missed_max must be {} to {}\n",
        Limits::MISSED_MIN,
        Limits::MISSED_MAX
    );
    EINVAL
}

/// What a running heartbeat consists of.
struct Beat {
    path: Arc<dyn HeartbeatPath>,
    watch: Watch,
}

/// The heartbeat of one incarnation of a path. Started once, stopped once.
#[pin_data]
pub struct Heartbeat {
    #[pin]
    work: DelayedWork<Heartbeat>,
    /// None before the start and after the stop. Its presence is what keeps the timer going.
    #[pin]
    beat: IrqSpinLock<Option<Beat>>,
    settings: Arc<Settings>,
    /// Whether something arrived since the timer looked last.
    heard: Atomic<u32>,
    /// [`Question`]: whether the peer owes a sign of life, and since when.
    question: Atomic<u64>,
    /// [`RoundTrip`]: when the outstanding message was sent.
    sent_ns: Atomic<u64>,
    latency_ns: Atomic<u64>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Heartbeat { self.work }
}

impl Heartbeat {
    /// A heartbeat that is not started, of a path of the session with these settings.
    ///
    /// Fails with `ENOMEM` only.
    pub fn new(settings: Arc<Settings>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_delayed_work!("rtrs_core::heartbeat"),
                beat <- new_irq_spinlock!(None, "rtrs_core::heartbeat"),
                settings,
                heard: Atomic::new(0),
                question: Atomic::new(Question::NONE.to_raw()),
                sent_ns: Atomic::new(RoundTrip::IDLE.to_raw()),
                latency_ns: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts the timer; the first message goes after one interval. The path is referenced
    /// until [`Self::stop`]. Process context.
    pub fn start(self: &Arc<Self>, path: Arc<dyn HeartbeatPath>) {
        let limits = self.settings.limits();
        let before = self.beat.lock().replace(Beat {
            path: path.clone(),
            watch: Watch::new(time::now_ms(), limits),
        });
        drop(before);
        self.rearm(&*path, Watch::first_ms(limits));
    }

    /// Stops the timer, waits for a tick that is running, and lets go of the path.
    ///
    /// Sleeps; must not be called by the path's own [`HeartbeatPath`] methods. Harmless
    /// if the heartbeat was never started or is stopped already.
    pub fn stop(self: &Arc<Self>) {
        let beat = self.beat.lock().take();
        cancel_delayed_sync(self);
        drop(beat);
    }

    /// Something arrived from the peer, whatever it was. Any context; cheap enough for
    /// every completion.
    #[inline]
    pub fn heard(&self) {
        // Usually so already; reading does not take the cache line away from others.
        if self.heard.load(Relaxed) == 0 {
            self.heard.store(1, Relaxed);
        }
    }

    /// Has the next look of the timer, which comes within a second, ask the peer for a sign of
    /// life, whether a heartbeat is due or not. One caller at a time. Any context.
    pub fn ask(&self) {
        self.question.store(Question::WANTED.to_raw(), Relaxed);
    }

    /// For how many milliseconds the peer has owed a sign of life since it was asked, 0 if it is
    /// yet to be asked; none if it has given one, which anything is that arrives. Any context.
    pub fn owed_ms(&self) -> Option<u64> {
        Question::from_raw(self.question.load(Relaxed)).owed_ms(time::now_ms())
    }

    /// The answer to a heartbeat arrived. Any context. An answer that nobody waits for is
    /// ignored and returns false.
    pub fn acknowledged(&self) -> bool {
        self.question.store(Question::NONE.to_raw(), Relaxed);
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

    fn rearm(self: &Arc<Self>, path: &dyn HeartbeatPath, ms: u32) {
        // Refused while `stop` waits for us; the reference then comes back and is dropped.
        let _ = enqueue_delayed(path.queue(), self.clone(), ms);
    }

    /// Looks whether the peer was heard, and whether it is to be asked for a sign of life.
    fn look(&self) -> Option<(Arc<dyn HeartbeatPath>, Tick, bool)> {
        let mut beat = self.beat.lock();
        let beat = (*beat).as_mut()?;
        // What arrives after this counts for the next time.
        let heard = self.heard.xchg(0, Relaxed) != 0;
        let now = time::now_ms();
        let tick = beat.watch.look(heard, now, self.settings.limits());
        let question = Question::from_raw(self.question.load(Relaxed));
        let next = question.look(heard, now);
        // If it fails, the answer has come, or the question, at this very moment.
        let stepped = self
            .question
            .cmpxchg(question.to_raw(), next.to_raw(), Relaxed)
            .is_ok();
        let asks = stepped && question == Question::WANTED;
        Some((beat.path.clone(), tick, asks))
    }
}

impl WorkItem for Heartbeat {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let Some((path, tick, asks)) = this.look() else {
            return;
        };
        let next = match tick {
            Tick::Send(next) => {
                let sent = RoundTrip::started(time::now_ns());
                this.sent_ns.xchg(sent.to_raw(), Full);
                path.send(Immediate::HeartbeatMsg).is_ok().then_some(next)
            }
            // The round trip is measured by those that are due.
            Tick::Wait(next) if asks => path.send(Immediate::HeartbeatMsg).is_ok().then_some(next),
            Tick::Wait(next) => Some(next),
            Tick::Dead => None,
        };
        match next {
            Some(next) => this.rearm(&*path, next),
            None => path.dead(),
        }
    }
}
