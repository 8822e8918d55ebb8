// SPDX-License-Identifier: GPL-2.0

//! What becomes of a mapped device when the server is lost and found again, and when the
//! device changes there.
//!
//! News come in contexts that must not wait: [`Device::link`], [`Device::news`] and the others
//! only note them and have [`Device::settle`] run on the module's own queue, which makes the
//! device what it should be. It may run at any time and as often as one likes. It must never
//! wait for memory that this disk would have to free.
//!
//! After the loss of all paths the server has a new session, in which devices have other numbers; a
//! C server gives the same ones, from 0. So no request that was made with an old number may go out
//! once any device has a new one: before a device is opened again, all calls of `queue_rq` that may
//! have seen it mapped are waited for, and requests that lost their path come back to the block layer.

use block_mq::DiskEvent;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    log::warn_limited,
    memory,
    sync::synchronize_rcu,
    time::now_ms, //
};
use rnbd_proto::{
    DeviceEvent,
    DeviceState,
    Opened, //
};

use crate::{
    device::{
        Device,
        Label, //
    },
    patience::NoPath,
    session::Session, //
};

/// Between two looks at a device that is not what it should be, in milliseconds.
const TICK_MS: u32 = 1000;

/// Between a refusal to open a device again and the next attempt, in milliseconds: from the first
/// to the last, doubling.
const RETRY_MS: u32 = 1000;
const RETRY_MAX_MS: u32 = 30_000;

/// Between two questions about a device because the server says that it has changed, in
/// milliseconds. A server that says so all the time must not keep us, nor the log, busy.
const NEWS_MS: u64 = 500;

/// How long unmapping with force waits for a message that is under way, in milliseconds.
const HURRY_MS: u64 = 5000;

/// How long unmapping waits for requests of a server that is there and does not answer, in
/// milliseconds, unless the device has a time limit of its own.
const DRAIN_MS: u64 = 30_000;

/// How far opening a device again has come.
pub(crate) struct Revival {
    /// Whether user space believes that the disk works.
    pub(crate) online: bool,
    /// Whether what the server offers is not to be had; until the next link, or until an
    /// administrator asks.
    refused: bool,
    /// What the log has been told about, as an errno.
    complaint: i32,
    /// When to try again, and how long to wait after that.
    retry_at_ms: u64,
    retry_ms: u32,
    /// When the server's next news may be looked at.
    news_at_ms: u64,
}

impl Revival {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self {
            online: false,
            refused: false,
            complaint: 0,
            retry_at_ms: 0,
            retry_ms: RETRY_MS,
            news_at_ms: 0,
        }
    }

    fn start_over(&mut self) {
        self.refused = false;
        self.complaint = 0;
        self.retry_at_ms = 0;
        self.retry_ms = RETRY_MS;
    }
}

/// What had happened to the link when the server was asked.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    /// The session's epoch, to which the number of the device belongs.
    pub(crate) epoch: u64,
    /// The device's outages.
    outages: u64,
}

impl Device {
    /// The link of the session went up or down. Any context.
    pub(crate) fn link(self: &Arc<Self>, up: bool) {
        {
            let mut outages = self.outages.lock();
            *outages = outages.wrapping_add(1);
            if up {
                self.flags.fresh.store(true, Relaxed);
            } else {
                self.patience.down();
            }
            // With a link that is up again, nothing that was open before is any more.
            let _ = self.step(DeviceEvent::LinkDown);
        }
        self.settle_soon();
    }

    /// The server says that the device has changed. Any context.
    pub(crate) fn news(self: &Arc<Self>) {
        self.flags.news.store(true, Relaxed);
        self.settle_soon();
    }

    /// Another device of the session has got this one's number, so this one is not open any more.
    /// Any context.
    pub(crate) fn superseded(self: &Arc<Self>) {
        {
            let mut outages = self.outages.lock();
            if self.step(DeviceEvent::LinkDown).is_none() {
                return;
            }
            *outages = outages.wrapping_add(1);
            self.patience.down();
        }
        // Not at once: a server that gives all devices one number must not keep us busy.
        self.settle_later(TICK_MS);
    }

