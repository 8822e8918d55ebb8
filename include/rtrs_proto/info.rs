// SPDX-License-Identifier: GPL-2.0

//! The info exchange on connection 0: the client tells the session's name, the server
//! tells where its chunks are (spec: rtrs 2.4).
//!
//! The response may have a megabyte, so it is never held as a value: the server writes it
//! descriptor by descriptor into its buffer, and the client walks the received bytes
//! after they were validated as a whole.

use crate::limits::{
    DESCRIPTOR_LEN,
    INFO_REQ_LEN,
    INFO_RSP_HEADER_LEN,
    MSG_INFO_REQ,
    MSG_INFO_RSP, //
};
use crate::name::{
    NameError,
    SessionName, //
};
use crate::params::{
    ChunkIndex,
    SessionParams, //
};
use crate::wire::{
    Reader,
    Writer, //
};

/// Why a message of the info exchange is refused. The path is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InfoError {
    /// Fewer bytes than the message has.
    Short,
    /// Another type of message, given here.
    Type(u16),
    /// The name in the request is none.
    Name(NameError),
    /// The number of descriptors is 0 or does not divide the number of chunks.
    Count(u16),
    /// A descriptor's length is 0, no multiple of the chunk size, or leaves the address
    /// space.
    Descriptor,
    /// The descriptors hold more or fewer chunks than the session has.
    Total,
}

impl InfoError {
    /// A phrase for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "message too short",
            Self::Type(_) => "wrong message type",
            Self::Name(_) => "bad session name",
            Self::Count(_) => "bad number of descriptors",
            Self::Descriptor => "bad descriptor",
            Self::Total => "descriptors do not match the queue depth",
        }
    }
}

/// What a client sends when all connections of a path are established.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InfoRequest {
    /// The name that the session has on both sides.
    pub name: SessionName,
}

impl InfoRequest {
    /// Parses what was received; bytes behind the message are ignored.
    pub fn parse(received: &[u8]) -> Result<Self, InfoError> {
        let Some(message) = received.first_chunk::<INFO_REQ_LEN>() else {
            return Err(InfoError::Short);
        };
        let fields = &mut Reader::new(message);
        let kind = fields.u16().ok_or(InfoError::Short)?;
        if kind != MSG_INFO_REQ {
            return Err(InfoError::Type(kind));
        }
        let field = fields.array().ok_or(InfoError::Short)?;
        let name = SessionName::from_field(&field).map_err(InfoError::Name)?;
        Ok(Self { name })
    }

    /// The message to send.
    pub fn to_bytes(&self) -> [u8; INFO_REQ_LEN] {
        Writer::new()
            .u16(MSG_INFO_REQ)
            .put(self.name.as_field())
            .finish()
    }
}

/// Memory of the peer: an address, the key to it, and its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Where it starts, in the peer's terms.
    pub addr: u64,
    /// The remote key.
    pub key: u32,
    /// Bytes.
    pub len: u32,
}

impl Descriptor {
    /// The descriptor as it stands in a message.
    pub fn to_bytes(&self) -> [u8; DESCRIPTOR_LEN] {
        Writer::new()
            .u64(self.addr)
            .u32(self.key)
            .u32(self.len)
            .finish()
    }

    /// Takes the next descriptor off a message; every value is one.
    pub(crate) fn take(fields: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            addr: fields.u64()?,
            key: fields.u32()?,
            len: fields.u32()?,
        })
    }
}

/// A server chunk as a client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Which chunk.
    pub index: ChunkIndex,
    /// Where it starts, in the server's terms.
    pub addr: u64,
    /// The remote key, valid until the first request into the chunk if keys change.
    pub key: u32,
}

/// A validated info response, still in the bytes that were received.
///
/// # Invariants
///
/// The descriptors hold exactly as many chunks as the session has; no descriptor is
/// empty, has a part of a chunk, or reaches beyond the end of the address space.
#[derive(Clone, Copy, Debug)]
pub struct InfoResponse<'a> {
    descriptors: &'a [u8],
    params: SessionParams,
}

impl<'a> InfoResponse<'a> {
    /// Bytes of a response with `count` descriptors.
    pub const fn len(count: u16) -> usize {
        INFO_RSP_HEADER_LEN + DESCRIPTOR_LEN * count as usize
    }

    /// The first bytes of a response; `count` descriptors follow, in chunk order.
    pub fn header(count: u16) -> [u8; INFO_RSP_HEADER_LEN] {
        Writer::new().u16(MSG_INFO_RSP).u16(count).finish()
    }

    /// Validates what was received for a session with these parameters. The whole list
    /// is walked, once; bytes behind it are ignored.
    pub fn parse(received: &'a [u8], params: &SessionParams) -> Result<Self, InfoError> {
        let Some((header, rest)) = received.split_first_chunk::<INFO_RSP_HEADER_LEN>() else {
            return Err(InfoError::Short);
        };
        let fields = &mut Reader::new(header);
        let kind = fields.u16().ok_or(InfoError::Short)?;
        if kind != MSG_INFO_RSP {
            return Err(InfoError::Type(kind));
        }
        let count = fields.u16().ok_or(InfoError::Short)?;
        let depth = params.depth().get();
        if depth.checked_rem(count) != Some(0) {
            return Err(InfoError::Count(count));
        }
        let descriptors = rest
            .get(..DESCRIPTOR_LEN * usize::from(count))
            .ok_or(InfoError::Short)?;
        let mut chunks = 0u32;
        for descriptor in iterate(descriptors) {
            let fits = descriptor.addr.checked_add(u64::from(descriptor.len));
            if descriptor.len == 0
                || descriptor.len.checked_rem(params.chunk_size()) != Some(0)
                || fits.is_none()
            {
                return Err(InfoError::Descriptor);
            }
            // At most 65535 descriptors of at most 2^19 chunks each: no overflow that
            // saturation would hide.
            chunks =
                chunks.saturating_add(descriptor.len.checked_div(params.chunk_size()).unwrap_or(0));
        }
        if chunks != u32::from(depth) {
            return Err(InfoError::Total);
        }
        // INVARIANT: Each descriptor and their total were checked above.
        Ok(Self {
            descriptors,
            params: *params,
        })
    }

    /// All chunks of the session, in order, each exactly once.
    pub fn chunks(self) -> impl Iterator<Item = Chunk> + 'a {
        let size = self.params.chunk_size();
        iterate(self.descriptors)
            .flat_map(move |descriptor| {
                // The size is not zero by its own invariant.
                let count = descriptor.len.checked_div(size).unwrap_or(0);
                (0..count).map(move |at| {
                    let off = u64::from(at).wrapping_mul(u64::from(size));
                    // By the invariant neither operation wraps.
                    (descriptor.addr.wrapping_add(off), descriptor.key)
                })
            })
            .zip(self.params.chunks())
            .map(|((addr, key), index)| Chunk { index, addr, key })
    }
}

fn iterate(descriptors: &[u8]) -> impl Iterator<Item = Descriptor> + '_ {
    descriptors
        .chunks_exact(DESCRIPTOR_LEN)
        .filter_map(|bytes| Descriptor::take(&mut Reader::new(bytes)))
}
