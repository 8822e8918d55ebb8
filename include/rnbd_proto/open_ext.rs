// SPDX-License-Identifier: GPL-2.0

//! What a server tells of a device beyond the answer of old: the extension of OPEN_RSP.
//!
//! It stands behind the 56 bytes of the answer, in the same buffer, if the transport has
//! agreed on the user's extensions, the client asked with an extended OPEN and the buffer
//! has room. Peers that do not know it never see it.
//!
//! A client believes none of it: [`OpenExt::parse`] drops every hint that makes no sense,
//! so that a block layer can be given what is left as it is.

use crate::identity::Identity;
use crate::io_mode::IoMode;
use crate::limits::{
    EXT_VERSION,
    IDENTITY_MAX,
    OPEN_RSP_EXT_LEN,
    OPEN_RSP_LEN,
    SECTOR_SIZE, //
};
use crate::response::{
    OpenRsp,
    ResponseError, //
};
use crate::wire::{
    Reader,
    Writer, //
};

const FLAG_ROTATIONAL: u8 = 0x01;
const FLAG_STABLE_WRITES: u8 = 0x02;
const FLAG_READ_ONLY: u8 = 0x04;

/// Largest physical block that is believed, in bytes.
const MAX_PHYSICAL_BLOCK: u32 = 1 << 24;
/// Largest alignment mask of memory that is believed: a page.
const MAX_DMA_ALIGNMENT: u32 = 4095;
/// The alignment mask that the block layer assumes of a device that names none.
const DEFAULT_DMA_ALIGNMENT: u32 = 511;

/// The extension of the answer to an opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenExt {
    /// Whether seeks are expensive.
    pub rotational: bool,
    /// Whether pages must not change while they are written.
    pub stable_writes: bool,
    /// Whether the device takes no writes at the moment, whatever the mapping allows.
    pub read_only: bool,
    /// How the server does the IO; none if it does not say.
    pub io_mode: Option<IoMode>,
    /// The block size that the device works with best, in bytes: a power of two, not below
    /// the logical one, and not cut to 16 bits as in the answer itself.
    pub physical_block_size: u32,
    /// The smallest unit of access in bytes; the same as in the answer itself.
    pub logical_block_size: u32,
    /// Smallest preferred IO in bytes: a multiple of the physical block size.
    pub io_min: u32,
    /// Best size of IO in bytes: a multiple of the physical block size; 0 if unknown.
    pub io_opt: u32,
    /// Most sectors of one secure erase; 0 if there is none.
    pub max_secure_erase_sectors: u32,
    /// Unit of secure erase in bytes: a multiple of the logical block size; 0 if unknown.
    pub secure_erase_granularity: u32,
    /// Most sectors of one request of the server's device; 0 if unknown.
    pub max_hw_sectors: u32,
    /// Alignment mask of memory for IO: one less than a power of two.
    pub dma_alignment: u32,
    /// Sectors of a chunk that no request should cross: a multiple of the logical block
    /// size; 0 if there are none.
    pub chunk_sectors: u32,
    /// The number of this opening; no two openings in a server's life have the same.
    pub generation: u64,
    /// The name that the device keeps.
    pub identity: Identity,
}

impl OpenExt {
    /// Parses the extension behind `rsp` in what was received; none if the server sent
    /// none.
    ///
    /// # Errors
    ///
    /// [`ResponseError::Extension`] if it contradicts the answer itself.
    pub fn parse(received: &[u8], rsp: &OpenRsp) -> Result<Option<Self>, ResponseError> {
        let Some(message) = received.first_chunk::<OPEN_RSP_EXT_LEN>() else {
            return Ok(None);
        };
        let Some((_, ext)) = message.split_first_chunk::<OPEN_RSP_LEN>() else {
            return Ok(None);
        };
        match Self::fields(&mut Reader::new(ext)) {
            // The versions to come will only add.
            Some((version, ext)) if version >= EXT_VERSION => {
                if ext.logical_block_size != rsp.logical_block_size.get() {
                    return Err(ResponseError::Extension);
                }
                Ok(Some(ext.without_bad_hints(rsp)))
            }
            _ => Ok(None),
        }
    }

