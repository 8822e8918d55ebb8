// SPDX-License-Identifier: GPL-2.0

//! The answers of a server (spec: rnbd 2.3, 2.5).
//!
//! A server builds them from the limits of its device; a client parses what it received
//! and believes nothing: what would make its block layer refuse or complain is an error
//! here, and a mere hint that makes no sense is dropped. A client that cannot parse an
//! answer knows no device id, and must not close any.

use crate::errno::EINVAL;
use crate::limits::{
    negotiate,
    MAX_SECTORS,
    MSG_OPEN_RSP,
    MSG_SESS_INFO_RSP,
    OPEN_RSP_LEN,
    SECTOR_SIZE,
    SESS_INFO_LEN, //
};
use crate::wire::{
    Reader,
    Writer, //
};

const CACHE_FUA: u8 = 0x01;
const CACHE_WRITE_BACK: u8 = 0x02;

/// Why an answer is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseError {
    /// Fewer bytes than the answer has.
    Short,
    /// Another type of message, given here.
    Type(u16),
    /// The logical block size, given here, is no power of two from 512 on.
    LogicalBlockSize(u16),
    /// The physical block size, given here, is no power of two.
    PhysicalBlockSize(u16),
    /// The device has more sectors than any can have.
    Size(u64),
    /// The extension of the answer contradicts the answer.
    Extension,
}

impl ResponseError {
    /// The negative errno that the mapping ends with.
    pub const fn errno(self) -> i32 {
        -EINVAL
    }

    /// A phrase for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "the answer is too short",
            Self::Type(_) => "the answer has the wrong type",
            Self::LogicalBlockSize(_) => "the server's logical block size is invalid",
            Self::PhysicalBlockSize(_) => "the server's physical block size is invalid",
            Self::Size(_) => "the server's device size is invalid",
            Self::Extension => "the extension of the answer contradicts the answer",
        }
    }
}

/// The answer to the start of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessInfoRsp {
    /// The major version that both sides use from now on.
    pub ver: u8,
}

impl SessInfoRsp {
    /// Parses what was received; a version above ours counts as ours.
    pub fn parse(received: &[u8]) -> Result<Self, ResponseError> {
        let Some(message) = received.first_chunk::<SESS_INFO_LEN>() else {
            return Err(ResponseError::Short);
        };
        let fields = &mut body(message, MSG_SESS_INFO_RSP)?;
        let ver = fields.u8().ok_or(ResponseError::Short)?;
        Ok(Self {
            ver: negotiate(ver),
        })
    }

    /// The answer to send.
    pub fn to_bytes(&self) -> [u8; SESS_INFO_LEN] {
        Writer::new()
            .u16(MSG_SESS_INFO_RSP)
            .skip(2)
            .u8(self.ver)
            .finish()
    }
}

/// A block size that can travel: a power of two, 512 to 32768 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BlockSize(u16);

impl BlockSize {
    /// A block size of `bytes`. What a message cannot hold must not be exported.
    pub fn new(bytes: u32) -> Option<Self> {
        let bytes = u16::try_from(bytes).ok()?;
        (bytes.is_power_of_two() && u32::from(bytes) >= SECTOR_SIZE).then_some(Self(bytes))
    }

    /// The bytes.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

/// The answer to an opening: the id of the device, and its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenRsp {
    /// Names the device in all later messages of the session.
    pub device_id: u32,
    /// Its size in sectors of 512 bytes.
    pub nsectors: u64,
    /// Most sectors of one request of the server's device. Clients ignore it.
    pub max_hw_sectors: u32,
    /// Most sectors of one write of zeroes; 0 if there are none.
    pub max_write_zeroes_sectors: u32,
    /// Most sectors of one discard; 0 if there are none.
    pub max_discard_sectors: u32,
    /// The unit of discards in bytes; 0 if unknown.
    pub discard_granularity: u32,
    /// Where the first unit of discards starts, in bytes.
    pub discard_alignment: u32,
    /// The block size that the device works with best; not below the logical one.
    pub physical_block_size: BlockSize,
    /// The smallest unit of access.
    pub logical_block_size: BlockSize,
    /// Most segments of one request of the server's device. Clients ignore it.
    pub max_segments: u16,
    /// Whether the device can erase for good.
    pub secure_discard: bool,
    /// Whether single writes can be made durable.
    pub fua: bool,
    /// Whether writes are durable only after a flush.
    pub write_back: bool,
}

