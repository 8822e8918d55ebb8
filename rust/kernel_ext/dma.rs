// SPDX-License-Identifier: GPL-2.0

//! Memory that is mapped for an RDMA device as long as its protection domain lives.
//!
//! [`Buffer`] is a small piece for headers and receives, [`Chunk`] a physically contiguous run of
//! pages for data, [`Segment`] a part of a chunk that may outlive the protection domain. All are
//! handles made by [`Pd`]. A peer may write into this memory at any time, so no reference into it
//! is ever formed: bytes are copied in and out through raw pointers.

mod memory;

pub use memory::{
    Direction,
    MAX_LEN, //
};
pub(crate) use memory::{
    Memory,
    Source, //
};

use crate::rdma::{
    Pd,
    Sge, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

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
        self.memory.len()
    }

    /// The DMA address of an offset that was checked before.
    fn dma(&self, offset: usize) -> u64 {
        self.memory.dma().wrapping_add(offset as u64)
    }

    pub(crate) fn addr(&self, offset: usize) -> u64 {
        self.dma(offset.min(self.memory.len()))
    }

    /// Makes what the device wrote visible to the CPU.
    pub(crate) fn to_cpu(&self, offset: usize, len: usize) -> Result {
        self.memory.check(offset, len)?;
        if len > 0 && self.memory.direction() != Direction::ToDevice {
            // SAFETY:
            // - The device is there and the range mapped as long as `pd` lives.
            // - The range is inside the mapping, by the check.
            unsafe {
                c::rdx_dma_sync_for_cpu(
                    self.pd.device(),
                    self.dma(offset),
                    len,
                    self.memory.direction().raw(),
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
                    self.memory.direction().raw(),
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
        self.memory.start().wrapping_add(self.offset)
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
