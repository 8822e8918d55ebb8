// SPDX-License-Identifier: GPL-2.0

//! The fence: with which a client makes sure that a path it lost is over for the server
//! too, and the choice between it and an ordinary request.
//!
//! A client that lost a path does not know which of its requests the server still works
//! on. The fence names that path; it is answered, like any request, when the server has
//! closed it and all its requests are over. Only then is it safe to send them again.

use crate::connect::Uuid;
use crate::features::Features;
use crate::limits::{
    FENCE_MSG_LEN,
    MSG_FENCE, //
};
use crate::request::{
    RequestError,
    RequestMsg, //
};
use crate::wire::{
    Reader,
    Writer, //
};

/// A request to close another path of the same session, answered when that is done.
///
/// It lies in a chunk at the offset of an ordinary request immediate and has neither a
/// user header nor data. A path that the session does not have is closed already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FenceRequest {
    /// The identifier of the path that is to be over.
    pub path: Uuid,
}

impl FenceRequest {
    /// The message to place in the chunk.
    #[inline]
    pub fn to_bytes(&self) -> [u8; FENCE_MSG_LEN] {
        Writer::new()
            .u16(MSG_FENCE)
            .u16(0)
            .u32(0)
            .put(&self.path.0)
            .finish()
    }

    /// Parses a private copy of what lies at `off` of a chunk of `chunk_size` bytes; see
    /// [`RequestMsg::parse`] for `tail`.
    pub fn parse(tail: &[u8], off: u32, chunk_size: u32) -> Result<Self, RequestError> {
        let room = usize::try_from(chunk_size.saturating_sub(off)).unwrap_or(usize::MAX);
        let tail = tail.get(..room).unwrap_or(tail);
        let fields = &mut Reader::new(tail);
        let kind = fields.u16().ok_or(RequestError::Bounds)?;
        if kind != MSG_FENCE {
            return Err(RequestError::Type(kind));
        }
        if fields.u16().ok_or(RequestError::Bounds)? != 0 {
            return Err(RequestError::UserLength);
        }
        // Reserved.
        fields.u32().ok_or(RequestError::Bounds)?;
        let path = Uuid(fields.array().ok_or(RequestError::Bounds)?);
        Ok(Self { path })
    }
}

/// What a client may place in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkMsg {
    /// A request for the user of the session.
    Request(RequestMsg),
    /// A request for the transport itself.
    Fence(FenceRequest),
}

impl ChunkMsg {
    /// Parses as [`RequestMsg::parse`] does. What was not agreed upon in `features` is an
    /// unknown type.
    pub fn parse(
        tail: &[u8],
        off: u32,
        chunk_size: u32,
        features: Features,
    ) -> Result<Self, RequestError> {
        match RequestMsg::parse(tail, off, chunk_size) {
            Err(RequestError::Type(MSG_FENCE)) if features.has(Features::FENCE) => {
                FenceRequest::parse(tail, off, chunk_size).map(Self::Fence)
            }
            other => other.map(Self::Request),
        }
    }
}
