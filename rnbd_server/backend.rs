// SPDX-License-Identifier: GPL-2.0

//! What stands behind a mapping: a block device or a regular file, and how its IO is done.
//!
//! Opened by `open.rs`, used by `io.rs`. A backend is known by its [`Key`] and never by the
//! spelling of a path. It must never be opened as something else than the client asked for.

use block_bio::{
    BackendLimits,
    BlockDevice,
    FileKey,
    RegularFile,
    Target, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};
use rnbd_proto::{
    Identity,
    IoMode, //
};

use crate::{
    open::Refusal,
    params, //
};

/// What identifies a backend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A block device: its number and that of its whole disk.
    Device {
        /// The device itself.
        dev: u32,
        /// The whole disk; the same number unless the device is a partition.
        disk: u32,
    },
    /// A file.
    File(FileKey),
}

impl Key {
    /// Whether writing to one of the two changes what the other shows: they are the same, or one
    /// is a partition of the other.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Device { dev, disk }, Self::Device { dev: to, disk: of }) => {
                dev == to || (disk == of && (dev == disk || to == of))
            }
            _ => self == other,
        }
    }
}

/// The thing itself.
enum Device {
    Block(Arc<BlockDevice>),
    File(Arc<RegularFile>),
}

/// Where the IO of a mapping goes.
pub(crate) enum Route {
    /// As bios to a device.
    Bio(Arc<BlockDevice>),
    /// Through the page cache.
    Cache(Target),
}

/// An open backend.
pub(crate) struct Backend {
    device: Device,
    /// How the IO is done.
    pub(crate) io_mode: IoMode,
    /// The name it keeps.
    pub(crate) identity: Identity,
}

impl Backend {
    /// Opens what the path leads to. Process context.
    ///
    /// Without a wish a block device is used directly; a regular file needs the wish or the module
    /// parameter `export_files`.
    pub(crate) fn open(path: &CStr, write: bool, wish: Option<IoMode>) -> Result<Self, Refusal> {
        let claim = write && params::EXCLUSIVE.get();
        let device = match BlockDevice::open(path, write, claim) {
            Ok(device) => Device::Block(Arc::new(device, GFP_KERNEL)?),
            Err(e) if e == ENOTBLK => Device::File(Self::open_file(path, write, wish)?),
            Err(e) => return Err(Refusal::from_backend(e)),
        };
        let (io_mode, identity) = match &device {
            Device::Block(device) => (wish.unwrap_or(IoMode::Block), device.identity()?),
            Device::File(file) => (IoMode::File, file.identity()?),
        };
        Ok(Self {
            device,
            io_mode,
            identity: Identity::from_backend(&identity),
        })
    }

    fn open_file(
        path: &CStr,
        write: bool,
        wish: Option<IoMode>,
    ) -> Result<Arc<RegularFile>, Refusal> {
        // Opening has effects of its own, on who runs or holds the file; so this is asked first.
        match wish {
            Some(IoMode::File) => {}
            None if params::EXPORT_FILES.get() => {}
            _ => {
                return Err(Refusal::new(
                    ENOTBLK,
                    "it is neither a block device nor a regular file that may be exported; \
                     a file needs io_mode=fileio, or rnbd_server with export_files=Y",
                ))
            }
        }
        let file = RegularFile::open(path, write).map_err(|e| match e {
            // What the errno of a file system means to somebody who knows devices.
            EROFS | EPERM => Refusal::from_backend(EACCES),
            e => Refusal::from_backend(e),
        })?;
        Ok(Arc::new(file, GFP_KERNEL)?)
    }

    /// What identifies it.
    pub(crate) fn key(&self) -> Key {
        match &self.device {
            Device::Block(device) => Key::Device {
                dev: device.dev(),
                disk: device.disk_dev(),
            },
            Device::File(file) => Key::File(file.key()),
        }
    }

    /// The block device, if it is one.
    pub(crate) fn block(&self) -> Option<&Arc<BlockDevice>> {
        match &self.device {
            Device::Block(device) => Some(device),
            Device::File(_) => None,
        }
    }

    /// The name of its directory: that of the device, or file system and inode of the file.
    pub(crate) fn name(&self) -> Result<CString> {
        /// Where the minor number begins in a device number (`MINORBITS`).
        const MINOR_BITS: u32 = 20;
        match &self.device {
            Device::Block(device) => crate::export::directory_name(device.name().as_bytes()),
            Device::File(file) => {
                let FileKey { dev, ino } = file.key();
                let (major, minor) = (dev >> MINOR_BITS, dev & ((1 << MINOR_BITS) - 1));
                Ok(CString::try_from_fmt(fmt!(
                    "file-{}:{}-{}",
                    major,
                    minor,
                    ino
                ))?)
            }
        }
    }

    /// Where it lies, for administrators: the path of a file.
    pub(crate) fn path(&self) -> Result<Option<KVec<u8>>> {
        /// Longest path of the kernel, `PATH_MAX`.
        const PATH_MAX: usize = 4096;
        let Device::File(file) = &self.device else {
            return Ok(None);
        };
        let mut buffer = KVec::from_elem(0u8, PATH_MAX, GFP_KERNEL)?;
        let mut path = KVec::new();
        path.extend_from_slice(file.path(&mut buffer)?, GFP_KERNEL)?;
        Ok(Some(path))
    }

    /// The size in sectors, at this moment. Any context.
    pub(crate) fn sectors(&self) -> u64 {
        match &self.device {
            Device::Block(device) => device.sectors(),
            Device::File(file) => file.sectors(),
        }
    }

    /// Whether it takes no writes at this moment. Any context.
    pub(crate) fn is_read_only(&self) -> bool {
        match &self.device {
            Device::Block(device) => device.is_read_only(),
            Device::File(file) => file.is_read_only(),
        }
    }

    /// What it can do at this moment. Any context.
    pub(crate) fn limits(&self) -> BackendLimits {
        match (&self.device, self.io_mode) {
            (Device::Block(device), IoMode::Block) => device.limits(),
            (Device::Block(device), IoMode::File) => {
                let limits = device.limits();
                BackendLimits {
                    // The page cache is a write cache that can be told to write; it punches holes
                    // where the device writes zeroes by itself, and erases nothing for good.
                    write_cache: true,
                    fua: true,
                    max_discard_sectors: limits.max_write_zeroes_sectors,
                    discard_granularity: limits.logical_block_size,
                    discard_alignment: 0,
                    max_secure_erase_sectors: 0,
                    ..limits
                }
            }
            (Device::File(file), _) => file.limits(),
        }
    }

    /// Where IO goes. Any context.
    pub(crate) fn route(&self) -> Route {
        match (&self.device, self.io_mode) {
            (Device::Block(device), IoMode::Block) => Route::Bio(device.clone()),
            (Device::Block(device), IoMode::File) => Route::Cache(Target::Device(device.clone())),
            (Device::File(file), _) => Route::Cache(Target::File(file.clone())),
        }
    }
}
