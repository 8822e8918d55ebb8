// SPDX-License-Identifier: GPL-2.0

//! Opening block devices and files, and IO on them, for drivers without `unsafe`.
//!
//! The user is an export: it opens a [`BlockDevice`] by path, tells its peer the
//! [`BackendLimits`], and for every request submits a preallocated [`Io`], which
//! comes back through [`Owner::done`]. A [`RegularFile`] can stand in for a device; its
//! IO, [`FileIo`], goes through the page cache and runs on a workqueue.
//!
//! The crate knows nothing about any transport, and must never allocate or log
//! on the path of an IO.
//!
//! C headers: `include/linux/blkdev.h`, `include/linux/bio.h`.

mod bdev;
mod bio;
mod file;
mod file_io;
mod identity;
mod limits;
mod raw;

pub use bdev::{
    BlockDevice,
    Name,
    WholeDisk, //
};
pub use bio::{
    BioFlags,
    BioOp,
    Io,
    Owner, //
};
pub use file::{
    FileKey,
    RegularFile,
    Target, //
};
pub use file_io::{
    FileIo,
    FileOwner, //
};
pub use identity::node_name;
pub use limits::BackendLimits;

/// Bytes of a sector as a power of two: sectors are the unit of every sector
/// number and count in this crate.
pub const SECTOR_SHIFT: u32 = 9;
