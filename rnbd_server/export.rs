// SPDX-License-Identifier: GPL-2.0

//! The exported devices: who has which backend open, and their directories in sysfs.
//!
//! [`Exports`] is the one registry of the module. An export is a backend that at least one session
//! has open, known by its [`Key`] and never by the spelling of a path. Its directory
//! `ctl/devices/<dev>` appears with the first session and goes with the last.
//!
//! The list, the directories and the writers change together under one lock, so an export can
//! neither be found while it goes nor be made twice. It must never be locked from the IO path, nor
//! from a function of a file below an export: removing that waits for the file under the lock.
//!
//! Lock order: a session's control lock (`session.rs`), then the lock of this list.

use core::fmt::Write;
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
    fmt::escape,
    log::{
        info_limited,
        warn_limited, //
    },
    sysfs::{
        Class,
        ClassDevice,
        Dir,
        File,
        Files,
        Link,
        Page,
        StoreContext, //
    },
    workqueue::{
        Flags,
        OwnedQueue, //
    },
};
use rnbd_proto::{
    AccessMode,
    Identity,
    IoMode, //
};

use crate::{
    backend::{
        Backend,
        Key, //
    },
    listen::Control,
    mapping::{
        Mapping,
        MappingFiles, //
    },
    open::Refusal,
    params,
    stats::Stats, //
};

/// Most mappings that may change a device at a time (`spec` of the access modes: one writer,
/// or two while a volume migrates).
const MAX_WRITERS: usize = 2;

/// What the files of an export show.
pub(crate) struct ExportFiles {
    identity: Identity,
    io_mode: IoMode,
    /// The path of a file.
    path: Option<KVec<u8>>,
    /// Somebody asked to tell the clients about the size, whether it changed or not.
    recheck: Atomic<bool>,
}

impl ExportFiles {
    fn identity(&self, page: &mut Page<'_>) -> Result {
        page.bytes(self.identity.as_bytes());
        page.bytes(b"\n");
        Ok(())
    }

    fn io_mode(&self, page: &mut Page<'_>) -> Result {
        writeln!(page, "{}", self.io_mode).map_err(|_| EINVAL)
    }

    fn path(&self, page: &mut Page<'_>) -> Result {
        page.bytes(self.path.as_deref().unwrap_or(&[]));
        page.bytes(b"\n");
        Ok(())
    }

    fn revalidate_usage(&self, page: &mut Page<'_>) -> Result {
        page.bytes(b"Usage: echo 1 > revalidate\n");
        Ok(())
    }

    fn revalidate(&self, text: &[u8], _context: &StoreContext<'_>) -> Result {
        one(text)?;
        // The watch takes it up; the list must not be locked here.
        self.recheck.store(true, Relaxed);
        Ok(())
    }
}

impl Files for ExportFiles {
    const FILES: &'static [File<Self>] = &[
        File::read_only(c"identity", Self::identity),
        File::read_only(c"io_mode", Self::io_mode),
        File::read_only(c"path", Self::path),
        File::read_write(c"revalidate", Self::revalidate_usage, Self::revalidate),
    ];
}

/// Accepts `1`, perhaps with a newline; anything else is `EINVAL`, and the log says so.
pub(crate) fn one(text: &[u8]) -> Result {
    if matches!(text, b"1" | b"1\n") {
        return Ok(());
    }
    warn_limited!("this file takes nothing but a 1\n");
    Err(EINVAL)
}

/// One mapping of an export.
struct User {
    mapping: Arc<Mapping>,
    files: Arc<MappingFiles>,
}

/// A backend that at least one session has open.
struct Export {
    key: Key,
    stats: Arc<Stats>,
    /// All mappings.
    users: KVec<User>,
    /// The size in sectors when it was looked at last.
    sectors: u64,
    // The directories go in this order: the children before their parent.
    sessions: Dir<()>,
    _stats: Dir<Stats>,
    _block_dev: Option<Link>,
    dir: Dir<ExportFiles>,
}

/// What a new mapping gets of its export.
pub(crate) struct Share {
    /// Where its requests are counted.
    pub(crate) stats: Arc<Stats>,
    /// The number of this opening, which never comes again.
    pub(crate) generation: u64,
}

