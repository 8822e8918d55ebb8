// SPDX-License-Identifier: GPL-2.0

//! Memory that is mapped for an RDMA device as long as its protection domain lives.
//!
//! [`Buffer`] is a small piece for headers and receives, [`Chunk`] a physically contiguous run of
//! pages for data, [`Segment`] a part of a chunk that may outlive the protection domain. All are
//! handles made by [`Pd`]. A peer may write into this memory at any time, so no reference into it
//! is ever formed: bytes are copied in and out through raw pointers.

use crate::rdma::{
    Pd,
    Sge, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*,
    sync::Arc, //
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
        let raw = match self {
            Self::ToDevice => bindings::dma_data_direction_DMA_TO_DEVICE,
            Self::FromDevice => bindings::dma_data_direction_DMA_FROM_DEVICE,
            Self::Bidirectional => bindings::dma_data_direction_DMA_BIDIRECTIONAL,
        };
        // The three constants are 0, 1 and 2.
        raw as c_int
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
///   the memory is not freed (see [`Pd`]).
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
    fn check(&self, offset: usize, len: usize) -> Result {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(EINVAL),
        }
    }

    /// Copies out of the memory.
    fn read(&self, offset: usize, out: &mut [u8]) -> Result {
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
    fn write(&self, offset: usize, data: &[u8]) -> Result {
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

/// Memory together with the protection domain that keeps it mapped.
///
/// # Invariants
///
/// `memory` is in the list of `pd`, so it stays mapped as long as `pd` is there.
#[derive(Clone)]
pub(crate) struct Region {
    memory: Arc<Memory>,
    pd: Arc<Pd>,
}

impl Region {
    /// Pairs a mapping with its owner.
    ///
    /// # Safety
    ///
    /// `memory` must be in the list of `pd`.
    pub(crate) unsafe fn new(memory: Arc<Memory>, pd: Arc<Pd>) -> Self {
        // INVARIANT: promised by the caller.
        Self { memory, pd }
    }

    /// The owner.
    pub(crate) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    pub(crate) fn len(&self) -> usize {
        self.memory.len
    }

    /// The DMA address of an offset that was checked before.
    fn dma(&self, offset: usize) -> u64 {
        self.memory.dma.wrapping_add(offset as u64)
    }

    pub(crate) fn addr(&self, offset: usize) -> u64 {
        self.dma(offset.min(self.memory.len))
    }

    /// Makes what the device wrote visible to the CPU.
    pub(crate) fn to_cpu(&self, offset: usize, len: usize) -> Result {
        self.memory.check(offset, len)?;
        if len > 0 && self.memory.direction != Direction::ToDevice {
            // SAFETY:
            // - The device is there and the range mapped as long as `pd` lives.
            // - The range is inside the mapping, by the check.
            unsafe {
                c::rdx_dma_sync_for_cpu(
                    self.pd.device(),
                    self.dma(offset),
                    len,
                    self.memory.direction.raw(),
                )
            }
        }
        Ok(())
    }

    /// Makes what the CPU wrote visible to the device.
    pub(crate) fn to_device(&self, offset: usize, len: usize) -> Result {
        self.memory.check(offset, len)?;
        if len > 0 {
            // SAFETY: as in `to_cpu`.
            unsafe {
                c::rdx_dma_sync_for_device(
                    self.pd.device(),
                    self.dma(offset),
                    len,
                    self.memory.direction.raw(),
                )
            }
        }
        Ok(())
    }

    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) -> Result {
        self.to_cpu(offset, out.len())?;
        self.memory.read(offset, out)
    }

    fn write(&self, offset: usize, data: &[u8]) -> Result {
        self.memory.write(offset, data)?;
        self.to_device(offset, data.len())
    }

    pub(crate) fn sge(&self, offset: usize, len: usize) -> Result<Sge> {
        self.to_device(offset, len)?;
        let length = u32::try_from(len).map_err(|_| EINVAL)?;
        Ok(Sge::new(
            self.dma(offset),
            length,
            self.pd.local_key(),
            self.pd.serial(),
        ))
    }
}

/// The methods that buffers and chunks share.
macro_rules! region_methods {
    ($type:ident) => {
        impl $type {
            /// Length in bytes.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Never true: there is no empty memory.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Copies bytes out, after making visible what the device wrote. Any context.
            ///
            /// # Errors
            ///
            /// `EINVAL` if the range is not inside.
            pub fn read(&self, offset: usize, out: &mut [u8]) -> Result {
                self.0.read(offset, out)
            }

            /// Copies bytes in and makes them visible to the device. Any context.
            ///
            /// # Errors
            ///
            /// `EINVAL` if the range is not inside.
            pub fn write(&self, offset: usize, data: &[u8]) -> Result {
                self.0.write(offset, data)
            }

            /// A range as an element of a work request; the range is handed to the device. Any
            /// context.
            ///
            /// # Errors
            ///
            /// `EINVAL` if the range is not inside.
            pub fn sge(&self, offset: usize, len: usize) -> Result<Sge> {
                self.0.sge(offset, len)
            }

            /// The device's address of an offset; that of the end if the offset is beyond it.
            pub fn addr(&self, offset: usize) -> u64 {
                self.0.addr(offset)
            }
        }
    };
}

/// A handle on a small piece of zeroed memory from the heap, mapped for the device.
///
/// Cloning shares the memory. See [`Pd::buffer`].
#[derive(Clone)]
pub struct Buffer(pub(crate) Region);

/// A handle on physically contiguous, zeroed pages, mapped in both directions.
///
/// Cloning shares the memory. See [`Pd::chunk`].
#[derive(Clone)]
pub struct Chunk(pub(crate) Region);

region_methods!(Buffer);
region_methods!(Chunk);

impl Chunk {
    /// A part of the chunk as an owned value, after making visible what the device wrote. Any
    /// context; no allocation.
    ///
    /// Before the device reads what was stored through the segment, take an
    /// [`sge`](Self::sge) of the range.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the range is not inside.
    pub fn segment(&self, offset: usize, len: usize) -> Result<Segment> {
        self.0.to_cpu(offset, len)?;
        // INVARIANT: `to_cpu` has checked the range.
        Ok(Segment {
            memory: self.0.memory.clone(),
            offset,
            len,
        })
    }
}

/// A part of a [`Chunk`] that keeps the memory, and nothing else, alive.
///
/// It may be dropped in any context, also long after the queue pair and the protection domain are
/// gone; whoever does I/O with it never touches freed pages.
///
/// # Invariants
///
/// The range is inside `memory`.
#[derive(Clone)]
pub struct Segment {
    memory: Arc<Memory>,
    offset: usize,
    len: usize,
}

impl Segment {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Start of the range in the kernel's direct mapping; contiguous for [`len`](Self::len) bytes.
    pub fn as_ptr(&self) -> *mut u8 {
        self.memory.start.as_ptr().wrapping_add(self.offset)
    }

    /// The page that holds the first byte; the following pages follow in physical memory.
    pub fn page(&self) -> *mut bindings::page {
        // SAFETY: the address is inside an allocation in the direct mapping; an empty range at the
        // very end yields a page that nobody dereferences.
        unsafe { c::rdx_virt_to_page(self.as_ptr().cast()) }
    }

    /// Offset of the first byte in [`page`](Self::page).
    pub fn page_offset(&self) -> u32 {
        (self.as_ptr().addr() & (kernel::page::PAGE_SIZE - 1)) as u32
    }

    /// Copies bytes out. Any context.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the range is not inside the segment.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result {
        let at = self.position(offset, out.len())?;
        self.memory.read(at, out)
    }

    /// Copies bytes in. Any context.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the range is not inside the segment.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result {
        let at = self.position(offset, data.len())?;
        self.memory.write(at, data)
    }

    /// Where a range of the segment starts in the memory.
    fn position(&self, offset: usize, len: usize) -> Result<usize> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => self.offset.checked_add(offset).ok_or(EINVAL),
            _ => Err(EINVAL),
        }
    }
}
