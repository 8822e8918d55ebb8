// SPDX-License-Identifier: GPL-2.0

//! A session with a server, shared by all devices that are mapped through it.
//!
//! [`Session`] owns the transport's session, the tag set of its disks and the table of what
//! is in flight. `sessions.rs` finds it by its name and closes it after its last device.
//!
//! A request in flight lies in the table at the index of its permit; whoever takes it out
//! ends it, so it cannot end twice. It must never sleep or allocate on that way.

use block_mq::{
    Request,
    Status,
    TagSet, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    }, //
};
use kernel_ext::{
    cpu,
    error::error,
    net::Namespace,
    sync::AtomicSlot, //
};
use rnbd_proto::{
    limits::{
        SESS_INFO_LEN,
        VERSION_MAJOR, //
    },
    SessInfo,
    SessInfoRsp, //
};
use rtrs_client::{
    Limits,
    LinkEvent,
    OpenParams,
    Permit,
    Ulp,
    HOLD_SESSION, //
};
use rtrs_proto::SessionName;

use crate::{
    control::{
        self,
        Carrier,
        Exchange, //
    },
    device::Device,
    queue::DiskQueue, //
};

/// Permits kept from the disks, so that control messages need not wait for IO.
const CONTROL_PERMITS: u16 = 2;

/// What a permit is used for while it is in flight.
struct InFlight {
    io: AtomicSlot<Request<DiskQueue>>,
    control: AtomicSlot<Arc<Exchange>>,
}

/// The side of a session that the transport calls.
#[pin_data]
pub(crate) struct Completions {
    /// One entry per permit; there before the first permit is given out.
    in_flight: SetOnce<KVec<InFlight>>,
    /// The devices of the session.
    #[pin]
    devices: Mutex<KVec<Arc<Device>>>,
}

impl Completions {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                in_flight: SetOnce::new(),
                devices <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    fn entry(&self, index: usize) -> Option<&InFlight> {
        self.in_flight.as_ref()?.get(index)
    }
}

impl Ulp for Completions {
    fn complete(&self, mut permit: Permit, status: i32) {
        let Some(entry) = self.entry(permit.index()) else {
            return;
        };
        if let Some(request) = entry.io.take() {
            // The permit is back before the tag is, so a tag always finds a permit.
            drop(permit);
            request.end(Status::from_errno(status));
        } else if let Some(exchange) = entry.control.take() {
            exchange.finish(&mut permit, status);
        }
    }

    fn link(&self, event: LinkEvent) {
        let up = matches!(event, LinkEvent::Up);
        for device in self.devices.lock().iter() {
            device.link(up);
        }
    }
}

/// A session with a server.
pub(crate) struct Session {
    // The disks of a session are gone before it; then the transport ends what is in flight,
    // which is delivered to the completions.
    transport: rtrs_client::Session,
    completions: Arc<Completions>,
    tags: Arc<TagSet<DiskQueue>>,
    limits: Limits,
    name: SessionName,
}

impl Session {
    /// Opens the session and greets the server. Process context, may take half a minute for
    /// each connection.
    ///
    /// # Errors
    ///
    /// What the transport answers (`ECONNRESET`, `ETIMEDOUT`, `EHOSTUNREACH`, `EEXIST` ...),
    /// `ECOMM` if the only path was lost at once, `ENOMEM`.
    pub(crate) fn open(params: &OpenParams<'_>) -> Result<Arc<Self>> {
        let completions = Completions::new()?;
        let ulp: Arc<dyn Ulp> = completions.clone();
        let transport = rtrs_client::Session::open(params, ulp)?;
        let limits = transport.limits()?;
        let depth = usize::from(limits.queue_depth);
        let mut in_flight = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            in_flight.push(
                InFlight {
                    io: AtomicSlot::empty(),
                    control: AtomicSlot::empty(),
                },
                GFP_KERNEL,
            )?;
        }
        completions.in_flight.populate(in_flight);
        let tags = TagSet::new(
            Arc::new((), GFP_KERNEL)?,
            cpu::num_online(),
            params.nr_poll,
            u32::from(limits.queue_depth.saturating_sub(CONTROL_PERMITS).max(1)),
        )?;
        let session = Arc::new(
            Self {
                transport,
                completions,
                tags,
                limits,
                name: params.name.clone(),
            },
            GFP_KERNEL,
        )?;
        session.greet()?;
        Ok(session)
    }

    /// Whether its paths are in this network namespace.
    pub(crate) fn is_in(&self, net: &Namespace) -> bool {
        self.transport.net() == net
    }

    /// Tells the server which version is spoken here. Its answer changes nothing: all
    /// versions that exist understand the messages that are sent.
    fn greet(&self) -> Result {
        let message = SessInfo { ver: VERSION_MAJOR }.to_bytes();
        let answer = control::exchange(self, &message, Carrier::Read(SESS_INFO_LEN))?;
        let answer = answer.get(..SESS_INFO_LEN).unwrap_or_default();
        SessInfoRsp::parse(answer).map_err(|e| error(e.errno()))?;
        Ok(())
    }

    /// Hands a control message to the transport; `exchange` is finished when it has ended.
    pub(crate) fn send_control(
        &self,
        permit: Permit,
        exchange: Arc<Exchange>,
        message: &[u8],
        carrier: &Carrier,
    ) -> Result {
        let index = permit.index();
        let entry = self.completions.entry(index).ok_or(EINVAL)?;
        entry.control.put(exchange);
        let sent = match carrier {
            Carrier::Read(_) => self.transport.read(permit, message, true, 0),
            Carrier::Write => self.transport.write(permit, message, false, 0),
        };
        sent.map_err(|(permit, e)| {
            drop(entry.control.take());
            drop(permit);
            e
        })
    }

    /// Hands a request of a disk to the transport, with the data that the permit's list
    /// describes if there is any. Any context. If the transport does not take it, the
    /// request comes back.
    pub(crate) fn send_io(
        &self,
        permit: Permit,
        request: Request<DiskQueue>,
        message: &[u8],
        read: bool,
        data: bool,
    ) -> Result<(), (Request<DiskQueue>, Error)> {
        let Some(entry) = self.completions.entry(permit.index()) else {
            return Err((request, EINVAL));
        };
        drop(entry.io.put(request));
        let sent = if read {
            self.transport.read(permit, message, data, HOLD_SESSION)
        } else {
            self.transport.write(permit, message, data, HOLD_SESSION)
        };
        let Err((permit, e)) = sent else {
            return Ok(());
        };
        let back = entry.io.take();
        drop(permit);
        match back {
            Some(request) => Err((request, e)),
            // Not taken and not there: it has ended.
            None => Ok(()),
        }
    }

    /// The name.
    pub(crate) fn name(&self) -> &SessionName {
        &self.name
    }

    /// The transport below.
    pub(crate) fn transport(&self) -> &rtrs_client::Session {
        &self.transport
    }

    /// What one request may be.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The tags that all disks of the session share.
    pub(crate) fn tags(&self) -> &Arc<TagSet<DiskQueue>> {
        &self.tags
    }

    /// Makes link events reach the device. Process context.
    pub(crate) fn attach(&self, device: Arc<Device>) -> Result {
        self.completions.devices.lock().push(device, GFP_KERNEL)?;
        Ok(())
    }

    /// Undoes [`Self::attach`].
    pub(crate) fn detach(&self, device: &Device) {
        let mut devices = self.completions.devices.lock();
        let at = devices
            .iter()
            .position(|known| core::ptr::eq(&**known, device));
        let gone = at.and_then(|at| devices.remove(at).ok());
        drop(devices);
        drop(gone);
    }
}
