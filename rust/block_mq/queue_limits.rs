// SPDX-License-Identifier: GPL-2.0

//! The limits a disk has, checked before the block layer sees them.
//!
//! Limits often come from another machine. The block layer answers some
//! impossible ones with a warning and a backtrace, which a peer must not be
//! able to cause; so everything it would complain about
//! (`block/blk-settings.c`, `blk_validate_limits`) is refused here first.

use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

use crate::{
    raw,
    SECTOR_SIZE, //
};

// Asserted in `rust/helpers/block_mq.c`.
const BLK_FEAT_WRITE_CACHE: u32 = 1 << 0;
const BLK_FEAT_FUA: u32 = 1 << 1;
const BLK_FEAT_ROTATIONAL: u32 = 1 << 2;
const BLK_FEAT_STABLE_WRITES: u32 = 1 << 5;

/// Sectors that a byte count of 32 bits can express.
const MAX_SECTORS: u32 = u32::MAX / SECTOR_SIZE;

/// The largest power of two a 32-bit byte count holds.
const MAX_GRANULARITY: u32 = 1 << 31;

/// What a driver knows about its disk; [`LimitsSpec::build`] makes it [`Limits`].
///
/// Sector counts are in units of 512 bytes. The default is a disk of 512-byte
/// blocks that can read and write and nothing else, and wants its data in whole
/// pages but for the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsSpec {
    /// Smallest addressable unit in bytes: a power of two from 512 to the
    /// largest the kernel is configured for (a page, or 65536).
    pub logical_block_size: u32,
    /// Smallest unit written without read-modify-write, in bytes: a power of
    /// two; less than the logical block size (also 0) means equal to it.
    pub physical_block_size: u32,
    /// Largest read or write in sectors: at least a page and a logical block;
    /// rounded down to logical blocks.
    pub max_hw_sectors: u32,
    /// Smallest size of reads and writes that is efficient, in bytes; a multiple of
    /// physical blocks, and otherwise ignored; 0 for none.
    pub io_min: u32,
    /// Preferred size of reads and writes in bytes, 0 for none; rounded down
    /// to physical blocks.
    pub io_opt: u32,
    /// Low address bits that memory for direct reads and writes must not have set: a
    /// power of two minus one, below the page size; anything else, also 0, is 511.
    pub dma_alignment: u32,
    /// Most segments of a read or write, at least 1.
    pub max_segments: u16,
    /// Low address bits that only the first segment's start and the last
    /// segment's end may have set: 0 for no such rule, else a power of two
    /// minus one, not below the page size minus one. With it, segments are
    /// not limited in size.
    pub virt_boundary_mask: usize,
    /// Largest discard in sectors; 0 means there is none.
    pub max_discard_sectors: u32,
    /// Unit in which discards free anything, in bytes; raised to the physical
    /// block size.
    pub discard_granularity: u32,
    /// Offset of the first discard unit, in bytes.
    pub discard_alignment: u32,
    /// Largest secure erase in sectors; 0 means there is none.
    pub max_secure_erase_sectors: u32,
    /// Largest write-zeroes in sectors; 0 means there is none.
    pub max_write_zeroes_sectors: u32,
    /// Whether there is a volatile write cache, so that flushes are needed.
    pub write_cache: bool,
    /// Whether writes with FUA are understood; without a write cache it has no
    /// meaning and is dropped.
    pub fua: bool,
    /// Whether seeks are expensive.
    pub rotational: bool,
    /// Whether pages must not change while they are being written.
    pub stable_writes: bool,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            logical_block_size: SECTOR_SIZE,
            physical_block_size: SECTOR_SIZE,
            max_hw_sectors: 255,
            io_min: 0,
            io_opt: 0,
            dma_alignment: 0,
            max_segments: 128,
            virt_boundary_mask: PAGE_SIZE - 1,
            max_discard_sectors: 0,
            discard_granularity: 0,
            discard_alignment: 0,
            max_secure_erase_sectors: 0,
            max_write_zeroes_sectors: 0,
            write_cache: false,
            fua: false,
            rotational: false,
            stable_writes: false,
        }
    }
}

