// SPDX-License-Identifier: GPL-2.0

//! The messages of a client (spec: rnbd 2.2 to 2.7).
//!
//! A server calls [`Message::parse`] on a private copy of the user header of a request;
//! the original lies in memory that the client may still be able to change. Padding and
//! reserved bytes are garbage from existing clients: never read, always sent as zero.

use crate::access::AccessMode;
use crate::device_name::{
    DeviceName,
    DeviceNameError, //
};
use crate::errno::{
    EINVAL,
    EIO,
    EOPNOTSUPP, //
};
use crate::io::Io;
use crate::io_mode::IoMode;
use crate::limits::{
    CLOSE_LEN,
    EXT_VERSION,
    MSG_CLOSE,
    MSG_IO,
    MSG_OPEN,
    MSG_SESS_INFO,
    NAME_FIELD_LEN,
    OPEN_LEN,
    OPEN_RSP_LEN,
    SESS_INFO_LEN, //
};
use crate::wire::{
    Reader,
    Writer, //
};

/// The data that goes with a message: the transport's direction, and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data {
    /// A transport write: so many bytes have come.
    FromClient(u32),
    /// A transport read: so many bytes can be sent back.
    ToClient(u32),
}

impl Data {
    /// The bytes, whichever way they go.
    #[inline]
    pub const fn len(self) -> u32 {
        match self {
            Self::FromClient(len) | Self::ToClient(len) => len,
        }
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether an answer of `len` bytes can be sent back.
    fn holds_answer(self, len: usize) -> bool {
        matches!(self, Self::ToClient(room) if usize::try_from(room).is_ok_and(|room| room >= len))
    }
}

/// Why a message is refused. The request is answered with the errno and not executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtoError {
    /// Fewer bytes than the message has.
    Short,
    /// A type that no client sends, given here.
    Type(u16),
    /// The request has no room for the answer.
    NoRoom,
    /// The device name is none.
    Name(DeviceNameError),
    /// There is no such access mode; it is given here.
    AccessMode(u8),
    /// There is no such io mode; it is given here.
    IoMode(u8),
    /// There is no such operation; its number is given here.
    Op(u8),
    /// The data is not what the operation needs, or no multiple of a sector.
    DataLength,
    /// A flag that makes no sense with the operation.
    Flags,
    /// The range ends behind any device.
    Range,
}

impl ProtoError {
    /// The negative errno to answer with.
    pub const fn errno(self) -> i32 {
        match self {
            Self::Op(_) => -EOPNOTSUPP,
            Self::Range => -EIO,
            Self::Short
            | Self::Type(_)
            | Self::NoRoom
            | Self::Name(_)
            | Self::AccessMode(_)
            | Self::IoMode(_)
            | Self::DataLength
            | Self::Flags => -EINVAL,
        }
    }

    /// A phrase for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "message too short",
            Self::Type(_) => "unknown message type",
            Self::NoRoom => "no room for the answer",
            Self::Name(_) => "bad device name",
            Self::AccessMode(_) => "bad access mode",
            Self::IoMode(_) => "bad io mode",
            Self::Op(_) => "unknown operation",
            Self::DataLength => "data length does not match the operation",
            Self::Flags => "flags do not match the operation",
            Self::Range => "range beyond any device",
        }
    }
}

/// Starts a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessInfo {
    /// The highest major version that the client speaks.
    pub ver: u8,
}

impl SessInfo {
    /// The message to send.
    pub fn to_bytes(&self) -> [u8; SESS_INFO_LEN] {
        Writer::new()
            .u16(MSG_SESS_INFO)
            .skip(2)
            .u8(self.ver)
            .finish()
    }
}

/// Opens a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// What the client wants to do with it.
    pub mode: AccessMode,
    /// Which device.
    pub name: DeviceName,
    /// What only a client that has agreed on extensions can ask for. With it, and with room
    /// for it, the answer is an extended one, too.
    pub wish: Option<OpenWish>,
}

