// SPDX-License-Identifier: GPL-2.0

//! Queue pairs: one connection with a completion queue of its own.
//!
//! A [`QueuePair`] is pinned in its `Arc`; completion entries in its tables point back to it. It is
//! made by [`cm`](super::cm), used through [`post`](QueuePair::post) and receives, and ended by
//! [`shutdown`](QueuePair::shutdown), which returns when the hardware and all callbacks are done
//! with it. Sending is in `send`, receiving in [`recv`](super::recv); here are life and death.
//!
//! The part that does not depend on the context's type is [`Core`], so that its code exists once.

use super::{
    id::{
        IdRef,
        Observer, //
    },
    pd::Pd,
    recv::{
        Received,
        RecvFacts,
        RecvQueue,
        RecvSlot, //
    },
    send::{
        SendQueue,
        SendSlot, //
    },
    wr::Wr, //
};
use crate::{
    dma::Buffer,
    net::SockAddr,
    new_irq_spinlock,
    sync::{
        Completion,
        IrqSpinLock, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        Mutex, //
    }, //
};
use rdma_bindings as c;

/// Names a signaled request or a one-shot receive; chosen by the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(pub u32);

/// Where completions are delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poll {
    /// In softirq: quick, must not sleep.
    Softirq,
    /// In a work item on the CPU of the vector: may sleep a little.
    Workqueue,
}

/// What a queue pair needs.
#[derive(Clone, Copy, Debug)]
pub struct QpConfig {
    /// Entries of the send queue; reduced to what the device has.
    pub send_wr: u32,
    /// Entries of the receive queue; reduced to what the device has.
    pub recv_wr: u32,
    /// Elements of a send's gather list; reduced to what the device has.
    pub send_sge: u32,
    /// Tokens for signaled requests: `Token(0)` to `Token(tokens - 1)`.
    pub tokens: u32,
    /// Where completions are delivered.
    pub poll: Poll,
    /// Completion vector, taken modulo what the device has.
    pub vector: u32,
}

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
    /// queue pair at the same time. Requests flushed by the end of a connection are not reported.
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
    lost: unsafe fn(*const c_void, Lost),
    /// Drops the reference.
    ///
    /// # Safety
    ///
    /// The pointer must come from `Arc::into_raw` of the right type, and not be used afterwards.
    release: unsafe fn(*const c_void),
}

/// The operations of a context type.
struct OpsOf<C>(PhantomData<C>);

impl<C: Context> OpsOf<C> {
    const OPS: &'static Ops = &Ops {
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
                &*core.ctx.cast::<C>(),
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
        let ctx: Arc<C> = unsafe { kernel::sync::ArcBorrow::from_raw(ctx.cast::<C>()) }.into();
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

/// The hardware's side of a queue pair, and what must not go before it.
///
/// # Invariants
///
/// `qp` is the queue pair of `id`, made in `pd` with `cq` for both directions; all are valid.
struct Hardware {
    qp: *mut c::ib_qp,
    cq: *mut c::ib_cq,
    pd: Arc<Pd>,
    id: Arc<IdRef>,
}

// SAFETY: the C objects are bound to no thread.
unsafe impl Send for Hardware {}

impl Hardware {
    /// Creates completion queue and queue pair. Sleeps.
    fn new(id: &Arc<IdRef>, pd: &Arc<Pd>, cfg: &Sizes) -> Result<Self> {
        // SAFETY: the device is valid as long as `pd`.
        let cq = from_err_ptr(unsafe {
            c::rdx_alloc_cq(pd.device(), cfg.entries, cfg.vector, cfg.poll)
        })?;
        let mut attr: c::ib_qp_init_attr = pin_init::zeroed();
        attr.event_handler = Some(qp_event);
        attr.qp_context = id.raw().cast();
        attr.send_cq = cq;
        attr.recv_cq = cq;
        // One entry more than can be used, for draining.
        attr.cap.max_send_wr = cfg.send_wr.saturating_add(1);
        attr.cap.max_recv_wr = cfg.recv_wr.saturating_add(1);
        attr.cap.max_send_sge = cfg.send_sge;
        attr.cap.max_recv_sge = 1;
        attr.sq_sig_type = c::ib_sig_type_IB_SIGNAL_REQ_WR;
        attr.qp_type = c::ib_qp_type_IB_QPT_RC;
        // SAFETY:
        // - Id and protection domain are valid; that both are of one device is checked by the call.
        // - The completion queue is valid. The queue pair is destroyed before all of them.
        // - The id outlives the queue pair, so the event handler may use it.
        let made = to_result(unsafe { c::rdma_create_qp(id.raw(), pd.raw(), &mut attr) });
        if let Err(error) = made {
            // SAFETY: nothing uses the completion queue.
            unsafe { c::ib_free_cq(cq) };
            return Err(error);
        }
        // INVARIANT: just created.
        Ok(Self {
            // SAFETY: the id is valid and has just been given its queue pair.
            qp: unsafe { (*id.raw()).qp },
            cq,
            pd: pd.clone(),
            id: id.clone(),
        })
    }