/// What the lock of the registry protects.
struct Registry {
    exports: KVec<Export>,
    /// Openings so far.
    generation: u64,
}

/// The registry of exports and the root of the module's part of sysfs.
#[pin_data]
pub(crate) struct Exports {
    #[pin]
    registry: Mutex<Registry>,
    /// Looks at the sizes while there are exports; see `watch.rs`.
    #[pin]
    pub(crate) watch: kernel::workqueue::DelayedWork<Exports>,
    /// Open and close messages are handled here: they open files and wait for IO, and must
    /// not hold up the completions of other sessions.
    control: OwnedQueue,
    /// IO on files.
    cache: OwnedQueue,
    // sysfs, the children before their parents.
    devices: Dir<()>,
    _ctl: ClassDevice<Control>,
    _class: Class,
}

impl Exports {
    /// Makes the class `rnbd-server` with `ctl/devices` and the files of `files`. Process context.
    pub(crate) fn new(module: &'static ThisModule, files: Arc<Control>) -> Result<Arc<Self>> {
        let flags = Flags {
            mem_reclaim: true,
            unbound: true,
            ..Flags::default()
        };
        let control = OwnedQueue::new(c"rnbd_server_wq", flags)?;
        let cache = OwnedQueue::new(c"rnbd_server_file", flags)?;
        let class = Class::new(c"rnbd-server", module)?;
        let ctl = ClassDevice::new(&class, c"ctl", files, true)?;
        let devices = Dir::new(&ctl, c"devices", Arc::new((), GFP_KERNEL)?)?;
        Arc::pin_init(
            try_pin_init!(Self {
                registry <- new_mutex!(Registry {
                    exports: KVec::new(),
                    generation: 0,
                }),
                watch <- kernel::new_delayed_work!("rnbd_server::Exports"),
                control,
                cache,
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

    /// The queue for IO on files.
    pub(crate) fn cache(&self) -> &OwnedQueue {
        &self.cache
    }

    /// Registers a mapping of `backend` with `mode`, and shows it as
    /// `ctl/devices/<dev>/sessions/<session>/`. `make` makes the mapping once it is allowed.
    /// Process context.
    ///
    /// # Errors
    ///
    /// `EPERM` when the writers that the device already has exclude `mode`, `EBUSY` if it is open
    /// with another io mode, `ENOMEM`, or what sysfs answers.
    pub(crate) fn add(
        self: &Arc<Self>,
        backend: &Backend,
        mode: AccessMode,
        session: &CStr,
        make: impl FnOnce(Share) -> Result<(Arc<Mapping>, Arc<MappingFiles>)>,
    ) -> Result<Arc<Mapping>, Refusal> {
        let key = backend.key();
        let mut registry = self.registry.lock();
        may_open(&registry.exports, key, mode)?;
        let generation = registry.generation.wrapping_add(1);
        let known = registry.exports.iter().position(|export| export.key == key);
        let at = match known {
            Some(at) => at,
            None => {
                let export = self.make(backend)?;
                let at = registry.exports.len();
                registry.exports.push(export, GFP_KERNEL)?;
                at
            }
        };
        let result = match registry.exports.get_mut(at) {
            Some(export) if export.dir.data().io_mode != backend.io_mode => Err(Refusal::new(
                EBUSY,
                "it is open with another io mode; use the same for all mappings of a device",
            )),
            Some(export) => export
                .admit(session, generation, make)
                .map_err(Refusal::from),
            None => Err(Refusal::from(ENOENT)),
        };
        match result {
            Ok(mapping) => {
                registry.generation = generation;
                drop(registry);
                crate::watch::start(self);
                Ok(mapping)
            }
            Err(e) => {
                forget_unused(&mut registry.exports, at);
                Err(e)
            }
        }
    }

    /// Takes a mapping out again. Process context; waits for readers of its files.
    pub(crate) fn remove(&self, mapping: &Mapping, dir: Dir<MappingFiles>) {
        let mut registry = self.registry.lock();
        drop(dir);
        let exports = &mut registry.exports;
        let Some(at) = exports.iter().position(|export| export.key == mapping.key) else {
            return;
        };
        if let Some(export) = exports.get_mut(at) {
            export
                .users
                .retain(|user| user.mapping.generation != mapping.generation);
        }
        forget_unused(exports, at);
    }

    /// Looks at the size of every export, and tells the clients that do not know the present one.
    /// Process context. False if there are no exports.
    pub(crate) fn look(&self) -> bool {
        let mut registry = self.registry.lock();
        for export in &mut registry.exports {
            export.look();
        }
        !registry.exports.is_empty()
    }

    /// Makes the directory of a backend that nobody had open.
    fn make(&self, backend: &Backend) -> Result<Export> {
        let files = Arc::new(
            ExportFiles {
                identity: backend.identity,
                io_mode: backend.io_mode,
                path: backend.path()?,
                recheck: Atomic::new(false),
            },
            GFP_KERNEL,
        )?;
        let stats = Stats::new()?;
        let dir = Dir::new(&self.devices, &backend.name()?, files)?;
        let block_dev = match backend.block() {
            Some(device) => Some(Link::new(&dir, c"block_dev", &device.disk())?),
            None => None,
        };
        let stats_dir = Dir::new(&dir, c"stats", stats.clone())?;
        let sessions = Dir::new(&dir, c"sessions", Arc::new((), GFP_KERNEL)?)?;
        Ok(Export {
            key: backend.key(),
            stats,
            users: KVec::new(),
            sectors: backend.sectors(),
            sessions,
            _stats: stats_dir,
            _block_dev: block_dev,
            dir,
        })
    }
}

impl Export {
    /// Makes a mapping that is allowed, and its directory.
    fn admit(
        &mut self,
        session: &CStr,
        generation: u64,
        make: impl FnOnce(Share) -> Result<(Arc<Mapping>, Arc<MappingFiles>)>,
    ) -> Result<Arc<Mapping>> {
        self.users.reserve(1, GFP_KERNEL)?;
        let (mapping, files) = make(Share {
            stats: self.stats.clone(),
            generation,
        })?;
        let dir = Dir::new(&self.sessions, session, files.clone())?;
        let user = User {
            mapping: mapping.clone(),
            files,
        };
        self.users.push(user, GFP_KERNEL)?;
        // From here on only `Mapping::close` takes the mapping out.
        mapping.show(dir);
        Ok(mapping)
    }

    /// Tells the clients about a size that they do not know.
    fn look(&mut self) {
        let files = self.dir.data();
        let recheck = files.recheck.load(Relaxed);
        if recheck {
            files.recheck.store(false, Relaxed);
        }
        for user in &self.users {
            let Some(backend) = user.mapping.backend.get() else {
                continue;
            };
            let sectors = backend.sectors();
            if sectors != self.sectors {
                info_limited!(
                    "the size of a device changed from {} to {} sectors: {}\n",
                    self.sectors,
                    sectors,
                    escape(files.identity.as_bytes())
                );
                self.sectors = sectors;
            }
            user.mapping
                .tell(sectors, recheck, &user.files.session().link);
        }
    }
}

/// Decides whether a device may be opened with `mode`: rw is exclusive, migration admits a second
/// writer, and reading is always allowed. Mappings of a disk and of its partitions count together
/// unless the administrator said otherwise.
fn may_open(exports: &[Export], key: Key, mode: AccessMode) -> Result<(), Refusal> {
    let counts =
        |other: &Key| key == *other || (params::PARTITION_CONFLICTS.get() && key.overlaps(other));
    let mut writers = exports
        .iter()
        .filter(|export| counts(&export.key))
        .flat_map(|export| &export.users)
        .filter(|user| user.mapping.mode.is_writable())
        .peekable();
    let Some(first) = writers.peek().map(|user| user.files.clone()) else {
        return Ok(());
    };
    let why = match mode {
        AccessMode::Ro => return Ok(()),
        AccessMode::Rw => {
            "a session has it, its disk or a partition open for writing; map it ro, or migration"
        }
        AccessMode::Migration if writers.count() < MAX_WRITERS => return Ok(()),
        AccessMode::Migration => "two sessions have it open for writing already; map it ro",
    };
    Err(Refusal::new(EPERM, why).held_by(&first))
}

/// Drops the export at `at` with its directories if nobody uses it.
fn forget_unused(exports: &mut KVec<Export>, at: usize) {
    if exports
        .get(at)
        .is_some_and(|export| export.users.is_empty())
    {
        drop(exports.remove(at));
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
