// SPDX-License-Identifier: GPL-2.0

//! A mapped device: a disk of this host for a device of the server.
//!
//! [`Device::map`] opens the device on the server and makes the disk; [`Device::unmap`] undoes
//! it. In between the device is the data of its disk's queue and of its files in sysfs. Those
//! references make a circle that only `unmap` breaks, which everyone who ends a device calls.
//!
//! ```text
//!   Init --map--> Mapped --link down--> Disconnected
//!     \             |                        |
//!      `--failed----+------- unmap ----------+--> Unmapped
//! ```
//!
//! Lock order: `making`, then `parts`; `openers`, then nothing. `making` is held for as long as the
//! server and the partition scan take, so nothing that they wait for may take it: only `unmap` does.

use block_mq::{
    Disk,
    DiskConfig,
    DiskEvent,
    LimitsSpec,
    Major, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    fmt::Show,
    sync::{
        synchronize_rcu,
        ArcCell,
        AtomicEnum, //
    },
    sysfs::{
        Dir,
        Link, //
    },
};
use rnbd_proto::{
    limits::{
        MINORS_PER_DEVICE,
        OPEN_RSP_LEN,
        SECTOR_SIZE, //
    },
    link_name::LINK_NAME_BUF_LEN,
    AccessMode,
    Close,
    DeviceName,
    LinkName,
    Open,
    OpenRsp, //
};

