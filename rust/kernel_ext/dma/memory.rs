// SPDX-License-Identifier: GPL-2.0

//! The memory itself: allocation, mapping, raw copies.
//!
//! A [`Memory`] is freed by its last reference; that it is unmapped before is the protection
//! domain's duty, which therefore holds one.

use crate::drift::dma;
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*, //
};
use rdma_bindings as c;

/// Longest buffer or chunk, in bytes: what one call of the page allocator can give.
pub const MAX_LEN: usize = 4 << 20;

/// Which way data moves, seen from memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The device only reads.
    ToDevice,
    /// The device only writes.
    FromDevice,
    /// Both.
    Bidirectional,
}

impl Direction {
    /// The C constant.
    pub(crate) fn raw(self) -> c_int {
        match self {
            Self::ToDevice => dma::TO_DEVICE,
            Self::FromDevice => dma::FROM_DEVICE,
            Self::Bidirectional => dma::BIDIRECTIONAL,
        }
    }
}

/// Where memory came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `kmalloc`.
    Heap,
    /// Whole pages, contiguous.
    Pages,
}

/// A piece of kernel memory, mapped for a device or about to be.
///
/// # Invariants
///
/// - `start` points to `len` initialised bytes from the allocator that `source` names.
/// - While `dma` is used by a device, the protection domain holds a reference to this value, so
///   the memory is not freed.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
    source: Source,
    direction: Direction,
    dma: u64,
}

// SAFETY: the memory is bound to no thread; it is freed by functions that work in any context.
unsafe impl Send for Memory {}
// SAFETY: the memory is accessed only through raw copies, as memory that a device may change.
unsafe impl Sync for Memory {}

impl Memory {
    /// Where it starts, in the kernel's direct mapping.
    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Which way it is mapped.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// The device's address of the start.
    pub(super) fn dma(&self) -> u64 {
        self.dma
    }

    /// Allocates zeroed memory and maps it. Sleeps.
    ///
    /// # Safety
    ///
    /// - `device` must be valid.
    /// - The caller must call [`unmap`](Self::unmap) with the same device exactly once, before the
    ///   device goes and before the last reference to the result is dropped.
    pub(crate) unsafe fn map(
        device: *mut c::ib_device,
        len: usize,
        source: Source,
        direction: Direction,
    ) -> Result<Self> {
        if len == 0 || len > MAX_LEN {
            return Err(EINVAL);
        }
        // SAFETY: plain allocations; both functions zero what they return.
        let start = unsafe {
            match source {
                Source::Heap => c::rdx_alloc_zeroed(len),
                Source::Pages => c::rdx_alloc_pages(len),
            }
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(ENOMEM)?;
        // INVARIANT: from here on dropping `memory` frees the allocation.
        let mut memory = Self {
            start,
            len,
            source,
            direction,
            dma: 0,
        };
        // SAFETY:
        // - The caller promises a valid device.
        // - The range is the whole allocation, in the kernel's direct mapping.
        memory.dma = unsafe { c::rdx_dma_map(device, start.as_ptr().cast(), len, direction.raw()) };
        // SAFETY: the caller promises a valid device; the address is the one just returned.
        if unsafe { c::rdx_dma_map_failed(device, memory.dma) } {
            return Err(ENOMEM);
        }
        Ok(memory)
    }

    /// Ends the device's access.
    ///
    /// # Safety
    ///
    /// - `device` must be the one given to [`map`](Self::map), and still be there.
    /// - No queue pair that could refer to the memory may exist any more, and no memory region
    ///   that covers it.
    /// - It must be called once.
    pub(crate) unsafe fn unmap(&self, device: *mut c::ib_device) {
        // SAFETY: the caller promises that the mapping exists and is not in use.
        unsafe { c::rdx_dma_unmap(device, self.dma, self.len, self.direction.raw()) }
    }

    /// Whether `len` bytes from `offset` on are inside.
    pub(super) fn check(&self, offset: usize, len: usize) -> Result {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(EINVAL),
        }
    }

    /// Copies out of the memory.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> Result {
        self.check(offset, out.len())?;
        // SAFETY:
        // - The range is inside the allocation, by the check.
        // - `out` is ours and cannot overlap it: nobody has references into this memory.
        // - The device may write meanwhile; the copy is opaque to the compiler, and any bytes are
        //   valid bytes.
        unsafe {
            c::rdx_copy(
                out.as_mut_ptr().cast(),
                self.start.as_ptr().add(offset).cast(),
                out.len(),
            )
        }
        Ok(())
    }

    /// Copies into the memory.
    pub(super) fn write(&self, offset: usize, data: &[u8]) -> Result {
        self.check(offset, data.len())?;
        // SAFETY: as in `read`, with the roles exchanged.
        unsafe {
            c::rdx_copy(
                self.start.as_ptr().add(offset).cast(),
                data.as_ptr().cast(),
                data.len(),
            )
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY:
        // - By the invariant the allocation is ours, with this length and from this source.
        // - By the contract of `map` no device uses it any more.
        unsafe {
            match self.source {
                Source::Heap => bindings::kfree(self.start.as_ptr().cast()),
                Source::Pages => c::rdx_free_pages(self.start.as_ptr().cast(), self.len),
            }
        }
    }
}
