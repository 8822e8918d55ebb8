// SPDX-License-Identifier: GPL-2.0

//! The IO message: one operation on an open device (spec: rnbd 2.7, 2.8).
//!
//! On the IO path of both sides. What [`crate::Message::parse`] returns is consistent:
//! a read or write has exactly its data, nothing else has any, and no combination of
//! flags is left that a block layer would complain about. Whether the range lies on the
//! device, and whether the mapping may be written, only the server can tell.

use crate::limits::{
    IO_LEN,
    MAX_SECTORS,
    MSG_IO,
    SECTOR_SIZE, //
};
use crate::message::{
    Data,
    ProtoError, //
};
use crate::wire::{
    Reader,
    Writer, //
};

const FLAG_SYNC: u32 = 0x100;
const FLAG_FUA: u32 = 0x200;
const FLAG_PREFLUSH: u32 = 0x400;
const FLAG_NOUNMAP: u32 = 0x800;

/// An operation; the values are those on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Reads sectors.
    Read = 0,
    /// Writes sectors.
    Write = 1,
    /// Makes all completed writes durable.
    Flush = 2,
    /// Tells that the contents of sectors are not needed any more.
    Discard = 3,
    /// Makes the contents of sectors irrecoverable.
    SecureErase = 4,
    /// Fills sectors with zeroes.
    WriteZeroes = 5,
}

impl Op {
    /// The operation with this number on the wire.
    #[inline]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            2 => Some(Self::Flush),
            3 => Some(Self::Discard),
            4 => Some(Self::SecureErase),
            5 => Some(Self::WriteZeroes),
            _ => None,
        }
    }

    /// Whether the operation changes the device, and so needs a writable mapping. A
    /// flush does not.
    #[inline]
    pub const fn modifies(self) -> bool {
        match self {
            Self::Read | Self::Flush => false,
            Self::Write | Self::Discard | Self::SecureErase | Self::WriteZeroes => true,
        }
    }

    /// The word for the operation in sysfs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Discard => "discard",
            Self::SecureErase => "secure_erase",
            Self::WriteZeroes => "write_zeroes",
        }
    }

    /// Whether data travels with the operation, in either direction.
    #[inline]
    pub const fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }

    /// Whether the transport carries the operation as a read. Flush is carried so for
    /// the sake of existing peers.
    #[inline]
    pub const fn is_transport_read(self) -> bool {
        matches!(self, Self::Read | Self::Flush)
    }
}

/// What a client wants beyond the operation itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags {
    /// Somebody waits for it.
    pub sync: bool,
    /// The data must be durable when the operation is done.
    pub fua: bool,
    /// All completed writes must be durable before the operation starts.
    pub preflush: bool,
    /// Zeroed sectors shall stay allocated.
    pub nounmap: bool,
}

impl Flags {
    /// The flags that a client sends for a request of its block layer.
    ///
    /// They are those of existing clients: reads are always synchronous, a flush before
    /// the data is also sent as FUA for servers that do not know it, and both imply that
    /// somebody waits.
    #[inline]
    pub const fn for_request(op: Op, sync: bool, fua: bool, preflush: bool, nounmap: bool) -> Self {
        Self {
            sync: matches!(op, Op::Read) || sync || fua || preflush,
            fua: fua || preflush,
            preflush,
            nounmap: matches!(op, Op::WriteZeroes) && nounmap,
        }
    }

    #[inline]
    const fn from_wire(word: u32) -> Self {
        Self {
            sync: word & FLAG_SYNC != 0,
            fua: word & FLAG_FUA != 0,
            preflush: word & FLAG_PREFLUSH != 0,
            nounmap: word & FLAG_NOUNMAP != 0,
        }
    }

    #[inline]
    const fn to_wire(self) -> u32 {
        (if self.sync { FLAG_SYNC } else { 0 })
            | (if self.fua { FLAG_FUA } else { 0 })
            | (if self.preflush { FLAG_PREFLUSH } else { 0 })
            | (if self.nounmap { FLAG_NOUNMAP } else { 0 })
    }
}

