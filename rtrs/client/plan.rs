// SPDX-License-Identifier: GPL-2.0

//! From what a user asks for to the work requests that carry it (spec: rtrs 2.5, 4.3 to
//! 4.5).
//!
//! A write gathers its data from where it lies, if the list is short enough for a send;
//! a longer one is registered first, under a key that only our own device needs. A read
//! is always registered, as the server is going to write. It never allocates and never
//! sleeps.

use kernel::prelude::*;
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    rdma::{
        Buffer,
        MappedSg,
        Mr,
        QueuePair,
        Remote,
        Sge,
        Token,
        Wr,
        MAX_SGES, //
    },
};
use rtrs_proto::{
    limits::{
        READ_MSG_LEN,
        REQUEST_MSG_MAX,
        WRITE_MSG_LEN, //
    },
    ChunkIndex,
    Descriptor,
    Direction,
    ReadMsg,
    WriteMsg, //
};

use crate::{
    connection::Connection,
    live::Live, //
};

/// What a user asks for.
#[derive(Clone, Copy)]
pub(crate) struct Operation<'a> {
    /// Which way the data goes.
    pub(crate) direction: Direction,
    /// The user's header; copied.
    pub(crate) user: &'a [u8],
    /// Whether the permit's table is to be transferred.
    pub(crate) data: bool,
}

/// Room for the elements of one request; too much for the stack of a deep writer.
pub(crate) type List = [Sge; MAX_SGES];

/// How a request is put on the wire.
pub(crate) struct Plan<'l> {
    list: &'l [Sge],
    /// Whether the slot's region is registered first, and whether for the peer to write.
    register: Option<bool>,
    /// Where the transfer goes to.
    remote: Remote,
    imm: u32,
    /// Bytes of data and user header.
    bytes: u32,
}

impl<'l> Plan<'l> {
    /// Decides what to post, and writes the header. Any context.
    ///
    /// `header`, `mr` and `list` belong to the request's slot; `mapped` is the memory to
    /// transfer, if there is any. Fails with `EMSGSIZE` if header or data are too long,
    /// and with `EINVAL` if the memory cannot be registered.
    pub(crate) fn compose(
        live: &Live,
        operation: &Operation<'_>,
        index: ChunkIndex,
        header: &Buffer,
        mr: &Mr,
        mapped: Option<&MappedSg>,
        list: &'l mut List,
    ) -> Result<Self> {
        let params = live.params();
        let too_long = || error(errno::EMSGSIZE);
        let data_len = mapped.map_or(0, MappedSg::bytes);
        let usr_len = u16::try_from(operation.user.len()).map_err(|_| too_long())?;
        let message_len = match (operation.direction, mapped) {
            (Direction::Write, _) => WRITE_MSG_LEN,
            (Direction::Read, None) => READ_MSG_LEN,
            (Direction::Read, Some(_)) => REQUEST_MSG_MAX,
        };
        let header_len = operation.user.len().saturating_add(message_len);
        // With both in bounds, data and header fit into the chunk together.
        if header_len > live.header_len() || data_len > params.max_io() {
            return Err(too_long());
        }
        let chunk = live.chunk(index).ok_or(EINVAL)?;
        let off = data_len.saturating_add(u32::from(usr_len));
        let imm = params
            .io_immediate(index, off)
            .map_err(|_| EINVAL)?
            .encode();

        let (len, register, addr) = match (operation.direction, mapped) {
            (Direction::Write, None) => (0, None, chunk.addr),
            (Direction::Write, Some(mapped)) => {
                // The last element is for the header.
                let room = live.send_sge().saturating_sub(1).min(list.len());
                let elements = list.get_mut(..room).unwrap_or(&mut []);
                match mapped.sges(elements) {
                    Some(used) => (used, None, chunk.addr),
                    None => {
                        map(mr, mapped)?;
                        *list.first_mut().ok_or(EINVAL)? = mr.sge();
                        (1, Some(false), chunk.addr)
                    }
                }
            }
            (Direction::Read, mapped) => {
                if let Some(mapped) = mapped {
                    map(mr, mapped)?;
                }
                // The front of the chunk is the server's, for the answer.
                let addr = chunk.addr.checked_add(u64::from(data_len)).ok_or(EINVAL)?;
                (0, mapped.map(|_| true), addr)
            }
        };

        header.write(0, operation.user)?;
        let at = operation.user.len();
        match operation.direction {
            Direction::Write => {
                let message = WriteMsg { usr_len };
                header.write(at, &message.to_bytes())?;
            }
            Direction::Read => {
                let desc = mapped.map(|_| Descriptor {
                    addr: mr.iova(),
                    key: mr.key(),
                    len: data_len,
                });
                let message = ReadMsg {
                    usr_len,
                    need_inval: true,
                    desc,
                };
                let bytes = message.to_bytes();
                let bytes = bytes.get(..message.wire_len()).unwrap_or(&bytes);
                header.write(at, bytes)?;
            }
        }
        *list.get_mut(len).ok_or(EINVAL)? = header.sge(0, header_len)?;
        Ok(Plan {
            list: list.get(..=len).ok_or(EINVAL)?,
            register,
            remote: Remote {
                addr,
                key: chunk.key(),
            },
            imm,
            bytes: off,
        })
    }

    /// Whether the write is over only when our device says so: there is no key whose
    /// invalidation would prove it.
    pub(crate) fn is_bare_write(&self) -> bool {
        self.register.is_none() && self.list.len() > 1
    }

    /// Whether the slot's region gets registered.
    pub(crate) fn registers(&self) -> bool {
        self.register.is_some()
    }

    /// Bytes of data and user header, for the statistics.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Posts everything with one doorbell; with `done` the transfer is signaled.
    pub(crate) fn post(&self, qp: &QueuePair<Connection>, mr: &Mr, done: Option<Token>) -> Result {
        let transfer = Wr::WriteImm {
            local: self.list,
            remote: self.remote,
            imm: self.imm,
        };
        match self.register {
            Some(remote_write) => {
                let register = Wr::RegMr { mr, remote_write };
                qp.post(&[register, transfer], done)
            }
            None => qp.post(&[transfer], done),
        }
    }
}

/// Maps memory into the region, under a key that it did not have before.
fn map(mr: &Mr, mapped: &MappedSg) -> Result {
    mr.rotate_key();
    mr.map_sg(mapped)?;
    // A list with gaps is cut off by the mapping.
    if mr.len() != mapped.bytes() {
        return Err(EINVAL);
    }
    Ok(())
}
