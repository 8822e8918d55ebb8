// SPDX-License-Identifier: GPL-2.0

//! The Linux error numbers that this protocol speaks of, as positive values.
//!
//! The crate may not name the kernel, and the numbers are part of the wire: a reject and
//! a response carry them. Functions called `errno` in this crate answer the *negative*
//! number, ready to become a kernel error.

/// No such device or address: the session of an additional path is unknown.
pub const ENXIO: i32 = 6;
/// Input/output error, and what an error number becomes that the wire cannot carry.
pub const EIO: i32 = 5;
/// The path exists already.
pub const EEXIST: i32 = 17;
/// Invalid argument.
pub const EINVAL: i32 = 22;
/// The address has a prefix that names no known address family.
pub const EPROTONOSUPPORT: i32 = 93;
/// Connection reset: whatever breaks the protocol or the path.
pub const ECONNRESET: i32 = 104;
/// The largest number the kernel uses as an error.
pub const MAX_ERRNO: i32 = 4095;
