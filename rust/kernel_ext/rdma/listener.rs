// SPDX-License-Identifier: GPL-2.0

//! The server's side of the connection manager: listen, answer, accept.
//!
//! A connect request arrives in a handler of the connection manager, where it can be answered or
//! put off; [`Deferred`] is the right to answer later, from any process context. Whatever a room
//! forgets to answer is refused.

use super::{
    cm::{
        conn_param,
        device_info,
        Prepared, //
    },
    context::Context,
    device::{
        sealed::HasId,
        DeviceInfo,
        HasDevice, //
    },
    hardware::QpConfig,
    id::{
        self,
        IdRef,
        Scope, //
    },
    pd::Pd,
    qp::QueuePair, //
};
use crate::{
    error::errno,
    net::{
        Family,
        Namespace,
        SockAddr, //
    }, //
};
use core::{
    cell::Cell,
    ptr, //
};
use kernel::{
    bindings as k,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::c_int,
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

/// Decides about connect requests.
pub trait Accept: Send + Sync + 'static {
    /// A peer wants to connect. Process context; the next request of this listener waits until
    /// this returns, so it should only look and put off.
    fn request(&self, req: Request<'_>);
}

/// A listening id; dropping it stops listening, and no callback runs afterwards. Process context.
///
/// It must not be dropped in its own [`Accept::request`].
///
/// # Invariants
///
/// `raw` is a listening id whose context is the content of `acceptor`'s box.
pub struct Listener {
    raw: *mut c::rdma_cm_id,
    /// What the handler reads; freed after the id is destroyed.
    _acceptor: KBox<Arc<dyn Accept>>,
}

// SAFETY: an id is bound to no thread, and the acceptor is `Send` and `Sync`.
unsafe impl Send for Listener {}
// SAFETY: there is nothing to be done with a shared reference.
unsafe impl Sync for Listener {}

impl Listener {
    /// Listens on an address of a network namespace, which it keeps alive; wildcards listen on all
    /// devices, present and future. Sleeps.
    ///
    /// A GID is found by peers only in the initial namespace: there is nothing in a request that
    /// tells one namespace from another.
    ///
    /// A listener on one device's address keeps that device from going away until it is dropped,
    /// and nobody is told; so what is to live long should listen on a wildcard.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EINVAL`, `ENOMEM`, or what the connection manager says.
    pub fn new<A: Accept>(
        net: &Namespace,
        addr: &SockAddr,
        backlog: u32,
        acceptor: Arc<A>,
    ) -> Result<Self> {
        let space = match addr.family() {
            Family::V4 | Family::V6 => c::rdma_ucm_port_space_RDMA_PS_TCP,
            Family::Ib => c::rdma_ucm_port_space_RDMA_PS_IB,
            Family::Other => return Err(EINVAL),
        };
        let backlog = c_int::try_from(backlog).map_err(|_| EINVAL)?;
        let acceptor: Arc<dyn Accept> = acceptor;
        let acceptor = KBox::new(acceptor, GFP_KERNEL)?;
        let context = ptr::from_ref::<Arc<dyn Accept>>(&acceptor).cast_mut();
        let handler: c::rdma_cm_event_handler = Some(listen_handler);
        let context = context.cast();
        // SAFETY: the namespace is valid; the context is in a box that is freed after the id.
        let raw = from_err_ptr(unsafe { c::rdx_create_id(net.as_ptr(), handler, context, space) })?;
        // INVARIANT: from here on dropping `this` destroys the id first.
        let this = Self {
            raw,
            _acceptor: acceptor,
        };
        let mut storage = addr.to_storage();
        // SAFETY: the id is valid; the address has the size of the largest one and is copied.
        to_result(unsafe { c::rdma_bind_addr(raw, (&raw mut storage).cast::<k::sockaddr>()) })?;
        // SAFETY: the id is valid and bound.
        to_result(unsafe { c::rdma_listen(raw, backlog) })?;
        Ok(this)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // SAFETY: the id is valid and destroyed here only. It waits for running handlers; requests
        // that are still being handled have ids of their own.
        unsafe { c::rdma_destroy_id(self.raw) }
    }
}

/// What has become of a request when its callback returns.
struct Fate {
    scope: Scope,
    /// The value that took over the id, if any.
    adopted: Cell<*const IdRef>,
}

/// A connect request, to be answered or put off within the callback.
///
/// Dropping it refuses without data.
pub struct Request<'a> {
    raw: *mut c::rdma_cm_id,
    data: &'a [u8],
    fate: &'a Fate,
    answered: bool,
}

impl Request<'_> {
    /// The peer's private data. Its length is what the fabric allows; some pad with zeroes.
    pub fn private_data(&self) -> &[u8] {
        self.data
    }

    /// The peer's address.
    pub fn src(&self) -> SockAddr {
        // SAFETY: the id is valid while its handler runs.
        unsafe { id::addresses(self.raw) }.1
    }

    /// Our address.
    pub fn dst(&self) -> SockAddr {
        // SAFETY: As above.
        unsafe { id::addresses(self.raw) }.0
    }

    /// Refuses, with up to 148 bytes of data; longer data is left out.
    pub fn reject(mut self, data: &[u8]) {
        self.answered = true;
        // SAFETY: the id is valid while its handler runs, and has received this request.
        unsafe { id::reject(self.raw, data) }
    }

    /// Puts the answer off. What is needed of the private data must be copied before.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the request is then refused.
    pub fn defer(mut self) -> Result<Deferred> {
        // SAFETY: this runs in the handler that announced the id, as `fate` lives on its stack;
        // the handler asks `fate` what to return.
        let id = unsafe { IdRef::adopt(self.raw, &self.fate.scope) }?;
        self.answered = true;
        self.fate.adopted.set(Arc::as_ptr(&id));
        let (src, dst) = (self.src(), self.dst());
        Ok(Deferred {
            id,
            src,
            dst,
            answered: false,
        })
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // SAFETY: as in `reject`.
            unsafe { id::reject(self.raw, &[]) }
        }
    }
}

