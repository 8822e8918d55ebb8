// SPDX-License-Identifier: GPL-2.0

//! A request of a client, from its arrival to its answer.
//!
//! There is one [`Op`] per chunk, made with the pool. It has one owner at any time: the slot of its
//! chunk while there is no request, the connection while the request is prepared or its answer
//! waits, and the user of the transport in between, wrapped as an [`Operation`]. While a request is
//! in it, the record holds its path's gate; [`Op::release`] is the only way out.
//!
//! All that is decided by what the client wrote is decided by private copies (weak points S4 to
//! S6): the request message and the user header are copied out of the chunk exactly once.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    error::{
        self,
        errno, //
    },
    rdma::Segment, //
};
use rtrs_proto::{
    limits::{
        REQUEST_MSG_MAX,
        WRITE_MSG_LEN, //
    },
    ChunkIndex,
    ChunkMsg,
    Descriptor,
    Direction,
    Errno9,
    Features,
    RequestError,
    RequestMsg,
    SessionParams,
    Uuid, //
};

use crate::{
    chunk::Slot,
    connection::Link,
    path::Path,
    respond,
    stats::Stats, //
};

/// What is still to be posted for a request.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// The client's access to the chunk is to be taken away.
    Invalidate,
    /// The answer is to be sent.
    Answer(Answer),
}

/// An answer, as it goes to the wire.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    /// The outcome.
    pub(crate) errno: Errno9,
    /// Where the data of a successful read goes.
    pub(crate) data: Option<Descriptor>,
    /// The client's key that is to be invalidated with the answer.
    pub(crate) invalidate: Option<u32>,
}

/// The record of a request.
pub(crate) struct Op {
    /// The chunk it belongs to, for ever.
    pub(crate) chunk: ChunkIndex,
    /// The connection that the request came by. Present while there is a request; stands for one
    /// entry into the gate of the path.
    pub(crate) link: Option<Arc<Link>>,
    /// What is to be posted next.
    pub(crate) stage: Stage,
    /// The next one in a list of waiting requests.
    pub(crate) next: Option<KBox<Op>>,
    /// Where in the chunk the request message is.
    off: u32,
    /// The request message, once it was read.
    request: Option<RequestMsg>,
    /// The path that a fence is for, if this is one; then there is no request for the user.
    pub(crate) fence: Option<Uuid>,
    /// The private copy of the user header; as large as one may be.
    header: KVec<u8>,
}

impl Op {
    /// The idle record of a chunk. Process context.
    pub(crate) fn new(chunk: ChunkIndex, params: &SessionParams) -> Result<KBox<Self>> {
        let room = usize::try_from(params.max_hdr()).map_err(|_| EINVAL)?;
        Ok(KBox::new(
            Self {
                chunk,
                link: None,
                stage: Stage::Invalidate,
                next: None,
                off: 0,
                request: None,
                fence: None,
                header: KVec::with_capacity(room, GFP_KERNEL)?,
            },
            GFP_KERNEL,
        )?)
    }

    /// A request arrived by `link` with its message at `off`. The caller has entered the gate.
    pub(crate) fn begin(&mut self, link: Arc<Link>, off: u32) {
        self.link = Some(link);
        self.stage = Stage::Invalidate;
        self.off = off;
        self.request = None;
        self.fence = None;
        self.header.clear();
    }

    /// Copies and parses the request message, and copies the user header.
    ///
    /// With `always_invalidate` the client can no longer change the chunk at this point.
    pub(crate) fn read(
        &mut self,
        slot: &Slot,
        params: &SessionParams,
        features: Features,
    ) -> Result<(), RequestError> {
        let chunk_size = params.chunk_size();
        let mut tail = [0; REQUEST_MSG_MAX];
        let room = usize::try_from(chunk_size.saturating_sub(self.off)).unwrap_or(0);
        let tail = tail.get_mut(..room.min(REQUEST_MSG_MAX)).unwrap_or(&mut []);
        let off = usize::try_from(self.off).map_err(|_| RequestError::Bounds)?;
        slot.memory
            .read(off, tail)
            .map_err(|_| RequestError::Bounds)?;
        let request = match ChunkMsg::parse(tail, self.off, chunk_size, features)? {
            ChunkMsg::Request(request) => request,
            ChunkMsg::Fence(fence) => {
                self.fence = Some(fence.path);
                return Ok(());
            }
        };

        // A client may use as much for both headers as it was told. The buffer is that large, so
        // that nothing is allocated here.
        let usr_len = usize::from(request.usr_len());
        let together = usr_len.saturating_add(WRITE_MSG_LEN);
        if usize::try_from(params.max_hdr()).map_or(true, |max| together > max) {
            return Err(RequestError::UserLength);
        }
        let start = usize::try_from(request.data_len()).map_err(|_| RequestError::Bounds)?;
        self.header.clear();
        for _ in 0..usr_len {
            self.header
                .push_within_capacity(0)
                .map_err(|_| RequestError::UserLength)?;
        }
        slot.memory
            .read(start, &mut self.header)
            .map_err(|_| RequestError::Bounds)?;
        self.request = Some(request);
        Ok(())
    }

    /// Which way its data goes, once it was read.
    pub(crate) fn direction(&self) -> Option<Direction> {
        self.request.as_ref().map(RequestMsg::direction)
    }

    /// Counts the request that was read.
    #[inline]
    pub(crate) fn count(&self, stats: &Stats) {
        if let Some(request) = &self.request {
            stats.received(request.direction(), self.off);
        }
    }

