// SPDX-License-Identifier: GPL-2.0

//! Requests without a path, and what is known about the path that carried them.
//!
//! Every permit has a [`Berth`] in its session's pool, made with it: a place for the one
//! request that can be sent with the permit, while it is not on any path. A request gets
//! there when its path is taken down. Whoever takes it out, under the berth's lock, sends or ends it: exactly one does.
//! Who decides is `salvage`. Nothing here refers to a path or a device, so neither is kept
//! from going away by requests that wait.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::{
    new_irq_spinlock,
    rdma::SgTable,
    sync::{
        AtomicEnum,
        IrqSpinLock, //
    },
    time,
};
use rtrs_logic::wreck::{
    Event,
    Wreck as State, //
};
use rtrs_proto::{
    Direction,
    Uuid, //
};

use crate::permit::{
    Permit,
    Ticket, //
};

/// Milliseconds that requests wait for their own path to come back, before the server is
/// asked over another one.
const RETURN_MS: u64 = 3000;
/// Most bytes of a user's header, which a berth has room for.
pub(crate) const USER_MAX: usize = 512;

/// One incarnation of a path after its end, as long as anybody has to know about it.
///
/// Made together with the live path, because recovery must not allocate.
pub(crate) struct Wreck {
    /// The path, as the server knows it.
    pub(crate) path: Uuid,
    state: AtomicEnum<State>,
    /// When the path was down, in milliseconds since boot.
    since_ms: Atomic<u64>,
    /// When the path began to be connected again, likewise.
    return_ms: Atomic<u64>,
    /// The server did not understand the fence; time is the only proof left.
    no_fence: Atomic<bool>,
    /// A request was ended although the server may still execute it: its user may have
    /// sent another one for the same data.
    dirty: Atomic<bool>,
}

impl Wreck {
    /// Of a path that still works.
    pub(crate) fn new(path: Uuid) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                path,
                state: AtomicEnum::new(State::Open),
                since_ms: Atomic::new(0),
                return_ms: Atomic::new(0),
                no_fence: Atomic::new(false),
                dirty: Atomic::new(false),
            },
            GFP_KERNEL,
        )?)
    }

    /// The path is down from now on.
    pub(crate) fn begin(&self) {
        self.since_ms.store(time::now_ms(), Relaxed);
    }

    /// Milliseconds since the path was down.
    pub(crate) fn age_ms(&self) -> u64 {
        time::now_ms().saturating_sub(self.since_ms.load(Relaxed))
    }

    /// The path is about to be connected again; false if something else is going on.
    pub(crate) fn begin_return(&self) -> bool {
        self.return_ms.store(time::now_ms(), Relaxed);
        self.step(Event::Return)
    }

    /// Milliseconds that the server should not be asked yet, as the path may come back.
    pub(crate) fn patience_ms(&self) -> u64 {
        let since = time::now_ms().saturating_sub(self.return_ms.load(Relaxed));
        match self.state() {
            State::Returning => RETURN_MS.saturating_sub(since),
            _ => 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.load()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().is_over()
    }

    /// Whether the event had an effect. Any context.
    pub(crate) fn step(&self, event: Event) -> bool {
        self.state.step(|state| state.step(event)).is_ok()
    }

    pub(crate) fn set_no_fence(&self) {
        self.no_fence.store(true, Relaxed);
    }

    pub(crate) fn no_fence(&self) -> bool {
        self.no_fence.load(Relaxed)
    }

    /// A request of it ends without proof.
    pub(crate) fn soil(&self) {
        self.dirty.store(true, Relaxed);
    }

    /// Whether new requests have to wait until the server is done with it.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Relaxed) && !self.is_over()
    }
}

/// A request without a path.
pub(crate) struct Held {
    pub(crate) ticket: Ticket,
    /// Its memory, not mapped for any device.
    pub(crate) table: KBox<SgTable>,
    pub(crate) direction: Direction,
    /// Bytes of the user's header.
    pub(crate) usr_len: usize,
    /// Whether the table is to be transferred.
    pub(crate) data: bool,
    /// The end of the path that carried it.
    pub(crate) wreck: Arc<Wreck>,
    /// A fence is on its way in its place on another path.
    pub(crate) carries_fence: bool,
}

impl Held {
    /// Takes it apart for the one who sends or ends it.
    pub(crate) fn into_permit(self) -> (Permit, Arc<Wreck>) {
        (Permit::new(self.ticket, self.table), self.wreck)
    }
}

/// What a berth's lock protects.
pub(crate) struct Place {
    pub(crate) held: Option<Held>,
    /// The user's header of the request.
    pub(crate) user: [u8; USER_MAX],
}

/// The place of one permit's request while it has no path.
#[pin_data]
pub(crate) struct Berth {
    /// Taken before the locks of a slot, never in one.
    #[pin]
    pub(crate) place: IrqSpinLock<Place>,
}

impl Berth {
    /// An empty one. Sleeps.
    pub(crate) fn new() -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                place <- new_irq_spinlock!(
                    Place { held: None, user: [0; USER_MAX] },
                    "rtrs_client::berth"
                ),
            }),
            GFP_KERNEL,
        )
    }

    /// Puts a request in; `user` writes its header. The berth is empty, as the permit is
    /// the caller's. Any context.
    ///
    /// If that should not be so, or the header cannot be had, the request comes back.
    pub(crate) fn moor(
        &self,
        held: Held,
        user: impl FnOnce(&mut [u8]) -> Result,
    ) -> Result<(), Held> {
        let mut place = self.place.lock();
        let Place {
            held: inside,
            user: header,
        } = &mut *place;
        if inside.is_some() {
            return Err(held);
        }
        let Some(header) = header.get_mut(..held.usr_len) else {
            return Err(held);
        };
        if user(header).is_err() {
            return Err(held);
        }
        *inside = Some(held);
        Ok(())
    }

    /// The fence for `wreck` in the place of the request has ended, if it was there. Any
    /// context.
    pub(crate) fn fence_ended(&self, wreck: &Arc<Wreck>) {
        if let Some(held) = &mut self.place.lock().held {
            // A path that is being connected sends fences in a place of its own.
            if Arc::ptr_eq(&held.wreck, wreck) {
                held.carries_fence = false;
            }
        }
    }
}
