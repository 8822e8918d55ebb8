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

use block_bio::BlockDevice;
use core::fmt::Write;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::{
    sync::{
        ArcCell,
        Gate, //
    },
    sysfs::{
        Dir,
        File,
        Files,
        Page, //
    },
};
use rnbd_proto::{
    AccessMode,
    DeviceName, //
};

use crate::{
    export::Exports,
    io::Pool, //
};

/// What the files of a mapping show.
pub(crate) struct MappingFiles {
    mode: AccessMode,
    name: DeviceName,
}

impl MappingFiles {
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
}

impl Files for MappingFiles {
    const FILES: &'static [File<Self>] = &[
        File {
            name: c"access_mode",
            show: Some(Self::access_mode),
            store: None,
        },
        File {
            name: c"read_only",
            show: Some(Self::read_only),
            store: None,
        },
        File {
            name: c"mapping_path",
            show: Some(Self::mapping_path),
            store: None,
        },
    ];
}

/// One device that one session has open.
#[pin_data]
pub(crate) struct Mapping {
    /// The id that the client uses; never used again within its session.
    pub(crate) id: u32,
    /// The device number of the backend.
    pub(crate) dev: u32,
    /// What the client may do.
    pub(crate) mode: AccessMode,
    /// The name as the client gave it.
    pub(crate) name: DeviceName,
    /// Memory for the requests of the session.
    pub(crate) pool: Arc<Pool>,
    /// Requests in flight.
    #[pin]
    pub(crate) gate: Gate,
    /// The open backend until the mapping is closed.
    #[pin]
    pub(crate) backend: ArcCell<BlockDevice>,
    #[pin]
    dir: Mutex<Option<Dir<MappingFiles>>>,
}

impl Mapping {
    /// Registers `backend` with the exports and makes the mapping. Process context.
    ///
    /// # Errors
    ///
    /// As [`Exports::add`].
    pub(crate) fn new(
        id: u32,
        mode: AccessMode,
        name: DeviceName,
        backend: Arc<BlockDevice>,
        session: &CStr,
        exports: &Exports,
        pool: Arc<Pool>,
    ) -> Result<Arc<Self>> {
        let files = Arc::new(
            MappingFiles {
                mode,
                name: name.clone(),
            },
            GFP_KERNEL,
        )?;
        let dev = backend.dev();
        let open = backend.clone();
        let mapping = Arc::pin_init(
            try_pin_init!(Self {
                id,
                dev,
                mode,
                name,
                pool,
                gate <- Gate::new(),
                backend <- ArcCell::new(Some(backend)),
                dir <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        // From here on only `close` takes the mapping out of the exports.
        let dir = exports.add(&open, mode, session, files)?;
        *mapping.dir.lock() = Some(dir);
        Ok(mapping)
    }

    /// Ends the mapping: no new request, the ones in flight are waited for, the backend is
    /// closed, the directory goes. Process context; may be called more than once.
    pub(crate) fn close(&self, exports: &Exports) {
        self.gate.close();
        self.gate.wait_idle();
        let dir = self.dir.lock().take();
        if let Some(dir) = dir {
            exports.remove(self.dev, self.mode, dir);
        }
        drop(self.backend.set(None));
    }
}
