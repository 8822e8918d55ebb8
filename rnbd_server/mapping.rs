// SPDX-License-Identifier: GPL-2.0

//! A mapping: one device that one session has open.
//!
//! The session publishes it in its table when it is complete; the IO path finds it there by
//! its id and counts itself in at the gate. Closing shuts the gate, waits until the last
//! request in flight is answered and then closes the backend, in that order.
//!
//! It must never be reachable by an id before it is complete, nor be closed from interrupt
//! context: the last reference may be dropped there, so what must sleep to be freed is taken
//! out in [`Mapping::close`].

use core::fmt::Write;
use kernel::{
    new_mutex,
    prelude::*,
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
    error::errno,
    sync::{
        ArcCell,
        Gate, //
    },
    sysfs::{
        Dir,
        File,
        Files,
        Page,
        StoreContext, //
    },
};
use rnbd_proto::{
    AccessMode,
    DeviceName, //
};
use rtrs_server::SessionLink;

use crate::{
    backend::{
        Backend,
        Key, //
    },
    export::{
        one,
        Exports,
        Share, //
    },
    io::{
        BioPool,
        CachePool, //
    },
    session::Session,
    stats::Stats, //
};

/// What the files of a mapping show and do.
pub(crate) struct MappingFiles {
    id: u32,
    mode: AccessMode,
    name: DeviceName,
    session: Arc<Session>,
}

impl MappingFiles {
    /// The session that has the mapping.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// How the device is mapped.
    pub(crate) fn mode(&self) -> AccessMode {
        self.mode
    }

    fn access_mode(&self, page: &mut Page<'_>) -> Result {
        writeln!(page, "{}", self.mode.as_str()).map_err(|_| EINVAL)
    }

    fn read_only(&self, page: &mut Page<'_>) -> Result {
        let value = u32::from(self.mode == AccessMode::Ro);
        writeln!(page, "{value}").map_err(|_| EINVAL)
    }

    fn mapping_path(&self, page: &mut Page<'_>) -> Result {
        page.bytes(self.name.as_bytes());
        page.bytes(b"\n");
        Ok(())
    }

    fn force_close_usage(&self, page: &mut Page<'_>) -> Result {
        page.bytes(b"Usage: echo 1 > force_close\n");
        Ok(())
    }

    /// Closes the mapping whatever its client thinks; returns when it is closed.
    fn force_close(&self, text: &[u8], context: &StoreContext<'_>) -> Result {
        one(text)?;
        // Closing removes this file and waits for its functions, so it has to go first. Whoever
        // does not get it finds the mapping being closed by somebody else.
        if !context.remove_self() {
            return Ok(());
        }
        self.session.force_close(self.id)
    }
}

impl Files for MappingFiles {
    const FILES: &'static [File<Self>] = &[
        File::read_only(c"access_mode", Self::access_mode),
        File::read_only(c"read_only", Self::read_only),
        File::read_only(c"mapping_path", Self::mapping_path),
        File::read_write(c"force_close", Self::force_close_usage, Self::force_close),
    ];
}

/// Notices without an answer after which a client is left alone: those of five seconds.
const MAX_NOTICES: u32 = 20;

/// No size that a client can have been told.
const UNKNOWN: u64 = u64::MAX;

/// One device that one session has open.
#[pin_data]
pub(crate) struct Mapping {
    /// The id that the client uses; never used again within its session.
    pub(crate) id: u32,
    /// What identifies the backend.
    pub(crate) key: Key,
    /// What the client may do.
    pub(crate) mode: AccessMode,
    /// The name as the client gave it.
    pub(crate) name: DeviceName,
    /// The number of this opening, which never comes again.
    pub(crate) generation: u64,
    /// Memory for the requests of the session.
    pub(crate) pool: Arc<BioPool>,
    /// Memory for requests through the page cache, if that is how the IO is done.
    pub(crate) cache: Option<Arc<CachePool>>,
    /// Where requests are counted.
    pub(crate) stats: Arc<Stats>,
    /// Requests in flight.
    #[pin]
    pub(crate) gate: Gate,
    /// The open backend until the mapping is closed.
    #[pin]
    pub(crate) backend: ArcCell<Backend>,
    /// The size in sectors that the client knows.
    told: Atomic<u64>,
    /// Notices that the client has not answered.
    notices: Atomic<u32>,
    #[pin]
    dir: Mutex<Option<Dir<MappingFiles>>>,
}

impl Mapping {
    /// Makes a mapping of `backend` and its files. Process context; [`Exports::add`] registers
    /// it and shows them.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        id: u32,
        mode: AccessMode,
        name: DeviceName,
        backend: Arc<Backend>,
        session: &Arc<Session>,
        cache: Option<Arc<CachePool>>,
        share: Share,
    ) -> Result<(Arc<Self>, Arc<MappingFiles>)> {
        let files = Arc::new(
            MappingFiles {
                id,
                mode,
                name: name.clone(),
                session: session.clone(),
            },
            GFP_KERNEL,
        )?;
        let mapping = Arc::pin_init(
            try_pin_init!(Self {
                id,
                key: backend.key(),
                mode,
                name,
                generation: share.generation,
                pool: session.pool.clone(),
                cache,
                stats: share.stats,
                gate <- Gate::new(),
                told: Atomic::new(backend.sectors()),
                notices: Atomic::new(0),
                backend <- ArcCell::new(Some(backend)),
                dir <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        Ok((mapping, files))
    }

    /// Keeps the directory of the mapping.
    pub(crate) fn show(&self, dir: Dir<MappingFiles>) {
        *self.dir.lock() = Some(dir);
    }

    /// The client is being told this size.
    pub(crate) fn told(&self, sectors: u64) {
        self.told.store(sectors, Relaxed);
        self.notices.store(0, Relaxed);
    }

    /// Sends a notice if the client does not know this size, or in any case. A notice may be lost
    /// with its path, so it is sent again the next time unless the client has asked meanwhile;
    /// but not for ever, and not to a client that takes none.
    pub(crate) fn tell(&self, sectors: u64, always: bool, link: &SessionLink) {
        if always {
            self.told(UNKNOWN);
        }
        if self.told.load(Relaxed) == sectors {
            return;
        }
        let sent = self.notices.fetch_add(1, Relaxed);
        match link.notice(self.id) {
            Err(e) if e.to_errno() == -errno::EOPNOTSUPP => self.told(sectors),
            _ if sent >= MAX_NOTICES => self.told(sectors),
            _ => {}
        }
    }

    /// Ends the mapping: no new request, the ones in flight are waited for, the backend is
    /// closed, the directory goes. Process context; may be called more than once.
    pub(crate) fn close(&self, exports: &Exports) {
        self.gate.close();
        self.gate.wait_idle();
        let dir = self.dir.lock().take();
        if let Some(dir) = dir {
            exports.remove(self, dir);
        }
        drop(self.backend.set(None));
    }
}
