// SPDX-License-Identifier: GPL-2.0

//! Requests without a path: proving that they may be sent again, sending and ending them
//! (spec: rtrs 4.8, 10.4).
//!
//! A *pass* looks at every berth of the session once and does for each request what
//! [`Facts::verdict`] says. Passes are made whenever something has changed: by the work
//! item of the session, and at once by whoever has taken a path down. Several may run at
//! the same time; the lock of a berth is what orders them. A pass never sleeps and never
//! allocates.
//!
//! # The proof
//!
//! A request of a lost path is sent again only when the server is done with that path:
//!
//! - the server answered a fence for it, which went over another path, with a permit of its own
//!   or, if none is free, in the place of one of the requests that wait;
//! - the path was connected again: no server takes it back before it is done with the old
//!   one;
//! - a server that knows no fence: the path is down for `failover_hold_ms`.
//!
//! While one proof is sought the other is not: see [`Wreck`](rtrs_logic::wreck::Wreck).

use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    workqueue::WorkItem,
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    workqueue::enqueue_delayed, //
};
use rtrs_logic::wreck::{
    Event,
    Facts,
    Verdict,
    Wreck as State, //
};
use rtrs_proto::{
    ChunkIndex,
    Features,
    Uuid, //
};

use crate::{
    inner::Inner,
    live::Live,
    params,
    path::Path,
    permit::{
        Permit,
        Pool, //
    },
    plan::Operation,
    wreck::{
        Held,
        Place,
        Wreck, //
    },
};

/// Milliseconds until a request is tried again that a full queue has refused.
const BUSY_MS: u64 = 5;
/// Milliseconds that connecting waits for broken paths to be taken down.
const DOWN_TIMEOUT_MS: u32 = 30_000;
/// Milliseconds that are waited in one go. The kernel takes a task for hung that sleeps for two
/// minutes.
const HOLD_STEP_MS: u32 = 60_000;
/// Milliseconds that connecting waits for the answer to a fence.
const FENCE_TIMEOUT_MS: u32 = 30_000;

/// What a pass has decided about a berth, to be done without its lock.
enum Found {
    Nothing,
    /// Look again in so many milliseconds.
    Later(u64),
    End(Permit, i32),
}

/// What is the same for all requests during a pass.
struct View {
    closing: bool,
    grace_ms: u64,
    fence: bool,
}

impl Inner {
    /// Has somebody make a pass soon. Any context.
    pub(crate) fn kick(self: &Arc<Self>) {
        if !self.is_closing() {
            let _ = self.context().queue().enqueue::<_, 0>(self.clone());
        }
    }

    /// One pass. Process context, though it does not sleep.
    pub(crate) fn salvage(self: &Arc<Self>) {
        let Some(pool) = self.pool() else {
            return;
        };
        let view = View {
            closing: self.is_closing(),
            grace_ms: u64::from(params::failover_hold_ms()),
            fence: self.features().has(Features::FENCE),
        };
        let mut again: Option<u64> = None;
        for index in 0..pool.depth() {
            match self.look_at(pool, index, &view) {
                Found::Nothing => {}
                Found::Later(ms) => again = Some(again.map_or(ms, |other| other.min(ms))),
                Found::End(permit, status) => self.ulp().complete(permit, status),
            }
        }
        if let Some(ms) = again.filter(|_| !view.closing) {
            // If the timer runs already it may be late by what it was set to; so it is never
            // set to long times.
            let ms = u32::try_from(ms.clamp(1, 1000)).unwrap_or(1000);
            let _ = enqueue_delayed::<_, 1>(self.context().queue(), self.clone(), ms);
        }
    }

    fn look_at(self: &Arc<Self>, pool: &Pool, index: usize, view: &View) -> Found {
        let Some(berth) = pool.berth(index) else {
            return Found::Nothing;
        };
        let mut place = berth.place.lock();
        let Some(held) = &place.held else {
            return Found::Nothing;
        };
        let mut later = self.prove(&held.wreck, view);
        let safe = held.wreck.is_over();
        let facts = Facts {
            closing: view.closing,
            carries_fence: held.carries_fence,
            expired: pool.is_expired(index, held.ticket.turn),
            safe,
            waited_ms: held.wreck.age_ms(),
            grace_ms: view.grace_ms,
            // Asked with the berth locked: the request may have come here after a path came up.
            path: self.is_connected(),
        };
        let end = |place: &mut Place, status| match place.held.take() {
            Some(held) => {
                let (permit, wreck) = held.into_permit();
                wreck.soil();
                Found::End(permit, status)
            }
            None => Found::Nothing,
        };
        match facts.verdict() {
            Verdict::Abort => end(&mut place, -errno::ECONNABORTED),
            Verdict::TimeOut => end(&mut place, -errno::ETIMEDOUT),
            Verdict::Send => self.resend(&mut place),
            Verdict::Wait(ms) => {
                if !safe && view.fence && !view.closing {
                    later = later.or(self.fence_from(&mut place));
                }
                match (ms, later) {
                    (Some(ms), Some(later)) => Found::Later(ms.min(later)),
                    (Some(ms), None) | (None, Some(ms)) => Found::Later(ms),
                    (None, None) => Found::Nothing,
                }
            }
        }
    }

