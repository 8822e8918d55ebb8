// SPDX-License-Identifier: GPL-2.0

//! A mapped device: a disk of this host for a device of the server.
//!
//! `map` opens the device on the server and makes the disk; `unmap` undoes it (`mapping.rs`). What
//! happens in between, when the server is lost and found again or the device changes, is in
//! `revive.rs`. The device is the data of its disk's queue and of its files in sysfs. Those
//! references make a circle that only `unmap` breaks, which everyone who ends a device calls.
//!
//! Its states are those of [`DeviceState`].
//!
//! Lock order: `making`, then `revival`, then `known`, then `parts`; a session's list of devices,
//! then `outages`; `openers`, then nothing. `making` and `revival` are held for as long as the
//! server and the partition scan take, so nothing that they wait for may take them.

use block_mq::Disk;
use kernel::{
    impl_has_delayed_work,
    impl_has_work,
    new_delayed_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        DelayedWork,
        Work,
        WorkItem, //
    }, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    fmt::Show,
    memory, new_irq_spinlock,
    sync::{
        ArcCell,
        AtomicEnum,
        IrqSpinLock, //
    },
    sysfs::{
        Dir,
        Link, //
    },
    workqueue::{
        enqueue_delayed,
        OwnedQueue, //
    },
};
use rnbd_proto::{
    link_name::LINK_NAME_BUF_LEN,
    AccessMode,
    DeviceEvent,
    DeviceName,
    DeviceState,
    IoMode,
    LinkName,
    Opened, //
};

use trace_rnbd_client::DeviceFacts;

use crate::{
    patience::Patience,
    queue::DiskQueue,
    revive::Revival,
    session::Session,
    sessions::Lease,
    stats::Stats, //
};

/// Who has the disk open, and whether it may still be opened.
struct Openers {
    count: u32,
    closed: bool,
}

/// What a mapping asks for.
pub(crate) struct Wanted {
    /// The device on the server.
    pub(crate) name: DeviceName,
    pub(crate) mode: AccessMode,
    /// How the server shall do the IO; none leaves it to the server.
    pub(crate) io_mode: Option<IoMode>,
    pub(crate) nr_poll_queues: u32,
}

/// The two items of work of a device, which do the same: one runs at once, one later.
pub(crate) const NOW: u64 = 1;
pub(crate) const LATER: u64 = 2;

/// What a mapped device owns. Taken out as a whole and dropped in the order of the fields.
pub(crate) struct Parts {
    pub(crate) link: Option<Link>,
    pub(crate) counts: Option<Dir<Stats>>,
    pub(crate) files: Option<Dir<Device>>,
    pub(crate) disk: Option<Disk<DiskQueue>>,
    pub(crate) lease: Option<Lease>,
}

/// A mapped device.
#[pin_data]
pub(crate) struct Device {
    /// Its number, which is in the name of its disk.
    pub(crate) index: u32,
    pub(crate) session_name: rtrs_proto::SessionName,
    pub(crate) wanted: Wanted,
    pub(crate) patience: Patience,
    pub(crate) stats: Arc<Stats>,
    #[pin]
    pub(crate) state: AtomicEnum<DeviceState>,
    /// The id that the server gave it, and the session's epoch in which it did.
    id: Atomic<u32>,
    pub(crate) epoch: Atomic<u64>,
    #[pin]
    pub(crate) session: ArcCell<Session>,
    #[pin]
    openers: Mutex<Openers>,
    /// How often the link went up or down. Whoever makes the device `Mapped` again does it under
    /// this lock, and only if there was no such event since it asked the server.
    #[pin]
    pub(crate) outages: IrqSpinLock<u64>,
    /// What is yet to be looked at by the item of work.
    pub(crate) flags: Flags,
    /// Held while the device is opened again.
    #[pin]
    pub(crate) revival: Mutex<Revival>,
    /// What the server said of it last.
    #[pin]
    pub(crate) known: Mutex<Option<Opened>>,
    /// Held by [`Self::map`]. The device is in the registry and its files are in sysfs before it is
    /// complete; whoever unmaps it so early waits here.
    #[pin]
    pub(crate) making: Mutex<()>,
    #[pin]
    pub(crate) parts: Mutex<Parts>,
    worker: Arc<OwnedQueue>,
    #[pin]
    now: Work<Device, NOW>,
    #[pin]
    later: DelayedWork<Device, LATER>,
}

impl_has_work! {
    impl HasWork<Self, 1> for Device { self.now }
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 2> for Device { self.later }
}

impl WorkItem<NOW> for Device {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // Memory may be short because this very disk does not take dirty pages.
        memory::without_io(|| this.settle(true));
    }
}

impl WorkItem<LATER> for Device {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        memory::without_io(|| this.settle(false));
    }
}

/// Small facts that change in any context.
pub(crate) struct Flags {
    /// The link came up since the last attempt to open the device again.
    pub(crate) fresh: Atomic<bool>,
    /// The server says that the device has changed.
    pub(crate) news: Atomic<bool>,
    /// The device is being unmapped with force.
    pub(crate) forced: Atomic<bool>,
    /// When the device began to be unmapped, in milliseconds.
    pub(crate) unmapped_ms: Atomic<u64>,
}

