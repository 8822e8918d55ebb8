// SPDX-License-Identifier: GPL-2.0

//! The decisions of the transport, apart from everything that acts on them.
//!
//! State machines and rules that take an event, or facts, and answer what to do; the
//! rooms around them do it. Used by both sides of the transport and by the host tests;
//! built from the same files by Kbuild and by cargo. Nothing here allocates, locks,
//! sleeps, reads a clock or logs, and nothing here has ever met a kernel.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]

pub mod client_path;
pub mod credits;
pub mod heartbeat;
pub mod permits;
pub mod policy;
pub mod reconnect;
pub mod server_path;
pub mod stats;
pub mod wreck;