impl OpenRsp {
    /// Parses and validates what was received.
    pub fn parse(received: &[u8]) -> Result<Self, ResponseError> {
        let Some(message) = received.first_chunk::<OPEN_RSP_LEN>() else {
            return Err(ResponseError::Short);
        };
        let fields = &mut body(message, MSG_OPEN_RSP)?;
        let short = ResponseError::Short;
        let device_id = fields.u32().ok_or(short)?;
        let nsectors = fields.u64().ok_or(short)?;
        let max_hw_sectors = fields.u32().ok_or(short)?;
        let max_write_zeroes_sectors = fields.u32().ok_or(short)?;
        let max_discard_sectors = fields.u32().ok_or(short)?;
        let discard_granularity = fields.u32().ok_or(short)?;
        let discard_alignment = fields.u32().ok_or(short)?;
        let physical = fields.u16().ok_or(short)?;
        let logical = fields.u16().ok_or(short)?;
        let max_segments = fields.u16().ok_or(short)?;
        let secure_discard = fields.u16().ok_or(short)? != 0;
        let _rotational = fields.u8().ok_or(short)?;
        let cache_policy = fields.u8().ok_or(short)?;

        if nsectors > MAX_SECTORS {
            return Err(ResponseError::Size(nsectors));
        }
        let logical_block_size =
            BlockSize::new(u32::from(logical)).ok_or(ResponseError::LogicalBlockSize(logical))?;
        // A physical block below the logical one is a server that does not know: 65536
        // does not fit into the field and arrives as 0.
        let physical_block_size = match physical.max(logical) {
            size if size == logical => logical_block_size,
            size => {
                BlockSize::new(u32::from(size)).ok_or(ResponseError::PhysicalBlockSize(physical))?
            }
        };
        Ok(Self {
            device_id,
            nsectors,
            max_hw_sectors,
            max_write_zeroes_sectors,
            max_discard_sectors,
            discard_granularity,
            discard_alignment,
            physical_block_size,
            logical_block_size,
            max_segments,
            secure_discard,
            fua: cache_policy & CACHE_FUA != 0,
            write_back: cache_policy & CACHE_WRITE_BACK != 0,
        }
        .without_bad_hints())
    }

    /// Drops discard hints that contradict one another; the device stays usable.
    fn without_bad_hints(self) -> Self {
        let unit = self.discard_granularity;
        if unit.checked_rem(self.logical_block_size.get()) != Some(0) {
            return Self {
                max_discard_sectors: 0,
                discard_granularity: 0,
                discard_alignment: 0,
                ..self
            };
        }
        Self {
            // "Unknown" arrives as all ones.
            discard_alignment: match self.discard_alignment {
                at if at < unit => at,
                _ => 0,
            },
            ..self
        }
    }

    /// The answer to send.
    pub fn to_bytes(&self) -> [u8; OPEN_RSP_LEN] {
        let fua = if self.fua { CACHE_FUA } else { 0 };
        let write_back = if self.write_back { CACHE_WRITE_BACK } else { 0 };
        Writer::new()
            .u16(MSG_OPEN_RSP)
            .skip(2)
            .u32(self.device_id)
            .u64(self.nsectors)
            .u32(self.max_hw_sectors)
            .u32(self.max_write_zeroes_sectors)
            .u32(self.max_discard_sectors)
            .u32(self.discard_granularity)
            .u32(self.discard_alignment)
            .u16(self.physical_block_size.0)
            .u16(self.logical_block_size.0)
            .u16(self.max_segments)
            .u16(u16::from(self.secure_discard))
            .u8(0)
            .u8(fua | write_back)
            .finish()
    }
}

/// The fields of an answer behind its header.
fn body(message: &[u8], expected: u16) -> Result<Reader<'_>, ResponseError> {
    let mut fields = Reader::new(message);
    let kind = fields.u16().ok_or(ResponseError::Short)?;
    fields.u16().ok_or(ResponseError::Short)?;
    if kind != expected {
        return Err(ResponseError::Type(kind));
    }
    Ok(fields)
}
