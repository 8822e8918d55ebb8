// SPDX-License-Identifier: GPL-2.0

//! The client's side of the connection manager: resolve, prepare, connect.
//!
//! Each step consumes the value of the one before, so a step cannot be taken too early or twice;
//! dropping a value at any point undoes everything. The waits are interruptible and sleep, so all of
//! this is for process context. The server's side is in [`listener`](super::listener).

use super::{
    context::{
        Context,
        Token, //
    },
    device::{
        sealed::HasId,
        DeviceInfo,
        HasDevice, //
    },
    hardware::QpConfig,
    id::IdRef,
    mailbox::Outcome,
    pd::Pd,
    qp::QueuePair, //
};
use crate::{
    dma::Buffer,
    error::{
        errno,
        error, //
    },
    net::{
        Family,
        Namespace,
        SockAddr, //
    },
    time, //
};
use kernel::{
    bindings as k,
    error::to_result,
    ffi::{
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

pub use super::mailbox::Limit;

pub use super::listener::{
    Accept,
    Deferred,
    Listener,
    Request, //
};

/// How often a lost packet is sent again before the connection breaks (rtrs.md 3.3).
const RETRY_COUNT: u8 = 7;
/// How often the peer's missing receive is waited for; 7 means for ever (rtrs.md 3.3).
pub(super) const RNR_RETRY_COUNT: u8 = 7;

/// How long one attempt to resolve an address takes at most.
///
/// `ib_core` asks for the hardware address of the peer and puts the request on its list only then
/// (`rdma_resolve_ip`). An answer that comes faster, as over a veth pair, is not noticed, and the
/// address known but not looked at again until the time of the request is over. So there are
/// several attempts of a short time each; an answer that takes longer than one still counts, as the
/// kernel goes on waiting for it.
const RESOLVE_SLICE_MS: u32 = 250;

/// Private data that came with a connection manager event; at most 255 bytes.
#[derive(Clone)]
pub struct PrivateData {
    bytes: [u8; 255],
    len: u8,
}

impl PrivateData {
    /// No data.
    const NONE: Self = Self {
        bytes: [0; 255],
        len: 0,
    };

    /// The data.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Length in bytes. Some fabrics pad it with zeroes.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies `len` bytes.
    ///
    /// # Safety
    ///
    /// `data` must be null or valid for `len` bytes.
    unsafe fn copy(data: *const c_void, len: u8) -> Self {
        let mut this = Self::NONE;
        if !data.is_null() {
            // SAFETY: the caller promises the source; 255 bytes are room for every `u8`.
            unsafe {
                core::ptr::copy_nonoverlapping(
                    data.cast::<u8>(),
                    this.bytes.as_mut_ptr(),
                    usize::from(len),
                )
            };
            this.len = len;
        }
        this
    }

    /// What an event carries.
    ///
    /// # Safety
    ///
    /// `event` must be valid and carry connection parameters.
    pub(super) unsafe fn of_event(event: *mut c::rdma_cm_event) -> Self {
        // SAFETY: the caller promises that the parameters are those of a connection, whose data is
        // valid as long as the event.
        unsafe {
            let conn = &(*event).param.conn;
            Self::copy(conn.private_data, conn.private_data_len)
        }
    }

    /// What a reject carries, and whether the peer's consumer sent it.
    ///
    /// # Safety
    ///
    /// `event` must be a valid reject event of the valid id `id`.
    pub(super) unsafe fn of_reject(
        id: *mut c::rdma_cm_id,
        event: *mut c::rdma_cm_event,
    ) -> (bool, Self) {
        let mut len: u8 = 0;
        // SAFETY: the caller promises id and event; the result is null, unless the peer's consumer
        // has rejected, and then valid for `len` bytes as long as the event.
        unsafe {
            let data = c::rdma_consumer_reject_data(id, event, &mut len);
            (!data.is_null(), Self::copy(data, len))
        }
    }
}

/// Why a connection could not be made.
///
/// It carries the peer's data inline: a failing connection must not need an allocation.
#[allow(clippy::large_enum_variant)]
pub enum ConnectError {
    /// The peer has refused.
    Rejected {
        /// The peer's consumer did, so the data is its. Otherwise nobody listens there, or
        /// something on the way refused.
        consumer_defined: bool,
        /// What came with it.
        data: PrivateData,
    },
    /// Anything else: `ETIMEDOUT`, `ECONNRESET`, `EHOSTUNREACH`, `ENODEV` (device removed),
    /// `ERESTARTSYS`, `EINVAL` for private data above 56 bytes, or the errno of the driver.
    Failed(Error),
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A destination whose address is resolved to a device.
pub struct Resolved {
    id: Arc<IdRef>,
    src: SockAddr,
    dst: SockAddr,
}

/// Resolves an address in a network namespace to a device, waiting as long as `limit` says. Sleeps.
///
/// The connection keeps the namespace until it is gone. GIDs mean the same in all namespaces; who
/// listens for them in the initial one is found from all of them.
///
/// # Errors
///
/// `EHOSTUNREACH`, `ETIMEDOUT`, `ERESTARTSYS`, `ENODEV`, `EINVAL` (no address, or families that do
/// not match), or what the connection manager says.
pub fn resolve<'l>(
    net: &Namespace,
    src: Option<&SockAddr>,
    dst: &SockAddr,
    limit: impl Into<Limit<'l>>,
) -> Result<Resolved> {
    let limit = limit.into();
    let end = time::now_ms().saturating_add(u64::from(limit.ms()));
    let mut left = limit.ms();
    loop {
        let result = resolve_once(net, src, dst, limit.with_ms(left.min(RESOLVE_SLICE_MS)));
        if !matches!(&result, Err(e) if *e == error(errno::ETIMEDOUT)) {
            return result;
        }
        left = u32::try_from(end.saturating_sub(time::now_ms())).unwrap_or(0);
        if left == 0 {
            return result;
        }
    }
}

/// One attempt of [`resolve`].
fn resolve_once(
    net: &Namespace,
    src: Option<&SockAddr>,
    dst: &SockAddr,
    limit: Limit<'_>,
) -> Result<Resolved> {
    let space = match dst.family() {
        Family::V4 | Family::V6 => c::rdma_ucm_port_space_RDMA_PS_TCP,
        Family::Ib => c::rdma_ucm_port_space_RDMA_PS_IB,
        Family::Other => return Err(EINVAL),
    };
    if src.is_some_and(|src| src.family() != dst.family()) {
        return Err(EINVAL);
    }
    let id = IdRef::create(net, space)?;
    // SAFETY: the id is valid and not bound yet.
    to_result(unsafe { c::rdma_set_reuseaddr(id.raw(), 1) })?;

    let mut src_storage = src.map(|src| src.to_storage());
    let src_ptr = src_storage
        .as_mut()
        .map_or(core::ptr::null_mut(), core::ptr::from_mut);
    let dst_storage = dst.to_storage();
    id.mailbox().arm()?;
    // SAFETY:
    // - The id is valid.
    // - Both addresses have the size of the largest address and live for the call, which copies
    //   them.
    to_result(unsafe {
        c::rdma_resolve_addr(
            id.raw(),
            src_ptr.cast::<k::sockaddr>(),
            (&raw const dst_storage).cast::<k::sockaddr>(),
            limit.ms() as c_ulong,
        )
    })?;
    // The connection manager keeps the time; this is for a connection manager that does not.
    match id
        .mailbox()
        .wait(limit.with_ms(limit.ms().saturating_add(RESOLVE_SLICE_MS)))?
    {
        Outcome::AddrResolved => {}
        _ => return Err(error(errno::ECONNRESET)),
    }
    if id.device().is_none() {
        return Err(ENODEV);
    }
    let (src, dst) = id.addresses();
    Ok(Resolved { id, src, dst })
}

impl Resolved {
    /// Facts about the device.
    pub fn info(&self) -> DeviceInfo {
        device_info(&self.id)
    }

    /// Our address.
    pub fn src(&self) -> SockAddr {
        self.src
    }

    /// The peer's address.
    pub fn dst(&self) -> SockAddr {
        self.dst
    }

    /// The device's port.
    pub fn port_num(&self) -> u32 {
        self.id.port_num()
    }

    /// Creates the queue pair and resolves the route, waiting as long as `limit` says. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `pd` is of another device, `ENOMEM`, `EHOSTUNREACH`, `ETIMEDOUT`, `ERESTARTSYS`,
    /// `ECONNRESET`, `ENODEV`, or the errno of the driver.
    pub fn prepare<'l, C: Context>(
        self,
        ctx: Arc<C>,
        pd: &Arc<Pd>,
        cfg: &QpConfig,
        limit: impl Into<Limit<'l>>,
    ) -> Result<Prepared<C>> {
        let limit = limit.into();
        let prepared = Prepared::new(&self.id, ctx, pd, cfg, (self.src, self.dst))?;
        self.id.mailbox().arm()?;
        // SAFETY: the id is valid; that its address is resolved is what `self` stands for.
        to_result(unsafe { c::rdma_resolve_route(self.id.raw(), limit.ms() as c_ulong) })?;
        match self.id.mailbox().wait(limit)? {
            Outcome::RouteResolved => Ok(prepared),
            _ => Err(error(errno::ECONNRESET)),
        }
    }
}

impl HasId for Resolved {
    fn id(&self) -> &Arc<IdRef> {
        &self.id
    }
}

impl HasDevice for Resolved {}

/// Facts about the device of an id that is bound to one.
pub(super) fn device_info(id: &Arc<IdRef>) -> DeviceInfo {
    // SAFETY: an id that is bound to a device keeps it; `Resolved` and `Deferred`, the callers, are
    // made of such ids only.
    unsafe { DeviceInfo::read((*id.raw()).device) }
}

/// A queue pair that is not connected yet: only receives can be posted. Process context.
///
/// Dropping it destroys the queue pair.
pub struct Prepared<C: Context> {
    id: Arc<IdRef>,
    qp: Arc<QueuePair<C>>,
}

impl<C: Context> Prepared<C> {
    /// Creates the queue pair.
    pub(super) fn new(
        id: &Arc<IdRef>,
        ctx: Arc<C>,
        pd: &Arc<Pd>,
        cfg: &QpConfig,
        addresses: (SockAddr, SockAddr),
    ) -> Result<Self> {
        spare_retransmissions(id)?;
        Ok(Self {
            id: id.clone(),
            qp: QueuePair::new(id, ctx, pd, cfg, addresses)?,
        })
    }

    /// The queue pair and its id, for the one who connects it.
    pub(super) fn parts(&self) -> (&Arc<IdRef>, &Arc<QueuePair<C>>) {
        (&self.id, &self.qp)
    }

    /// See [`QueuePair::post_recv_once`].
    pub fn post_recv_once(&self, buf: Buffer, token: Token) -> Result {
        self.qp.post_recv_once(buf, token)
    }

    /// See [`QueuePair::arm_receives`].
    pub fn arm_receives(&self, count: u32, len: u32) -> Result {
        self.qp.arm_receives(count, len)
    }

    /// See [`QueuePair::send_wr`].
    pub fn send_wr(&self) -> u32 {
        self.qp.send_wr()
    }

    /// See [`QueuePair::recv_wr`].
    pub fn recv_wr(&self) -> u32 {
        self.qp.recv_wr()
    }

    /// Connects, waiting as long as `limit` says for the peer's answer, and returns the queue pair and
    /// the peer's private data. Sleeps.
    ///
    /// `private` may have up to 56 bytes. `lost` of the context may be called before this returns.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    #[allow(clippy::result_large_err)]
    pub fn connect<'l>(
        self,
        private: &[u8],
        limit: impl Into<Limit<'l>>,
    ) -> Result<(Arc<QueuePair<C>>, PrivateData), ConnectError> {
        let mut param = conn_param(private)?;
        param.retry_count = RETRY_COUNT;
        self.id.mailbox().arm()?;
        {
            let guard = self.id.lock();
            let observer = self.qp.observer(&guard)?;
            // SAFETY: the queue pair takes back the observer before it gives up its context; it has
            // not begun to shut down, and has to wait for `guard` if it does so now.
            unsafe { guard.observe(Some(observer)) };
            guard.connect(&mut param)?;
        }
        match self.id.mailbox().wait(limit.into())? {
            Outcome::Established(data) => Ok((self.qp, data)),
            Outcome::Rejected {
                consumer_defined,
                data,
            } => Err(ConnectError::Rejected {
                consumer_defined,
                data,
            }),
            _ => Err(ConnectError::Failed(error(errno::ECONNRESET))),
        }
    }
}

