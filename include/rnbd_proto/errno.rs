// SPDX-License-Identifier: GPL-2.0

//! The Linux error numbers that this protocol speaks of, as positive values.
//!
//! The crate may not name the kernel, and a response carries these numbers. Functions
//! called `errno` in this crate answer the *negative* number, ready to become a kernel
//! error.

/// Input/output error: a range that no device can have.
pub const EIO: i32 = 5;
/// No path is given to a session that does not exist.
pub const ENXIO: i32 = 6;
/// More paths are given than a mapping may have.
pub const ENOMEM: i32 = 12;
/// Invalid argument: whatever breaks the protocol or the grammar.
pub const EINVAL: i32 = 22;
/// A number of more than 64 bits.
pub const ERANGE: i32 = 34;
/// Operation not supported: an operation number that means nothing.
pub const EOPNOTSUPP: i32 = 95;
