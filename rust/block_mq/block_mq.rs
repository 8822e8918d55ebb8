// SPDX-License-Identifier: GPL-2.0

//! Block devices with blk-mq queues, for drivers without `unsafe`.
//!
//! The shape follows the series that is posted for the kernel's own
//! `rust/kernel/block/mq`, so that this crate can be deleted when that one is
//! merged: a [`TagSet`] holds the requests, a [`Disk`] is allocated on it, the
//! driver implements [`Operations`], and a request is a value that is owned by
//! exactly one party at any time.
//!
//! Glossary:
//!
//! - *idle request*: handed to [`Operations::queue_rq`], not yet started. It
//!   must be started or refused before that call returns.
//! - *request*: started, owned by the driver until it is ended or requeued.
//! - *hardware queue*: a number. This crate has no queues of its own.
//!
//! The crate knows nothing about any transport and must never log, allocate or
//! sleep on the path of a request.
//!
//! C headers: `include/linux/blk-mq.h`, `include/linux/blkdev.h`.

mod gen_disk;
mod major;
mod operations;
mod queue_limits;
mod raw;
mod request;
mod status;
mod tag_set;

pub use gen_disk::{
    Disk,
    DiskConfig,
    DiskEvent, //
};
pub use major::Major;
pub use operations::Operations;
pub use queue_limits::{
    Limits,
    LimitsSpec, //
};
pub use request::{
    Command,
    IdleRequest,
    Refusal,
    Request,
    View, //
};
pub use status::Status;
pub use tag_set::TagSet;

/// Prefix of the messages this crate prints itself.
const __LOG_PREFIX: &[u8] = b"block_mq\0";

/// Bytes of a sector, the unit of every sector number and count in this crate.
pub const SECTOR_SIZE: u32 = 512;
