// SPDX-License-Identifier: GPL-2.0

//! What a backend can do.

use crate::raw::RawLimits;

/// Limits and features of an open block device, read at one moment. Sector
/// counts are in units of 512 bytes; a count of 0 means that the operation is
/// not supported. Everything is about the opened device: for a partition the
/// discard alignment counts from the partition's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackendLimits {
    /// Smallest addressable unit in bytes.
    pub logical_block_size: u32,
    /// Smallest unit written without read-modify-write, in bytes.
    pub physical_block_size: u32,
    /// Largest read or write that reaches the hardware in one piece, in
    /// sectors; larger ones are split by the block layer.
    pub max_hw_sectors: u32,
    /// Most segments of such a read or write.
    pub max_segments: u32,
    /// Preferred size of reads and writes in bytes, 0 if none.
    pub io_opt: u32,
    /// Largest discard in sectors; larger ones are split by the block layer.
    pub max_discard_sectors: u32,
    /// Unit in which discards free anything, in bytes.
    pub discard_granularity: u32,
    /// Offset of the first discard unit, in bytes.
    pub discard_alignment: u32,
    /// Largest secure erase in sectors.
    pub max_secure_erase_sectors: u32,
    /// Largest write-zeroes in sectors.
    pub max_write_zeroes_sectors: u32,
    /// Whether there is a volatile write cache in use.
    pub write_cache: bool,
    /// Whether the device understands FUA by itself; the block layer emulates
    /// it with a flush otherwise.
    pub fua: bool,
    /// Whether seeks are expensive.
    pub rotational: bool,
    /// Smallest preferred size of reads and writes in bytes.
    pub io_min: u32,
    /// Alignment mask of the memory of reads and writes.
    pub dma_alignment: u32,
    /// Sectors of a chunk that no request should cross, 0 if there are none.
    pub chunk_sectors: u32,
    /// Whether memory must not change while it is written.
    pub stable_writes: bool,
    /// Whether the device has zones that must be written in order.
    pub zoned: bool,
}

impl From<RawLimits> for BackendLimits {
    fn from(raw: RawLimits) -> Self {
        Self {
            logical_block_size: raw.logical_block_size,
            physical_block_size: raw.physical_block_size,
            max_hw_sectors: raw.max_hw_sectors,
            max_segments: raw.max_segments,
            io_opt: raw.io_opt,
            max_discard_sectors: raw.max_discard_sectors,
            discard_granularity: raw.discard_granularity,
            discard_alignment: raw.discard_alignment,
            max_secure_erase_sectors: raw.max_secure_erase_sectors,
            max_write_zeroes_sectors: raw.max_write_zeroes_sectors,
            write_cache: raw.write_cache != 0,
            fua: raw.fua != 0,
            rotational: raw.rotational != 0,
            io_min: raw.io_min,
            dma_alignment: raw.dma_alignment,
            chunk_sectors: raw.chunk_sectors,
            stable_writes: raw.stable_writes != 0,
            zoned: raw.zoned != 0,
        }
    }
}
