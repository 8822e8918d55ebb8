// SPDX-License-Identifier: GPL-2.0

//! Making the disk of a device, and taking it down again.
//!
//! [`Device::map`] and [`Device::unmap`] are the only places where what a device owns comes and
//! goes; the registry calls them. Process context only, for as long as the server and the
//! partition scan take.

use block_mq::{
    Disk,
    DiskConfig,
    DiskEvent,
    LimitsSpec,
    Major, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    sync::synchronize_rcu,
    sysfs::{
        Dir,
        Link, //
    },
    time,
    workqueue::{
        cancel_delayed_sync,
        cancel_sync, //
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
    DeviceEvent,
    DeviceState,
    IoMode,
    Open,
    OpenWish,
    Opened, //
};

use crate::{
    control::{
        self,
        Carrier, //
    },
    device::{
        Device,
        Label,
        Parts,
        LATER,
        NOW, //
    },
    queue::DiskQueue,
    session::Session,
};

/// Bytes of a page of a memory registration: only the first and the last segment of a request
/// may end inside one (`spec` of the queue limits).
const REGISTRATION_PAGE: usize = 4096;

impl Device {
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
        // From here on it hears of the link, so an answer of a session that is gone is known as such.
        session.attach(self.clone())?;
        let seen = self.look(&session);
        // Whoever saw the epoch before this one has sent its close message.
        synchronize_rcu();
        let answer = self.ask(&session, &control::patient, true)?;
        *self.known.lock() = Some(answer);
        let id = answer.rsp.device_id;
        // From here on `unmap` sends a close message for the id.
        if let Err(e) = self.go_live(seen, id) {
            if e != ENODEV {
                return Err(self.link_lost());
            }
            // It is being unmapped; nobody else knows that it is open.
            session.close_device(id, seen.epoch);
            return Err(e);
        }
        session.claim_id(self, id);

        let disk = self.disk(&session, &answer, major)?;
        disk.add()?;
        let mut buffer = KBox::new([0u8; LINK_NAME_BUF_LEN], GFP_KERNEL)?;
        // A link that goes down from here on finds the disk, and says so after we said the opposite.
        let mut revival = self.revival.lock();
        // Who heard of another size meanwhile had no disk to give it to.
        let size = self
            .known
            .lock()
            .map_or(answer.rsp.nsectors, |known| known.rsp.nsectors);
        let mut parts = self.parts.lock();
        match self.state() {
            DeviceState::Mapped => {}
            // Somebody unmaps it already, and waits for us.
            DeviceState::Unmapped => return Err(ENODEV),
            // A link that went down while there was no disk left it without a state of its own.
            _ => return Err(self.link_lost()),
        }
        if size != disk.capacity() {
            disk.set_capacity_and_notify(size)?;
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
        session.trace_open(self.wanted.mode, &self.wanted.name);
        let answer = control::exchange(session, &message[..], Carrier::Read(room), None, hurry)
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

    /// Says that the device could not be mapped because the last path went meanwhile.
    fn link_lost(&self) -> Error {
        pr_err!(
            "{}: the server was lost; map it again when it is back\n",
            Label(self)
        );
        error(errno::ECOMM)
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
            },
        )
        .inspect_err(|e| self.complain(*e, "no disk can be made"))
    }

    /// Takes everything down again: link, files, disk, the device on the server, the use of
    /// the session. After [`Self::begin_unmap`]. Process context; waits for IO in flight, which
    /// is made to end if the server does not end it.
    pub(crate) fn unmap(self: &Arc<Self>, force: bool) {
        self.flags.forced.store(force, Relaxed);
        self.flags.unmapped_ms.store(time::now_ms(), Relaxed);
        let before = self.step(DeviceEvent::Unmap);
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
        // Somebody may have written to the files until they were gone; the first of the two has the
        // second one run.
        cancel_sync::<_, NOW>(self);
        cancel_delayed_sync::<_, LATER>(self);
        let session = self.session.set(None);
        // The last calls into the queue are over; none of them may hold the session.
        synchronize_rcu();
        if let Some(session) = session {
            if before == Some(DeviceState::Mapped) {
                session.close_device(self.id(), self.epoch.load(Relaxed));
            }
        }
        drop(lease);
    }
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
