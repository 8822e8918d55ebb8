// SPDX-License-Identifier: GPL-2.0

//! A session with a server, shared by all devices that are mapped through it.
//!
//! [`Session`] owns the transport's session, the tag set of its disks and the table of what
//! is in flight. `sessions.rs` finds it by its name and closes it after its last device.
//!
//! A request in flight lies in the table at the index of its permit; whoever takes it out
//! ends it, so it cannot end twice. It must never sleep or allocate on that way.
//!
//! Lock order: `greeted`, then nothing; `devices`, then the lock of a device's outages.

use block_mq::{
    Request,
    TagSet, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex,
        SetOnce, //
    }, //
};
use kernel_ext::{
    cpu,
    error::{
        errno,
        error, //
    },
    fmt::Show,
    log::warn_limited,
    net::Namespace,
    new_irq_spinlock,
    sync::{
        AtomicSlot,
        IrqSpinLock, //
    },
    time::{
        now_ns,
        sleep_ms, //
    },
};
use rnbd_proto::{
    limits::{
        SESS_INFO_LEN,
        VERSION_MAJOR,
        VERSION_WITH_PRIORITY, //
    },
    AccessMode,
    Close,
    DeviceName,
    DeviceState,
    SessInfo,
    SessInfoRsp, //
};
use rtrs_client::{
    Kind,
    Limits,
    LinkEvent,
    OpenParams,
    Permit,
    Ulp, //
};
use rtrs_proto::{
    Features,
    SessionName, //
};
use trace_rnbd_client::{
    create_sess,
    destroy_sess,
    send_msg_close,
    send_msg_open,
    send_msg_sess_info,
    CloseFacts,
    OpenFacts,
    SessionFacts,
    VersionFacts, //
};

use crate::{
    control::{
        self,
        Carrier,
        Exchange, //
    },
    device::{
        Device,
        Label, //
    },
    queue::{
        self,
        DiskQueue, //
    },
};

/// Permits kept from the disks, so that control messages need not wait for IO.
const CONTROL_PERMITS: u16 = 2;

/// Between two looks whether another device has greeted the server, in milliseconds.
const GREETING_POLL_MS: u32 = 20;

/// What a permit is used for while it is in flight.
struct InFlight {
    io: AtomicSlot<Request<DiskQueue>>,
    control: AtomicSlot<Arc<Exchange>>,
    /// The number of the device whose request was the last one here, and below it the use of the
    /// permit: one word, so that they belong together.
    owner: Atomic<u64>,
    /// When that was sent, in nanoseconds; 0 when it is over.
    started_ns: Atomic<u64>,
}

/// The side of a session that the transport calls.
#[pin_data]
pub(crate) struct Completions {
    /// One entry per permit; there before the first permit is given out.
    in_flight: SetOnce<KVVec<InFlight>>,
    /// The devices of the session.
    #[pin]
    devices: IrqSpinLock<KVec<Arc<Device>>>,
    /// Whether the user has heard of a path since it heard of the loss of the last one.
    up: Atomic<bool>,
    /// How often the session came up again.
    epoch: Atomic<u64>,
}

impl InFlight {
    /// The use of the permit, if it is for a request of the device. Whatever is read after this may
    /// be of a later use, which the transport does not take for this one.
    fn turn_of(&self, device: &Device) -> Option<u32> {
        let owner = self.owner.load(Acquire);
        let mine = owner >> u32::BITS == u64::from(device.index);
        // The low half.
        mine.then_some(owner as u32)
    }
}

