// SPDX-License-Identifier: GPL-2.0

//! Queue pairs: one connection with a completion queue of its own.
//!
//! A [`QueuePair`] is pinned in its `Arc`; completion entries in its tables point back to it. It is
//! made by [`cm`](super::cm), used through [`post`](QueuePair::post) and receives, and ended by
//! [`shutdown`](QueuePair::shutdown), which returns when the hardware and all callbacks are done
//! with it. Sending is in `send`, receiving in [`recv`](super::recv),
//! the verbs' objects in [`hardware`](super::hardware); here are life and death.
//!
//! The part that does not depend on the context's type is [`Core`], so that its code exists once.

use super::{
    context::{
        Context,
        Ops,
        OpsOf,
        Token, //
    },
    direct::Direct,
    hardware::{
        Hardware,
        QpConfig,
        Sizes, //
    },
    id::{
        HandlerGuard,
        IdRef,
        Observer, //
    },
    pd::Pd,
    recv::RecvQueue,
    send::{
        SendQueue,
        SendSlot, //
    },
    wr::Wr, //
};
use crate::{
    dma::Buffer,
    drift::init_at,
    error::{
        errno,
        error, //
    },
    net::SockAddr,
    new_irq_spinlock,
    sync::{
        Completion,
        IrqSpinLock, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    ffi::c_void,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Arc,
        Mutex,
        UniqueArc, //
    }, //
};
use rdma_bindings as c;

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
    /// The turns to poll, if completions raise no interrupts.
    direct: Direct,
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
    /// The context; valid until the last callback has returned.
    pub(super) fn context(&self) -> *const c_void {
        self.ctx
    }

    /// The protection domain, as long as the queue pair is not shut down. Sleeps.
    pub(super) fn pd(&self) -> Result<Arc<Pd>> {
        let hardware = self.hardware.lock();
        let hardware = hardware.as_ref().ok_or(ENODEV)?;
        Ok(hardware.pd().clone())
    }

    /// See [`QueuePair::shutdown`].
    fn shutdown(&self) {
        if self.closing.xchg(true, Full) {
            return self.closed.wait();
        }
        let hardware = self.hardware.lock().take();
        if let Some(hardware) = hardware {
            {
                let guard = hardware.id().lock();
                // SAFETY: there is no observer afterwards.
                unsafe { guard.observe(None) };
            }
            self.send.lock().close();
            self.recv.lock().close();
            // Draining polls by itself.
            self.direct.close();
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

/// What a [`Core`] is made of. Not generic, so that the code, and with it the name of each lock
/// class, exists once: lockdep wants one name, at one address, from all modules.
struct Parts {
    sizes: Sizes,
    send: SendQueue,
    plain: SendSlot,
    tokens: KVec<SendSlot>,
    hardware: Hardware,
    serial: u64,
    port_num: u32,
    addresses: (SockAddr, SockAddr),
}

impl Parts {
    /// Makes everything for the core that will be at `core`. Sleeps.
    #[inline(never)]
    fn new(
        core: *const Core,
        id: &Arc<IdRef>,
        pd: &Arc<Pd>,
        cfg: &QpConfig,
        addresses: (SockAddr, SockAddr),
    ) -> Result<Self> {
        let sizes = Sizes::new(cfg, pd);
        let send = SendQueue::new(sizes.send_wr)?;
        let mut tokens = KVec::with_capacity(cfg.tokens as usize, GFP_KERNEL)?;
        for token in 0..cfg.tokens {
            let mut slot = SendSlot::new(Some(Token(token)));
            slot.bind(core);
            tokens.push_within_capacity(slot).map_err(|_| ENOMEM)?;
        }
        let mut plain = SendSlot::new(None);
        plain.bind(core);
        let hardware = Hardware::new(id, pd, &sizes)?;
        Ok(Self {
            sizes,
            send,
            plain,
            tokens,
            hardware,
            serial: pd.serial(),
            port_num: id.port_num(),
            addresses,
        })
    }

    /// Initialises the core.
    ///
    /// # Safety
    ///
    /// `slot` must be the address that was given to `new`, valid for writes and pinned; `ctx` must
    /// be a reference from `Arc::into_raw` of the type that `ops` is for.
    #[inline(never)]
    unsafe fn init(self, slot: *mut Core, ops: &'static Ops, ctx: *const c_void) {
        let (src, dst) = self.addresses;
        let direct = match self.hardware.direct_cq() {
            // SAFETY: the completion queue goes with the hardware, which goes in `shutdown` only,
            // after the turns are closed.
            Some(cq) => unsafe { Direct::new(cq) },
            None => Direct::none(),
        };
        // INVARIANT: the slots point to `slot`; nothing is posted before the core is complete.
        let init = pin_init!(Core {
            qp: self.hardware.qp(),
            ops,
            ctx,
            serial: self.serial,
            src,
            dst,
            port_num: self.port_num,
            max_sge: self.sizes.send_sge,
            send_wr: self.sizes.send_wr,
            recv_wr: self.sizes.recv_wr,
            send <- new_irq_spinlock!(self.send, "QueuePair::send"),
            recv <- new_irq_spinlock!(RecvQueue::new(), "QueuePair::recv"),
            plain: self.plain,
            tokens: self.tokens,
            direct,
            hardware <- new_mutex!(Some(self.hardware), "QueuePair::hardware"),
            closing: Atomic::new(false),
            closed <- Completion::new(),
        });
        // SAFETY: the caller promises the place.
        unsafe { init_at(slot, init) };
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
        // Room first: what follows must not fail between queue pair and owner.
        let room = UniqueArc::<Self>::new_uninit(GFP_KERNEL)?;
        let core = room.as_ptr().cast::<Core>();
        let parts = Parts::new(core, id, pd, cfg, addresses)?;
        let ctx = Arc::into_raw(ctx).cast::<c_void>();
        let init = |slot: *mut Core| {
            // SAFETY: `slot` is the place of `core`, uninitialised and pinned; it is the address of
            // this value, as `QueuePair` is a transparent wrapper.
            unsafe { parts.init(slot, OpsOf::<C>::OPS, ctx) };
            Ok::<(), core::convert::Infallible>(())
        };
        let this = room.pin_init_with(pin_init!(Self {
            // SAFETY: the closure initialises the whole value and does not fail.
            core <- unsafe { pin_init::pin_init_from_closure(init) },
            _context: PhantomData,
        }))?;
        Ok(this.into())
    }

    /// What to tell the connection manager id whose handler mutex `_guard` holds.
    ///
    /// The context is held until the observer is cleared, which `shutdown` does under the same
    /// mutex, after it has announced itself.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if somebody shuts the queue pair down, so that nobody would clear it any more.
    pub(super) fn observer(&self, _guard: &HandlerGuard<'_>) -> Result<Observer> {
        if self.core.closing.load(Acquire) {
            return Err(error(errno::ENOTCONN));
        }
        Ok(Observer {
            context: self.core.ctx,
            lost: self.core.ops.lost,
        })
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

    /// Handles completions of a queue pair that was made with [`Poll::Direct`](super::Poll::Direct),
    /// at most about `budget`, in the caller's context; returns how many. 0 if there are none, if
    /// somebody else is at it, or if the queue pair is shut down. Not in interrupts; does not
    /// sleep, unless a callback does.
    pub fn poll(&self, budget: u32) -> u32 {
        self.core.direct.poll(budget)
    }

    /// Stops posting and tells the peer that this is the end; everything posted is flushed. Sleeps.
    pub fn disconnect(&self) {
        let hardware = self.core.hardware.lock();
        if let Some(hardware) = &*hardware {
            // Before anything is flushed: that is no failure.
            self.core.send.lock().close();
            hardware.disconnect();
        }
    }

    /// Ends the queue pair: stops posting, disconnects, waits for everything posted, destroys queue
    /// pair and completion queue, and lets go of context and protection domain. Sleeps; idempotent:
    /// who comes second waits for the first, though not for the drop of the context.
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
        // Whoever began to shut down had a reference, so that is over by now; waiting for it, even
        // in vain, would not be allowed in atomic context.
        if !self.core.closing.load(Acquire) {
            self.core.shutdown();
        }
    }
}
