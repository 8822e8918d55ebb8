// SPDX-License-Identifier: GPL-2.0

//! Memory regions for fast registration.
//!
//! An [`Mr`] is filled with addresses, given a fresh key, registered by a work request
//! ([`Wr::RegMr`](super::Wr)) and invalidated by another one or by the peer. The region itself is
//! owned by its protection domain; the handle keeps that alive.

use super::{
    pd::Pd,
    Sge, //
};
use crate::{
    dma::Chunk,
    new_irq_spinlock,
    sg::MappedSg,
    sync::IrqSpinLock, //
};
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

/// The page size of everything RTRS registers (rtrs.md 4.4).
const MAP_PAGE: u32 = 4096;

/// A handle on a memory region; cloning shares the region.
///
/// Map, rotate the key, post the registration, and do not map again before the region is
/// invalidated: between registration and invalidation the peer may access what was mapped.
#[derive(Clone)]
pub struct Mr(Arc<Inner>);

/// # Invariants
///
/// `raw` is in the list of `pd` and therefore valid as long as `pd`.
#[pin_data]
struct Inner {
    raw: *mut c::ib_mr,
    pd: Arc<Pd>,
    /// Serialises all use of the fields of `raw`.
    #[pin]
    lock: IrqSpinLock<()>,
}

// SAFETY: a memory region is bound to no thread.
unsafe impl Send for Inner {}
// SAFETY: all accesses to the region happen under `lock`.
unsafe impl Sync for Inner {}

/// What of a region is of interest here.
struct Fields {
    iova: u64,
    len: u32,
    lkey: u32,
    rkey: u32,
}

impl Mr {
    /// Makes the handle.
    ///
    /// # Safety
    ///
    /// `raw` must be in the list of `pd`.
    pub(super) unsafe fn new(raw: *mut c::ib_mr, pd: Arc<Pd>) -> Result<Self> {
        // INVARIANT: promised by the caller.
        let inner = Arc::pin_init(
            pin_init!(Inner {
                raw,
                pd,
                lock <- new_irq_spinlock!((), "Mr::lock"),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self(inner))
    }

    /// Maps whole chunks, one after the other, as one range. Sleeps.
    ///
    /// `page_size` is a power of two from 4096 to the size of the CPU's pages; chunk lengths must
    /// be multiples of it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the region cannot hold it or a chunk belongs elsewhere, `ENOMEM`, or the errno
    /// of the driver.
    pub fn map_chunks(&self, chunks: &[Chunk], page_size: u32) -> Result {
        if !page_size.is_power_of_two() || page_size < MAP_PAGE || page_size as usize > PAGE_SIZE {
            return Err(EINVAL);
        }
        let count = c_uint::try_from(chunks.len()).map_err(|_| EINVAL)?;
        if count == 0 {
            return Err(EINVAL);
        }
        let mut table: KVec<c::scatterlist> = KVec::with_capacity(chunks.len(), GFP_KERNEL)?;
        for _ in chunks {
            table
                .push_within_capacity(pin_init::zeroed())
                .map_err(|_| ENOMEM)?;
        }
        // SAFETY: the table has `count` elements.
        unsafe { c::sg_init_table(table.as_mut_ptr(), count) };
        for (entry, chunk) in table.iter_mut().zip(chunks) {
            if !Arc::ptr_eq(chunk.0.pd(), &self.0.pd) {
                return Err(EINVAL);
            }
            let len = u32::try_from(chunk.len()).map_err(|_| EINVAL)?;
            // SAFETY: the entry is initialised; only its DMA fields are set, and only they are
            // read by `ib_map_mr_sg`.
            unsafe { c::rdx_sg_set_dma(entry, chunk.addr(0), len) };
        }
        // SAFETY:
        // - The table has `count` elements with valid DMA addresses.
        // - The chunks stay mapped as long as their protection domain, which is the region's.
        unsafe { self.map(table.as_mut_ptr(), count, page_size) }
    }

    /// Maps a mapped scatter list, with pages of 4096 bytes. Any context.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the region cannot hold it (too many pages, or gaps between the elements) or if
    /// the list was mapped for another protection domain; or the errno of the driver.
    pub fn map_sg(&self, sg: &MappedSg) -> Result {
        if !Arc::ptr_eq(sg.pd(), &self.0.pd) {
            return Err(EINVAL);
        }
        // SAFETY: the list has that many mapped elements; it is the room's duty to invalidate the
        // region before it unmaps the list (see `kernel_ext::rdma`).
        unsafe { self.map(sg.as_ptr(), sg.nents(), MAP_PAGE) }
    }

    /// # Safety
    ///
    /// `sg` must point to at least `count` elements with valid DMA addresses and lengths.
    unsafe fn map(&self, sg: *mut c::scatterlist, count: c_uint, page_size: c_uint) -> Result {
        let wanted = c_int::try_from(count).map_err(|_| EINVAL)?;
        if wanted == 0 {
            return Err(EINVAL);
        }
        let _guard = self.0.lock.lock();
        // SAFETY:
        // - The region is valid, by the invariant; we are its only user, by the lock.
        // - The caller promises the list.
        // - The page size is at most the CPU's, so no driver allocates here.
        let mapped =
            unsafe { c::ib_map_mr_sg(self.0.raw, sg, wanted, core::ptr::null_mut(), page_size) };
        if mapped == wanted {
            Ok(())
        } else if mapped < 0 {
            Err(crate::error::error(mapped))
        } else {
            Err(EINVAL)
        }
    }

    /// Reads the fields that this file works with.
    fn fields(&self) -> Fields {
        let _guard = self.0.lock.lock();
        let raw = self.0.raw;
        // SAFETY:
        // - The region is valid, by the invariant.
        // - The verbs write these fields only within `map` and `rotate_key`, which the lock keeps
        //   away. No reference to the whole is formed, since others use the other fields.
        unsafe {
            Fields {
                iova: (*raw).iova,
                len: u32::try_from((*raw).length).unwrap_or(u32::MAX),
                lkey: (*raw).lkey,
                rkey: (*raw).rkey,
            }
        }
    }

    /// Changes the low 8 bits of the key and returns the new key. Any context.
    ///
    /// To be done before every registration, so that the key of the last one is worth nothing.
    pub fn rotate_key(&self) -> u32 {
        let _guard = self.0.lock.lock();
        // SAFETY: the region is valid, by the invariant; the lock makes us the only one to use its
        // keys.
        unsafe {
            c::rdx_mr_next_key(self.0.raw);
            (*self.0.raw).rkey
        }
    }

    /// The key for remote access, as of now.
    pub fn key(&self) -> u32 {
        self.fields().rkey
    }

    /// The key for local access, as of now.
    pub fn local_key(&self) -> u32 {
        self.fields().lkey
    }

    /// Where the mapped range starts, for local and remote access.
    pub fn iova(&self) -> u64 {
        self.fields().iova
    }

    /// Length of the mapped range in bytes.
    pub fn len(&self) -> u32 {
        self.fields().len
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole mapped range as an element of a work request.
    pub fn sge(&self) -> Sge {
        let fields = self.fields();
        Sge::new(fields.iova, fields.len, fields.lkey, self.0.pd.serial())
    }

    /// The protection domain.
    pub(super) fn pd(&self) -> &Arc<Pd> {
        &self.0.pd
    }

    /// The C object; valid as long as the protection domain.
    pub(super) fn raw(&self) -> *mut c::ib_mr {
        self.0.raw
    }
}
