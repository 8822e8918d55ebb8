// SPDX-License-Identifier: GPL-2.0

//! The chunks of a path: the memory that its client writes requests into.
//!
//! Every path has a pool of its own, zeroed, in a protection domain of its own (weak points S1, S5
//! and S19): what is taken away from a client on one path it cannot reach through another, and it
//! never sees what others left behind. With `always_invalidate` each chunk has its own memory
//! region; otherwise the largest regions that divide the depth evenly, since clients insist on that
//! (spec: rtrs 2.4).
//!
//! A slot owns the record of the request in its chunk while there is no request. An empty slot is
//! the busy state of the chunk (S7).

use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    rdma::{
        Buffer,
        Chunk,
        DeviceInfo,
        Direction,
        Mr,
        Pd, //
    },
    sync::AtomicSlot,
};
use rtrs_proto::{
    limits::RKEY_MSG_LEN,
    ChunkIndex,
    Descriptor,
    SessionParams, //
};

use crate::{
    budget::Charge,
    operation::Op,
    params::Config, //
};

/// The smallest page that a memory region can be made of: 4096 bytes, as the client assumes too.
const MIN_PAGE: u32 = 4096;

/// What renews the client's access to one chunk.
pub(crate) struct Key {
    /// The region over exactly this chunk.
    pub(crate) mr: Mr,
    /// The message that announces a new key; [`RKEY_MSG_LEN`] bytes.
    pub(crate) message: Buffer,
}

/// One chunk.
pub(crate) struct Slot {
    /// The memory.
    pub(crate) memory: Chunk,
    /// The record for a request in this chunk; empty while there is one.
    pub(crate) idle: AtomicSlot<KBox<Op>>,
    /// The request whose chunk is being closed to the client right now.
    pub(crate) invalidating: AtomicSlot<KBox<Op>>,
    /// With `always_invalidate` only.
    pub(crate) key: Option<Key>,
}

/// All chunks of a path.
pub(crate) struct Pool {
    pd: Arc<Pd>,
    slots: KVec<Slot>,
    /// The regions over all chunks, in order.
    regions: KVec<Mr>,
    params: SessionParams,
    /// Given back with the memory.
    _charge: Charge,
}

impl Pool {
    /// Allocates and maps the chunks of one path, for which `charge` was made. Process context;
    /// takes its time.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINVAL` if the device cannot register a chunk, or the error of its driver.
    pub(crate) fn new(pd: &Arc<Pd>, config: &Config, charge: Charge) -> Result<Arc<Self>> {
        let params = config.params;
        let (page, chunks_per_region) = region_size(pd.info(), &params)?;
        let size = usize::try_from(params.chunk_size()).map_err(|_| EINVAL)?;
        let depth = usize::from(params.depth().get());

        let mut chunks = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            chunks.push(Pd::chunk(pd, size)?, GFP_KERNEL)?;
        }

        let count = if config.always_invalidate {
            depth
        } else {
            usize::from(params.region_count(chunks_per_region))
        };
        let per_region = depth.checked_div(count).ok_or(EINVAL)?;
        let mut regions = KVec::with_capacity(count, GFP_KERNEL)?;
        for part in chunks.chunks(per_region.max(1)) {
            regions.push(region(pd, part, page)?, GFP_KERNEL)?;
        }

        let mut slots = KVec::with_capacity(depth, GFP_KERNEL)?;
        for index in params.chunks() {
            let key = if config.always_invalidate {
                Some(Key {
                    mr: regions.get(index.index()).ok_or(EINVAL)?.clone(),
                    message: Pd::buffer(pd, RKEY_MSG_LEN, Direction::ToDevice)?,
                })
            } else {
                None
            };
            slots.push(
                Slot {
                    memory: chunks.get(index.index()).ok_or(EINVAL)?.clone(),
                    idle: AtomicSlot::new(Op::new(index, &params)?),
                    invalidating: AtomicSlot::empty(),
                    key,
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Arc::new(
            Self {
                pd: pd.clone(),
                slots,
                regions,
                params,
                _charge: charge,
            },
            GFP_KERNEL,
        )?)
    }

    /// The protection domain of the path.
    pub(crate) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    /// What the chunks were made for.
    #[inline]
    pub(crate) fn params(&self) -> &SessionParams {
        &self.params
    }

    /// The chunk with this index. There is one for every index of the parameters.
    #[inline]
    pub(crate) fn slot(&self, index: ChunkIndex) -> Option<&Slot> {
        self.slots.get(index.index())
    }

    /// All chunks, in order.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The regions over all chunks, in order.
    pub(crate) fn regions(&self) -> &[Mr] {
        &self.regions
    }

    /// How the chunks are announced to the client, in order.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = Descriptor> + '_ {
        self.regions.iter().map(|mr| Descriptor {
            addr: mr.iova(),
            key: mr.key(),
            len: mr.len(),
        })
    }
}

/// The page size for the regions, and how many chunks one region can hold.
///
/// The largest page that the device and a mapping can have; a chunk is a multiple of it.
fn region_size(device: &DeviceInfo, params: &SessionParams) -> Result<(u32, u32)> {
    let chunk = params.chunk_size();
    // Both are powers of two, and a chunk has at least two pages.
    let largest = u64::try_from(PAGE_SIZE).map_err(|_| EINVAL)?;
    let sizes = device.page_size_cap & (largest | largest.wrapping_sub(1));
    let page = sizes
        .checked_ilog2()
        .and_then(|bits| 1u32.checked_shl(bits))
        .filter(|page| *page >= MIN_PAGE)
        .ok_or(EINVAL)?;
    let pages_per_chunk = chunk.checked_div(page).ok_or(EINVAL)?;
    // A region must not exceed the device's limit in bytes either.
    let by_size = u32::try_from(device.max_mr_size / u64::from(chunk.max(1))).unwrap_or(u32::MAX);
    let by_pages = device
        .max_fast_reg_pages
        .checked_div(pages_per_chunk)
        .ok_or(EINVAL)?;
    match by_pages.min(by_size) {
        0 => Err(EINVAL),
        chunks => Ok((page, chunks)),
    }
}

/// A region over `chunks`, which are of equal size.
fn region(pd: &Arc<Pd>, chunks: &[Chunk], page: u32) -> Result<Mr> {
    let mut bytes: u32 = 0;
    for chunk in chunks {
        let len = u32::try_from(chunk.len()).map_err(|_| EINVAL)?;
        bytes = bytes.checked_add(len).ok_or(EINVAL)?;
    }
    let pages = bytes.checked_div(page).ok_or(EINVAL)?;
    let mr = Pd::mr(pd, pages, false)?;
    mr.map_chunks(chunks, page)?;
    // What is announced must be exactly the chunks.
    if mr.len() == bytes {
        Ok(mr)
    } else {
        Err(EINVAL)
    }
}
