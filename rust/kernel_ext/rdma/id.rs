// SPDX-License-Identifier: GPL-2.0

//! Connection manager ids: ownership, events and who may run when.
//!
//! An [`IdRef`] owns an `rdma_cm_id` and is the context its event handler gets. Until a connection
//! is established events go to a mailbox where a thread waits; afterwards they go to the observer,
//! that is the context of the queue pair.
//!
//! The C rules are: handlers of one id never run in parallel (the id's handler mutex); an id must
//! not be destroyed from its own handler, except by a return value other than 0. So each `IdRef`
//! knows which task runs its handler; if the last reference is dropped by that very task, the
//! handler's return value does the destroying.

use super::{
    cm::PrivateData,
    context::Lost,
    mailbox::{
        Mailbox,
        Outcome, //
    }, //
};
use crate::{
    error::errno,
    net::{
        Namespace,
        SockAddr, //
    }, //
};
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    ptr, //
};
use kernel::{
    bindings as k,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Task, //
};
use rdma_bindings as c;

/// Return value of a handler that wants its id destroyed.
const DESTROY: c_int = -errno::ECONNABORTED;

/// Whom to tell about events of an established connection.
#[derive(Clone, Copy)]
pub(super) struct Observer {
    /// From `Arc::into_raw`; the one who sets the observer keeps the reference until it is unset.
    pub(super) context: *const c_void,
    /// Calls the context's `lost`. Must be called with `context`, while it is valid.
    pub(super) lost: unsafe fn(*const c_void, Lost),
}

/// What the running handler of an id leaves on its stack.
pub(super) struct Scope {
    /// The last reference was dropped by the handler itself.
    doomed: Cell<bool>,
}

/// An owned connection manager id.
///
/// # Invariants
///
/// - `raw` is a valid id which only `drop` or, for a doomed one, the connection manager destroys.
/// - The id's context is the address of this value, which is pinned.
/// - `observer` and `scope` are accessed only by the task that holds the id's handler mutex.
/// - `handler` is the task that runs the handler, or null.
#[pin_data(PinnedDrop)]
pub struct IdRef {
    raw: *mut c::rdma_cm_id,
    #[pin]
    mailbox: Mailbox,
    observer: UnsafeCell<Option<Observer>>,
    handler: Atomic<*mut k::task_struct>,
    scope: UnsafeCell<*const Scope>,
}

// SAFETY: an id is bound to no thread.
unsafe impl Send for IdRef {}
// SAFETY: the C functions lock by themselves; the cells are protected as the invariants say.
unsafe impl Sync for IdRef {}

impl IdRef {
    fn init(raw: *mut c::rdma_cm_id) -> impl PinInit<Self> {
        pin_init!(Self {
            raw,
            mailbox <- Mailbox::new(),
            observer: UnsafeCell::new(None),
            handler: Atomic::new(ptr::null_mut()),
            scope: UnsafeCell::new(ptr::null()),
        })
    }

    /// Makes an id in a network namespace, which it keeps. Sleeps.
    pub(super) fn create(net: &Namespace, space: c::rdma_ucm_port_space) -> Result<Arc<Self>> {
        // The room for the value comes first, because the id needs its address.
        let room = kernel::sync::UniqueArc::<Self>::new_uninit(GFP_KERNEL)?;
        let context = room.as_ptr().cast_mut().cast::<c_void>();
        let handler: c::rdma_cm_event_handler = Some(conn_handler);
        // SAFETY: the namespace is valid; no event can occur before an operation is started on the
        // id, and none is before the value behind `context` is initialised.
        let raw = from_err_ptr(unsafe { c::rdx_create_id(net.as_ptr(), handler, context, space) })?;
        // INVARIANT: `raw` is new; its context is the place which is initialised here.
        Ok(room.pin_init_with(Self::init(raw))?.into())
    }

    /// Takes over an id that the running handler of its listener has received. Sleeps.
    ///
    /// # Safety
    ///
    /// - `raw` must be a new child id, and the calling task must be in the handler that announced
    ///   it, with `scope` living until the end of that handler.
    /// - If this succeeds, the handler must return what [`leave`](Self::leave) says.
    pub(super) unsafe fn adopt(raw: *mut c::rdma_cm_id, scope: &Scope) -> Result<Arc<Self>> {
        // INVARIANT: the id is ours from here on; nobody else destroys it.
        let this = Arc::pin_init(Self::init(raw), GFP_KERNEL)?;
        this.handler.store(Task::current_raw(), Relaxed);
        // SAFETY:
        // - The calling task holds the child's handler mutex: it is in its handler.
        // - The same mutex makes sure that nobody reads context and handler meanwhile.
        // - INVARIANT: the context becomes the pinned address of the value.
        unsafe {
            *this.scope.get() = scope;
            (*raw).context = Arc::as_ptr(&this).cast_mut().cast();
            (*raw).event_handler = Some(conn_handler);
        }
        Ok(this)
    }