impl LimitsSpec {
    /// Checks the limits and brings them into the form the block layer wants.
    /// Fails with `EINVAL` for what it would not accept.
    pub fn build(&self) -> Result<Limits> {
        let logical = self.logical_block_size;
        let largest = raw::bmqx_max_block_size();
        if !logical.is_power_of_two() || !(SECTOR_SIZE..=largest).contains(&logical) {
            return Err(EINVAL);
        }
        let physical = self.physical_block_size.max(logical);
        if !physical.is_power_of_two() {
            return Err(EINVAL);
        }

        let block_sectors = logical / SECTOR_SIZE;
        let page_sectors = u32::try_from(PAGE_SIZE)? / SECTOR_SIZE;
        let max_hw_sectors = self.max_hw_sectors.min(MAX_SECTORS);
        let max_hw_sectors = max_hw_sectors - max_hw_sectors % block_sectors;
        if max_hw_sectors < page_sectors.max(block_sectors) || self.max_segments == 0 {
            return Err(EINVAL);
        }

        let mask = self.virt_boundary_mask;
        if mask != 0 && (mask < PAGE_SIZE - 1 || mask & mask.wrapping_add(1) != 0) {
            return Err(EINVAL);
        }

        if self.discard_granularity > MAX_GRANULARITY {
            return Err(EINVAL);
        }
        let discard = whole_blocks(self.max_discard_sectors, block_sectors)?;
        let erase = whole_blocks(self.max_secure_erase_sectors, block_sectors)?;
        let zeroes = whole_blocks(self.max_write_zeroes_sectors, block_sectors)?;

        Ok(Limits(LimitsSpec {
            logical_block_size: logical,
            physical_block_size: physical,
            max_hw_sectors,
            io_min: match self.io_min.checked_rem(physical) {
                Some(0) => self.io_min,
                _ => 0,
            },
            io_opt: self.io_opt - self.io_opt % physical,
            dma_alignment: match self.dma_alignment {
                mask if mask & mask.wrapping_add(1) == 0 && mask < u32::try_from(PAGE_SIZE)? => {
                    mask
                }
                _ => 0,
            },
            max_discard_sectors: discard,
            discard_granularity: if discard == 0 && erase == 0 {
                0
            } else {
                self.discard_granularity.max(physical)
            },
            discard_alignment: if discard == 0 && erase == 0 {
                0
            } else {
                self.discard_alignment
            },
            max_secure_erase_sectors: erase,
            max_write_zeroes_sectors: zeroes,
            fua: self.fua && self.write_cache,
            ..*self
        }))
    }
}

/// A range limit in sectors, rounded down to logical blocks and to what a
/// request can express. Not 0 if the limit was not 0, else the operation would
/// silently disappear: a limit below one block is an error.
fn whole_blocks(sectors: u32, block_sectors: u32) -> Result<u32> {
    let sectors = sectors.min(MAX_SECTORS);
    let whole = sectors - sectors % block_sectors;
    if sectors != 0 && whole == 0 {
        return Err(EINVAL);
    }
    Ok(whole)
}

/// Limits that the block layer accepts. Disks that were made with equal ones
/// behave alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits(LimitsSpec);

impl Limits {
    /// The limits after rounding.
    pub fn spec(&self) -> &LimitsSpec {
        &self.0
    }

    /// The limits for C; what is left zero gets the block layer's default.
    pub(crate) fn raw(&self) -> bindings::queue_limits {
        let spec = &self.0;
        let mut limits: bindings::queue_limits = pin_init::zeroed();
        for (on, feature) in [
            (spec.write_cache, BLK_FEAT_WRITE_CACHE),
            (spec.fua, BLK_FEAT_FUA),
            (spec.rotational, BLK_FEAT_ROTATIONAL),
            (spec.stable_writes, BLK_FEAT_STABLE_WRITES),
        ] {
            if on {
                limits.features |= feature;
            }
        }
        limits.logical_block_size = spec.logical_block_size;
        limits.physical_block_size = spec.physical_block_size;
        limits.max_hw_sectors = spec.max_hw_sectors;
        limits.io_min = spec.io_min;
        limits.io_opt = spec.io_opt;
        limits.dma_alignment = spec.dma_alignment;
        limits.max_segments = spec.max_segments;
        limits.virt_boundary_mask = spec.virt_boundary_mask;
        limits.max_hw_discard_sectors = spec.max_discard_sectors;
        limits.discard_granularity = spec.discard_granularity;
        limits.discard_alignment = spec.discard_alignment;
        limits.max_secure_erase_sectors = spec.max_secure_erase_sectors;
        limits.max_write_zeroes_sectors = spec.max_write_zeroes_sectors;
        limits
    }
}
