// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C helpers in `rust/helpers/block_bio.c`.
//!
//! The prototypes are those of `rust/helpers/block_bio.h`; keep both together.

use kernel::{
    bindings,
    ffi::c_char, //
};

/// `struct biox_limits`: 32-bit words only, hence the same layout by nature.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct RawLimits {
    pub(crate) logical_block_size: u32,
    pub(crate) physical_block_size: u32,
    pub(crate) max_hw_sectors: u32,
    pub(crate) max_segments: u32,
    pub(crate) io_opt: u32,
    pub(crate) max_discard_sectors: u32,
    pub(crate) discard_granularity: u32,
    pub(crate) discard_alignment: u32,
    pub(crate) max_secure_erase_sectors: u32,
    pub(crate) max_write_zeroes_sectors: u32,
    pub(crate) write_cache: u32,
    pub(crate) fua: u32,
    pub(crate) rotational: u32,
}

// The other half of this assertion is in `rust/helpers/block_bio.c`.
const _: () = assert!(core::mem::size_of::<RawLimits>() == 13 * core::mem::size_of::<u32>());

// The pointed-to structures contain empty ones, which the lint takes amiss; they
// are bindgen's own and are only ever passed through.
#[allow(improper_ctypes)]
extern "C" {
    /// Fills in the limits of an open device.
    pub(crate) fn biox_limits(bdev: *mut bindings::block_device, out: *mut RawLimits);
    /// `bdev_logical_block_size`.
    pub(crate) fn biox_logical_block_size(bdev: *mut bindings::block_device) -> u32;
    /// `bdev_read_only`.
    pub(crate) fn biox_read_only(bdev: *mut bindings::block_device) -> bool;
    /// `bdev_is_partition`.
    pub(crate) fn biox_is_partition(bdev: *mut bindings::block_device) -> bool;
    /// Copies the device's name, terminated, into `len` bytes.
    pub(crate) fn biox_name(bdev: *mut bindings::block_device, buf: *mut c_char, len: usize);
}