/// The right to answer a connect request later. Process context.
///
/// Dropping it refuses without data. It keeps the device. The peer waits; its connection manager
/// has been told that the answer may take some time.
pub struct Deferred {
    id: Arc<IdRef>,
    src: SockAddr,
    dst: SockAddr,
    answered: bool,
}

impl Deferred {
    /// Facts about the device.
    pub fn info(&self) -> DeviceInfo {
        device_info(&self.id)
    }

    /// The peer's address.
    pub fn src(&self) -> SockAddr {
        self.src
    }

    /// Our address.
    pub fn dst(&self) -> SockAddr {
        self.dst
    }

    /// The device's port.
    pub fn port_num(&self) -> u32 {
        self.id.port_num()
    }

    /// Creates the queue pair. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `pd` is of another device or there is a queue pair already, `ENOMEM`, or the
    /// errno of the driver.
    pub fn prepare<C: Context>(
        &self,
        ctx: Arc<C>,
        pd: &Arc<Pd>,
        cfg: &QpConfig,
    ) -> Result<Prepared<C>> {
        // Two calls at the same time must not both find the id free.
        let _guard = self.id.lock();
        // SAFETY: the id is valid. The field is set under the handler mutex, which is held, and
        // cleared when a queue pair is gone; a value that is stale leads to a refusal.
        if unsafe { !(*self.id.raw()).qp.is_null() } {
            return Err(EINVAL);
        }
        // For the queue pair source is where we are.
        Prepared::new(&self.id, ctx, pd, cfg, (self.dst, self.src))
    }

    /// Accepts with up to 196 bytes of private data. Sleeps.
    ///
    /// The queue pair is ready to send at once. `lost` of the context may be called before this
    /// returns.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `prepared` was not made by this value or the data is too long, `ECONNABORTED` or
    /// another errno if the peer gave up meanwhile, `ENODEV` if the device goes away, or the errno
    /// of the driver. The peer is refused then.
    pub fn accept<C: Context>(
        mut self,
        prepared: Prepared<C>,
        private: &[u8],
    ) -> Result<Arc<QueuePair<C>>> {
        let (id, qp) = prepared.parts();
        if !Arc::ptr_eq(id, &self.id) {
            return Err(EINVAL);
        }
        let mut param = conn_param(private)?;
        let guard = self.id.lock();
        self.id.mailbox().hand_over()?;
        let observer = qp.observer(&guard)?;
        // SAFETY: the queue pair takes back the observer before it gives up its context; it has not
        // begun to shut down, and has to wait for `guard` if it does so now.
        unsafe { guard.observe(Some(observer)) };
        let accepted = guard.accept(&mut param);
        drop(guard);
        // If accepting failed the connection manager has refused already.
        self.answered = true;
        accepted?;
        Ok(qp.clone())
    }

    /// Refuses, with up to 148 bytes of data; longer data is left out. Sleeps.
    pub fn reject(mut self, data: &[u8]) {
        self.answered = true;
        self.id.lock().reject(data);
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.answered {
            self.id.lock().reject(&[]);
        }
    }
}

impl HasId for Deferred {
    fn id(&self) -> &Arc<IdRef> {
        &self.id
    }
}

impl HasDevice for Deferred {}

/// The event handler of listening ids, and of their children until somebody takes those over.
///
/// # Safety
///
/// To be called by the connection manager, for an id whose context is that of a [`Listener`].
unsafe extern "C" fn listen_handler(id: *mut c::rdma_cm_id, event: *mut c::rdma_cm_event) -> c_int {
    // SAFETY: id and event are valid while the handler runs.
    let kind = unsafe { (*event).event };
    if kind != c::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_REQUEST {
        // An event of the listening id itself, such as the removal of the device it is bound to.
        // Its owner destroys it.
        return 0;
    }
    // SAFETY: the context is the box of the `Listener`, which is freed after its id is destroyed;
    // destroying it waits for this handler.
    let acceptor = unsafe { &*(*id).context.cast_const().cast::<Arc<dyn Accept>>() };
    // SAFETY: a connect request carries connection parameters, whose data is valid as long as the
    // event.
    let data = unsafe {
        let conn = &(*event).param.conn;
        if conn.private_data.is_null() {
            &[][..]
        } else {
            core::slice::from_raw_parts(
                conn.private_data.cast::<u8>(),
                usize::from(conn.private_data_len),
            )
        }
    };
    let fate = Fate {
        scope: Scope::new(),
        adopted: Cell::new(ptr::null()),
    };
    acceptor.request(Request {
        raw: id,
        data,
        fate: &fate,
        answered: false,
    });
    let adopted = fate.adopted.get();
    if adopted.is_null() {
        // Nobody took the id over: the connection manager destroys it.
        return -errno::ECONNREFUSED;
    }
    // SAFETY: this task is in the handler of the child; another task that wants to free the value
    // has to wait for the end of the handler.
    unsafe { IdRef::leave(adopted, &fate.scope) }
}
