// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C helpers in `rust/helpers/block_bio.c` and `block_file.c`.
//!
//! The prototypes are those of the headers beside them; keep both together.

use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_void, //
    }, //
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
    pub(crate) io_min: u32,
    pub(crate) dma_alignment: u32,
    pub(crate) chunk_sectors: u32,
    pub(crate) stable_writes: u32,
    pub(crate) zoned: u32,
}

/// `struct biox_file_facts`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct RawFacts {
    pub(crate) ino: u64,
    pub(crate) subvol: u64,
    pub(crate) sb_dev: u32,
    pub(crate) generation: u32,
    pub(crate) uuid_len: u32,
    pub(crate) uuid: [u8; 16],
}

// The other halves of these assertions are in the C files.
const _: () = assert!(core::mem::size_of::<RawLimits>() == 18 * core::mem::size_of::<u32>());
const _: () = assert!(core::mem::size_of::<RawFacts>() == 48);

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
    /// The number of the partition, 0 for a whole disk.
    pub(crate) fn biox_part_number(bdev: *mut bindings::block_device) -> u32;
    /// Copies the disk's id of the given kind into 16 bytes; its length or a negative errno.
    pub(crate) fn biox_unique_id(
        bdev: *mut bindings::block_device,
        kind: u32,
        id: *mut u8,
    ) -> c_int;
    /// Copies the name of this host, terminated, into `len` bytes.
    pub(crate) fn biox_node_name(buf: *mut c_char, len: usize);

    /// Opens a block device, without holder operations.
    pub(crate) fn biox_bdev_open(
        path: *const c_char,
        mode: u32,
        holder: *mut c_void,
    ) -> *mut bindings::file;
    /// Opens a regular file; `ENOTBLK` if it is something else.
    pub(crate) fn biox_file_open(path: *const c_char, write: bool) -> *mut bindings::file;
    /// Fills in what identifies the file.
    pub(crate) fn biox_file_facts(file: *mut bindings::file, out: *mut RawFacts);
    /// Fills in what the file can do.
    pub(crate) fn biox_file_limits(file: *mut bindings::file, out: *mut RawLimits);
    /// The size in bytes.
    pub(crate) fn biox_file_size(file: *mut bindings::file) -> u64;
    /// Whether the file cannot be written at the moment.
    pub(crate) fn biox_file_read_only(file: *mut bindings::file) -> bool;
    /// Copies the path, terminated, into `len` bytes; 0 or a negative errno.
    pub(crate) fn biox_file_path(file: *mut bindings::file, buf: *mut c_char, len: usize) -> c_int;
    /// Reads or writes `len` bytes at byte `pos`; 0 or a negative errno.
    pub(crate) fn biox_file_rw(
        file: *mut bindings::file,
        data: *mut c_void,
        len: usize,
        pos: u64,
        write: bool,
        durable: bool,
    ) -> c_int;
    /// Makes a range zero; 0 or a negative errno.
    pub(crate) fn biox_file_punch(
        file: *mut bindings::file,
        pos: u64,
        len: u64,
        keep_allocated: bool,
    ) -> c_int;
    /// Makes all that was written durable; 0 or a negative errno.
    pub(crate) fn biox_file_flush(file: *mut bindings::file) -> c_int;
    /// Copies the start of a small file into `len` bytes; its length or a negative errno.
    pub(crate) fn biox_read_text(path: *const c_char, buf: *mut c_char, len: usize) -> isize;
}
