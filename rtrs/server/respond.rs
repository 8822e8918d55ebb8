// SPDX-License-Identifier: GPL-2.0

//! Work requests for a request: taking a chunk back, and answering (spec: rtrs 5.4).
//!
//! Everything an answer consists of is posted in one chain. Called in any context, also in hard
//! interrupts: no allocation, no log, no sleep.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::rdma::{
    Remote,
    Sge,
    Token,
    Wr, //
};
use rtrs_proto::{
    Descriptor,
    Direction,
    Immediate,
    RkeyMsg, //
};

use trace_server::{
    send_io_resp_imm,
    ResponseFacts, //
};

use crate::{
    chunk::Slot,
    connection::{
        empty,
        Link, //
    },
    operation::{
        Answer,
        Op,
        Stage, //
    },
};

/// The user answers a request.
pub(crate) fn answer(op: KBox<Op>) {
    let Some(link) = &op.link else {
        return;
    };
    // No more than the connection: the rest of the link must not be held when the request is over.
    let con = link.con.clone();
    if let Some(Err(e)) = link.pool.slot(op.chunk).map(|slot| renew(&op, slot)) {
        con.broken(e);
    }
    con.submit(op);
}

/// Gives the chunk a new key and writes it into its message. Once per answer, however often posting
/// is tried.
fn renew(op: &Op, slot: &Slot) -> Result {
    let Some(key) = &slot.key else {
        return Ok(());
    };
    let message = RkeyMsg {
        buf_id: op.chunk,
        rkey: key.mr.rotate_key(),
    };
    key.message.write(0, &message.to_bytes())
}

/// Posts what `op` needs next. Gives it back if there is no room in the send queue.
///
/// Any other failure closes the path and ends the request.
pub(crate) fn post(mut op: KBox<Op>) -> Result<(), KBox<Op>> {
    let Some(link) = op.link.take() else {
        return Ok(());
    };
    if !link.con.path.is_connected() {
        op.link = Some(link);
        op.release();
        return Ok(());
    }
    match op.stage {
        Stage::Invalidate => invalidate(op, link),
        Stage::Answer(answer) => send(op, link, answer),
    }
}

/// Takes the client's access to the chunk away. The completion, which carries the number of the
/// chunk, goes on with the request.
fn invalidate(mut op: KBox<Op>, link: Arc<Link>) -> Result<(), KBox<Op>> {
    let chunk = op.chunk;
    op.link = Some(link.clone());
    let Some((slot, key)) = link
        .pool
        .slot(chunk)
        .and_then(|slot| Some((slot, slot.key.as_ref()?)))
    else {
        op.release();
        return Ok(());
    };
    // The request may be over before the call that posts returns, and then nothing but this entry
    // keeps the close work from going on while the link is still used here.
    if !link.con.path.ops.enter() {
        op.release();
        return Ok(());
    }
    // The completion may be there before the call returns, so the request has to be in its place.
    drop(slot.invalidating.put(op));
    let wr = [Wr::LocalInv { key: key.mr.key() }];
    let result = match link.qp.post(&wr, Some(Token(u32::from(chunk.get())))) {
        Ok(()) => Ok(()),
        Err(EAGAIN) => slot.invalidating.take().map_or(Ok(()), Err),
        Err(e) => {
            link.con.broken(e);
            if let Some(op) = slot.invalidating.take() {
                op.release();
            }
            Ok(())
        }
    };
    link.leave();
    result
}

/// At most one of each: the data of a read, an invalidation, a registration, the response.
struct Chain<'a> {
    wrs: [Wr<'a>; 4],
    len: usize,
}

impl<'a> Chain<'a> {
    /// An empty chain. The requests that stand in it are not part of it.
    fn new() -> Self {
        Self {
            wrs: [Wr::SendInv { key: 0 }; 4],
            len: 0,
        }
    }

    fn push(&mut self, wr: Wr<'a>) {
        if let Some(place) = self.wrs.get_mut(self.len) {
            *place = wr;
            self.len = self.len.saturating_add(1);
        }
    }

    fn as_slice(&self) -> &[Wr<'a>] {
        self.wrs.get(..self.len).unwrap_or(&[])
    }
}

/// Sends the answer.
fn send(mut op: KBox<Op>, link: Arc<Link>, answer: Answer) -> Result<(), KBox<Op>> {
    let chunk = op.chunk;
    let parts = link
        .pool
        .slot(chunk)
        .and_then(|slot| Some((slot, gather(slot, answer.data).ok()?)));
    let Some((slot, (data, message))) = parts else {
        // The lengths were checked when the request was read.
        link.con.broken(EINVAL);
        op.link = Some(link);
        op.release();
        return Ok(());
    };

    let response = Immediate::response(chunk, answer.errno, answer.invalidate.is_some());
    let mut chain = Chain::new();
    if let (Some(desc), Some(sge)) = (answer.data, &data) {
        chain.push(Wr::Write {
            local: core::slice::from_ref(sge),
            remote: Remote {
                addr: desc.addr,
                key: desc.key,
            },
        });
    }
    if let Some(key) = answer.invalidate {
        chain.push(Wr::SendInv { key });
    }
    match (&slot.key, &message) {
        (Some(key), Some(sge)) => {
            chain.push(Wr::RegMr {
                mr: &key.mr,
                remote_write: true,
            });
            chain.push(Wr::SendImm {
                local: core::slice::from_ref(sge),
                imm: response.encode(),
            });
        }
        _ => chain.push(empty(response)),
    }

    // As in C, an answer that brings data has no event.
    if answer.data.is_none() {
        send_io_resp_imm(|| ResponseFacts {
            write: op.direction() == Some(Direction::Write),
            need_inval: answer.invalidate.is_some(),
            always_invalidate: slot.key.is_some(),
            msg_id: u32::from(chunk.get()),
            wr_cnt: i32::try_from(chain.len).unwrap_or(0),
            // The queue asks for a completion when it is half full.
            signal_interval: link.qp.send_wr() / 2,
            state: link.con.path.state_code(),
            errno: answer.errno.errno(),
            name: link.con.path.name(),
        });
    }

    // The client may use the chunk again as soon as it has the answer, which may be before the
    // call returns. So the record is in its slot before.
    drop(slot.idle.put(op));
    let (back, error) = match link.qp.post(chain.as_slice(), None) {
        Ok(()) => {
            link.leave();
            return Ok(());
        }
        Err(EAGAIN) => (slot.idle.take(), EAGAIN),
        Err(e) => (None, e),
    };
    match back {
        Some(mut op) => {
            // Whatever a client does that does not wait for its answer: this answer is what is
            // to be sent next, and this entry into the gate is the one that is left by it.
            op.stage = Stage::Answer(answer);
            op.link = Some(link);
            Err(op)
        }
        // The queue pair is broken, or the client did not wait and has a request where its answer
        // should come from.
        None => {
            link.con.broken(error);
            link.leave();
            Ok(())
        }
    }
}

/// The local memory of an answer: the data, and the message with the new key.
fn gather(slot: &Slot, data: Option<Descriptor>) -> Result<(Option<Sge>, Option<Sge>)> {
    let data = match data {
        Some(desc) => Some(slot.memory.sge(0, usize::try_from(desc.len)?)?),
        None => None,
    };
    let message = match &slot.key {
        Some(key) => Some(key.message.sge(0, key.message.len())?),
        None => None,
    };
    Ok((data, message))
}