    /// Finds the proof that is a matter of time. Answers the milliseconds that are missing.
    fn prove(&self, wreck: &Arc<Wreck>, view: &View) -> Option<u64> {
        if (view.fence && !wreck.no_fence()) || wreck.is_over() {
            return None;
        }
        match view.grace_ms.checked_sub(wreck.age_ms()) {
            Some(left @ 1..) => Some(left),
            _ => {
                if wreck.step(Event::Over) {
                    self.forget(wreck);
                }
                None
            }
        }
    }

    /// Sends the request in the berth over any path.
    fn resend(self: &Arc<Self>, place: &mut Place) -> Found {
        let Place { held, user } = place;
        let Some(request) = held.take() else {
            return Found::Nothing;
        };
        let Held {
            ticket,
            table,
            direction,
            usr_len,
            data,
            wreck,
            ..
        } = request;
        let operation = Operation {
            direction,
            user: user.get(..usr_len).unwrap_or(&[]),
            data,
        };
        match self.send(&operation, Permit::new(ticket, table), true) {
            Ok(()) => Found::Nothing,
            // It passes, or it broke at this very moment.
            Err((permit, reason)) if [EAGAIN, error(errno::ECONNABORTED)].contains(&reason) => {
                let (ticket, table) = permit.into_parts();
                *held = Some(Held {
                    ticket,
                    table,
                    direction,
                    usr_len,
                    data,
                    wreck,
                    carries_fence: false,
                });
                Found::Later(BUSY_MS)
            }
            Err((permit, reason)) => Found::End(permit, reason.to_errno()),
        }
    }

    /// Asks the server whether it is done with the path that carried the request in the berth.
    /// Answers when to try again if that did not work.
    ///
    /// If a permit is free, the question has that one: in the place of the request it would have to
    /// be given up, and the path that carries it, when the request is.
    fn fence_from(self: &Arc<Self>, place: &mut Place) -> Option<u64> {
        let held = place.held.as_mut()?;
        let wreck = &held.wreck;
        if let patience @ 1.. = wreck.patience_ms() {
            return Some(patience);
        }
        if wreck.no_fence() || !wreck.step(Event::Fence) {
            return None;
        }
        let _reading = rcu::read_lock();
        let mut spare = held.ticket.pool.take_spare();
        let in_place = spare.is_none();
        let sent = self.routes().is_some_and(|routes| {
            let mut usable = routes.iter().filter(|live| live.is_usable());
            usable.any(|live| live.fence(held.ticket.chunk, wreck, &mut spare).is_ok())
        });
        if sent {
            held.carries_fence = in_place;
            return None;
        }
        let _ = wreck.step(Event::Failed);
        // Without a path, the next one that comes up has a pass made.
        self.is_connected().then_some(BUSY_MS)
    }

    /// A fence was answered with `status`, or lost with its path. Any context.
    pub(crate) fn fence_ended(
        self: &Arc<Self>,
        wreck: &Arc<Wreck>,
        chunk: ChunkIndex,
        status: Option<i32>,
    ) {
        match status {
            Some(0) => {
                if wreck.step(Event::Over) {
                    self.forget(wreck);
                }
            }
            Some(_) => {
                wreck.set_no_fence();
                let _ = wreck.step(Event::Failed);
            }
            None => {
                let _ = wreck.step(Event::Failed);
            }
        }
        if let Some(berth) = self.pool().and_then(|pool| pool.berth(chunk.index())) {
            berth.fence_ended(wreck);
        }
        self.changed().wake_all();
        self.kick();
    }

