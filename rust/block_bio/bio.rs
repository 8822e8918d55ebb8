// SPDX-License-Identifier: GPL-2.0

//! Preallocated bios.
//!
//! An [`Io`] is a bio together with everything it needs while it is in flight:
//! the device, the memory, and what its user wants back. Submitting consumes the
//! box, completing returns it, so nothing can be touched in between, and a box
//! can be used again and again without any allocation here.

use crate::{
    bdev::BlockDevice,
    SECTOR_SHIFT, //
};
use kernel::{
    bindings,
    container_of,
    error::code,
    ffi::c_uint,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};
use kernel_ext::dma::Segment;

// `REQ_*` are `__force` casts in C; these are asserted in
// `rust/helpers/block_bio.c`.
const REQ_SYNC: u32 = 1 << bindings::req_flag_bits___REQ_SYNC;
const REQ_FUA: u32 = 1 << bindings::req_flag_bits___REQ_FUA;
const REQ_PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;
const REQ_NOUNMAP: u32 = 1 << bindings::req_flag_bits___REQ_NOUNMAP;

const IOPRIO_CLASS_SHIFT: u32 = 13;
/// The last priority class there is.
const IOPRIO_CLASS_IDLE: u16 = 3;

/// What to do with a range of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BioOp {
    /// Read into memory.
    Read,
    /// Write from memory.
    Write,
    /// Flush the volatile write cache: no range, no memory.
    Flush,
    /// Discard: no memory.
    Discard,
    /// Discard for good: no memory.
    SecureErase,
    /// Write zeroes: no memory.
    WriteZeroes,
}

impl BioOp {
    /// Whether the operation changes what is stored. A flush does not.
    pub fn modifies(self) -> bool {
        !matches!(self, Self::Read | Self::Flush)
    }

    /// Whether the operation comes with memory.
    pub fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// Modifiers of an operation. Each is dropped where it has no meaning, since
/// the block layer complains about some of those combinations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BioFlags {
    /// Somebody waits for this.
    pub sync: bool,
    /// A write must be on stable media when it ends; writes only.
    pub fua: bool,
    /// Flush the cache before a write; writes only (a flush is one anyway).
    pub preflush: bool,
    /// Keep the blocks allocated; write-zeroes only.
    pub nounmap: bool,
}

impl BioFlags {
    /// Operation and flags in the form of `bi_opf`.
    fn encode(self, op: BioOp) -> u32 {
        let mut opf = match op {
            BioOp::Read => bindings::req_op_REQ_OP_READ,
            BioOp::Write => bindings::req_op_REQ_OP_WRITE,
            // A bio cannot be a flush; an empty write that wants one is.
            BioOp::Flush => bindings::req_op_REQ_OP_WRITE | REQ_PREFLUSH,
            BioOp::Discard => bindings::req_op_REQ_OP_DISCARD,
            BioOp::SecureErase => bindings::req_op_REQ_OP_SECURE_ERASE,
            BioOp::WriteZeroes => bindings::req_op_REQ_OP_WRITE_ZEROES,
        };
        if self.sync {
            opf |= REQ_SYNC;
        }
        if self.fua && op == BioOp::Write {
            opf |= REQ_FUA;
        }
        if self.preflush && op == BioOp::Write {
            opf |= REQ_PREFLUSH;
        }
        if self.nounmap && op == BioOp::WriteZeroes {
            opf |= REQ_NOUNMAP;
        }
        opf
    }
}

/// What an [`Io`] carries along, and who is told when it is done.
pub trait Owner: Send + Sized + 'static {
    /// The IO has ended: `errno` is 0 or negative. Device and memory are
    /// already released by `io`, which can be submitted again at once, though
    /// not from here: submitting may sleep.
    ///
    /// Called exactly once for each submission; in any context, with interrupts
    /// possibly off, or before the call to [`Io::submit`] returns. Must not
    /// sleep or allocate.
    fn done(io: KBox<Io<Self>>, payload: Self, errno: i32);
}

/// A bio for one contiguous piece of memory, reusable without allocation.
pub struct Io<T: Owner> {
    bio: Opaque<bindings::bio>,
    vec: Opaque<bindings::bio_vec>,
    /// What keeps the IO alive while it is in flight; `None` at rest.
    flight: Option<Flight<T>>,
}

struct Flight<T> {
    payload: T,
    data: Option<Segment>,
    dev: Arc<BlockDevice>,
}

// SAFETY: at rest the bio is inert memory; in flight nobody has the `Io`. The
// rest is `Send`: the payload by its trait, device and memory by their types.
unsafe impl<T: Owner> Send for Io<T> {}

// SAFETY: an `&Io` gives access to nothing.
unsafe impl<T: Owner> Sync for Io<T> {}