use crate::{
    control::{
        self,
        Carrier, //
    },
    queue::DiskQueue,
    session::Session,
    sessions::Lease, //
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

/// What a mapped device owns. Taken out as a whole and dropped in the order of the fields.
struct Parts {
    link: Option<Link>,
    files: Option<Dir<Device>>,
    disk: Option<Disk<DiskQueue>>,
    lease: Option<Lease>,
}

/// A mapped device.
#[pin_data]
pub(crate) struct Device {
    /// Its number, which is in the name of its disk.
    pub(crate) index: u32,
    pub(crate) name: DeviceName,
    pub(crate) session_name: rtrs_proto::SessionName,
    pub(crate) mode: AccessMode,
    pub(crate) nr_poll_queues: u32,
    #[pin]
    state: AtomicEnum<State>,
    /// The id that the server gave it.
    id: Atomic<u32>,
    #[pin]
    session: ArcCell<Session>,
    #[pin]
    openers: Mutex<Openers>,
    /// Held by [`Self::map`]. The device is in the registry and its files are in sysfs before it is
    /// complete; whoever unmaps it so early waits here.
    #[pin]
    making: Mutex<()>,
    #[pin]
    parts: Mutex<Parts>,
}

impl Device {
    /// A device that is not mapped yet.
    pub(crate) fn new(
        index: u32,
        name: DeviceName,
        mode: AccessMode,
        nr_poll_queues: u32,
        lease: Lease,
    ) -> Result<Arc<Self>> {
        let session = lease.session().clone();
        Arc::pin_init(
            pin_init!(Self {
                index,
                name,
                session_name: session.name().clone(),
                mode,
                nr_poll_queues,
                state <- AtomicEnum::new(State::Init),
                id: Atomic::new(0),
                session <- ArcCell::new(Some(session)),
                openers <- new_mutex!(Openers {
                    count: 0,
                    closed: false,
                }),
                making <- new_mutex!(()),
                parts <- new_mutex!(Parts {
                    link: None,
                    files: None,
                    disk: None,
                    lease: Some(lease),
                }),
            }),
            GFP_KERNEL,
        )
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
            device: &self.name,
            session: self.session_name.as_bytes(),
        }
        .to_c_str(buffer)
    }

    /// Opens the device on the server, makes the disk and its files. Process context. If it
    /// fails, the caller unmaps the device.
    pub(crate) fn map(self: &Arc<Self>, major: &Arc<Major>, links: &Dir<()>) -> Result {
        let _making = self.making.lock();
        let session = self.session().ok_or(ENODEV)?;
        let answer = self.open(&session)?;
        self.id.store(answer.device_id, Relaxed);
        // From here on `unmap` sends a close message for the id.
        self.step(State::Init, State::Mapped)?;
        session.attach(self.clone())?;

        let disk = self.disk(&session, &answer, major)?;
        disk.add()?;
        let mut buffer = KBox::new([0u8; LINK_NAME_BUF_LEN], GFP_KERNEL)?;
        // A link that goes down from here on finds the disk, and says so after we said the opposite.
        let mut parts = self.parts.lock();
        match self.state() {
            State::Mapped => {}
            // Somebody unmaps it already, and waits for us.
            State::Unmapped => return Err(ENODEV),
            // A link that went down while there was no disk left it without a state of its own.
            _ => return Err(error(errno::ECOMM)),
        }
        let files = Dir::new(&disk, c"rnbd", self.clone())?;
        disk.uevent(DiskEvent::Online);
        let link = Link::new(links, self.link_name(&mut buffer), &disk);
        let failed = link.as_ref().err().copied();
        parts.disk = Some(disk);
        parts.files = Some(files);
        parts.link = link.ok();
        match failed {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// Asks the server for the device.
    fn open(&self, session: &Session) -> Result<OpenRsp> {
        let message = KBox::new(
            Open {
                mode: self.mode,
                name: self.name.clone(),
                wish: None,
            }
            .to_bytes(),
            GFP_KERNEL,
        )?;
        let answer = control::exchange(session, &message[..], Carrier::Read(OPEN_RSP_LEN))
            .inspect_err(|e| self.complain(*e, "the server refused to open it"))?;
        OpenRsp::parse(&answer).map_err(|e| {
            pr_err!(
                "{}: bad answer of the server: {}\n",
                Label(self),
                e.as_str()
            );
            error(e.errno())
        })
    }

    fn complain(&self, e: Error, what: &str) {
        pr_err!("{}: {} ({})\n", Label(self), what, e.to_errno());
    }

    /// Makes the disk; nobody sees it yet.
    fn disk(
        self: &Arc<Self>,
        session: &Session,
        answer: &OpenRsp,
        major: &Arc<Major>,
    ) -> Result<Disk<DiskQueue>> {
        let transport = session.limits();
        let limits = LimitsSpec {
            logical_block_size: answer.logical_block_size.get(),
            physical_block_size: answer.physical_block_size.get(),
            max_hw_sectors: transport.max_io_size / SECTOR_SIZE,
            io_opt: transport.max_io_size,
            max_segments: u16::try_from(transport.max_segments).unwrap_or(u16::MAX),
            max_discard_sectors: answer.max_discard_sectors,
            discard_granularity: answer.discard_granularity,
            discard_alignment: answer.discard_alignment,
            max_secure_erase_sectors: if answer.secure_discard {
                answer.max_discard_sectors
            } else {
                0
            },
            max_write_zeroes_sectors: answer.max_write_zeroes_sectors,
            write_cache: answer.write_back,
            fua: answer.write_back && answer.fua,
            virt_boundary_mask: REGISTRATION_PAGE - 1,
            ..LimitsSpec::default()
        }
        .build()
        .inspect_err(|e| self.complain(*e, "the server announces limits that no disk can have"))?;
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
                capacity_sectors: answer.nsectors,
                read_only: self.mode == AccessMode::Ro,
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
    /// the session. After [`Self::begin_unmap`]. Process context; waits for IO in flight.
    pub(crate) fn unmap(&self) {
        let before = self.state.step(|state| match state {
            State::Unmapped => None,
            _ => Some(State::Unmapped),
        });
        // What is being made is complete after this, or undone; nothing is made any more.
        drop(self.making.lock());
        let (link, files, disk, lease) = {
            let mut parts = self.parts.lock();
            (
                parts.link.take(),
                parts.files.take(),
                parts.disk.take(),
                parts.lease.take(),
            )
        };
        drop(link);
        drop(files);
        // Ends new requests and waits for those in flight.
        drop(disk);
        let session = self.session.set(None);
        // The last calls into the queue are over; none of them may hold the session.
        synchronize_rcu();
        if let Some(session) = session {
            session.detach(self);
            if matches!(before, Ok((State::Mapped, _))) {
                let message = Close {
                    device_id: self.id(),
                }
                .to_bytes();
                // The server closes the device at the latest with the session.
                let _ = control::exchange(&session, &message, Carrier::Write);
            }
        }
        drop(lease);
    }

    /// The link of the session went up or down. Process context.
    pub(crate) fn link(&self, up: bool) {
        if !up && self.step(State::Mapped, State::Disconnected).is_ok() {
            if let Some(disk) = &self.parts.lock().disk {
                disk.uevent(DiskEvent::Offline);
            }
        }
    }

    /// Goes from one state to the next, if the device is in that one.
    fn step(&self, from: State, to: State) -> Result {
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
        if write && self.mode == AccessMode::Ro {
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

/// How the log calls a device.
pub(crate) struct Label<'a>(pub(crate) &'a Device);

impl kernel::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        write!(f, "<{}@{}>", Show(&self.0.name), Show(&self.0.session_name))
    }
}
