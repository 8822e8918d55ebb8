// SPDX-License-Identifier: GPL-2.0

//! The 32 bits of immediate data that go with a transfer (spec: rtrs 2.6).
//!
//! An immediate says what arrived: a request in a chunk, the answer to a request, or a
//! heartbeat. The values here are in the byte order of the processor; whoever posts one
//! converts it to big endian. Used on the IO path of both sides: nothing here fails
//! except by bounds, and those are checked where a session's parameters are known.

use crate::errno::EIO;
use crate::limits::{
    IMM_PAYLOAD_BITS,
    RSP_ERRNO_MAX,
    RSP_ID_BITS, //
};
use crate::params::{
    ChunkIndex,
    SessionParams, //
};

const IO_REQUEST: u8 = 0;
const IO_RESPONSE: u8 = 1;
const IO_RESPONSE_INVALIDATED: u8 = 2;
const NOTICE: u8 = 3;
const HEARTBEAT_MSG: u8 = 8;
const HEARTBEAT_ACK: u8 = 9;

const PAYLOAD_MASK: u32 = (1 << IMM_PAYLOAD_BITS) - 1;
const ID_MASK: u32 = (1 << RSP_ID_BITS) - 1;

/// The outcome of a request as nine bits can hold it: 0, or the size of an errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno9(u16);

impl Errno9 {
    /// Success.
    pub const OK: Self = Self(0);

    /// Takes an errno of either sign, or 0 for success.
    ///
    /// A number that nine bits cannot hold becomes an I/O error; cut off, it would become
    /// another error or even success.
    #[inline]
    pub fn new(errno: i32) -> Self {
        match u16::try_from(errno.unsigned_abs()) {
            Ok(value @ 0..=RSP_ERRNO_MAX) => Self(value),
            _ => Self(EIO as u16),
        }
    }

    /// The negative errno, or 0 for success.
    #[inline]
    pub const fn errno(self) -> i32 {
        -(self.0 as i32)
    }

    /// Whether the request succeeded.
    #[inline]
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }
}

/// The 28 bits of a request's immediate. [`SessionParams::io_request`] opens them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoPayload(u32);

/// What an immediate says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Immediate {
    /// Client to server: a request lies in a chunk.
    IoRequest(IoPayload),
    /// Server to client: a request is done.
    IoResponse {
        /// The message id: which request. Unchecked 19 bits; [`SessionParams::chunk`]
        /// makes a chunk of it.
        id: u32,
        /// How it ended.
        errno: Errno9,
        /// Whether the server claims to have invalidated the client's key before. Only
        /// the completion of that very invalidation is proof of it.
        invalidated: bool,
    },
    /// Server to client, on connection 0, if agreed upon: a word of the server's user, 28
    /// bits, for the client's user. It may be lost, and it is not answered.
    Notice(u32),
    /// Either direction: answer this at once.
    HeartbeatMsg,
    /// Either direction: the answer.
    HeartbeatAck,
    /// A type that this version does not know, given here. To be ignored.
    Unknown(u8),
}

impl Immediate {
    /// Takes an immediate apart. Every value means something.
    #[inline]
    pub const fn decode(value: u32) -> Self {
        let kind = (value >> IMM_PAYLOAD_BITS) as u8;
        let payload = value & PAYLOAD_MASK;
        match kind {
            IO_REQUEST => Self::IoRequest(IoPayload(payload)),
            IO_RESPONSE | IO_RESPONSE_INVALIDATED => Self::IoResponse {
                id: payload & ID_MASK,
                // Nine bits are left, so this loses nothing.
                errno: Errno9((payload >> RSP_ID_BITS) as u16),
                invalidated: kind == IO_RESPONSE_INVALIDATED,
            },
            NOTICE => Self::Notice(payload),
            HEARTBEAT_MSG => Self::HeartbeatMsg,
            HEARTBEAT_ACK => Self::HeartbeatAck,
            _ => Self::Unknown(kind),
        }
    }

    /// The value to post, in the byte order of the processor.
    #[inline]
    pub const fn encode(self) -> u32 {
        let (kind, payload) = match self {
            Self::IoRequest(payload) => (IO_REQUEST, payload.0),
            Self::IoResponse {
                id,
                errno,
                invalidated,
            } => (
                if invalidated {
                    IO_RESPONSE_INVALIDATED
                } else {
                    IO_RESPONSE
                },
                (errno.0 as u32) << RSP_ID_BITS | id & ID_MASK,
            ),
            Self::Notice(payload) => (NOTICE, payload),
            Self::HeartbeatMsg => (HEARTBEAT_MSG, 0),
            Self::HeartbeatAck => (HEARTBEAT_ACK, 0),
            Self::Unknown(kind) => (kind, 0),
        };
        (kind as u32) << IMM_PAYLOAD_BITS | payload & PAYLOAD_MASK
    }

    /// The answer to the request in `chunk`.
    #[inline]
    pub const fn response(chunk: ChunkIndex, errno: Errno9, invalidated: bool) -> Self {
        Self::IoResponse {
            id: chunk.get() as u32,
            errno,
            invalidated,
        }
    }
}

/// A request's immediate names a chunk or an offset that the session does not have. The
/// path is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBounds;

impl SessionParams {
    /// Splits the payload of a request into its chunk and the offset of the request
    /// message inside the chunk, which is below the chunk size.
    #[inline]
    pub fn io_request(&self, payload: IoPayload) -> Result<(ChunkIndex, u32), OutOfBounds> {
        let off = payload.0 & (PAYLOAD_MASK >> self.chunk_bits());
        let chunk = self
            .chunk(payload.0 >> self.off_bits())
            .ok_or(OutOfBounds)?;
        if off >= self.chunk_size() {
            return Err(OutOfBounds);
        }
        Ok((chunk, off))
    }

    /// The immediate of a request in `chunk`, with its message at `off`.
    ///
    /// `chunk` may come from another session, therefore it is checked again.
    #[inline]
    pub fn io_immediate(&self, chunk: ChunkIndex, off: u32) -> Result<Immediate, OutOfBounds> {
        if chunk.get() >= self.depth().get() || off >= self.chunk_size() {
            return Err(OutOfBounds);
        }
        let payload = u32::from(chunk.get()) << self.off_bits() | off;
        Ok(Immediate::IoRequest(IoPayload(payload)))
    }
}
