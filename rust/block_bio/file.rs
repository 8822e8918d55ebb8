// SPDX-License-Identifier: GPL-2.0

//! Regular files that are open, to stand in for block devices.

use crate::{
    bdev::BlockDevice,
    limits::BackendLimits,
    raw::{
        self,
        RawFacts,
        RawLimits, //
    },
    SECTOR_SHIFT, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    str::CStrExt,
    sync::Arc, //
};

/// What identifies a file, however its path was spelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileKey {
    /// The device number of the file system, or of the subvolume if it gives them their own.
    pub dev: u32,
    /// The number of the inode.
    pub ino: u64,
}

/// A regular file, open for reading and perhaps writing.
///
/// Closed by dropping, which is allowed in any context; the kernel does the rest in process
/// context.
///
/// # Invariants
///
/// `file` is an open regular file on which we hold the only reference.
pub struct RegularFile {
    file: NonNull<bindings::file>,
    writable: bool,
    key: FileKey,
}

// SAFETY: an open file belongs to no thread, and may be put from any context.
unsafe impl Send for RegularFile {}

// SAFETY: what is done through a shared reference locks the file by itself.
unsafe impl Sync for RegularFile {}

impl RegularFile {
    /// Opens the regular file that `path` leads to, for reading and, if `write`, for writing.
    ///
    /// Symlinks are followed; the path is looked up with the credentials of the calling thread,
    /// from the root that init has. Errors are the kernel's; `ENOTBLK` says that it is something
    /// else than a regular file that keeps data, such as a file of proc or sysfs; `EPERM` that it
    /// is immutable or can only be appended to. May sleep.
    pub fn open(path: &CStr, write: bool) -> Result<Self> {
        // SAFETY: the path is a terminated string that lives during the call.
        let file = from_err_ptr(unsafe { raw::biox_file_open(path.as_char_ptr(), write) })?;
        let mut facts = RawFacts::default();
        // SAFETY: the file is open, and `facts` valid for writes.
        unsafe { raw::biox_file_facts(file, &mut facts) };
        // INVARIANT: the file was just opened for us, and is a regular one.
        Ok(Self {
            // SAFETY: not an error pointer and not null.
            file: unsafe { NonNull::new_unchecked(file) },
            writable: write,
            key: FileKey {
                dev: facts.sb_dev,
                ino: facts.ino,
            },
        })
    }

    pub(crate) fn raw(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// What identifies the file.
    pub fn key(&self) -> FileKey {
        self.key
    }

    /// The size in whole sectors of 512 bytes, at this moment.
    pub fn sectors(&self) -> u64 {
        // SAFETY: the file is open.
        unsafe { raw::biox_file_size(self.raw()) >> SECTOR_SHIFT }
    }

    /// Whether the file was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether the file cannot be written at this moment.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: the file is open.
        unsafe { raw::biox_file_read_only(self.raw()) }
    }

    /// What IO on the file can do.
    pub fn limits(&self) -> BackendLimits {
        let mut limits = RawLimits::default();
        // SAFETY: the file is open, and `limits` valid for writes.
        unsafe { raw::biox_file_limits(self.raw(), &mut limits) };
        limits.into()
    }

    /// Fills `buffer` with the path of the file as it is now; the result is the path, without
    /// the terminator.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG`.
    pub fn path<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
        // SAFETY: the file is open, and the buffer as long as we say.
        to_result(unsafe {
            raw::biox_file_path(self.raw(), buffer.as_mut_ptr().cast(), buffer.len())
        })?;
        CStr::from_bytes_until_nul(buffer)
            .map(CStr::to_bytes)
            .map_err(|_| EINVAL)
    }
}

impl Drop for RegularFile {
    fn drop(&mut self) {
        // SAFETY: by the invariant this is the only reference to the file, and no IO uses it:
        // each holds an `Arc` to us.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}

/// What IO through the page cache goes to.
#[derive(Clone)]
pub enum Target {
    /// A regular file.
    File(Arc<RegularFile>),
    /// A block device, through its page cache.
    Device(Arc<BlockDevice>),
}

impl Target {
    /// The open file, which lives as long as `self`.
    pub(crate) fn raw(&self) -> *mut bindings::file {
        match self {
            Self::File(file) => file.raw(),
            Self::Device(device) => device.raw_file(),
        }
    }

    /// Whether it was opened for writing.
    pub fn is_writable(&self) -> bool {
        match self {
            Self::File(file) => file.is_writable(),
            Self::Device(device) => device.is_writable(),
        }
    }

    /// The size in sectors of 512 bytes, at this moment.
    pub fn sectors(&self) -> u64 {
        match self {
            Self::File(file) => file.sectors(),
            Self::Device(device) => device.sectors(),
        }
    }
}