impl Completions {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                in_flight: SetOnce::new(),
                devices <- new_irq_spinlock!(KVec::new()),
                up: Atomic::new(true),
                epoch: Atomic::new(0),
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
            let started_ns = entry.started_ns.xchg(0, Relaxed);
            // The permit is back before the tag is, so a tag finds a permit, unless the transport
            // has some for itself: then the block layer comes again.
            drop(permit);
            queue::ended(request, status, started_ns);
        } else if let Some(exchange) = entry.control.take() {
            exchange.finish(&mut permit, status);
        }
    }

    fn link(&self, event: LinkEvent) {
        let up = matches!(event, LinkEvent::Up);
        if up {
            let _ = self.epoch.fetch_add(1, Full);
        }
        self.up.store(up, Release);
        for device in self.devices.lock().iter() {
            device.link(up);
        }
    }

    fn notice(&self, payload: u32) {
        // A device that is not open has the number that it had.
        let named =
            |device: &&Arc<Device>| device.state() == DeviceState::Mapped && device.id() == payload;
        for device in self.devices.lock().iter().filter(named) {
            device.news();
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
    /// Whether the server understands the extensions of this protocol.
    extended: bool,
    /// The version that both sides speak.
    version: Atomic<u32>,
    /// The epoch in which the server was greeted.
    greeted: Pin<KBox<Mutex<u64>>>,
    /// Whether the server has left a message unanswered that somebody waited for.
    mute: Atomic<bool>,
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
        let mut in_flight = KVVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            in_flight.push(
                InFlight {
                    io: AtomicSlot::empty(),
                    control: AtomicSlot::empty(),
                    owner: Atomic::new(0),
                    started_ns: Atomic::new(0),
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
        let extended = transport.features().has(Features::USER);
        let session = Arc::new(
            Self {
                extended,
                version: Atomic::new(u32::from(VERSION_MAJOR)),
                greeted: KBox::pin_init(new_mutex!(0, "rnbd_client::greeted"), GFP_KERNEL)?,
                mute: Atomic::new(false),
                transport,
                completions,
                tags,
                limits,
                name: params.name.clone(),
            },
            GFP_KERNEL,
        )?;
        create_sess(|| session.facts());
        session.greet(&control::patient)?;
        Ok(session)
    }

    /// What a request that came through this hardware queue needs a permit for.
    pub(crate) fn kind(&self, hw_queue: u32) -> Kind {
        self.tags.poll_queue(hw_queue).map_or(Kind::Io, Kind::Poll)
    }

    /// Ends requests that came through this hardware queue, if it is one for polling; returns how
    /// many completions there were.
    pub(crate) fn poll(&self, hw_queue: u32) -> u32 {
        self.tags
            .poll_queue(hw_queue)
            .map_or(0, |queue| self.transport.poll(queue))
    }

    /// Whether its paths are in this network namespace.
    pub(crate) fn is_in(&self, net: &Namespace) -> bool {
        self.transport.net() == net
    }

    /// Tells the server which version is spoken here, and keeps its answer.
    fn greet(&self, hurry: &dyn Fn() -> bool) -> Result {
        let message = SessInfo { ver: VERSION_MAJOR }.to_bytes();
        let answer = control::exchange(self, &message, Carrier::Read(SESS_INFO_LEN), None, hurry)?;
        let answer = answer.get(..SESS_INFO_LEN).unwrap_or_default();
        let answer = SessInfoRsp::parse(answer).map_err(|e| error(e.errno()))?;
        send_msg_sess_info(|| VersionFacts {
            agreed: answer.ver,
            client: VERSION_MAJOR,
            name: text(self.name.as_field()),
        });
        self.version.store(u32::from(answer.ver), Relaxed);
        Ok(())
    }

    /// Greets the server again if the session was down since; once for all devices. Process
    /// context.
    pub(crate) fn greet_again(&self, hurry: &dyn Fn() -> bool) -> Result {
        let mut greeted = loop {
            match self.greeted.try_lock() {
                Some(greeted) => break greeted,
                // Another device is waiting for the server's answer.
                None if hurry() => return Err(error(errno::EINTR)),
                None => sleep_ms(GREETING_POLL_MS),
            }
        };
        let epoch = self.epoch();
        if *greeted == epoch {
            return Ok(());
        }
        self.greet(hurry)?;
        *greeted = epoch;
        self.mute.store(false, Relaxed);
        Ok(())
    }

    /// How often the session came up again: numbers of devices are those of one epoch. Any context.
    pub(crate) fn epoch(&self) -> u64 {
        self.completions.epoch.load(Acquire)
    }

    /// Whether there is a path, as far as the devices have heard. Any context.
    pub(crate) fn is_up(&self) -> bool {
        self.completions.up.load(Acquire)
    }

    /// Whether the server understands the extensions of this protocol.
    pub(crate) fn is_extended(&self) -> bool {
        self.extended
    }

    /// Whether requests have a priority in the version that both sides speak (C17).
    pub(crate) fn has_priority(&self) -> bool {
        self.version.load(Relaxed) >= u32::from(VERSION_WITH_PRIORITY)
    }

    /// Tells the server that a device is not needed any more, which has this number in this epoch;
    /// in the next one the number is another device's. The server closes the device at the latest
    /// with the session, so an error is nobody's business; but a server that did not answer
    /// once is not waited for again. Process context.
    pub(crate) fn close_device(&self, device_id: u32, epoch: u64) {
        if self.mute.load(Relaxed) || epoch != self.epoch() {
            return;
        }
        let message = Close { device_id }.to_bytes();
        send_msg_close(|| CloseFacts {
            device_id,
            name: text(self.name.as_field()),
        });
        let closed = control::exchange(
            self,
            &message,
            Carrier::Write,
            Some(epoch),
            &control::patient,
        );
        if closed.is_err_and(|e| e == error(errno::ETIMEDOUT)) {
            pr_warn!("session {}: the server does not answer\n", Show(&self.name));
            self.mute.store(true, Relaxed);
        }
    }

    /// Traces that the server is about to be asked for a device.
    pub(crate) fn trace_open(&self, mode: AccessMode, device: &DeviceName) {
        send_msg_open(|| OpenFacts {
            access: u8::from(mode),
            name: text(self.name.as_field()),
            path: text(device.as_field()),
        });
    }

    /// What is traced of the session itself.
    fn facts(&self) -> SessionFacts<'_> {
        SessionFacts {
            depth: i32::from(self.limits.queue_depth),
            name: text(self.name.as_field()),
        }
    }

    /// A device got this id: whichever other device has it, too, is not open on the server any
    /// more (it lost the session without our noticing), and has to be opened again.
    pub(crate) fn claim_id(&self, device: &Device, id: u32) {
        for other in self.completions.devices.lock().iter() {
            if !core::ptr::eq(&**other, device) && other.id() == id {
                other.superseded();
            }
        }
    }

    /// Fails the path that carries the request with this token, if it is one of the device and
    /// takes too long.
    pub(crate) fn expire_late(&self, device: &Device, token: u32) {
        let index = usize::try_from(token).unwrap_or(usize::MAX);
        let Some(entry) = self.completions.entry(index) else {
            return;
        };
        let turn = entry.turn_of(device);
        let started_ns = entry.started_ns.load(Relaxed);
        let Some(turn) = turn.filter(|_| started_ns != 0) else {
            return;
        };
        if self.is_up() && device.patience.is_late(started_ns) {
            device.stats.timed_out();
            warn_limited!(
                "{}: no answer for {} s; giving up the path\n",
                Label(device),
                device.patience.io_s()
            );
            self.transport.expire(index, turn);
        }
    }

    /// Fails whatever of the device is in flight.
    pub(crate) fn expire_all(&self, device: &Device) {
        let Some(entries) = self.completions.in_flight.as_ref() else {
            return;
        };
        for (index, entry) in entries.iter().enumerate() {
            let turn = entry.turn_of(device);
            if let Some(turn) = turn.filter(|_| entry.started_ns.load(Relaxed) != 0) {
                self.transport.expire(index, turn);
            }
        }
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
            Carrier::Read(_) => self.transport.read(permit, message, true),
            Carrier::Write => self.transport.write(permit, message, false),
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
        let index = permit.index();
        let Some(entry) = self.completions.entry(index) else {
            return Err((request, EINVAL));
        };
        request.set_token(u32::try_from(index).unwrap_or(u32::MAX));
        let device = u64::from(request.queue().index);
        let owner = device << u32::BITS | u64::from(permit.turn());
        entry.owner.store(owner, Relaxed);
        entry.started_ns.store(now_ns().max(1), Relaxed);
        drop(entry.io.put(request));
        let sent = if read {
            self.transport.read(permit, message, data)
        } else {
            self.transport.write(permit, message, data)
        };
        let Err((permit, e)) = sent else {
            return Ok(());
        };
        entry.started_ns.store(0, Relaxed);
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

    /// Makes link events and notices reach the device. Process context.
    pub(crate) fn attach(&self, device: Arc<Device>) -> Result {
        let mut room = KVec::new();
        loop {
            let wanted = {
                let mut devices = self.completions.devices.lock();
                let wanted = devices.len().saturating_add(1);
                if devices.capacity() >= wanted {
                    // There is room, so this does not allocate.
                    devices.push(device, GFP_NOWAIT)?;
                    return Ok(());
                }
                if room.capacity() >= wanted {
                    for known in devices.drain_all() {
                        room.push(known, GFP_NOWAIT)?;
                    }
                    room.push(device, GFP_NOWAIT)?;
                    core::mem::swap(&mut *devices, &mut room);
                    // The old list is freed after the lock.
                    return Ok(());
                }
                wanted
            };
            room = KVec::with_capacity(wanted, GFP_KERNEL)?;
        }
    }

    /// Undoes [`Self::attach`]: nothing reaches the device any more when this returns. The caller
    /// has another reference to it.
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

impl Drop for Session {
    fn drop(&mut self) {
        destroy_sess(|| self.facts());
    }
}

/// The name in a field of a message, which holds it and a terminator.
fn text(field: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(field).unwrap_or(c"")
}