    /// Makes sure that no request that was given up can still be executed, before a path
    /// takes new ones: asks the server over `live`, which nobody else uses yet. Sleeps.
    ///
    /// Fails with `ETIMEDOUT` if the server is not done with them, or as the path does.
    pub(crate) fn settle(self: &Arc<Self>, live: &Arc<Live>) -> Result {
        // Paths that are broken end their requests first, and the user hears of the loss.
        let ended = || self.is_connected() || self.is_down();
        self.changed().wait_event_timeout(DOWN_TIMEOUT_MS, || {
            ended() || live.path.still_connecting().is_err()
        });
        live.path.still_connecting()?;
        if !ended() {
            return Err(error(errno::ETIMEDOUT));
        }
        // With another path new requests go out anyway, and whoever connects looks again.
        while let Some(wreck) = self
            .dirty_wreck(live.path.uuid())
            .filter(|_| !self.is_connected())
        {
            if !live.features.has(Features::FENCE) || wreck.no_fence() {
                let hold = u64::from(params::failover_hold_ms());
                let left = hold.saturating_sub(wreck.age_ms());
                let left = u32::try_from(left).unwrap_or(u32::MAX).min(HOLD_STEP_MS);
                // As long as the path is wanted: whoever closes it waits for us.
                self.changed()
                    .wait_event_timeout(left, || live.path.still_connecting().is_err());
                live.path.still_connecting()?;
                if wreck.age_ms() >= hold {
                    let _ = wreck.step(Event::Over);
                    self.forget(&wreck);
                }
                continue;
            }
            let chunk = live.params().chunk(0).ok_or(EINVAL)?;
            // If it is just coming back, that will do as well.
            let patience = u32::try_from(wreck.patience_ms()).unwrap_or(0);
            self.changed()
                .wait_event_timeout(patience, || wreck.state() != State::Returning);
            if wreck.step(Event::Fence) {
                // Nobody else uses this path yet, so the place is free without a permit.
                if let Err(error) = live.fence(chunk, &wreck, &mut None) {
                    let _ = wreck.step(Event::Failed);
                    return Err(error);
                }
            }
            // Somebody else's fence is as good.
            let fencing = || wreck.state() == State::Fencing;
            self.changed().wait_event_timeout(FENCE_TIMEOUT_MS, || {
                !fencing() || live.path.still_connecting().is_err()
            });
            live.path.still_connecting()?;
            if fencing() {
                pr_warn!(
                    "session {}: the server still works on requests of a lost path\n",
                    kernel_ext::fmt::Show(self.name())
                );
                return Err(error(errno::ETIMEDOUT));
            }
        }
        Ok(())
    }

    /// Before a path is connected again: from now on that is the proof that is sought for
    /// what it carried. Waits for a fence that is on its way. Sleeps.
    ///
    /// Fails with `ETIMEDOUT` if the server is still busy with it, and with `ECONNABORTED` if the
    /// path is being closed.
    pub(crate) fn begin_return(&self, path: &Path) -> Result {
        while let Some(wreck) = self.find_wreck(|wreck| {
            wreck.path == path.uuid() && matches!(wreck.state(), State::Open | State::Fencing)
        }) {
            path.still_connecting()?;
            if wreck.begin_return() {
                continue;
            }
            let over = || wreck.state() != State::Fencing || path.still_connecting().is_err();
            if !self.changed().wait_event_timeout(FENCE_TIMEOUT_MS, over) {
                return Err(error(errno::ETIMEDOUT));
            }
        }
        Ok(())
    }

    /// The path is connected, so the server is done with whatever it carried before. The caller
    /// keeps it from being taken down meanwhile. Any context.
    pub(crate) fn returned(self: &Arc<Self>, path: Uuid) {
        while let Some(wreck) = self.find_wreck(|wreck| wreck.path == path) {
            let _ = wreck.step(Event::Over);
            self.forget(&wreck);
        }
        self.changed().wake_all();
        self.kick();
    }

    /// The path was not connected again: some other proof is needed. Any context.
    pub(crate) fn not_returned(self: &Arc<Self>, path: Uuid) {
        let returning = |wreck: &Wreck| wreck.path == path && wreck.state() == State::Returning;
        while let Some(wreck) = self.find_wreck(returning) {
            let _ = wreck.step(Event::Failed);
        }
        self.changed().wake_all();
        self.kick();
    }

    /// A wreck of any other path that new requests have to wait for. Any context.
    pub(crate) fn dirty_wreck(&self, except: Uuid) -> Option<Arc<Wreck>> {
        self.find_wreck(|wreck| wreck.path != except && wreck.is_dirty())
    }

    /// See [`Session::expire`](crate::Session::expire).
    pub(crate) fn expire(self: &Arc<Self>, index: usize, turn: u32) {
        let Some(pool) = self.pool() else {
            return;
        };
        pool.set_expired(index, turn);
        {
            let _reading = rcu::read_lock();
            if let Some(routes) = self.routes() {
                for live in routes.iter() {
                    live.expire(index, || pool.turn(index) == turn);
                }
            }
        }
        // Unless it is without a path already.
        self.kick();
    }
}

/// Something has changed.
impl WorkItem<0> for Inner {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.salvage();
    }
}

/// Some time has passed.
impl WorkItem<1> for Inner {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.refresh();
        this.salvage();
    }
}
