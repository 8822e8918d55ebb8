// SPDX-License-Identifier: GPL-2.0

//! The RNBD wire protocol and the texts around it.
//!
//! Used by the block client, the block server and the host tests; built from the same
//! files by Kbuild and by cargo. A server parses each message once, from a private copy,
//! together with the facts of the request that carried it; a client validates each
//! answer. The text that administrators write to map a device is parsed here too.
//!
//! The crate never allocates, never logs, never panics on input, and knows nothing about
//! the kernel or about the transport.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]

pub mod access;
pub mod device_name;
pub mod device_state;
pub mod errno;
pub mod identity;
pub mod io;
pub mod io_mode;
pub mod limits;
pub mod link_name;
pub mod map_options;
pub mod message;
pub mod number;
pub mod open_ext;
pub mod opened;
pub mod response;
pub mod search_path;
pub mod stats;
#[path = "../wire.rs"]
mod wire;

pub use access::AccessMode;
pub use device_name::{
    DeviceName,
    DeviceNameError, //
};
pub use device_state::{
    DeviceEvent,
    DeviceState, //
};
pub use identity::Identity;
pub use io::{
    Flags,
    Io,
    Op, //
};
pub use io_mode::IoMode;
pub use limits::negotiate;
pub use link_name::LinkName;
pub use map_options::{
    MapError,
    MapOptions, //
};
pub use message::{
    Close,
    Data,
    Message,
    Open,
    OpenWish,
    ProtoError,
    SessInfo, //
};
pub use number::number;
pub use open_ext::OpenExt;
pub use opened::{
    Objection,
    Opened, //
};
pub use response::{
    BlockSize,
    OpenRsp,
    ResponseError,
    SessInfoRsp, //
};
pub use search_path::{
    SearchPath,
    SearchPathError, //
};
