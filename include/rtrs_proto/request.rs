// SPDX-License-Identifier: GPL-2.0

//! The messages inside a chunk: WRITE, READ, and the new key of a chunk
//! (spec: rtrs 2.5).
//!
//! A request message lies in memory that its sender may still be able to change.
//! Therefore [`RequestMsg::parse`] works on a private copy of the at most 24 bytes from
//! the offset in the immediate on; after that, the chunk is never looked at again for
//! any of these fields.

use crate::info::Descriptor;
use crate::limits::{
    MSG_READ,
    MSG_RKEY_RSP,
    MSG_WRITE,
    READ_MSG_LEN,
    READ_NEED_INVAL,
    REQUEST_MSG_MAX,
    RKEY_MSG_LEN,
    WRITE_MSG_LEN, //
};
use crate::params::{
    ChunkIndex,
    SessionParams, //
};
use crate::wire::{
    Reader,
    Writer, //
};

/// Which way the data of a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The client reads: data goes from the server to the client.
    Read,
    /// The client writes: data has come with the request.
    Write,
}

/// The message behind the user header of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteMsg {
    /// Bytes of the user header.
    pub usr_len: u16,
}

impl WriteMsg {
    /// The message to place in the chunk.
    #[inline]
    pub fn to_bytes(&self) -> [u8; WRITE_MSG_LEN] {
        Writer::new().u16(MSG_WRITE).u16(self.usr_len).finish()
    }
}

/// The message behind the user header of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadMsg {
    /// Bytes of the user header.
    pub usr_len: u16,
    /// Whether the server shall invalidate the key in `desc`. Without a descriptor there
    /// is nothing to invalidate, and the flag is not sent.
    pub need_inval: bool,
    /// Where the answer's data goes; none if the answer has no data.
    pub desc: Option<Descriptor>,
}

impl ReadMsg {
    /// How many of the bytes that [`Self::to_bytes`] returns are the message: 8 or 24.
    #[inline]
    pub const fn wire_len(&self) -> usize {
        match self.desc {
            None => READ_MSG_LEN,
            Some(_) => REQUEST_MSG_MAX,
        }
    }

    /// The message to place in the chunk, [`Self::wire_len`] bytes of it.
    #[inline]
    pub fn to_bytes(&self) -> [u8; REQUEST_MSG_MAX] {
        let message = Writer::new().u16(MSG_READ).u16(self.usr_len);
        match self.desc {
            None => message,
            Some(desc) => message
                .u16(if self.need_inval { READ_NEED_INVAL } else { 0 })
                .u16(1)
                .put(&desc.to_bytes()),
        }
        .finish()
    }
}

/// Why the bytes in a chunk are no request. The path is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// The message does not fit between its offset and the end of the chunk.
    Bounds,
    /// Neither a read nor a write; the type is given here.
    Type(u16),
    /// The user header would start in front of the chunk.
    UserLength,
    /// A read into more than one buffer; their number is given here.
    Segments(u16),
    /// A read into a buffer of no bytes, or of more than the request has data.
    AnswerLength,
}

impl RequestError {
    /// A phrase for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounds => "message exceeds the chunk",
            Self::Type(_) => "unknown message type",
            Self::UserLength => "user header longer than the request",
            Self::Segments(_) => "more than one buffer",
            Self::AnswerLength => "bad length of the read buffer",
        }
    }
}

/// A validated request.
///
/// # Invariants
///
/// `usr_len + data_len` is the offset of the message in the chunk; a descriptor has
/// `1 <= len <= data_len` and occurs in reads only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestMsg {
    direction: Direction,
    usr_len: u16,
    data_len: u32,
    desc: Option<Descriptor>,
    need_inval: bool,
}