impl Device {
    /// A device that is not mapped yet.
    pub(crate) fn new(
        index: u32,
        wanted: Wanted,
        lease: Lease,
        worker: Arc<OwnedQueue>,
    ) -> Result<Arc<Self>> {
        let session = lease.session().clone();
        let stats = Stats::new()?;
        Arc::pin_init(
            pin_init!(Self {
                index,
                session_name: session.name().clone(),
                wanted,
                patience: Patience::new(),
                stats,
                state <- AtomicEnum::new(DeviceState::Init),
                id: Atomic::new(0),
                epoch: Atomic::new(0),
                session <- ArcCell::new(Some(session)),
                openers <- new_mutex!(Openers {
                    count: 0,
                    closed: false,
                }),
                outages <- new_irq_spinlock!(0, "rnbd_client::outages"),
                flags: Flags {
                    fresh: Atomic::new(false),
                    news: Atomic::new(false),
                    forced: Atomic::new(false),
                    unmapped_ms: Atomic::new(0),
                },
                revival <- new_mutex!(Revival::new(), "rnbd_client::revival"),
                known <- new_mutex!(None, "rnbd_client::known"),
                making <- new_mutex!(()),
                parts <- new_mutex!(Parts {
                    link: None,
                    counts: None,
                    files: None,
                    disk: None,
                    lease: Some(lease),
                }),
                worker,
                now <- new_work!("rnbd_client::now"),
                later <- new_delayed_work!("rnbd_client::later"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has [`Self::settle`] run soon. Any context.
    pub(crate) fn settle_soon(self: &Arc<Self>) {
        // If it is queued already, it has not begun yet and will see everything.
        let _ = self.worker.queue().enqueue::<Arc<Self>, NOW>(self.clone());
    }

    /// Has [`Self::settle`] run in `ms` milliseconds, or earlier if it was to run earlier. Any
    /// context.
    pub(crate) fn settle_later(self: &Arc<Self>, ms: u32) {
        let _ = enqueue_delayed::<_, LATER>(self.worker.queue(), self.clone(), ms);
    }

    /// Where the device is in its life.
    pub(crate) fn state(&self) -> DeviceState {
        self.state.load()
    }

    /// The id on the server.
    pub(crate) fn id(&self) -> u32 {
        self.id.load(Relaxed)
    }

    /// The session, until the device is unmapped.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.session.get()
    }

    /// The name of the link in `ctl/devices`.
    pub(crate) fn link_name<'a>(&self, buffer: &'a mut [u8; LINK_NAME_BUF_LEN]) -> &'a CStr {
        LinkName {
            device: &self.wanted.name,
            session: self.session_name.as_bytes(),
        }
        .to_c_str(buffer)
    }

    /// Takes over the number that the server gave in this epoch of the session.
    pub(crate) fn set_id(&self, id: u32, epoch: u64) {
        self.id.store(id, Relaxed);
        self.epoch.store(epoch, Relaxed);
    }

    /// Says that the device is going, unless it is in use or going already. The winner calls
    /// [`Self::unmap`].
    ///
    /// # Errors
    ///
    /// `EALREADY` if it is going, `EBUSY` if the disk is open and this is not forced.
    pub(crate) fn begin_unmap(&self, force: bool) -> Result {
        let mut openers = self.openers.lock();
        if openers.closed {
            return Err(error(errno::EALREADY));
        }
        if openers.count > 0 && !force {
            return Err(EBUSY);
        }
        openers.closed = true;
        Ok(())
    }

    /// Undoes [`Self::begin_unmap`], for a caller that cannot go on.
    pub(crate) fn cancel_unmap(&self) {
        self.openers.lock().closed = false;
    }

    /// Does something with the disk, if there is one. Process context.
    pub(crate) fn with_disk<R>(&self, work: impl FnOnce(&Disk<DiskQueue>) -> R) -> Option<R> {
        self.parts.lock().disk.as_ref().map(work)
    }

    /// Goes to the state after `event` and returns the one before; none if the event has no effect.
    /// Any context.
    pub(crate) fn step(&self, event: DeviceEvent) -> Option<DeviceState> {
        let (before, now) = self.state.step(|state| state.step(event)).ok()?;
        trace_rnbd_client::device_state(|| DeviceFacts {
            disk: self.index,
            state: now.into(),
            device_id: self.id(),
        });
        Some(before)
    }

    /// Somebody opens the disk.
    ///
    /// # Errors
    ///
    /// `EPERM` for writing to a read-only mapping, `EIO` if the device is going.
    pub(crate) fn opened(&self, write: bool) -> Result {
        if write && self.wanted.mode == AccessMode::Ro {
            return Err(EPERM);
        }
        let mut openers = self.openers.lock();
        if openers.closed {
            return Err(EIO);
        }
        openers.count = openers.count.saturating_add(1);
        Ok(())
    }

    /// Somebody closed the disk.
    pub(crate) fn released(&self) {
        let mut openers = self.openers.lock();
        openers.count = openers.count.saturating_sub(1);
    }
}

impl Parts {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        link: None,
        counts: None,
        files: None,
        disk: None,
        lease: None,
    };
}

/// How the log calls a device.
pub(crate) struct Label<'a>(pub(crate) &'a Device);

impl kernel::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        write!(
            f,
            "<{}@{}>",
            Show(&self.0.wanted.name),
            Show(&self.0.session_name)
        )
    }
}