    /// Puts the queue pair into the error state, tells the peer, and waits until every request and
    /// receive has been completed. Sleeps; not from a completion.
    fn drain(&self) {
        // SAFETY:
        // - Id and queue pair are valid, by the invariant.
        // - Nobody posts any more, as the caller has closed both queues.
        // - There is room for the two draining requests, see `new`.
        unsafe {
            // Fails if there was no connection; draining changes the state anyway.
            c::rdma_disconnect(self.id.raw());
            c::ib_drain_qp(self.qp);
        }
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        // SAFETY:
        // - Both are valid and destroyed here only, the queue pair before its completion queue.
        // - Not in a completion: the contract of those who drop queue pairs.
        unsafe {
            c::rdma_destroy_qp(self.id.raw());
            c::ib_free_cq(self.cq);
        }
    }
}

/// Asynchronous events of a queue pair. Any context.
///
/// # Safety
///
/// To be called by the verbs, for a queue pair whose context is its connection manager id.
unsafe extern "C" fn qp_event(event: *mut c::ib_event, context: *mut c_void) {
    // SAFETY: the event is valid for the call.
    let kind = unsafe { (*event).event };
    if kind == c::ib_event_type_IB_EVENT_COMM_EST {
        // The peer's last handshake message got lost, but its data has arrived.
        //
        // SAFETY: the id outlives the queue pair.
        unsafe { c::rdma_notify(context.cast(), kind) };
    }
}

/// A configuration that fits the device.
struct Sizes {
    send_wr: u32,
    recv_wr: u32,
    send_sge: u32,
    entries: c_int,
    vector: c_int,
    poll: c::ib_poll_context,
}

impl Sizes {
    fn new(cfg: &QpConfig, pd: &Pd) -> Self {
        let info = pd.info();
        // One entry of each queue is for draining.
        let most = info.max_qp_wr.saturating_sub(1).max(1);
        let send_wr = cfg.send_wr.clamp(1, most);
        let recv_wr = cfg.recv_wr.clamp(1, most);
        let entries = send_wr
            .saturating_add(recv_wr)
            .saturating_add(2)
            .min(info.max_cqe.max(1));
        Self {
            send_wr,
            recv_wr,
            send_sge: cfg.send_sge.clamp(1, info.max_send_sge.max(1)),
            entries: c_int::try_from(entries).unwrap_or(c_int::MAX),
            vector: c_int::try_from(cfg.vector.checked_rem(info.num_comp_vectors).unwrap_or(0))
                .unwrap_or(0),
            poll: match cfg.poll {
                Poll::Softirq => c::ib_poll_context_IB_POLL_SOFTIRQ,
                Poll::Workqueue => c::ib_poll_context_IB_POLL_WORKQUEUE,
            },
        }
    }
}

/// Everything of a queue pair that does not depend on the type of its context.
///
/// # Invariants
///
/// - While a queue is open, `qp` is valid; `hardware` is present as long as `qp` exists.
/// - `ctx` is a reference from `Arc::into_raw` which `shutdown` drops, after the last callback.
/// - Every slot of this value points to it.
#[pin_data]
pub(super) struct Core {
    pub(super) qp: *mut c::ib_qp,
    pub(super) ops: &'static Ops,
    ctx: *const c_void,
    /// Of the protection domain.
    pub(super) serial: u64,
    src: SockAddr,
    dst: SockAddr,
    port_num: u32,
    pub(super) max_sge: u32,
    pub(super) send_wr: u32,
    pub(super) recv_wr: u32,
    #[pin]
    pub(super) send: IrqSpinLock<SendQueue>,
    #[pin]
    pub(super) recv: IrqSpinLock<RecvQueue>,
    /// For requests that carry no token.
    pub(super) plain: SendSlot,
    pub(super) tokens: KVec<SendSlot>,
    #[pin]
    hardware: Mutex<Option<Hardware>>,
    /// Somebody has begun to shut down.
    closing: Atomic<bool>,
    /// And is done.
    #[pin]
    closed: Completion,
}

// SAFETY:
// - The context is `Send` and `Sync`.
// - The C objects are bound to no thread.
unsafe impl Send for Core {}
// SAFETY: what changes is behind locks; the verbs may be called from several threads.
unsafe impl Sync for Core {}

impl Core {
    /// The protection domain, as long as the queue pair is not shut down. Sleeps.
    pub(super) fn pd(&self) -> Result<Arc<Pd>> {
        let hardware = self.hardware.lock();
        let hardware = hardware.as_ref().ok_or(ENODEV)?;
        Ok(hardware.pd.clone())
    }