/// The extension of OPEN.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OpenWish {
    /// How the server shall do the IO; none leaves it to the server.
    pub io_mode: Option<IoMode>,
}

impl Open {
    /// The message to send.
    pub fn to_bytes(&self) -> [u8; OPEN_LEN] {
        let io_mode = match self.wish {
            Some(OpenWish {
                io_mode: Some(mode),
            }) => mode as u8,
            _ => 0,
        };
        Writer::new()
            .u16(MSG_OPEN)
            .skip(2)
            .u8(u8::from(self.mode))
            .u8(io_mode)
            .put(self.name.as_field())
            .u8(self.wish.map_or(0, |_| EXT_VERSION))
            .finish()
    }

    fn parse(fields: &mut Reader<'_>, extended: bool) -> Result<Self, ProtoError> {
        let mode = fields.u8().ok_or(ProtoError::Short)?;
        let io_mode = fields.u8().ok_or(ProtoError::Short)?;
        let name = fields.array::<NAME_FIELD_LEN>().ok_or(ProtoError::Short)?;
        let version = fields.u8().ok_or(ProtoError::Short)?;
        let mode = AccessMode::try_from(mode).map_err(|_| ProtoError::AccessMode(mode))?;
        let name = DeviceName::from_field(&name).map_err(ProtoError::Name)?;
        let wish = if extended && version >= EXT_VERSION {
            let io_mode = IoMode::from_wire(io_mode).map_err(|_| ProtoError::IoMode(io_mode))?;
            Some(OpenWish { io_mode })
        } else {
            None
        };
        Ok(Self { mode, name, wish })
    }
}

/// Closes a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    /// The device, as the answer to its opening named it.
    pub device_id: u32,
}

impl Close {
    /// The message to send.
    pub fn to_bytes(&self) -> [u8; CLOSE_LEN] {
        Writer::new()
            .u16(MSG_CLOSE)
            .skip(2)
            .u32(self.device_id)
            .finish()
    }
}

/// Any message of a client.
// An opening is much larger than an operation. The value lives on the stack of the one
// function that takes it apart, and must not be allocated.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Starts a session.
    SessInfo(SessInfo),
    /// Opens a device.
    Open(Open),
    /// Does something with a device.
    Io(Io),
    /// Closes a device.
    Close(Close),
}

impl Message {
    /// Parses a private copy of the user header of a request that carries `data`.
    ///
    /// Bytes behind the message are ignored: some peers pad, some do not. `extended` says
    /// that the client has agreed on extensions; without that, the places of their fields
    /// hold garbage and are not looked at.
    #[inline]
    pub fn parse(usr: &[u8], data: Data, extended: bool) -> Result<Self, ProtoError> {
        let fields = &mut Reader::new(usr);
        let kind = fields.u16().ok_or(ProtoError::Short)?;
        fields.u16().ok_or(ProtoError::Short)?;
        match kind {
            MSG_IO => Io::parse(fields, data).map(Self::Io),
            MSG_SESS_INFO if usr.len() < SESS_INFO_LEN => Err(ProtoError::Short),
            MSG_SESS_INFO if !data.holds_answer(SESS_INFO_LEN) => Err(ProtoError::NoRoom),
            MSG_SESS_INFO => {
                let ver = fields.u8().ok_or(ProtoError::Short)?;
                Ok(Self::SessInfo(SessInfo { ver }))
            }
            MSG_OPEN if usr.len() < OPEN_LEN => Err(ProtoError::Short),
            MSG_OPEN if !data.holds_answer(OPEN_RSP_LEN) => Err(ProtoError::NoRoom),
            MSG_OPEN => Open::parse(fields, extended).map(Self::Open),
            MSG_CLOSE => {
                let device_id = fields.u32().ok_or(ProtoError::Short)?;
                Ok(Self::Close(Close { device_id }))
            }
            _ => Err(ProtoError::Type(kind)),
        }
    }
}