    /// The server does not know the device: an administrator has closed it there, or the server
    /// has lost its session without our noticing. As with C clients the device stays as it is,
    /// because whoever has closed it did not want it open again at once. Any context.
    pub(crate) fn forgotten(&self) {
        warn_limited!(
            "{}: the server has closed it, so all IO fails; write 1 to revalidate to open it again\n",
            Label(self)
        );
    }

    /// Whether a request that lost its path waits for one instead of failing. The news of the loss
    /// may be behind it, and there may be another path already: then it is sent again at once. Any
    /// context.
    pub(crate) fn waits_for_path(&self) -> bool {
        matches!(
            self.state(),
            DeviceState::Mapped | DeviceState::Disconnected
        ) && self.patience.waits_ms().is_some()
    }

    /// Makes the device what it should be now. If somebody is at it already, waits for that or, not
    /// to `wait`, comes again. Process context.
    pub(crate) fn settle(self: &Arc<Self>, wait: bool) {
        if self.state() == DeviceState::Unmapped {
            self.drain();
            return;
        }
        // Whoever holds the lock may be waiting for the server; requests must not wait for that.
        self.keep_or_fail();
        let mut revival = match wait {
            true => self.revival.lock(),
            false => match self.revival.try_lock() {
                Some(revival) => revival,
                None => return self.tick(),
            },
        };
        match self.state() {
            DeviceState::Init | DeviceState::Unmapped => {}
            DeviceState::Mapped => self.settle_news(&mut revival),
            DeviceState::Disconnected => self.settle_disconnected(&mut revival),
        }
    }

    /// Follows what the server says has changed, but not more often than is good for us.
    fn settle_news(self: &Arc<Self>, revival: &mut Revival) {
        if !self.flags.news.load(Relaxed) {
            return;
        }
        let now = now_ms();
        let left = revival.news_at_ms.saturating_sub(now);
        if left > 0 {
            self.settle_later(u32::try_from(left).unwrap_or(TICK_MS));
            return;
        }
        revival.news_at_ms = now.saturating_add(NEWS_MS);
        if self.flags.news.xchg(false, Full) && self.refresh(false).is_err() {
            warn_limited!(
                "{}: the server says it has changed, but not how; write 1 to revalidate\n",
                Label(self)
            );
        }
    }

    fn settle_disconnected(self: &Arc<Self>, revival: &mut Revival) {
        if revival.online {
            revival.online = false;
            let _ = self.with_disk(|disk| disk.uevent(DiskEvent::Offline));
        }
        if matches!(self.patience.no_path(), NoPath::Seconds(_)) {
            // The limit may be over before the server has answered.
            self.tick();
        }
        if self.flags.fresh.xchg(false, Full) {
            revival.start_over();
        }
        let Some(session) = self.session() else {
            return;
        };
        let wanted = session.is_up() && !revival.refused;
        if wanted && now_ms() >= revival.retry_at_ms && self.reopen(revival).is_err() {
            revival.retry_at_ms = now_ms().saturating_add(u64::from(revival.retry_ms));
            revival.retry_ms = revival.retry_ms.saturating_mul(2).min(RETRY_MAX_MS);
        }
        if self.state() == DeviceState::Disconnected && wanted && !revival.refused {
            self.tick();
        }
    }

    /// Has the device looked at again when something may be due. The timer may run already, for an
    /// earlier time.
    fn tick(self: &Arc<Self>) {
        let left = self.patience.waits_ms().unwrap_or(TICK_MS);
        self.settle_later(left.clamp(1, TICK_MS));
    }

    /// Keeps the requests of a disk without a path, or lets them fail, whatever the administrator
    /// wants. Process context.
    fn keep_or_fail(&self) {
        let _ = self.with_disk(|disk| {
            // Under the lock under which a disk that is open again is told to go on.
            if self.state() != DeviceState::Disconnected {
                return;
            }
            match self.patience.waits_ms() {
                Some(_) => disk.halt(),
                None => disk.go_on(),
            }
        });
    }

