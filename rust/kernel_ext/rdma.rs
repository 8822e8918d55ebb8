// SPDX-License-Identifier: GPL-2.0

//! RDMA verbs and the connection manager as owned, safe values.
//!
//! | module | noun |
//! | --- | --- |
//! | [`device`] | facts about an RDMA device |
//! | [`pd`] | protection domain: owns all memory a device may touch |
//! | [`mr`] | memory region for fast registration |
//! | [`wr`] | work requests and scatter/gather elements |
//! | [`qp`] | queue pair: one connection, from birth to death |
//! | [`hardware`] | configuration and the verbs' objects of a queue pair |
//! | [`context`] | what a queue pair reports, and to whom |
//! | [`recv`] | receives: rings, one-shot receives, completions |
//! | [`cm`] | resolving, connecting |
//! | [`listener`] | listening, accepting |
//!
//! # Lifetimes
//!
//! Everything a device may touch is kept alive by its [`Pd`], and a queue pair holds its `Pd` until
//! it is shut down, that is drained and destroyed. A work request can refer only to memory of the
//! queue pair's own `Pd`; so whatever a room does with its handles, posted work never refers to
//! freed buffers. What no type here can see is memory that was lent: the pages behind a
//! [`MappedSg`] belong to somebody else, and the room must invalidate the memory region (or shut the
//! queue pair down) before it unmaps them and gives them back.
//!
//! # Contexts
//!
//! Posting and completions run in any context; connecting, shutting down and dropping a queue pair
//! sleep. Handles on memory may be dropped anywhere: the last one hands the protection domain to
//! the [`Reaper`].
//!
//! # Lock order
//!
//! Handler mutex of a connection manager id, then the mailbox lock; send lock and receive lock of a
//! queue pair are innermost and never held together.

pub mod cm;
pub mod context;
pub mod device;
mod direct;
pub mod hardware;
mod id;
pub mod listener;
mod mailbox;
pub mod mr;
pub mod pd;
pub mod qp;
mod reaper;
pub mod recv;
mod send;
pub mod wr;

pub use crate::{
    dma::{
        Buffer,
        Chunk,
        Direction,
        Segment, //
    },
    sg::{
        MappedSg,
        SgTable, //
    }, //
};
pub use cm::{
    ConnectError,
    Prepared,
    PrivateData,
    Resolved, //
};
pub use context::{
    Context,
    Done,
    Lost,
    Token, //
};
pub use device::{
    DeviceInfo,
    HasDevice, //
};
pub use hardware::{
    Poll,
    QpConfig, //
};
pub use listener::{
    Accept,
    Deferred,
    Listener,
    Request, //
};
pub use mr::Mr;
pub use pd::Pd;
pub use qp::QueuePair;
pub use reaper::{
    flush_teardown,
    Reaper, //
};
pub use recv::Received;
pub use wr::{
    Remote,
    Sge,
    Wr,
    MAX_SGES,
    MAX_WRS, //
};