/// An operation on a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Io {
    /// The device, as the answer to its opening named it. 0 is an id like any other.
    pub device_id: u32,
    /// First sector, in units of 512 bytes; 0 for a flush.
    pub sector: u64,
    /// What to do.
    pub op: Op,
    /// How to do it.
    pub flags: Flags,
    /// Bytes of the range; 0 for a flush.
    pub size: u32,
    /// The priority in the encoding of the block layer. None was sent by version 1. A
    /// parsed one is never of the real-time class.
    pub prio: Option<u16>,
}

impl Io {
    /// The message to send. Padding is zero, and so is the sector of a flush.
    #[inline]
    pub fn to_bytes(&self) -> [u8; IO_LEN] {
        let sector = match self.op {
            Op::Flush => 0,
            _ => self.sector,
        };
        Writer::new()
            .u16(MSG_IO)
            .skip(2)
            .u32(self.device_id)
            .u64(sector)
            .u32(self.rw())
            .u32(self.size)
            .u16(self.prio.unwrap_or(0))
            .finish()
    }

    /// Operation and flags as they are on the wire.
    #[inline]
    pub const fn rw(&self) -> u32 {
        self.op as u32 | self.flags.to_wire()
    }

    /// Parses what follows the common header.
    #[inline]
    pub(crate) fn parse(fields: &mut Reader<'_>, data: Data) -> Result<Self, ProtoError> {
        let device_id = fields.u32().ok_or(ProtoError::Short)?;
        let sector = fields.u64().ok_or(ProtoError::Short)?;
        let word = fields.u32().ok_or(ProtoError::Short)?;
        let size = fields.u32().ok_or(ProtoError::Short)?;
        let prio = fields.u16().map(clamp_priority);
        let [op, ..] = word.to_le_bytes();
        let op = Op::from_wire(op).ok_or(ProtoError::Op(op))?;
        let io = Self {
            device_id,
            sector: match op {
                // Existing clients send all ones here, which means nothing.
                Op::Flush => 0,
                _ => sector,
            },
            op,
            flags: Flags::from_wire(word),
            size,
            prio,
        };
        io.check(data)?;
        Ok(io)
    }

    /// Everything that can be wrong without knowing the device.
    #[inline]
    fn check(&self, data: Data) -> Result<(), ProtoError> {
        let lengths_match = match self.op {
            Op::Read => data == Data::ToClient(self.size) && self.size > 0,
            Op::Write => data == Data::FromClient(self.size) && self.size > 0,
            Op::Flush => data.is_empty() && self.size == 0,
            Op::Discard | Op::SecureErase | Op::WriteZeroes => data.is_empty() && self.size > 0,
        };
        if !lengths_match || self.size % SECTOR_SIZE != 0 {
            return Err(ProtoError::DataLength);
        }
        if (self.flags.fua || self.flags.preflush) && !matches!(self.op, Op::Write | Op::Flush) {
            return Err(ProtoError::Flags);
        }
        match self.sector.checked_add(u64::from(self.size / SECTOR_SIZE)) {
            Some(end) if end <= MAX_SECTORS => Ok(()),
            _ => Err(ProtoError::Range),
        }
    }

    /// The sector behind the range.
    #[inline]
    pub const fn end(&self) -> u64 {
        self.sector.saturating_add((self.size / SECTOR_SIZE) as u64)
    }
}

/// Takes away what a remote client may not have: the real-time class becomes the best of
/// the ordinary one, and a class that does not exist becomes no priority at all, since
/// schedulers use the class as an index.
const fn clamp_priority(prio: u16) -> u16 {
    const CLASS_SHIFT: u32 = 13;
    const REAL_TIME: u16 = 1;
    const BEST_EFFORT: u16 = 2;
    const IDLE: u16 = 3;
    match prio >> CLASS_SHIFT {
        REAL_TIME => BEST_EFFORT << CLASS_SHIFT,
        0 | BEST_EFFORT | IDLE => prio,
        _ => 0,
    }
}
