// SPDX-License-Identifier: GPL-2.0

//! What a queue pair reports, and to whom.
//!
//! A room implements [`Context`]; the queue pair calls it through [`Ops`], because the code that
//! handles completions does not know the context's type.

use super::{
    qp::{
        Core,
        QueuePair, //
    },
    recv::{
        Received,
        RecvFacts,
        RecvSlot, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    ffi::c_void,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// Names a signaled request or a one-shot receive; chosen by the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(pub u32);

/// What has happened on the queue pair.
pub enum Done<'a, C: Context> {
    /// Something has arrived.
    Recv(Received<'a, C>),
    /// The signaled request with this token is done.
    Sent(Token),
    /// A request or a receive has failed, and with it the connection.
    Failed {
        /// Of a signaled request; `None` for others and for receives.
        token: Option<Token>,
        /// The `ib_wc_status`.
        status: u32,
    },
}

/// Why a connection is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The peer has disconnected, or answered our disconnect.
    Disconnected,
    /// The device goes away; it waits until everything on it is torn down.
    DeviceRemoval,
    /// The local address has moved to other hardware.
    AddrChange,
    /// The connection manager has forgotten the connection.
    TimewaitExit,
    /// Anything else; a positive errno.
    Error(i32),
}

/// What a queue pair reports to.
///
/// The queue pair holds a reference until it is shut down.
pub trait Context: Send + Sync + Sized + 'static {
    /// Something is completed. Context as configured by [`QpConfig::poll`]; never two calls of one
    /// queue pair at the same time. Requests flushed by the end of a connection are not reported,
    /// except for the first one if nothing else has told of the end: then as [`Done::Failed`] with
    /// the status of a flush.
    ///
    /// Must not shut down or drop the queue pair.
    fn completed(&self, qp: &QueuePair<Self>, done: Done<'_, Self>);

    /// The connection is lost. Process context, in a handler of the connection manager; may come
    /// more than once, and before connecting or accepting has returned.
    ///
    /// Must not shut down the queue pair, and must not take a lock that is held while connecting,
    /// accepting or shutting down; have a work item do that.
    fn lost(&self, why: Lost);

    /// There is room in the send queue again, after a post has failed with `EAGAIN`. Context and
    /// duties as of [`completed`](Self::completed).
    fn space(&self, _qp: &QueuePair<Self>) {}
}

/// An event for the context, not yet dressed for it.
pub(super) enum Event<'a> {
    /// A receive is completed.
    Recv(&'a RecvSlot, RecvFacts),
    /// A signaled request is done.
    Sent(Token),
    /// Something failed.
    Failed(Option<Token>, u32),
    /// Room in the send queue.
    Space,
}

/// How [`Core`] speaks to a context whose type it does not know.
pub(super) struct Ops {
    /// Delivers an event.
    ///
    /// # Safety
    ///
    /// The core must be that of a `QueuePair` of the right type, and its context still be held.
    pub(super) deliver: unsafe fn(&Core, Event<'_>),
    /// Calls `lost`.
    ///
    /// # Safety
    ///
    /// The pointer must be a valid context of the right type.
    pub(super) lost: unsafe fn(*const c_void, Lost),
    /// Drops the reference.
    ///
    /// # Safety
    ///
    /// The pointer must come from `Arc::into_raw` of the right type, and not be used afterwards.
    pub(super) release: unsafe fn(*const c_void),
}

/// The operations of a context type.
pub(super) struct OpsOf<C>(PhantomData<C>);

impl<C: Context> OpsOf<C> {
    /// See [`Ops`].
    pub(super) const OPS: &'static Ops = &Ops {
        deliver: Self::deliver,
        lost: Self::lost,
        release: Self::release,
    };

    /// # Safety
    ///
    /// See [`Ops::deliver`].
    unsafe fn deliver(core: &Core, event: Event<'_>) {
        // SAFETY:
        // - `QueuePair` is a transparent wrapper of `Core`, and the caller promises that this core
        //   is inside one of this type.
        // - The context is held.
        let (qp, ctx) = unsafe {
            (
                &*core::ptr::from_ref(core).cast::<QueuePair<C>>(),
                &*core.context().cast::<C>(),
            )
        };
        let done = match event {
            Event::Recv(slot, facts) => Done::Recv(Received::new(qp, slot, facts)),
            Event::Sent(token) => Done::Sent(token),
            Event::Failed(token, status) => Done::Failed { token, status },
            Event::Space => return ctx.space(qp),
        };
        ctx.completed(qp, done);
    }

    /// # Safety
    ///
    /// See [`Ops::lost`].
    unsafe fn lost(ctx: *const c_void, why: Lost) {
        // The context may drop what holds it while it handles the event; so it is held here.
        //
        // SAFETY: the caller promises a valid context, of which somebody holds a reference.
        let ctx: Arc<C> = unsafe { ArcBorrow::from_raw(ctx.cast::<C>()) }.into();
        ctx.lost(why);
    }

    /// # Safety
    ///
    /// See [`Ops::release`].
    unsafe fn release(ctx: *const c_void) {
        // SAFETY: promised by the caller.
        drop(unsafe { Arc::from_raw(ctx.cast::<C>()) });
    }
}
