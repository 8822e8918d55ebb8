// SPDX-License-Identifier: GPL-2.0

//! A mapped device: a disk of this host for a device of the server.
//!
//! [`Device::map`] opens the device on the server and makes the disk; [`Device::unmap`] undoes
//! it. What happens in between, when the server is lost and found again or the device changes,
//! is in `revive.rs`. The device is the data of its disk's queue and of its files in sysfs. Those
//! references make a circle that only `unmap` breaks, which everyone who ends a device calls.
//!
//! ```text
//!   Init --map--> Mapped <--opened again/link down--> Disconnected
//!     \             |                                     |
//!      `--failed----+------------- unmap -----------------+--> Unmapped
//! ```
//!
//! Lock order: `making`, then `revival`, then `known`, then `parts`; a session's list of devices,
//! then `outages`; `openers`, then nothing. `making` and `revival` are held for as long as the
//! server and the partition scan take, so nothing that they wait for may take them.

use block_mq::{
    Disk,
    DiskConfig,
    DiskEvent,
    LimitsSpec,
    Major, //
};
use kernel::{
    impl_has_delayed_work,
    impl_has_work,
    new_delayed_work,
    new_mutex,
    new_work,
    prelude::*,
    str::CString,
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
        synchronize_rcu,
        ArcCell,
        AtomicEnum,
        IrqSpinLock, //
    },
    sysfs::{
        Dir,
        Link, //
    },
    time,
    workqueue::{
        cancel_delayed_sync,
        cancel_sync,
        enqueue_delayed,
        OwnedQueue, //
    },
};
use rnbd_proto::{
    limits::{
        MINORS_PER_DEVICE,
        OPEN_RSP_EXT_LEN,
        OPEN_RSP_LEN,
        SECTOR_SIZE, //
    },
    link_name::LINK_NAME_BUF_LEN,
    AccessMode,
    DeviceName,
    IoMode,
    LinkName,
    Open,
    OpenWish,
    Opened, //
};

use crate::{
    control::{
        self,
        Carrier, //
    },
    patience::Patience,
    queue::DiskQueue,
    revive::Revival,
    session::Session,
    sessions::Lease,
    stats::Stats, //
};

/// Bytes of a page of a memory registration: only the first and the last segment of a request
/// may end inside one (`spec` of the queue limits).
const REGISTRATION_PAGE: usize = 4096;

/// Where a device is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is being made.
    Init,
    /// It carries IO.
    Mapped,
    /// No path of its session is connected.
    Disconnected,
    /// It is gone, or going.
    Unmapped,
}

impl State {
    /// What sysfs shows; existing tools compare the first two literally.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Mapped => "open",
            Self::Disconnected => "closed",
            Self::Unmapped => "unmapped",
        }
    }
}

impl From<State> for i32 {
    fn from(state: State) -> Self {
        match state {
            State::Init => 0,
            State::Mapped => 1,
            State::Disconnected => 2,
            State::Unmapped => 3,
        }
    }
}

impl TryFrom<i32> for State {
    type Error = Error;

    fn try_from(code: i32) -> Result<Self> {
        match code {
            0 => Ok(Self::Init),
            1 => Ok(Self::Mapped),
            2 => Ok(Self::Disconnected),
            3 => Ok(Self::Unmapped),
            _ => Err(EINVAL),
        }
    }
}

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
struct Parts {
    link: Option<Link>,
    counts: Option<Dir<Stats>>,
    files: Option<Dir<Device>>,
    disk: Option<Disk<DiskQueue>>,
    lease: Option<Lease>,
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
    state: AtomicEnum<State>,
    /// The id that the server gave it.
    id: Atomic<u32>,
    #[pin]
    session: ArcCell<Session>,
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
    making: Mutex<()>,
    #[pin]
    parts: Mutex<Parts>,
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
        memory::without_io(|| this.settle());
    }
}