    /// The version, and the fields as they are.
    fn fields(fields: &mut Reader<'_>) -> Option<(u8, Self)> {
        let version = fields.u8()?;
        let flags = fields.u8()?;
        // A way of doing IO that is not known here is one that nobody was told of.
        let io_mode = IoMode::from_wire(fields.u8()?).unwrap_or(None);
        fields.u8()?;
        let ext = Self {
            rotational: flags & FLAG_ROTATIONAL != 0,
            stable_writes: flags & FLAG_STABLE_WRITES != 0,
            read_only: flags & FLAG_READ_ONLY != 0,
            io_mode,
            physical_block_size: fields.u32()?,
            logical_block_size: fields.u32()?,
            io_min: fields.u32()?,
            io_opt: fields.u32()?,
            max_secure_erase_sectors: fields.u32()?,
            secure_erase_granularity: fields.u32()?,
            max_hw_sectors: fields.u32()?,
            dma_alignment: fields.u32()?,
            chunk_sectors: fields.u32()?,
            generation: fields.u64()?,
            identity: {
                let len = fields.u8()?;
                Identity::from_field(len, &fields.array::<IDENTITY_MAX>()?)
            },
        };
        Some((version, ext))
    }

    /// Drops what makes no sense beside `rsp`; the device stays usable.
    fn without_bad_hints(self, rsp: &OpenRsp) -> Self {
        let logical = rsp.logical_block_size.get();
        let physical = match self.physical_block_size {
            size if size.is_power_of_two() && (logical..=MAX_PHYSICAL_BLOCK).contains(&size) => {
                size
            }
            _ => rsp.physical_block_size.get(),
        };
        let erase_fits = self.secure_erase_granularity.checked_rem(logical) == Some(0);
        let chunk_fits = match self.chunk_sectors.checked_mul(SECTOR_SIZE) {
            Some(bytes) => bytes.checked_rem(logical) == Some(0),
            None => false,
        };
        let mask_fits = self.dma_alignment <= MAX_DMA_ALIGNMENT
            && self.dma_alignment.saturating_add(1).is_power_of_two();
        Self {
            physical_block_size: physical,
            io_min: match self.io_min.checked_rem(physical) {
                Some(0) if self.io_min > 0 => self.io_min,
                _ => physical,
            },
            io_opt: match self.io_opt.checked_rem(physical) {
                Some(0) => self.io_opt,
                _ => 0,
            },
            max_secure_erase_sectors: if erase_fits {
                self.max_secure_erase_sectors
            } else {
                0
            },
            secure_erase_granularity: if erase_fits {
                self.secure_erase_granularity
            } else {
                0
            },
            dma_alignment: if mask_fits {
                self.dma_alignment
            } else {
                DEFAULT_DMA_ALIGNMENT
            },
            chunk_sectors: if chunk_fits { self.chunk_sectors } else { 0 },
            ..self
        }
    }

    /// The whole answer to send: `rsp` and the extension behind it.
    pub fn to_bytes(&self, rsp: &OpenRsp) -> [u8; OPEN_RSP_EXT_LEN] {
        let flag = |set, bit| if set { bit } else { 0 };
        let (len, identity) = self.identity.as_field();
        Writer::new()
            .put(&rsp.to_bytes())
            .u8(EXT_VERSION)
            .u8(flag(self.rotational, FLAG_ROTATIONAL)
                | flag(self.stable_writes, FLAG_STABLE_WRITES)
                | flag(self.read_only, FLAG_READ_ONLY))
            .u8(self.io_mode.map_or(0, |mode| mode as u8))
            .skip(1)
            .u32(self.physical_block_size)
            .u32(self.logical_block_size)
            .u32(self.io_min)
            .u32(self.io_opt)
            .u32(self.max_secure_erase_sectors)
            .u32(self.secure_erase_granularity)
            .u32(self.max_hw_sectors)
            .u32(self.dma_alignment)
            .u32(self.chunk_sectors)
            .u64(self.generation)
            .u8(len)
            .put(identity)
            .finish()
    }
}