    /// See [`QueuePair::shutdown`].
    fn shutdown(&self) {
        if self.closing.xchg(true, Full) {
            return self.closed.wait();
        }
        let hardware = self.hardware.lock().take();
        if let Some(hardware) = hardware {
            {
                let guard = hardware.id.lock();
                // SAFETY: there is no observer afterwards.
                unsafe { guard.observe(None) };
            }
            self.send.lock().close();
            self.recv.lock().close();
            hardware.drain();
            // Destroys queue pair and completion queue: from here on no completion runs, so the
            // receives may go.
            drop(hardware);
            let receives = self.recv.lock().take();
            drop(receives);
        }
        self.closed.complete_all();
        // SAFETY: the reference is dropped once, by the one who set `closing`; there are no
        // callbacks any more, neither from completions nor from the connection manager.
        unsafe { (self.ops.release)(self.ctx) };
    }
}

/// A connected queue pair, always in an [`Arc`].
///
/// Dropping the last reference shuts it down, if nobody did; then it must be dropped in process
/// context and not in one of its callbacks. After [`shutdown`](Self::shutdown) it may be dropped
/// anywhere.
#[repr(transparent)]
#[pin_data(PinnedDrop)]
pub struct QueuePair<C: Context> {
    #[pin]
    pub(super) core: Core,
    _context: PhantomData<fn(C) -> C>,
}

impl<C: Context> QueuePair<C> {
    /// Creates the queue pair of an id that has none.
    pub(super) fn new(
        id: &Arc<IdRef>,
        ctx: Arc<C>,
        pd: &Arc<Pd>,
        cfg: &QpConfig,
        addresses: (SockAddr, SockAddr),
    ) -> Result<Arc<Self>> {
        let sizes = Sizes::new(cfg, pd);
        let send = SendQueue::new(sizes.send_wr)?;
        let mut tokens = KVec::with_capacity(cfg.tokens as usize, GFP_KERNEL)?;
        for token in 0..cfg.tokens {
            let slot = SendSlot::new(Some(Token(token)));
            tokens.push_within_capacity(slot).map_err(|_| ENOMEM)?;
        }
        // Room first: what follows must not fail between queue pair and owner.
        let room = kernel::sync::UniqueArc::<Self>::new_uninit(GFP_KERNEL)?;
        let core = room.as_ptr().cast::<Core>();
        for slot in &mut tokens {
            slot.bind(core);
        }
        let mut plain = SendSlot::new(None);
        plain.bind(core);
        let hardware = Hardware::new(id, pd, &sizes)?;
        let qp = hardware.qp;
        let (src, dst) = addresses;
        let ctx = Arc::into_raw(ctx).cast::<c_void>();
        // INVARIANT: `core` is the address of this value; nothing is posted before it is complete.
        let init = pin_init!(Core {
            qp,
            ops: OpsOf::<C>::OPS,
            ctx,
            serial: pd.serial(),
            src,
            dst,
            port_num: id.port_num(),
            max_sge: sizes.send_sge,
            send_wr: sizes.send_wr,
            recv_wr: sizes.recv_wr,
            send <- new_irq_spinlock!(send, "QueuePair::send"),
            recv <- new_irq_spinlock!(RecvQueue::new(), "QueuePair::recv"),
            plain,
            tokens,
            hardware <- new_mutex!(Some(hardware), "QueuePair::hardware"),
            closing: Atomic::new(false),
            closed <- Completion::new(),
        });
        let this = room.pin_init_with(pin_init!(Self {
            core <- init,
            _context: PhantomData,
        }))?;
        Ok(this.into())
    }