impl RequestMsg {
    /// Parses a private copy of what lies at `off` of a chunk of `chunk_size` bytes.
    ///
    /// `tail` should have 24 bytes, or what is left of the chunk if that is less; a
    /// shorter one is treated as the end of the chunk.
    pub fn parse(tail: &[u8], off: u32, chunk_size: u32) -> Result<Self, RequestError> {
        let room = usize::try_from(chunk_size.saturating_sub(off)).unwrap_or(usize::MAX);
        let tail = tail.get(..room).unwrap_or(tail);
        let fields = &mut Reader::new(tail);
        let kind = fields.u16().ok_or(RequestError::Bounds)?;
        let direction = match kind {
            MSG_WRITE => Direction::Write,
            MSG_READ => Direction::Read,
            _ => return Err(RequestError::Type(kind)),
        };
        let usr_len = fields.u16().ok_or(RequestError::Bounds)?;
        let data_len = off
            .checked_sub(u32::from(usr_len))
            .ok_or(RequestError::UserLength)?;
        let (desc, need_inval) = match direction {
            Direction::Write => (None, false),
            Direction::Read => read_buffer(fields, data_len)?,
        };
        // INVARIANT: `data_len` is the difference, and `read_buffer` checked the rest.
        Ok(Self {
            direction,
            usr_len,
            data_len,
            desc,
            need_inval,
        })
    }

    /// Which way the data goes.
    #[inline]
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Bytes of the user header, which starts at [`Self::data_len`] of the chunk.
    #[inline]
    pub const fn usr_len(&self) -> u16 {
        self.usr_len
    }

    /// Bytes of data, which start at the beginning of the chunk.
    #[inline]
    pub const fn data_len(&self) -> u32 {
        self.data_len
    }

    /// Where the data of a read goes; none for a write, or if there is none to send.
    #[inline]
    pub const fn desc(&self) -> Option<Descriptor> {
        self.desc
    }

    /// Whether the key of [`Self::desc`] is to be invalidated with the answer.
    #[inline]
    pub const fn need_inval(&self) -> bool {
        self.need_inval
    }
}

/// Takes the part of a read that follows its user length.
fn read_buffer(
    fields: &mut Reader<'_>,
    data_len: u32,
) -> Result<(Option<Descriptor>, bool), RequestError> {
    let flags = fields.u16().ok_or(RequestError::Bounds)?;
    match fields.u16().ok_or(RequestError::Bounds)? {
        // The flag means nothing without a key. It is ignored then, as a peer may have
        // reason to set it always.
        0 => Ok((None, false)),
        1 => {
            let desc = Descriptor::take(fields).ok_or(RequestError::Bounds)?;
            if desc.len == 0 || desc.len > data_len {
                return Err(RequestError::AnswerLength);
            }
            Ok((Some(desc), flags & READ_NEED_INVAL != 0))
        }
        count => Err(RequestError::Segments(count)),
    }
}

/// The message with which a server answers a request and gives its chunk a new key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RkeyMsg {
    /// Which chunk; the same as in the immediate.
    pub buf_id: ChunkIndex,
    /// The key for the next request in it.
    pub rkey: u32,
}

/// Why a message does not give a chunk a new key. The path is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RkeyError {
    /// Fewer bytes than the message has.
    Short,
    /// Another type of message, given here.
    Type(u16),
    /// The session has no such chunk; its number is given here.
    Chunk(u16),
}

impl RkeyMsg {
    /// Parses what was received; bytes behind the message are ignored.
    pub fn parse(received: &[u8], params: &SessionParams) -> Result<Self, RkeyError> {
        let fields = &mut Reader::new(received);
        let kind = fields.u16().ok_or(RkeyError::Short)?;
        let chunk = fields.u16().ok_or(RkeyError::Short)?;
        let rkey = fields.u32().ok_or(RkeyError::Short)?;
        if kind != MSG_RKEY_RSP {
            return Err(RkeyError::Type(kind));
        }
        let buf_id = params
            .chunk(u32::from(chunk))
            .ok_or(RkeyError::Chunk(chunk))?;
        Ok(Self { buf_id, rkey })
    }

    /// The message to send.
    #[inline]
    pub fn to_bytes(&self) -> [u8; RKEY_MSG_LEN] {
        Writer::new()
            .u16(MSG_RKEY_RSP)
            .u16(self.buf_id.get())
            .u32(self.rkey)
            .finish()
    }
}
