// SPDX-License-Identifier: GPL-2.0

//! The exported devices: who has which backend open, and their directories in sysfs.
//!
//! [`Exports`] is the one registry of the module. An export is a block device that at least
//! one session has open, known by its device number and never by the spelling of a path.
//! Its directory `ctl/devices/<dev>` appears with the first session and goes with the last.
//!
//! The list, the directories and the count of writers change together under one lock, so an
//! export can neither be found while it goes nor be made twice. It must never be locked from
//! the IO path.
//!
//! Lock order: a session's control lock (`session.rs`), then the lock of this list.

use block_bio::BlockDevice;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::{
    sysfs::{
        Class,
        ClassDevice,
        Dir,
        Link, //
    },
    workqueue::{
        Flags,
        OwnedQueue, //
    },
};
use rnbd_proto::AccessMode;

use crate::mapping::MappingFiles;

/// Most mappings that may change a device at a time (`spec` of the access modes: one writer,
/// or two while a volume migrates).
const MAX_WRITERS: u32 = 2;

/// A backend that at least one session has open.
struct Export {
    /// The device number, which is the identity.
    dev: u32,
    /// Mappings that are not read-only.
    writers: u32,
    /// All mappings.
    users: u32,
    // The directories go in this order: the children before their parent.
    sessions: Dir<()>,
    _block_dev: Link,
    _dir: Dir<()>,
}

/// The registry of exports and the root of the module's part of sysfs.
#[pin_data]
pub(crate) struct Exports {
    #[pin]
    list: Mutex<KVec<Export>>,
    /// Open and close messages are handled here: they open files and wait for IO, and must
    /// not hold up the completions of other sessions.
    control: OwnedQueue,
    // sysfs, the children before their parents.
    devices: Dir<()>,
    _ctl: ClassDevice<()>,
    _class: Class,
}

impl Exports {
    /// Makes the class `rnbd-server` with `ctl/devices`. Process context.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Arc<Self>> {
        let control = OwnedQueue::new(
            c"rnbd_server_wq",
            Flags {
                mem_reclaim: true,
                unbound: true,
                ..Flags::default()
            },
        )?;
        let class = Class::new(c"rnbd-server", module)?;
        let ctl = ClassDevice::new(&class, c"ctl", Arc::new((), GFP_KERNEL)?, true)?;
        let devices = Dir::new(&ctl, c"devices", Arc::new((), GFP_KERNEL)?)?;
        Arc::pin_init(
            try_pin_init!(Self {
                list <- new_mutex!(KVec::new()),
                control,
                devices,
                _ctl: ctl,
                _class: class,
            }),
            GFP_KERNEL,
        )
    }

    /// The queue for open and close messages.
    pub(crate) fn control(&self) -> &OwnedQueue {
        &self.control
    }

    /// Registers a mapping of `backend` with `mode` for the session `session`, and shows it
    /// as `ctl/devices/<dev>/sessions/<session>/`. Process context.
    ///
    /// # Errors
    ///
    /// `EPERM` when the writers that the device already has exclude `mode`, `ENOMEM`, or what
    /// sysfs answers.
    pub(crate) fn add(
        &self,
        backend: &BlockDevice,
        mode: AccessMode,
        session: &CStr,
        files: Arc<MappingFiles>,
    ) -> Result<Dir<MappingFiles>> {
        let dev = backend.dev();
        let mut list = self.list.lock();
        let known = list.iter().position(|export| export.dev == dev);
        let writers = known
            .and_then(|at| list.get(at))
            .map_or(0, |export| export.writers);
        // rw is exclusive; migration admits a second writer.
        let allowed = match mode {
            AccessMode::Ro => true,
            AccessMode::Rw => writers == 0,
            AccessMode::Migration => writers < MAX_WRITERS,
        };
        if !allowed {
            return Err(EPERM);
        }
        let at = match known {
            Some(at) => at,
            None => {
                let export = self.make(backend)?;
                let at = list.len();
                list.push(export, GFP_KERNEL)?;
                at
            }
        };
        let Some(export) = list.get_mut(at) else {
            return Err(ENOENT);
        };
        match Dir::new(&export.sessions, session, files) {
            Ok(dir) => {
                export.users = export.users.saturating_add(1);
                export.writers = export
                    .writers
                    .saturating_add(u32::from(mode != AccessMode::Ro));
                Ok(dir)
            }
            Err(e) => {
                if export.users == 0 {
                    Self::forget(&mut list, at);
                }
                Err(e)
            }
        }
    }

    /// Takes a mapping out again. Process context; waits for readers of its files.
    pub(crate) fn remove(&self, dev: u32, mode: AccessMode, dir: Dir<MappingFiles>) {
        let mut list = self.list.lock();
        drop(dir);
        let Some(at) = list.iter().position(|export| export.dev == dev) else {
            return;
        };
        let Some(export) = list.get_mut(at) else {
            return;
        };
        export.users = export.users.saturating_sub(1);
        export.writers = export
            .writers
            .saturating_sub(u32::from(mode != AccessMode::Ro));
        if export.users == 0 {
            Self::forget(&mut list, at);
        }
    }

    /// Makes the directory of a backend that nobody had open.
    fn make(&self, backend: &BlockDevice) -> Result<Export> {
        let name = directory_name(backend.name().as_bytes())?;
        let dir = Dir::new(&self.devices, &name, Arc::new((), GFP_KERNEL)?)?;
        let block_dev = Link::new(&dir, c"block_dev", &backend.disk())?;
        let sessions = Dir::new(&dir, c"sessions", Arc::new((), GFP_KERNEL)?)?;
        Ok(Export {
            dev: backend.dev(),
            writers: 0,
            users: 0,
            sessions,
            _block_dev: block_dev,
            _dir: dir,
        })
    }

    /// Drops the export at `at` with its directories.
    fn forget(list: &mut KVec<Export>, at: usize) {
        if let Ok(export) = list.remove(at) {
            drop(export);
        }
    }
}

/// A name as that of a directory. Some block devices have a slash in theirs, which sysfs shows as
/// an exclamation mark.
pub(crate) fn directory_name(name: &[u8]) -> Result<CString> {
    let mut text = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
    for byte in name {
        let shown = if *byte == b'/' { b'!' } else { *byte };
        text.push(shown, GFP_KERNEL)?;
    }
    text.push(0, GFP_KERNEL)?;
    let text = CStr::from_bytes_with_nul(&text).map_err(|_| EINVAL)?;
    Ok(CString::try_from(text)?)
}