    /// Opens the device again. Under `revival`.
    ///
    /// # Errors
    ///
    /// What the server answers; `ECONNABORTED` without a path, `EINVAL` if what the server offers
    /// now cannot be had under this disk, `ENODEV` if the device is being unmapped.
    fn reopen(self: &Arc<Self>, revival: &mut Revival) -> Result {
        let opened = self.try_reopen(revival);
        if let Err(e) = opened {
            let code = e.to_errno();
            // Each reason once per outage; a link that is gone again is no news.
            if code != revival.complaint && code != -errno::ECONNABORTED && !revival.refused {
                revival.complaint = code;
                pr_warn!(
                    "{}: cannot be opened again ({}); tried again for as long as the link is up\n",
                    Label(self),
                    code
                );
            }
        }
        opened
    }

    fn try_reopen(self: &Arc<Self>, revival: &mut Revival) -> Result {
        let session = self.session().ok_or(ENODEV)?;
        let seen = self.look(&session);
        // Whoever saw this or any other device mapped before the outage has sent its request.
        synchronize_rcu();
        let hurry = || self.is_in_a_hurry();
        session.greet_again(&hurry)?;
        let now = self.ask(&session, &hurry, false)?;
        let id = now.rsp.device_id;
        if let Err(e) = self.accept(&now) {
            revival.refused = true;
            session.close_device(id, seen.epoch);
            return Err(e);
        }
        session.claim_id(self, id);
        self.go_live(seen, id).inspect_err(|e| {
            // It is being unmapped; nobody else knows that it is open.
            if *e == ENODEV {
                session.close_device(id, seen.epoch);
            }
        })?;
        self.know(now);
        revival.start_over();
        revival.online = true;
        self.stats.reopened();
        let _ = self.with_disk(|disk| {
            // If the link went again, `keep_or_fail` has the say, under the same lock.
            if self.state() == DeviceState::Mapped {
                disk.go_on();
            }
            disk.uevent(DiskEvent::Online);
        });
        pr_info!("{}: open again\n", Label(self));
        Ok(())
    }

    /// What has happened so far to the link; before the server is asked. Any context.
    pub(crate) fn look(&self, session: &Session) -> Seen {
        // In this order: an epoch that is over meanwhile is known as such.
        let epoch = session.epoch();
        Seen {
            epoch,
            outages: *self.outages.lock(),
        }
    }

    /// The server has opened the device as `id`: it carries IO, unless the link went down or came up
    /// again since `seen`. Any context.
    ///
    /// # Errors
    ///
    /// `ECONNABORTED` if it did, `ENODEV` if the device is being unmapped.
    pub(crate) fn go_live(&self, seen: Seen, id: u32) -> Result {
        let outages = self.outages.lock();
        if *outages != seen.outages {
            return Err(error(errno::ECONNABORTED));
        }
        self.set_id(id, seen.epoch);
        self.patience.up();
        self.step(DeviceEvent::Opened).map(|_| ()).ok_or(ENODEV)
    }

    /// Asks the server for the device as it is now, and takes over its size; with `aloud` a refusal
    /// is logged. Under `revival`.
    fn refresh(self: &Arc<Self>, aloud: bool) -> Result<Opened> {
        let session = self.session().ok_or(ENODEV)?;
        let seen = self.look(&session);
        let now = self.ask(&session, &|| self.is_in_a_hurry(), aloud)?;
        let id = now.rsp.device_id;
        self.accept(&now).inspect_err(|_| {
            if id != self.id() {
                // The name leads elsewhere now; the disk stays with what it has.
                session.close_device(id, seen.epoch);
            }
        })?;
        session.claim_id(self, id);
        {
            let outages = self.outages.lock();
            if *outages != seen.outages || self.state() != DeviceState::Mapped {
                return Err(error(errno::ECONNABORTED));
            }
            self.set_id(id, seen.epoch);
        }
        self.know(now);
        Ok(now)
    }

    /// Keeps what the server said of a device with which the disk goes on.
    fn know(&self, now: Opened) {
        let mut known = self.known.lock();
        *known = Some(known.as_ref().map_or(now, |old| old.followed_by(now)));
    }