impl<T: Owner> Io<T> {
    /// Allocates an IO at rest. May sleep.
    pub fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                bio: Opaque::zeroed(),
                vec: Opaque::zeroed(),
                flight: None,
            },
            GFP_KERNEL,
        )?)
    }

    /// Starts `op` on `bytes` bytes from `sector` (512-byte units) of `dev`, with
    /// IO priority `prio` (0 for that of the calling thread; one of a class that
    /// does not exist counts as 0).
    ///
    /// Reads and writes need `data`, of which the first `bytes` bytes are used;
    /// it must not be touched by anybody before the end. All other operations
    /// take none. A flush has 0 bytes, and its sector is ignored. Longer ranges
    /// than the device's limits are split by the block layer.
    ///
    /// The result comes through [`Owner::done`], with the block layer's errors
    /// and with these, found before the block layer is asked: `EINVAL` if data
    /// and operation do not fit, `EROFS` for a modifying operation on a device
    /// not opened for writing, and `EIO`, as the block layer says it, for a
    /// range that is beyond the end or not made of logical blocks.
    ///
    /// May sleep, in particular for a free request of the device: process
    /// context only. Does not allocate here.
    #[allow(clippy::too_many_arguments)]
    pub fn submit(
        mut self: KBox<Self>,
        dev: Arc<BlockDevice>,
        op: BioOp,
        flags: BioFlags,
        sector: u64,
        bytes: u32,
        data: Option<Segment>,
        prio: u16,
        payload: T,
    ) {
        if let Err(error) = check(&dev, op, sector, bytes, data.as_ref()) {
            // As at the end: memory and device are released before the owner is told.
            drop(data);
            drop(dev);
            return T::done(self, payload, error.to_errno());
        }

        let memory = data.as_ref().map(|segment| segment.as_ptr());
        let bdev = dev.raw();
        self.flight = Some(Flight { payload, data, dev });
        // From here on the box belongs to the block layer; `end` takes it back.
        let io = KBox::into_raw(self);
        // SAFETY:
        // - `io` is a valid `Io` that nobody else has, at an address that does
        //   not change before `end` makes a box of it again; bio and vector are
        //   embedded in it and at rest, so they may be initialised anew.
        // - The device is open and stays so, and the memory stays allocated,
        //   until `end`, by the references in `flight`.
        // - `check` made sure that memory is there iff the operation has data,
        //   that it is at least `bytes` long, and `bytes` is not 0 then; a
        //   `Segment` is contiguous memory of the linear mapping, so one vector
        //   covers it and adding it cannot fail.
        // - `io` is not used after `submit_bio`.
        unsafe {
            let bio = Opaque::cast_into(&raw const (*io).bio);
            let vecs = if memory.is_some() { 1 } else { 0 };
            bindings::bio_init(
                bio,
                bdev,
                Opaque::cast_into(&raw const (*io).vec),
                vecs,
                flags.encode(op),
            );
            (*bio).bi_ioprio = sane_priority(prio);
            (*bio).bi_end_io = Some(end::<T>);
            match memory {
                Some(memory) => {
                    bindings::bio_add_virt_nofail(bio, memory.cast(), bytes as c_uint);
                }
                None => (*bio).bi_iter.bi_size = bytes,
            }
            (*bio).bi_iter.bi_sector = if op == BioOp::Flush { 0 } else { sector };
            bindings::submit_bio(bio);
        }
    }
}

/// A priority the block layer can cope with. Schedulers use the class as an index
/// of a table without looking, so one that does not exist must never get there.
fn sane_priority(prio: u16) -> u16 {
    if prio >> IOPRIO_CLASS_SHIFT > IOPRIO_CLASS_IDLE {
        0
    } else {
        prio
    }
}

/// Finds what the block layer would answer with a warning, a log line or a
/// crash, before it is asked.
fn check(dev: &BlockDevice, op: BioOp, sector: u64, bytes: u32, data: Option<&Segment>) -> Result {
    if op.modifies() && !dev.is_writable() {
        return Err(code::EROFS);
    }
    if op.has_data() != data.is_some() {
        return Err(EINVAL);
    }
    if let Some(segment) = data {
        if bytes as usize > segment.len() {
            return Err(EINVAL);
        }
    }
    if op == BioOp::Flush {
        return if bytes == 0 { Ok(()) } else { Err(EINVAL) };
    }
    if bytes == 0 {
        return Err(EINVAL);
    }

    // At least 512, and a power of two.
    let block = dev.logical_block_size();
    let block_sectors = u64::from(block >> SECTOR_SHIFT);
    if bytes & block.wrapping_sub(1) != 0 || sector & block_sectors.wrapping_sub(1) != 0 {
        return Err(EIO);
    }
    match sector.checked_add(u64::from(bytes >> SECTOR_SHIFT)) {
        Some(end) if end <= dev.sectors() => Ok(()),
        _ => Err(EIO),
    }
}

/// # Safety
///
/// May only be called by the block layer, as the end of a bio that
/// [`Io::submit`] submitted for the same `T`.
unsafe extern "C" fn end<T: Owner>(bio: *mut bindings::bio) {
    // SAFETY:
    // - The bio is the one embedded in an `Io<T>` that `submit` gave away.
    // - The block layer does not touch the bio during or after this call.
    let mut io = unsafe {
        KBox::from_raw(container_of!(
            Opaque::<bindings::bio>::cast_from(bio).cast_mut(),
            Io<T>,
            bio
        ))
    };
    // SAFETY:
    // - The bio was initialised by `submit` and is ours again.
    // - Releasing what was attached to it on the way is allowed in any context.
    let errno = unsafe {
        let errno = bindings::blk_status_to_errno((*bio).bi_status);
        bindings::bio_uninit(bio);
        errno
    };
    if let Some(Flight { payload, data, dev }) = io.flight.take() {
        // The owner may hand the memory to somebody else, or let go of the
        // device, as soon as it is told.
        drop(data);
        drop(dev);
        T::done(io, payload, errno);
    }
}
