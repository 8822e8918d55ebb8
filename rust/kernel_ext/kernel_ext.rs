// SPDX-License-Identifier: GPL-2.0

//! What this project needs from the kernel and the `kernel` crate does not offer yet.
//!
//! Every room that may name the kernel uses this crate; it knows neither RTRS nor RNBD nor block
//! devices. All `unsafe` of the project lives here, in `block_mq` and in `block_bio`; the API is
//! safe, so that every other crate can forbid unsafe code. Each module is laid out like its
//! counterpart in the kernel's own `rust/kernel`, to be deleted on the day the kernel grows it.
//!
//! The macros of this crate expand to paths into the `kernel` crate, which Kbuild hands to every
//! crate.

/// Prefix of the messages this crate prints itself.
const __LOG_PREFIX: &[u8] = b"kernel_ext\0";

pub mod cpu;
pub mod dma;
mod drift;
pub mod error;
mod ffi;
pub mod fmt;
pub mod log;
pub mod memory;
pub mod net;
pub mod param;
pub mod random;
pub mod rdma;
pub mod sg;
pub mod sync;
pub mod sysfs;
pub mod time;
pub mod trace;
pub mod workqueue;
