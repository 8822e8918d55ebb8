// SPDX-License-Identifier: GPL-2.0

//! Preallocated IO on files.
//!
//! The page cache sleeps, so an IO runs on a workqueue. As with bios, submitting a [`FileIo`]
//! consumes the box and the end returns it; the work item is part of it, so nothing is allocated
//! here.

use crate::{
    bio::{
        BioFlags,
        BioOp, //
    },
    file::Target,
    raw,
    SECTOR_SHIFT, //
};
use kernel::{
    error::{
        code,
        to_result, //
    },
    impl_has_work,
    new_work,
    prelude::*,
    workqueue::{
        Queue,
        Work,
        WorkItem, //
    }, //
};
use kernel_ext::{
    dma::Segment,
    error::{
        errno,
        error, //
    }, //
};

/// What a [`FileIo`] carries along, and who is told when it is done.
pub trait FileOwner: Send + Sized + 'static {
    /// The IO has ended: `errno` is 0 or negative. File and memory are already released by `io`,
    /// which can be submitted again at once.
    ///
    /// Called exactly once for each submission, in process context.
    fn done(io: Pin<KBox<FileIo<Self>>>, payload: Self, errno: i32);
}

/// An IO on a file, reusable without allocation.
#[pin_data]
pub struct FileIo<T: FileOwner> {
    #[pin]
    work: Work<FileIo<T>>,
    /// `None` at rest.
    flight: Option<Flight<T>>,
}

struct Flight<T> {
    payload: T,
    data: Option<Segment>,
    target: Target,
    op: BioOp,
    flags: BioFlags,
    sector: u64,
    bytes: u32,
}

impl_has_work! {
    impl{T: FileOwner} HasWork<FileIo<T>> for FileIo<T> { self.work }
}

impl<T: FileOwner> FileIo<T> {
    /// Allocates an IO at rest. May sleep.
    pub fn new() -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                work <- new_work!("block_bio::FileIo"),
                flight: None,
            }),
            GFP_KERNEL,
        )
    }

    fn flight(self: Pin<&mut Self>) -> &mut Option<Flight<T>> {
        // SAFETY: the field is not pinned, and nothing else is moved.
        unsafe { &mut self.get_unchecked_mut().flight }
    }

    /// Starts `op` on `bytes` bytes from `sector` (512-byte units) of `target`, on `queue`.
    ///
    /// Reads and writes need `data`, of which the first `bytes` bytes are used; it must not be
    /// touched by anybody before the end. All other operations take none. A flush has 0 bytes,
    /// and its sector is ignored; flags that mean nothing for an operation are ignored.
    ///
    /// The result comes through [`FileOwner::done`], with the file system's errors and with
    /// these: `EINVAL` if data and operation do not fit, `EROFS` for a modifying operation on
    /// what is not open for writing, `EIO` for a range that is beyond the end or not made of
    /// sectors, `EOPNOTSUPP` for a secure erase. Any context; does not allocate here.
    #[allow(clippy::too_many_arguments)]
    pub fn submit(
        mut self: Pin<KBox<Self>>,
        queue: &Queue,
        target: Target,
        op: BioOp,
        flags: BioFlags,
        sector: u64,
        bytes: u32,
        data: Option<Segment>,
        payload: T,
    ) {
        *self.as_mut().flight() = Some(Flight {
            payload,
            data,
            target,
            op,
            flags,
            sector,
            bytes,
        });
        queue.enqueue(self);
    }
}

impl<T: FileOwner> WorkItem for FileIo<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        let Some(flight) = this.as_mut().flight().take() else {
            return;
        };
        let errno = match flight.carry_out() {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        };
        let Flight {
            payload,
            data,
            target,
            ..
        } = flight;
        // The owner may hand the memory to somebody else, or let go of the file, as soon as it
        // is told.
        drop(data);
        drop(target);
        T::done(this, payload, errno);
    }
}

impl<T> Flight<T> {
    /// Everything that could make the file longer or go where nothing is.
    fn check(&self) -> Result {
        const MASK: u32 = (1 << SECTOR_SHIFT) - 1;
        if self.op.modifies() && !self.target.is_writable() {
            return Err(code::EROFS);
        }
        if self.op.has_data() != self.data.is_some() {
            return Err(EINVAL);
        }
        if self.op == BioOp::Flush {
            return if self.bytes == 0 { Ok(()) } else { Err(EINVAL) };
        }
        if self.bytes == 0 || self.bytes & MASK != 0 {
            return Err(EINVAL);
        }
        let sectors = u64::from(self.bytes >> SECTOR_SHIFT);
        match self.sector.checked_add(sectors) {
            Some(end) if end <= self.target.sectors() => Ok(()),
            _ => Err(EIO),
        }
    }

    fn carry_out(&self) -> Result {
        self.check()?;
        let file = self.target.raw();
        // The range ends inside the file, so its start in bytes is a number.
        let pos = self.sector << SECTOR_SHIFT;
        let status = match self.op {
            BioOp::Read | BioOp::Write => {
                let segment = self.data.as_ref().ok_or(EINVAL)?;
                // Lossless: the kernel has 64-bit sizes here.
                let len = self.bytes as usize;
                if len > segment.len() {
                    return Err(EINVAL);
                }
                let write = self.op == BioOp::Write;
                if write && self.flags.preflush {
                    // SAFETY: the file is open.
                    to_result(unsafe { raw::biox_file_flush(file) })?;
                }
                // SAFETY:
                // - The file is open as long as `self.target`.
                // - The segment is contiguous memory of the linear mapping, at least `len`
                //   bytes long, and stays allocated as long as `self.data`; that a device may
                //   change it meanwhile is no matter for a copy of plain bytes.
                unsafe {
                    raw::biox_file_rw(
                        file,
                        segment.as_ptr().cast(),
                        len,
                        pos,
                        write,
                        self.flags.fua,
                    )
                }
            }
            // SAFETY: the file is open.
            BioOp::Flush => unsafe { raw::biox_file_flush(file) },
            BioOp::Discard | BioOp::WriteZeroes => {
                let keep = self.op == BioOp::WriteZeroes && self.flags.nounmap;
                // SAFETY: the file is open.
                unsafe { raw::biox_file_punch(file, pos, u64::from(self.bytes), keep) }
            }
            BioOp::SecureErase => return Err(error(errno::EOPNOTSUPP)),
        };
        to_result(status)
    }
}
