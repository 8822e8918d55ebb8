// SPDX-License-Identifier: GPL-2.0

//! The RTRS wire protocol: private data, messages, immediates, addresses, limits.
//!
//! Used by both ends of the transport and by the host tests; built from the same files
//! by Kbuild and by cargo. What comes from the network is parsed here once into bounded
//! types, and nobody checks it again. The crate never allocates, never logs, never reads
//! a clock, never panics on input, and knows nothing about the kernel or about blocks.
//!
//! # Words
//!
//! - A *session* is one client and server relation; it is named by a [`Uuid`] and a
//!   [`SessionName`].
//! - A *path* is one address pair of a session, named by another [`Uuid`].
//! - A *connection* is one queue pair of a path; its number is the `cid`.
//! - A *chunk* is a server buffer that the client writes requests into; a
//!   [`ChunkIndex`] names it, and also the request that lives in it.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]

pub mod address;
pub mod allow;
pub mod connect;
pub mod errno;
pub mod features;
pub mod fence;
pub mod immediate;
pub mod info;
pub mod limits;
pub mod name;
pub mod params;
pub mod reply;
pub mod request;
pub mod scope;
#[path = "../wire.rs"]
mod wire;

pub use address::{
    Addr,
    AddrError,
    PathError,
    PathName,
    PathSpec, //
};
pub use allow::{
    AllowError,
    AllowList, //
};
pub use connect::{
    ConnectError,
    ConnectRequest,
    Uuid, //
};
pub use features::Features;
pub use fence::{
    ChunkMsg,
    FenceRequest, //
};
pub use immediate::{
    Errno9,
    Immediate,
    IoPayload,
    OutOfBounds, //
};
pub use info::{
    Chunk,
    Descriptor,
    InfoError,
    InfoRequest,
    InfoResponse, //
};
pub use name::{
    NameError,
    SessionName, //
};
pub use params::{
    ChunkIndex,
    Depth,
    ParamsError,
    SessionParams, //
};
pub use reply::{
    ConnectReply,
    RejectErrno,
    ReplyError, //
};
pub use request::{
    Direction,
    ReadMsg,
    RequestError,
    RequestMsg,
    RkeyError,
    RkeyMsg,
    WriteMsg, //
};
pub use scope::Scope;
