// SPDX-License-Identifier: GPL-2.0

//! Scatter lists of fixed capacity, and their mapping for an RDMA device.
//!
//! An [`SgTable`] is filled by the block layer's glue and lives in its owner's preallocated state;
//! [`MappedSg`] is the same table while a device may use it. Nothing on this path allocates. The
//! pages belong to whoever filled the table; they must stay until the mapping has ended.

use crate::{
    dma::Direction,
    rdma::{
        Pd,
        Sge, //
    }, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::code,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

/// Size of the scratch area, in bytes.
pub const SCRATCH: usize = 4096;

/// A scatter list with room for a fixed number of elements, and a small area of its own.
///
/// # Invariants
///
/// - `entries` has exactly `capacity` elements, each set up by `sg_init_table`.
/// - The first `nents` elements describe memory, the last of them carries the end mark; with
///   `nents` 0 nothing does.
/// - `scratch`, if present, is `SCRATCH` bytes from `kmalloc`.
pub struct SgTable {
    entries: KVec<c::scatterlist>,
    nents: c_uint,
    bytes: u32,
    scratch: Option<NonNull<u8>>,
}

// SAFETY: the table is bound to no thread; its pointers are to pages, or to memory it owns.
unsafe impl Send for SgTable {}
// SAFETY: through a shared reference it can only be read.
unsafe impl Sync for SgTable {}

impl SgTable {
    /// Makes an empty table. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` for capacity 0 or above 65536, `ENOMEM`.
    pub fn new(capacity: usize) -> Result<KBox<Self>> {
        if capacity == 0 || capacity > 65536 {
            return Err(EINVAL);
        }
        let mut entries: KVec<c::scatterlist> = KVec::with_capacity(capacity, GFP_KERNEL)?;
        for _ in 0..capacity {
            entries
                .push_within_capacity(pin_init::zeroed())
                .map_err(|_| ENOMEM)?;
        }
        let mut table = KBox::new(
            Self {
                entries,
                nents: 0,
                bytes: 0,
                scratch: None,
            },
            GFP_KERNEL,
        )?;
        table.reset();
        Ok(table)
    }

    /// Empties the table. The scratch area is kept. Any context.
    pub fn reset(&mut self) {
        // SAFETY: the vector has that many elements; `new` bounds it, so the cast is exact.
        unsafe { c::sg_init_table(self.entries.as_mut_ptr(), self.entries.len() as c_uint) };
        // INVARIANT: an empty table.
        self.nents = 0;
        self.bytes = 0;
    }

    /// Empties the table and clears its first `nents` elements, to be filled anew. Any context.
    ///
    /// What an earlier mapping has noted in them for itself, such as the use of bounce buffers,
    /// must not be taken for a note of the next one.
    ///
    /// # Errors
    ///
    /// `E2BIG` if `nents` is above the capacity; the table is empty then, too.
    pub fn prepare(&mut self, nents: usize) -> Result {
        // INVARIANT: an empty table.
        self.nents = 0;
        self.bytes = 0;
        if nents > self.entries.len() {
            return Err(code::E2BIG);
        }
        if nents > 0 {
            // SAFETY: the vector has that many elements; `new` bounds it, so the cast is exact.
            unsafe { c::sg_init_table(self.entries.as_mut_ptr(), nents as c_uint) };
        }
        Ok(())
    }

    /// Elements in use.
    pub fn nents(&self) -> u32 {
        self.nents
    }

    /// Bytes of all elements in use.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Most elements.
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// The elements, for the block layer's glue.
    pub fn as_mut_ptr(&mut self) -> *mut bindings::scatterlist {
        self.entries.as_mut_ptr()
    }

    /// Says what the block layer's glue has stored.
    ///
    /// # Safety
    ///
    /// - The first `nents` elements must describe `bytes` bytes of memory in all, and the last of
    ///   them must carry the end mark.
    /// - `nents` must not exceed the capacity.
    /// - The memory must stay until the table is reset or filled again.
    pub unsafe fn set_mapped(&mut self, nents: u32, bytes: u32) {
        // INVARIANT: promised by the caller.
        self.nents = nents;
        self.bytes = bytes;
    }

    /// Makes the table describe the first `len` bytes of its own area, which is allocated at first
    /// use and zeroed every time. Sleeps at first use.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `len` is 0 or above [`SCRATCH`], `ENOMEM`.
    pub fn use_scratch(&mut self, len: usize) -> Result {
        if len == 0 || len > SCRATCH {
            return Err(EINVAL);
        }
        let area = match self.scratch {
            Some(area) => {
                // SAFETY: by the invariant the area has that many bytes, and nobody refers to it:
                // the table is borrowed exclusively and not mapped.
                unsafe { area.write_bytes(0, SCRATCH) };
                area
            }
            None => {
                // SAFETY: a plain allocation.
                let area = unsafe { c::rdx_alloc_zeroed(SCRATCH) };
                NonNull::new(area.cast::<u8>()).ok_or(ENOMEM)?
            }
        };
        // INVARIANT: `SCRATCH` bytes from `kmalloc`.
        self.scratch = Some(area);
        self.reset();
        // SAFETY:
        // - The table has at least one element.
        // - The area is in the direct mapping and lives as long as the table.
        unsafe {
            c::rdx_sg_set_buf(
                self.entries.as_mut_ptr(),
                area.as_ptr().cast(),
                len as c_uint,
            );
            c::rdx_sg_mark_end(self.entries.as_mut_ptr());
        }
        // INVARIANT: one element with the end mark.
        self.nents = 1;
        self.bytes = len as u32;
        Ok(())
    }

    /// Copies from the start of the scratch area, at most [`SCRATCH`] bytes; returns how many. Any
    /// context.
    pub fn scratch_read(&self, out: &mut [u8]) -> usize {
        let Some(area) = self.scratch else {
            return 0;
        };
        let len = out.len().min(SCRATCH);
        // SAFETY: the area has at least `len` bytes; it is not mapped, as the table is not inside a
        // `MappedSg`, so nobody else accesses it.
        unsafe { c::rdx_copy(out.as_mut_ptr().cast(), area.as_ptr().cast(), len) };
        len
    }

    /// Copies into the scratch area, at most [`SCRATCH`] bytes; returns how many. Any context.
    pub fn scratch_write(&mut self, data: &[u8]) -> usize {
        let Some(area) = self.scratch else {
            return 0;
        };
        let len = data.len().min(SCRATCH);
        // SAFETY: as in `scratch_read`.
        unsafe { c::rdx_copy(area.as_ptr().cast(), data.as_ptr().cast(), len) };
        len
    }
}

impl Drop for SgTable {
    fn drop(&mut self) {
        if let Some(area) = self.scratch {
            // SAFETY: by the invariant it is ours and from `kmalloc`.
            unsafe { bindings::kfree(area.as_ptr().cast()) }
        }
    }
}

/// A table while a device may use what it describes.
///
/// Dropping it unmaps and drops the table. Invalidate the memory region that covers it first.
///
/// # Invariants
///
/// The first `table.nents` elements of `table` are mapped for the device of `pd`, as `mapped`
/// elements.
pub struct MappedSg {
    table: ManuallyDrop<KBox<SgTable>>,
    pd: Arc<Pd>,
    direction: Direction,
    mapped: c_uint,
}

impl MappedSg {
    /// Maps a table. Any context; no allocation.
    ///
    /// # Errors
    ///
    /// Gives the table back: `EINVAL` if it is empty, `ENOMEM` if the device cannot map it now.
    pub fn map(
        mut table: KBox<SgTable>,
        pd: &Arc<Pd>,
        direction: Direction,
    ) -> Result<Self, (KBox<SgTable>, Error)> {
        let Ok(nents @ 1..) = c_int::try_from(table.nents) else {
            return Err((table, code::EINVAL));
        };
        let entries = table.entries.as_mut_ptr();
        // SAFETY:
        // - The device is there as long as `pd`.
        // - By the invariant of the table the first `nents` elements describe memory.
        let mapped = unsafe { c::rdx_dma_map_sg(pd.device(), entries, nents, direction.raw()) };
        match c_uint::try_from(mapped) {
            // INVARIANT: just mapped.
            Ok(mapped @ 1..) => Ok(Self {
                table: ManuallyDrop::new(table),
                pd: pd.clone(),
                direction,
                mapped,
            }),
            _ => Err((table, code::ENOMEM)),
        }
    }

    /// Ends the device's access and gives the table back. Any context.
    pub fn unmap(self) -> KBox<SgTable> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY:
        // - `this` is never dropped, so the mapping is ended and both fields are taken exactly
        //   once.
        // - `pd` is dropped after the mapping has ended.
        unsafe {
            this.end();
            let table = ManuallyDrop::take(&mut this.table);
            core::ptr::drop_in_place(&mut this.pd);
            table
        }
    }

    /// Elements as the device sees them.
    pub fn nents(&self) -> u32 {
        self.mapped
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> u32 {
        self.table.bytes
    }

    /// The elements as parts of a work request; `None` if they do not fit into `out`. Any context.
    pub fn sges(&self, out: &mut [Sge]) -> Option<usize> {
        let count = usize::try_from(self.mapped).ok()?;
        let entries = self.table.entries.get(..count)?;
        let room = out.get_mut(..count)?;
        for (to, from) in room.iter_mut().zip(entries) {
            // SAFETY: the element is mapped, by the invariant.
            let (addr, len) = unsafe { (c::rdx_sg_dma_addr(from), c::rdx_sg_dma_len(from)) };
            *to = Sge::new(addr, len, self.pd.local_key(), self.pd.serial());
        }
        Some(count)
    }

    /// The protection domain.
    pub(crate) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    /// The mapped elements, for `ib_map_mr_sg`, which only reads them.
    pub(crate) fn as_ptr(&self) -> *mut c::scatterlist {
        self.table.entries.as_ptr().cast_mut()
    }

    /// Ends the mapping.
    ///
    /// # Safety
    ///
    /// To be called once, and nothing but dropping the fields may follow.
    unsafe fn end(&mut self) {
        // SAFETY: the elements are mapped, by the invariant, with these arguments; the C function
        // wants the number of elements that was given to the mapping.
        unsafe {
            c::rdx_dma_unmap_sg(
                self.pd.device(),
                self.table.entries.as_mut_ptr(),
                self.table.nents as c_int,
                self.direction.raw(),
            )
        }
    }
}

impl Drop for MappedSg {
    fn drop(&mut self) {
        // SAFETY: this is the end; the table is dropped once, here, after its mapping.
        unsafe {
            self.end();
            ManuallyDrop::drop(&mut self.table);
        }
    }
}