/// Connection parameters with private data: no RDMA READ, infinite waiting for receives.
pub(super) fn conn_param(private: &[u8]) -> Result<c::rdma_conn_param> {
    let mut param: c::rdma_conn_param = pin_init::zeroed();
    param.private_data = private.as_ptr().cast();
    param.private_data_len = u8::try_from(private.len()).map_err(|_| EINVAL)?;
    param.rnr_retry_count = RNR_RETRY_COUNT;
    Ok(param)
}

/// The exponent of the acknowledgement timeout for soft-RoCE: 4.096 us * 2^20, about 4 s.
const SOFT_ACK_TIMEOUT: u8 = 20;

/// Keeps soft-RoCE from retransmitting for no reason; other devices keep the timeout of their
/// route.
///
/// When its timer fires, which a slow host without any loss suffices for, `rdma_rxe` executes local
/// work requests a second time (`req_retry`, `rxe_do_local_ops`): registering a region that is
/// registered fails, and that breaks the queue pair. A peer that is dead is noticed by what is above.
fn spare_retransmissions(id: &IdRef) -> Result {
    // SAFETY:
    // - The id is alive, as `id` owns it, and it is bound to a device: a queue pair is made for it.
    // - A device outlives the ids that are bound to it, and its operations never change.
    let driver = unsafe {
        let device = (*id.raw()).device;
        if device.is_null() {
            return Ok(());
        }
        (*device).ops.driver_id
    };
    if driver != c::rdma_driver_id_RDMA_DRIVER_RXE {
        return Ok(());
    }
    // SAFETY: the id is alive, and not connected yet; the function only stores the value.
    to_result(unsafe { c::rdma_set_ack_timeout(id.raw(), SOFT_ACK_TIMEOUT) })
}