    /// Looks whether the disk can go on with what was opened, and if so gives it the size.
    fn accept(&self, now: &Opened) -> Result {
        let objection = self
            .known
            .lock()
            .as_ref()
            .and_then(|old| old.objection(now));
        if let Some(objection) = objection {
            warn_limited!(
                "{}: not what was mapped: {}; unmap it and map it again\n",
                Label(self),
                objection.as_str()
            );
            return Err(EINVAL);
        }
        self.with_disk(|disk| {
            let (old, new) = (disk.capacity(), now.rsp.nsectors);
            if new < old {
                warn_limited!(
                    "{}: it has shrunk from {} to {} sectors\n",
                    Label(self),
                    old,
                    new
                );
            }
            match new == old {
                true => Ok(()),
                false => disk.set_capacity_and_notify(new),
            }
        })
        .unwrap_or(Ok(()))
    }

    /// `remap_device`: opens the device again, now.
    ///
    /// # Errors
    ///
    /// `EALREADY` if it is open, `EBUSY` if it is being mapped, `ENODEV` if it is being unmapped,
    /// else those of opening.
    pub(crate) fn remap(self: &Arc<Self>) -> Result {
        self.reviving(|revival| {
            match self.state() {
                DeviceState::Mapped => return Err(error(errno::EALREADY)),
                DeviceState::Unmapped => return Err(ENODEV),
                DeviceState::Init => return Err(EBUSY),
                DeviceState::Disconnected => {}
            }
            revival.start_over();
            if self.session().is_some_and(|session| !session.is_up()) {
                // Nothing would come back before the path is; the errno is that of the transport.
                return Err(error(errno::ECONNABORTED));
            }
            self.reopen(revival)
        })
    }

    /// `revalidate`: takes over the size that the device has now.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the device is not open, else those of opening.
    pub(crate) fn revalidate(self: &Arc<Self>) -> Result {
        self.reviving(|_| {
            if self.state() != DeviceState::Mapped {
                return Err(ENOENT);
            }
            self.refresh(true).map(|_| ())
        })
    }

    /// `resize`: gives the disk a size, in sectors.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the device is not open, `EINVAL` if it is not that large (C16).
    pub(crate) fn resize(self: &Arc<Self>, sectors: u64) -> Result {
        self.reviving(|_| {
            if self.state() != DeviceState::Mapped {
                return Err(ENOENT);
            }
            let known = self.known.lock().map_or(0, |known| known.rsp.nsectors);
            let there = match sectors > known {
                true => self.refresh(true)?.rsp.nsectors,
                false => known,
            };
            if sectors > there {
                pr_err!(
                    "{}: not resized to {} sectors: it has {}\n",
                    Label(self),
                    sectors,
                    there
                );
                return Err(EINVAL);
            }
            self.with_disk(|disk| disk.set_capacity_and_notify(sectors))
                .unwrap_or(Err(ENOENT))
        })
    }

    /// Does something under `revival` for an administrator. If memory were freed meanwhile by
    /// writing to this disk, and its link went down, the disk would wait for us and we for it.
    fn reviving<R>(&self, work: impl FnOnce(&mut Revival) -> R) -> R {
        memory::without_io(|| work(&mut self.revival.lock()))
    }

    /// Whether a message that is under way must not be waited for any longer.
    fn is_in_a_hurry(&self) -> bool {
        let since = self.flags.unmapped_ms.load(Relaxed);
        self.state() == DeviceState::Unmapped
            && self.flags.forced.load(Relaxed)
            && now_ms().saturating_sub(since) > HURRY_MS
    }

    /// Makes what is in flight end while the device is being unmapped, if the server does not.
    fn drain(self: &Arc<Self>) {
        let Some(session) = self.session() else {
            return;
        };
        let patience = match self.patience.io_s() {
            0 => DRAIN_MS,
            seconds => u64::from(seconds).saturating_mul(1000).min(DRAIN_MS),
        };
        let since = self.flags.unmapped_ms.load(Relaxed);
        if !session.transport().is_connected() || now_ms().saturating_sub(since) >= patience {
            session.expire_all(self);
        }
        self.settle_later(TICK_MS);
    }
}