    /// What to tell the connection manager id.
    ///
    /// Whoever sets it must know that the context is held until the observer is cleared, which
    /// `shutdown` does.
    pub(super) fn observer(&self) -> Observer {
        Observer {
            context: self.core.ctx,
            lost: self.core.ops.lost,
        }
    }

    /// Posts a chain of at most [`MAX_WRS`](super::MAX_WRS) requests with one doorbell; with `done`
    /// the last one is signaled and reported as [`Done::Sent`]. Any context; no allocation.
    ///
    /// Requests are executed in order. Nobody needs to signal for the sake of the queue: that is
    /// done here.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: not enough free entries; nothing was posted, [`Context::space`] will be called.
    /// - `ENOTCONN`: the queue pair is shut down or broken.
    /// - `EINVAL`: empty or too long, an unknown token, too many elements, or memory of another
    ///   protection domain; nothing was posted.
    /// - Anything else is of the driver; part of the chain may have been posted, and the queue
    ///   pair is broken.
    pub fn post(&self, wrs: &[Wr<'_>], done: Option<Token>) -> Result {
        self.core.post(wrs, done)
    }

    /// Posts one receive into `buf`, reported as [`Received`] with this token. Sleeps.
    ///
    /// The number of such receives over the life of the queue pair is meant to be small.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `buf` is of another protection domain, `ENOSPC` if the receive queue is full,
    /// `ENOTCONN`, `ENOMEM`, or the errno of the driver.
    pub fn post_recv_once(&self, buf: Buffer, token: Token) -> Result {
        self.core.post_recv_once(buf, token)
    }

    /// Allocates a ring of `count` receives of `len` bytes each (0 for empty ones) and posts them
    /// all. Sleeps. Once per queue pair.
    ///
    /// # Errors
    ///
    /// `EBUSY` the second time, `ENOSPC` if the receive queue is too short, `EINVAL` if count is 0
    /// or the ring is larger than 4 MiB, `ENOTCONN`, `ENOMEM`, or the errno of the driver.
    pub fn arm_receives(&self, count: u32, len: u32) -> Result {
        self.core.arm_receives(count, len)
    }

    /// Tells the peer that this is the end; everything posted is flushed. Sleeps.
    pub fn disconnect(&self) {
        let hardware = self.core.hardware.lock();
        if let Some(hardware) = &*hardware {
            // SAFETY: the id is valid. Failure means that there is no connection to end.
            unsafe { c::rdma_disconnect(hardware.id.raw()) };
        }
    }

    /// Ends the queue pair: stops posting, disconnects, waits for everything posted, destroys queue
    /// pair and completion queue, and lets go of context and protection domain. Sleeps; idempotent.
    ///
    /// When this has returned no callback runs or will run, and the hardware is done with all
    /// memory as far as this queue pair is concerned. Requests that were not reported by then never
    /// will be.
    ///
    /// Not from a callback.
    pub fn shutdown(&self) {
        self.core.shutdown()
    }

    /// Whether posting is possible: neither shut down nor broken.
    pub fn is_open(&self) -> bool {
        self.core.send.lock().is_open()
    }

    /// Usable entries of the send queue.
    pub fn send_wr(&self) -> u32 {
        self.core.send_wr
    }

    /// Usable entries of the receive queue.
    pub fn recv_wr(&self) -> u32 {
        self.core.recv_wr
    }

    /// Our address.
    pub fn src(&self) -> SockAddr {
        self.core.src
    }

    /// The peer's address.
    pub fn dst(&self) -> SockAddr {
        self.core.dst
    }

    /// The device's port.
    pub fn port_num(&self) -> u32 {
        self.core.port_num
    }
}

#[pinned_drop]
impl<C: Context> PinnedDrop for QueuePair<C> {
    fn drop(self: Pin<&mut Self>) {
        self.core.shutdown();
    }
}
