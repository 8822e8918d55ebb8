// SPDX-License-Identifier: GPL-2.0

//! The connect reply: 56 bytes of private data with which a server accepts or rejects
//! one connection (spec: rtrs 2.3).
//!
//! The server sends the same acceptance for every connection of a path. The client
//! believes nothing in it: sizes are bounded here, and the errno of a reject is always
//! made a negative one, since a peer chooses it.

use core::fmt;

use crate::errno::{
    ECONNRESET,
    MAX_ERRNO, //
};
use crate::features::Features;
use crate::limits::{
    CONNECT_MSG_LEN,
    MAGIC,
    REPLY_NEW_RKEY,
    VERSION,
    VERSION_MAJOR, //
};
use crate::params::{
    Depth,
    ParamsError,
    SessionParams, //
};
use crate::wire::{
    Reader,
    Writer, //
};

/// The error of a reject: always negative, never below -4095.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RejectErrno(i16);

impl RejectErrno {
    /// The reset that stands for every error without a better number.
    pub const RESET: Self = Self(-(ECONNRESET as i16));

    /// Takes an errno of either sign. Zero and what is no errno become a reset.
    pub fn new(errno: i32) -> Self {
        match i16::try_from(errno.saturating_abs()) {
            Ok(value @ 1..) if i32::from(value) <= MAX_ERRNO => Self(-value),
            _ => Self::RESET,
        }
    }

    /// The negative errno.
    pub const fn get(self) -> i32 {
        self.0 as i32
    }

    /// What a client makes of the private data of a reject, whatever it holds.
    ///
    /// The caller has found that the reason code is the one of our protocol.
    pub fn from_private_data(private_data: &[u8]) -> Self {
        match ConnectReply::parse(private_data) {
            Ok(ConnectReply::Reject(errno)) => errno,
            _ => Self::RESET,
        }
    }
}

/// What a server answers to a connect request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectReply {
    /// The connection is established.
    Accept {
        /// The same for every connection of every path of the session.
        params: SessionParams,
        /// Whether each chunk gets a new key with every answer.
        new_rkey: bool,
        /// What the server wants of the extensions that the request offered. The client
        /// has to check that it did offer them.
        features: Features,
    },
    /// The connection is refused.
    Reject(RejectErrno),
}

/// Why private data is not a reply of this protocol, or not one to live with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyError {
    /// Fewer bytes than the message has.
    Short,
    /// Another magic number: not our protocol.
    Magic,
    /// Another major version, given here.
    Version(u8),
    /// An acceptance with parameters that no session can have.
    Params(ParamsError),
}

impl ReplyError {
    /// The negative errno that the connection attempt ends with.
    pub const fn errno(self) -> i32 {
        -ECONNRESET
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("private data too short"),
            Self::Magic => f.write_str("wrong magic number"),
            Self::Version(major) => {
                write!(f, "protocol version {major} instead of {VERSION_MAJOR}")
            }
            Self::Params(error) => f.write_str(error.as_str()),
        }
    }
}

impl ConnectReply {
    /// Parses private data of at least 56 bytes; the connection manager pads it.
    ///
    /// The errno inside decides what it is. A client that finds a `Reject` in an
    /// acceptance of the connection manager has to treat it as an error, and for a
    /// rejection there is [`RejectErrno::from_private_data`].
    pub fn parse(private_data: &[u8]) -> Result<Self, ReplyError> {
        let Some(message) = private_data.first_chunk::<CONNECT_MSG_LEN>() else {
            return Err(ReplyError::Short);
        };
        Self::parse_message(message)
    }

    fn parse_message(message: &[u8; CONNECT_MSG_LEN]) -> Result<Self, ReplyError> {
        let fields = &mut Reader::new(message);
        let short = ReplyError::Short;
        if fields.u16().ok_or(short)? != MAGIC {
            return Err(ReplyError::Magic);
        }
        let [_minor, major] = fields.array().ok_or(short)?;
        if major != VERSION_MAJOR {
            return Err(ReplyError::Version(major));
        }
        let errno = i16::from_le_bytes(fields.array().ok_or(short)?);
        if errno != 0 {
            return Ok(Self::Reject(RejectErrno::new(i32::from(errno))));
        }
        let depth = fields.u16().ok_or(short)?;
        let max_io = fields.u32().ok_or(short)?;
        let max_hdr = fields.u32().ok_or(short)?;
        let flags = fields.u32().ok_or(short)?;
        let version = fields.u8().ok_or(short)?;
        let _reserved = fields.u8().ok_or(short)?;
        let bits = fields.u16().ok_or(short)?;
        let params = Depth::new(u32::from(depth))
            .ok_or(ParamsError::Depth)
            .and_then(|depth| SessionParams::new(depth, max_io, max_hdr))
            .map_err(ReplyError::Params)?;
        Ok(Self::Accept {
            params,
            new_rkey: flags & REPLY_NEW_RKEY != 0,
            features: Features::from_wire(version, bits),
        })
    }

    /// The extensions that are agreed upon; none with a reject.
    pub const fn features(&self) -> Features {
        match self {
            Self::Accept { features, .. } => *features,
            Self::Reject(_) => Features::NONE,
        }
    }

    /// The private data to send.
    pub fn to_bytes(&self) -> [u8; CONNECT_MSG_LEN] {
        let message = Writer::new().u16(MAGIC).u16(VERSION);
        match self {
            Self::Accept {
                params,
                new_rkey,
                features,
            } => message
                .u16(0)
                .u16(params.depth().get())
                .u32(params.max_io())
                .u32(params.max_hdr())
                .u32(if *new_rkey { REPLY_NEW_RKEY } else { 0 })
                .u8(features.version())
                .skip(1)
                .u16(features.bits()),
            Self::Reject(errno) => message.put(&errno.0.to_le_bytes()),
        }
        .finish()
    }
}
