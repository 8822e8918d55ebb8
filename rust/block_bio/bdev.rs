// SPDX-License-Identifier: GPL-2.0

//! Block devices that are open.

use crate::{
    limits::BackendLimits,
    raw::{
        self,
        RawLimits, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    str::CStrExt, //
};
use kernel_ext::sysfs::Parent;

// Asserted in `rust/helpers/block_bio.c`.
const BLK_OPEN_READ: u32 = 1 << 0;
const BLK_OPEN_WRITE: u32 = 1 << 1;

/// Its address is the holder of all claims.
static HOLDER: u8 = 0;

/// Room for a disk name (31 bytes), `p`, a partition number and a zero.
const NAME_LEN: usize = 40;

/// A block device, open for this module alone to use, but not exclusively:
/// nobody else is kept from opening it.
///
/// Closed by dropping, which is allowed in any context, and in process context
/// only if it was opened with a claim; the kernel does the rest in process
/// context.
///
/// # Invariants
///
/// `file` is an open block-device file on which we hold the only reference, and
/// `bdev` its device, which lives as long as the file.
pub struct BlockDevice {
    file: NonNull<bindings::file>,
    bdev: NonNull<bindings::block_device>,
    writable: bool,
    name: Name,
}

// SAFETY: an open file belongs to no thread, and may be put from any context.
unsafe impl Send for BlockDevice {}

// SAFETY: through a shared reference fields are read that C reads without a
// lock as well, and bios are submitted, which any number of threads may do.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// Opens the block device that `path` leads to, for reading and, if `write`,
    /// for writing. With `claim` nobody but callers in this module can claim the
    /// device, as file systems and other exclusive users do.
    ///
    /// Symlinks are followed; the path is looked up with the credentials of the
    /// calling thread, from the root that init has. Errors are the kernel's:
    /// `ENOENT`, `ENOTBLK`, `EACCES` (writing to a read-only device), `ENXIO`,
    /// `EBUSY` (also if the device is claimed by somebody else), and whatever the
    /// device's driver says. May sleep.
    pub fn open(path: &CStr, write: bool, claim: bool) -> Result<Self> {
        // All claims of the module have this one holder, so they go together.
        let holder = if claim {
            (&raw const HOLDER).cast_mut().cast()
        } else {
            core::ptr::null_mut()
        };
        let mode = if write {
            BLK_OPEN_READ | BLK_OPEN_WRITE
        } else {
            BLK_OPEN_READ
        };
        // SAFETY:
        // - The path is a terminated string that lives during the call.
        // - The holder is null or an address that nobody else uses; it is only
        //   compared. No holder operations are needed: we do without being told
        //   that the device is gone.
        let file = from_err_ptr(unsafe { raw::biox_bdev_open(path.as_char_ptr(), mode, holder) })?;
        // SAFETY: `file` is an open block-device file.
        let bdev = unsafe { bindings::file_bdev(file) };
        let mut name = Name([0; NAME_LEN]);
        // SAFETY: the device is live, and the buffer as long as we say.
        unsafe { raw::biox_name(bdev, name.0.as_mut_ptr(), NAME_LEN) };
        // INVARIANT: the file was just opened for us.
        Ok(Self {
            // SAFETY: not an error pointer and not null.
            file: unsafe { NonNull::new_unchecked(file) },
            // SAFETY: a block-device file has a device.
            bdev: unsafe { NonNull::new_unchecked(bdev) },
            writable: write,
            name,
        })
    }

    pub(crate) fn raw(&self) -> *mut bindings::block_device {
        self.bdev.as_ptr()
    }

    /// The file that IO through the page cache goes to.
    pub(crate) fn raw_file(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// The device number (`dev_t` as the kernel keeps it: major above bit 20).
    /// It identifies the device, however its path was spelled.
    pub fn dev(&self) -> u32 {
        // SAFETY: the device is live; the number does not change.
        unsafe { (*self.raw()).bd_dev }
    }

    /// The device number of the whole disk: that of [`BlockDevice::dev`], unless
    /// this is a partition.
    pub fn disk_dev(&self) -> u32 {
        // SAFETY: the device, and so its disk, are live; neither the pointers
        // nor the number change.
        unsafe { (*(*(*self.raw()).bd_disk).part0).bd_dev }
    }

    /// Whether this is a partition.
    pub fn is_partition(&self) -> bool {
        // SAFETY: the device is live.
        unsafe { raw::biox_is_partition(self.raw()) }
    }

    /// The number of the partition; 0 for a whole disk.
    pub fn partition(&self) -> u32 {
        // SAFETY: the device is live.
        unsafe { raw::biox_part_number(self.raw()) }
    }

    /// The kernel's name of the device, as its directory in sysfs is called:
    /// `sda1`, `ram0`, `dm-3`.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The size in sectors of 512 bytes, at this moment.
    pub fn sectors(&self) -> u64 {
        // SAFETY:
        // - The device is live.
        // - The field may change under us; a volatile read of an aligned word
        //   yields the old or the new value, as C reads it.
        unsafe { (&raw const (*self.raw()).bd_nr_sectors).read_volatile() }
    }

    /// Smallest addressable unit in bytes.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: the device is live.
        unsafe { raw::biox_logical_block_size(self.raw()) }
    }

    /// Whether the device was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether the device itself is read-only at this moment.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: the device is live.
        unsafe { raw::biox_read_only(self.raw()) }
    }

    /// What the device can do at this moment.
    pub fn limits(&self) -> BackendLimits {
        let mut limits = RawLimits::default();
        // SAFETY: the device is live, and `limits` valid for writes.
        unsafe { raw::biox_limits(self.raw(), &mut limits) };
        limits.into()
    }

    /// The whole disk, as the target of a link in sysfs.
    pub fn disk(&self) -> WholeDisk<'_> {
        WholeDisk(self)
    }
}

impl Drop for BlockDevice {
    fn drop(&mut self) {
        // SAFETY: by the invariant this is the only reference to the file, and
        // no bio uses the device: each holds an `Arc` to us.
        unsafe { bindings::bdev_fput(self.file.as_ptr()) };
    }
}

/// The disk that a [`BlockDevice`] is, or is a partition of.
pub struct WholeDisk<'a>(&'a BlockDevice);

// SAFETY: the kobject is that of the disk's device, which lives at least as
// long as the open device that is borrowed here.
unsafe impl Parent for WholeDisk<'_> {
    fn kobject(&self) -> *mut bindings::kobject {
        // SAFETY: the device is live, and so are its disk and the disk's device.
        unsafe { &raw mut (*(*(*self.0.raw()).bd_disk).part0).bd_device.kobj }
    }
}

/// The kernel's name of a device: the name and at least one zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; NAME_LEN]);

impl Name {
    /// The name without the terminating zero.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_cstr().to_bytes()
    }

    /// The name as a string for C.
    pub fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}