impl WorkItem<LATER> for Device {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        memory::without_io(|| this.settle());
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
                state <- AtomicEnum::new(State::Init),
                id: Atomic::new(0),
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
    pub(crate) fn state(&self) -> State {
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

    /// Opens the device on the server, makes the disk and its files. Process context. If it
    /// fails, the caller unmaps the device.
    pub(crate) fn map(self: &Arc<Self>, major: &Arc<Major>, links: &Dir<()>) -> Result {
        let _making = self.making.lock();
        let session = self.session().ok_or(ENODEV)?;
        if self.wanted.io_mode == Some(IoMode::File) && !session.is_extended() {
            pr_err!(
                "{}: this server knows no io_mode=fileio, it does all IO straight to block devices; leave the option away\n",
                Label(self)
            );
            return Err(error(errno::EOPNOTSUPP));
        }
        let answer = self.ask(&session, &control::patient, true)?;
        self.set_id(answer.rsp.device_id);
        self.patience.up();
        // From here on `unmap` sends a close message for the id.
        self.step(State::Init, State::Mapped)?;
        session.attach(self.clone())?;
        session.claim_id(self, answer.rsp.device_id);
        if !session.transport().is_connected() {
            return Err(error(errno::ECOMM));
        }

        let disk = self.disk(&session, &answer, major)?;
        *self.known.lock() = Some(answer);
        disk.add()?;
        let mut buffer = KBox::new([0u8; LINK_NAME_BUF_LEN], GFP_KERNEL)?;
        // A link that goes down from here on finds the disk, and says so after we said the opposite.
        let mut revival = self.revival.lock();
        let mut parts = self.parts.lock();
        match self.state() {
            State::Mapped => {}
            // Somebody unmaps it already, and waits for us.
            State::Unmapped => return Err(ENODEV),
            // A link that went down while there was no disk left it without a state of its own.
            _ => return Err(error(errno::ECOMM)),
        }
        let files = Dir::new(&disk, c"rnbd", self.clone())?;
        let counts = Dir::new(&files, c"stats", self.stats.clone())?;
        disk.uevent(DiskEvent::Online);
        revival.online = true;
        let link = Link::new(links, self.link_name(&mut buffer), &disk);
        let failed = link.as_ref().err().copied();
        parts.disk = Some(disk);
        parts.files = Some(files);
        parts.counts = Some(counts);
        parts.link = link.ok();
        match failed {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// Asks the server for the device. With `aloud` a refusal is logged.
    pub(crate) fn ask(
        &self,
        session: &Session,
        hurry: &dyn Fn() -> bool,
        aloud: bool,
    ) -> Result<Opened> {
        let extended = session.is_extended();
        let message = KBox::new(
            Open {
                mode: self.wanted.mode,
                name: self.wanted.name.clone(),
                wish: extended.then_some(OpenWish {
                    io_mode: self.wanted.io_mode,
                }),
            }
            .to_bytes(),
            GFP_KERNEL,
        )?;
        let room = match extended {
            true => OPEN_RSP_EXT_LEN,
            false => OPEN_RSP_LEN,
        };
        let answer = control::exchange(session, &message[..], Carrier::Read(room), hurry)
            .inspect_err(|e| {
                if aloud {
                    self.complain(*e, "the server refused to open it");
                }
            })?;
        Opened::parse(&answer[..], extended).map_err(|e| {
            if aloud {
                pr_err!(
                    "{}: bad answer of the server: {}\n",
                    Label(self),
                    e.as_str()
                );
            }
            error(e.errno())
        })
    }

    /// Takes over the number that the server gave.
    pub(crate) fn set_id(&self, id: u32) {
        self.id.store(id, Relaxed);
    }

    fn complain(&self, e: Error, what: &str) {
        pr_err!("{}: {} ({})\n", Label(self), what, e.to_errno());
    }

    /// Makes the disk; nobody sees it yet.
    fn disk(
        self: &Arc<Self>,
        session: &Session,
        answer: &Opened,
        major: &Arc<Major>,
    ) -> Result<Disk<DiskQueue>> {
        let limits = limits(answer, session.limits()).build().inspect_err(|e| {
            self.complain(*e, "the server announces limits that no disk can have")
        })?;
        let name = CString::try_from_fmt(fmt!("rnbd{}", self.index))?;
        Disk::new(
            session.tags().clone(),
            self.clone(),
            &limits,
            &DiskConfig {
                name: &name,
                major,
                first_minor: self.index.saturating_mul(MINORS_PER_DEVICE),
                minors: MINORS_PER_DEVICE,
                capacity_sectors: answer.rsp.nsectors,
                read_only: self.wanted.mode == AccessMode::Ro,
                owner: &crate::THIS_MODULE,
            },
        )
        .inspect_err(|e| self.complain(*e, "no disk can be made"))
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

    /// Takes everything down again: link, files, disk, the device on the server, the use of
    /// the session. After [`Self::begin_unmap`]. Process context; waits for IO in flight, which
    /// is made to end if the server does not end it.
    pub(crate) fn unmap(self: &Arc<Self>, force: bool) {
        self.flags.forced.store(force, Relaxed);
        self.flags.unmapped_ms.store(time::now_ms(), Relaxed);
        let before = self.state.step(|state| match state {
            State::Unmapped => None,
            _ => Some(State::Unmapped),
        });
        // What is being made is complete after this, or undone; nothing is made any more.
        drop(self.making.lock());
        if let Some(session) = self.session() {
            session.detach(self);
        }
        // Nobody hears of the link any more. Who is just opening the device again sees the state.
        cancel_sync::<_, NOW>(self);
        cancel_delayed_sync::<_, LATER>(self);
        drop(self.revival.lock());
        let Parts {
            link,
            counts,
            files,
            disk,
            lease,
        } = core::mem::replace(&mut *self.parts.lock(), Parts::NONE);
        // From now on this sees to it that what is in flight ends.
        self.settle_later(1);
        if let Some(disk) = disk.as_ref().filter(|_| force) {
            // File systems learn that nothing can be written any more, and need not try.
            disk.go_on();
            disk.mark_dead();
        }
        drop(link);
        drop(counts);
        drop(files);
        // Ends new requests and waits for those in flight.
        drop(disk);
        cancel_delayed_sync::<_, LATER>(self);
        let session = self.session.set(None);
        // The last calls into the queue are over; none of them may hold the session.
        synchronize_rcu();
        if let Some(session) = session {
            if matches!(before, Ok((State::Mapped, _))) {
                session.close_device(self.id());
            }
        }
        drop(lease);
    }

    /// Does something with the disk, if there is one. Process context.
    pub(crate) fn with_disk<R>(&self, work: impl FnOnce(&Disk<DiskQueue>) -> R) -> Option<R> {
        self.parts.lock().disk.as_ref().map(work)
    }

    /// Goes from one state to the next, if the device is in that one.
    pub(crate) fn step(&self, from: State, to: State) -> Result {
        self.state
            .step(|state| (state == from).then_some(to))
            .map(|_| ())
            .map_err(|_| EBUSY)
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
    const NONE: Self = Self {
        link: None,
        counts: None,
        files: None,
        disk: None,
        lease: None,
    };
}

/// What the block layer has to know of a device.
fn limits(answer: &Opened, transport: &rtrs_client::Limits) -> LimitsSpec {
    let rsp = &answer.rsp;
    let spec = LimitsSpec {
        logical_block_size: rsp.logical_block_size.get(),
        physical_block_size: rsp.physical_block_size.get(),
        max_hw_sectors: transport.max_io_size / SECTOR_SIZE,
        io_opt: transport.max_io_size,
        max_segments: u16::try_from(transport.max_segments).unwrap_or(u16::MAX),
        max_discard_sectors: rsp.max_discard_sectors,
        discard_granularity: rsp.discard_granularity,
        discard_alignment: rsp.discard_alignment,
        max_secure_erase_sectors: if rsp.secure_discard {
            rsp.max_discard_sectors
        } else {
            0
        },
        max_write_zeroes_sectors: rsp.max_write_zeroes_sectors,
        write_cache: rsp.write_back,
        fua: rsp.write_back && rsp.fua,
        virt_boundary_mask: REGISTRATION_PAGE - 1,
        ..LimitsSpec::default()
    };
    let Some(ext) = &answer.ext else {
        return spec;
    };
    LimitsSpec {
        physical_block_size: ext.physical_block_size,
        io_min: ext.io_min,
        io_opt: match ext.io_opt {
            0 => spec.io_opt,
            best => best,
        },
        dma_alignment: ext.dma_alignment,
        max_secure_erase_sectors: if rsp.secure_discard {
            ext.max_secure_erase_sectors
        } else {
            0
        },
        rotational: ext.rotational,
        stable_writes: ext.stable_writes,
        ..spec
    }
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