    /// Whether it came by `path`.
    pub(crate) fn is_of(&self, path: &Path) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| core::ptr::eq(&*link.con.path, path))
    }

    /// The answer is to be success, without data.
    pub(crate) fn succeed(&mut self) {
        self.stage = Stage::Answer(self.answer(0));
    }

    /// What the answer with `status` consists of.
    fn answer(&self, status: i32) -> Answer {
        let errno = Errno9::new(status);
        let request = self.request.as_ref();
        let desc = request.and_then(RequestMsg::desc);
        Answer {
            errno,
            data: desc.filter(|_| errno.is_ok()),
            invalidate: desc
                .filter(|_| request.is_some_and(RequestMsg::need_inval))
                .map(|desc| desc.key),
        }
    }

    /// The request is not executed any more. Gives out the one whose turn it is now.
    #[must_use]
    pub(crate) fn over(&self) -> Option<KBox<Self>> {
        let link = self.link.as_ref()?;
        link.con.path.session.turns.over(self.chunk)
    }

    /// Ends the request without an answer, or after it was sent: the record goes back into its
    /// slot and the gate is left. Any context.
    pub(crate) fn release(mut self: KBox<Self>) {
        let Some(link) = self.link.take() else {
            return;
        };
        if let Some(slot) = link.pool.slot(self.chunk) {
            drop(slot.idle.put(self));
        }
        link.leave();
    }
}

/// A request that waits for its answer.
///
/// Whoever holds it owns the chunk of the request. Dropping it answers with `EIO`.
#[must_use = "answer it"]
pub struct Operation(Option<KBox<Op>>);

impl Operation {
    /// Hands out a request that was read.
    pub(crate) fn new(op: KBox<Op>) -> Self {
        Self(Some(op))
    }

    fn request(&self) -> Option<&RequestMsg> {
        self.0.as_ref()?.request.as_ref()
    }

    fn slot(&self) -> Option<&Slot> {
        let op = self.0.as_ref()?;
        op.link.as_ref()?.pool.slot(op.chunk)
    }

    /// The user header: a private copy that nobody can change any more.
    pub fn user(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |op| &op.header)
    }

    /// Which way the data goes.
    pub fn direction(&self) -> Direction {
        self.request()
            .map_or(Direction::Write, RequestMsg::direction)
    }

    /// Bytes of data: what has come with a write, what a read has room for. At most the
    /// `max_io_size` of the session plus what the headers leave.
    pub fn data_len(&self) -> u32 {
        self.request().map_or(0, RequestMsg::data_len)
    }

    /// Bytes that the client takes as the answer to a read, at most [`Self::data_len`]; 0 for a
    /// write.
    pub fn answer_len(&self) -> u32 {
        self.request()
            .and_then(RequestMsg::desc)
            .map_or(0, |desc| desc.len)
    }

    /// The memory of the data, or none if there is no data. It may be filled or read by a device
    /// until the request is answered; the owner of the segment keeps the memory, not the request.
    ///
    /// Without `always_invalidate` the client can change the data of a write at any time.
    pub fn segment(&self) -> Option<Segment> {
        let len = usize::try_from(self.data_len()).ok()?;
        if len == 0 {
            return None;
        }
        self.slot()?.memory.segment(0, len).ok()
    }

    /// Makes `bytes` the answer to a read; what the client takes beyond them is zero.
    ///
    /// # Errors
    ///
    /// `EINVAL` if this is a write, `EMSGSIZE` if the client takes fewer bytes.
    pub fn reply(&self, bytes: &[u8]) -> Result {
        if self.direction() != Direction::Read {
            return Err(EINVAL);
        }
        let room = usize::try_from(self.answer_len()).map_err(|_| EINVAL)?;
        if bytes.len() > room {
            return Err(error::error(errno::EMSGSIZE));
        }
        let memory = &self.slot().ok_or(EINVAL)?.memory;
        memory.write(0, bytes)?;
        const ZEROES: [u8; 64] = [0; 64];
        let mut at = bytes.len();
        while at < room {
            let part = ZEROES.len().min(room.saturating_sub(at));
            memory.write(at, ZEROES.get(..part).unwrap_or(&[]))?;
            at = at.saturating_add(part);
        }
        Ok(())
    }

    /// Answers with success (0) or an errno of either sign. Any context, also a hard interrupt;
    /// does not sleep. If the path is going down, nobody is told.
    ///
    /// An errno that the wire cannot carry arrives as `EIO`.
    pub fn respond(mut self, status: i32) {
        self.finish(status);
    }

    fn finish(&mut self, status: i32) {
        if let Some(mut op) = self.0.take() {
            op.stage = Stage::Answer(op.answer(status));
            let next = op.over();
            respond::answer(op);
            resume(next);
        }
    }
}

/// Goes on with the request whose turn it is. Any context.
///
/// The user may want to sleep, so it is the work item of its path that hands it over.
pub(crate) fn resume(mut next: Option<KBox<Op>>) {
    while let Some(op) = next.take() {
        let Some(path) = op.link.as_ref().map(|link| link.con.path.clone()) else {
            return;
        };
        if let Err(op) = path.later.push(op) {
            // It ends with its path, and somebody else may wait behind it.
            next = op.over();
            op.release();
        } else {
            path.queue_later();
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.finish(-errno::EIO);
    }
}
