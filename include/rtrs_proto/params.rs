// SPDX-License-Identifier: GPL-2.0

//! The three numbers that a server gives to a session, and what follows from them.
//!
//! Depth, data size and header size are announced in the connect reply and decide how an
//! immediate is split into chunk and offset. All paths of a session must have the same
//! ones, so [`SessionParams`] can be compared. A [`ChunkIndex`] is only ever made here,
//! against the depth of a session; but it does not remember which session that was.

use core::num::NonZeroU16;

use crate::limits::{
    IMM_PAYLOAD_BITS,
    MAX_HDR_SIZE,
    MIN_CHUNK_SIZE,
    MIN_HDR_SIZE, //
};

/// The number of bits that can name `count` things: the logarithm, rounded up.
const fn ceil_log2(count: u32) -> u32 {
    u32::BITS - count.saturating_sub(1).leading_zeros()
}

/// The number of chunks of a session, 1 to 65535.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Depth(NonZeroU16);

impl Depth {
    /// A depth of `count` chunks, unless there are none or too many.
    pub fn new(count: u32) -> Option<Self> {
        let count = u16::try_from(count).ok()?;
        NonZeroU16::new(count).map(Self)
    }

    /// The number of chunks.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

/// The number of a chunk of a session, which is also the id of the request in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkIndex(u16);

impl ChunkIndex {
    /// The number as it is used on the wire.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number as an index into tables that have one entry per chunk.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why three numbers cannot be the parameters of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamsError {
    /// The depth is 0 or above 65535.
    Depth,
    /// The header area is smaller or larger than any server's page could be.
    HeaderSize,
    /// The chunk is too small, not larger than its header, or its size overflows.
    ChunkSize,
    /// Depth and chunk size together do not fit into the 28 bits of an immediate.
    Immediate,
}

impl ParamsError {
    /// A sentence for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Depth => "the queue depth must be 1 to 65535",
            Self::HeaderSize => "the header size must be 64 to 65536 bytes",
            Self::ChunkSize => {
                "the chunk size must be at least 8192 bytes and above the header size"
            }
            Self::Immediate => "queue depth times chunk size does not fit into 28 bits",
        }
    }
}

/// What a server announces for a session.
///
/// # Invariants
///
/// - `MIN_HDR_SIZE <= max_hdr <= MAX_HDR_SIZE`, and `max_io > 0`.
/// - `max_io + max_hdr` does not overflow and is at least `MIN_CHUNK_SIZE`.
/// - The bits for the depth and for an offset in a chunk are at most 28 together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionParams {
    depth: Depth,
    max_io: u32,
    max_hdr: u32,
}

impl SessionParams {
    /// Checks what a reply announces: at most `max_io` bytes of data and `max_hdr` bytes
    /// of headers in each of `depth` chunks.
    pub fn new(depth: Depth, max_io: u32, max_hdr: u32) -> Result<Self, ParamsError> {
        if !(MIN_HDR_SIZE..=MAX_HDR_SIZE).contains(&max_hdr) {
            return Err(ParamsError::HeaderSize);
        }
        let chunk = match max_io.checked_add(max_hdr) {
            Some(chunk) if max_io > 0 && chunk >= MIN_CHUNK_SIZE => chunk,
            _ => return Err(ParamsError::ChunkSize),
        };
        let bits = ceil_log2(u32::from(depth.get())) + ceil_log2(chunk);
        if bits > IMM_PAYLOAD_BITS {
            return Err(ParamsError::Immediate);
        }
        // INVARIANT: Each condition was checked above.
        Ok(Self {
            depth,
            max_io,
            max_hdr,
        })
    }

    /// The parameters of a server that was told to use `depth` chunks of `chunk_size`
    /// bytes and keeps `max_hdr` bytes (its page size) of each for headers.
    ///
    /// A server must register its chunks, therefore their size is a power of two; and it
    /// wants at least as much room for data as for headers.
    pub fn for_server(depth: u32, chunk_size: u32, max_hdr: u32) -> Result<Self, ParamsError> {
        let depth = Depth::new(depth).ok_or(ParamsError::Depth)?;
        let max_io = match chunk_size.checked_sub(max_hdr) {
            Some(max_io) if max_io >= max_hdr && chunk_size.is_power_of_two() => max_io,
            _ => return Err(ParamsError::ChunkSize),
        };
        Self::new(depth, max_io, max_hdr)
    }

    /// The same with the header area beside the chunk instead of inside it, so that data of
    /// the full chunk size travels in one piece, if an immediate has room for the larger
    /// offsets and a chunk stays below `limit` bytes. Otherwise the parameters themselves.
    ///
    /// Clients accept it: to them a chunk is the sum of the two sizes.
    pub fn widened(self, limit: u32) -> Self {
        match Self::new(self.depth, self.chunk_size(), self.max_hdr) {
            Ok(wide) if wide.chunk_size() <= limit => wide,
            _ => self,
        }
    }

    /// The number of chunks of the session.
    #[inline]
    pub const fn depth(&self) -> Depth {
        self.depth
    }

    /// Most bytes of data in one request.
    #[inline]
    pub const fn max_io(&self) -> u32 {
        self.max_io
    }

    /// Most bytes of user header and request message together.
    #[inline]
    pub const fn max_hdr(&self) -> u32 {
        self.max_hdr
    }

    /// Bytes of one chunk.
    #[inline]
    pub const fn chunk_size(&self) -> u32 {
        // By the invariant this does not wrap.
        self.max_io.wrapping_add(self.max_hdr)
    }

    /// Bytes of all chunks together; at most 256 MiB.
    pub const fn pool_size(&self) -> u32 {
        // Both factors have at most 28 bits together, by the invariant.
        self.chunk_size().wrapping_mul(self.depth.get() as u32)
    }

    /// Bits of a request's immediate that hold the chunk, 0 to 15.
    #[inline]
    pub const fn chunk_bits(&self) -> u32 {
        ceil_log2(self.depth.get() as u32)
    }

    /// Bits of a request's immediate that hold the offset inside the chunk.
    #[inline]
    pub const fn off_bits(&self) -> u32 {
        IMM_PAYLOAD_BITS.saturating_sub(self.chunk_bits())
    }

    /// The chunk with the number `index`, if the session has that many.
    ///
    /// Also the way to take a message id out of a response.
    #[inline]
    pub fn chunk(&self, index: u32) -> Option<ChunkIndex> {
        let index = u16::try_from(index).ok()?;
        (index < self.depth.get()).then_some(ChunkIndex(index))
    }

    /// All chunks of the session, in order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkIndex> + Clone {
        (0..self.depth.get()).map(ChunkIndex)
    }

    /// How many descriptors announce all chunks, if one memory region can hold
    /// `chunks_per_region` of them.
    ///
    /// It is the smallest number of regions that divides the depth: existing clients
    /// refuse any other. Zero chunks per region count as one.
    pub fn region_count(&self, chunks_per_region: u32) -> u16 {
        let depth = self.depth.get();
        let per_region = u16::try_from(chunks_per_region).unwrap_or(u16::MAX).max(1);
        let fewest = depth.div_ceil(per_region);
        (fewest..depth)
            .find(|&count| depth.checked_rem(count) == Some(0))
            .unwrap_or(depth)
    }
}