    /// The C object; valid as long as `self`.
    pub(super) fn raw(&self) -> *mut c::rdma_cm_id {
        self.raw
    }

    /// The device the id is bound to.
    pub(super) fn device(&self) -> Option<*mut c::ib_device> {
        // SAFETY: the id is valid. The field is set once, before the event that lets anybody get
        // here, and not changed while the id exists.
        let device = unsafe { (*self.raw).device };
        (!device.is_null()).then_some(device)
    }

    /// The device's port.
    pub(super) fn port_num(&self) -> u32 {
        // SAFETY: as for the device.
        unsafe { (*self.raw).port_num }
    }

    /// Source and destination address.
    pub(super) fn addresses(&self) -> (SockAddr, SockAddr) {
        // SAFETY: the id is valid; its addresses do not change once it is bound.
        unsafe { addresses(self.raw) }
    }

    /// Whether the calling task runs the handler of this id.
    fn in_handler(&self) -> bool {
        // Only the task itself stores its own address, so a relaxed load cannot be wrong about it.
        self.handler.load(Relaxed) == Task::current_raw()
    }

    /// Takes the handler mutex, unless the calling task is the handler and holds it. Sleeps.
    pub(super) fn lock(&self) -> HandlerGuard<'_> {
        let locked = !self.in_handler();
        if locked {
            // SAFETY: the id is valid and this task does not hold its mutex.
            unsafe { c::rdma_lock_handler(self.raw) }
        }
        HandlerGuard { id: self, locked }
    }

    /// Where events are waited for until the connection is established.
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Handles an event.
    ///
    /// # Safety
    ///
    /// - The calling task must be in the handler of the id of `this`.
    /// - `this` may be gone afterwards.
    unsafe fn handle(this: *const Self, event: *mut c::rdma_cm_event) {
        // SAFETY: the handler mutex is held, so the id and with it `this` is there until somebody
        // calls the observer below.
        let id = unsafe { &*this };
        // SAFETY: the event is valid while its handler runs.
        let (kind, status) = unsafe { ((*event).event, (*event).status) };
        // What the event means before, and after the connection is established.
        let (before, after) = match kind {
            c::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_RESOLVED => {
                return id.mailbox.post(Outcome::AddrResolved);
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_RESOLVED => {
                return id.mailbox.post(Outcome::RouteResolved);
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_ESTABLISHED => {
                // SAFETY: this event carries connection parameters.
                let data = unsafe { PrivateData::of_event(event) };
                return id.mailbox.post(Outcome::Established(data));
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_ERROR if status == -errno::ETIMEDOUT => {
                (errno::ETIMEDOUT, Lost::Error(errno::ETIMEDOUT))
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_ERROR
            | c::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_ERROR => {
                (errno::EHOSTUNREACH, Lost::Error(errno::EHOSTUNREACH))
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_DISCONNECTED => {
                (errno::ECONNRESET, Lost::Disconnected)
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_DEVICE_REMOVAL => {
                (errno::ENODEV, Lost::DeviceRemoval)
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_CHANGE => {
                (errno::ECONNRESET, Lost::AddrChange)
            }
            c::rdma_cm_event_type_RDMA_CM_EVENT_TIMEWAIT_EXIT => {
                (errno::ECONNRESET, Lost::TimewaitExit)
            }
            // CONNECT_ERROR, UNREACHABLE, REJECTED and whatever else a later kernel thinks of.
            _ => (errno::ECONNRESET, Lost::Error(errno::ECONNRESET)),
        };

        if !id.mailbox.is_connected() {
            if kind == c::rdma_cm_event_type_RDMA_CM_EVENT_REJECTED {
                // SAFETY: the id and the event are valid while the handler runs.
                let (consumer_defined, data) = unsafe { PrivateData::of_reject(id.raw, event) };
                return id.mailbox.post(Outcome::Rejected {
                    consumer_defined,
                    data,
                });
            }
            return id.mailbox.end(before);
        }
        // SAFETY: the handler mutex is held.
        let observer = unsafe { *id.observer.get() };
        if let Some(observer) = observer {
            // SAFETY: the context is valid as long as it is the observer, which only a holder of
            // the handler mutex changes: nobody else now, and `lost` takes its own reference first.
            unsafe { (observer.lost)(observer.context, after) }
        }
    }

    /// Ends the handler that adopted or ran `this`; returns the handler's return value.
    ///
    /// # Safety
    ///
    /// - The calling task must be in the handler of the id, and `scope` must be the one it set.
    /// - `this` must not have been freed, unless by this task.
    pub(super) unsafe fn leave(this: *const Self, scope: &Scope) -> c_int {
        if scope.doomed.get() {
            // `this` is gone. The handler mutex is still held, and the connection manager destroys
            // the id without calling a handler again.
            return DESTROY;
        }
        // SAFETY: not doomed, so this task has not freed it; another task that wants to must take
        // the handler mutex first, in `rdma_destroy_id`.
        unsafe {
            *(*this).scope.get() = ptr::null();
            (*this).handler.store(ptr::null_mut(), Relaxed);
        }
        0
    }
}

#[pinned_drop]
impl PinnedDrop for IdRef {
    fn drop(self: Pin<&mut Self>) {
        if self.in_handler() {
            // SAFETY: this task is in the handler, so it may access `scope`, which the handler has
            // set and which lives until the handler's end.
            unsafe { (**self.scope.get()).doomed.set(true) };
        } else {
            // SAFETY: by the invariant the id is valid and destroyed nowhere else; its queue pair
            // is gone, as that holds a reference to `self`. No handler runs afterwards.
            unsafe { c::rdma_destroy_id(self.raw) }
        }
    }
}

impl Scope {
    /// A scope for the handler that starts now.
    pub(super) fn new() -> Self {
        Self {
            doomed: Cell::new(false),
        }
    }
}

/// The handler mutex of an id is held by this task.
pub(super) struct HandlerGuard<'a> {
    id: &'a IdRef,
    /// Whether this guard took it.
    locked: bool,
}

impl HandlerGuard<'_> {
    /// Sets or clears the observer.
    ///
    /// # Safety
    ///
    /// The context must stay valid until the observer is cleared or replaced.
    pub(super) unsafe fn observe(&self, observer: Option<Observer>) {
        // SAFETY: the guard is the proof that this task holds the handler mutex.
        unsafe { *self.id.observer.get() = observer }
    }

    /// Starts to connect.
    pub(super) fn connect(&self, param: &mut c::rdma_conn_param) -> Result {
        // SAFETY: the id is valid and its handler mutex held; `param` lives for the call.
        to_result(unsafe { c::rdma_connect_locked(self.id.raw, param) })
    }

    /// Accepts; if it fails the peer has been told.
    pub(super) fn accept(&self, param: &mut c::rdma_conn_param) -> Result {
        // SAFETY: as in `connect`.
        to_result(unsafe { c::rdma_accept(self.id.raw, param) })
    }

    /// Refuses.
    pub(super) fn reject(&self, data: &[u8]) {
        // SAFETY: the id is valid; see `reject`.
        unsafe { reject(self.id.raw, data) }
    }
}

impl Drop for HandlerGuard<'_> {
    fn drop(&mut self) {
        if self.locked {
            // SAFETY: this guard has taken the mutex.
            unsafe { c::rdma_unlock_handler(self.id.raw) }
        }
    }
}

/// Refuses a connect request. Errors do not matter: the peer then runs into its own time limit.
///
/// # Safety
///
/// `raw` must be a valid id that has received a connect request.
pub(super) unsafe fn reject(raw: *mut c::rdma_cm_id, data: &[u8]) {
    /// Most private data of a reject (`IB_CM_REJ_PRIVATE_DATA_SIZE`).
    const MAX: usize = 148;

    let data = if data.len() > MAX { &[] } else { data };
    // SAFETY: the caller promises a valid id; the data lives for the call and its length fits.
    unsafe {
        c::rdma_reject(
            raw,
            data.as_ptr().cast(),
            data.len() as u8,
            c::ib_cm_rej_reason_IB_CM_REJ_CONSUMER_DEFINED as u8,
        )
    };
}

/// Source and destination address of an id.
///
/// # Safety
///
/// `raw` must be valid.
pub(super) unsafe fn addresses(raw: *mut c::rdma_cm_id) -> (SockAddr, SockAddr) {
    // SAFETY: the caller promises a valid id.
    let addr = unsafe { &(*raw).route.addr };
    (
        SockAddr::from_storage(&addr.src_addr),
        SockAddr::from_storage(&addr.dst_addr),
    )
}

/// The event handler of every id that is not a listener.
///
/// # Safety
///
/// To be called by the connection manager, for an id whose context is an [`IdRef`].
unsafe extern "C" fn conn_handler(id: *mut c::rdma_cm_id, event: *mut c::rdma_cm_event) -> c_int {
    let scope = Scope::new();
    // SAFETY:
    // - The context is an `IdRef` which is not freed while its handler runs, except by the handler
    //   itself: freeing it includes destroying the id, which waits for the handler.
    // - The handler mutex is held, so `scope` may be set.
    unsafe {
        let this = (*id).context.cast_const().cast::<IdRef>();
        *(*this).scope.get() = &scope;
        (*this).handler.store(Task::current_raw(), Relaxed);
        IdRef::handle(this, event);
        IdRef::leave(this, &scope)
    }
}
