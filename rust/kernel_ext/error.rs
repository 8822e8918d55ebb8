// SPDX-License-Identifier: GPL-2.0

//! Error numbers that the `kernel` crate has no name for, and a way to make an [`Error`] of them.
//!
//! Used wherever an errno comes from the wire or goes onto it, and where the C drivers answer user
//! space with a number `kernel::error::code` lacks. Nothing here may decide what an error means.

use kernel::prelude::*;

/// Error numbers as positive integers.
///
/// The values are those of Linux (`include/uapi/asm-generic/errno-base.h` and `errno.h`); they are
/// the same on x86-64, arm64 and every other architecture that uses the generic numbers.
pub mod errno {
    /// Operation not permitted.
    pub const EPERM: i32 = 1;
    /// No such file or directory.
    pub const ENOENT: i32 = 2;
    /// Interrupted system call.
    pub const EINTR: i32 = 4;
    /// I/O error.
    pub const EIO: i32 = 5;
    /// No such device or address.
    pub const ENXIO: i32 = 6;
    /// Try again.
    pub const EAGAIN: i32 = 11;
    /// Out of memory.
    pub const ENOMEM: i32 = 12;
    /// Permission denied.
    pub const EACCES: i32 = 13;
    /// Block device required.
    pub const ENOTBLK: i32 = 15;
    /// Device or resource busy.
    pub const EBUSY: i32 = 16;
    /// File exists.
    pub const EEXIST: i32 = 17;
    /// No such device.
    pub const ENODEV: i32 = 19;
    /// Invalid argument.
    pub const EINVAL: i32 = 22;
    /// No space left on device.
    pub const ENOSPC: i32 = 28;
    /// Read-only file system.
    pub const EROFS: i32 = 30;
    /// Math result not representable.
    pub const ERANGE: i32 = 34;
    /// File name too long.
    pub const ENAMETOOLONG: i32 = 36;
    /// Timer expired.
    pub const ETIME: i32 = 62;
    /// Link has been severed.
    pub const ENOLINK: i32 = 67;
    /// Communication error on send.
    pub const ECOMM: i32 = 70;
    /// Protocol error.
    pub const EPROTO: i32 = 71;
    /// Not a data message.
    pub const EBADMSG: i32 = 74;
    /// Value too large for defined data type.
    pub const EOVERFLOW: i32 = 75;
    /// Message too long.
    pub const EMSGSIZE: i32 = 90;
    /// Protocol not supported.
    pub const EPROTONOSUPPORT: i32 = 93;
    /// Operation not supported on transport endpoint.
    pub const EOPNOTSUPP: i32 = 95;
    /// Address family not supported by protocol.
    pub const EAFNOSUPPORT: i32 = 97;
    /// Address already in use.
    pub const EADDRINUSE: i32 = 98;
    /// Cannot assign requested address.
    pub const EADDRNOTAVAIL: i32 = 99;
    /// Network is unreachable.
    pub const ENETUNREACH: i32 = 101;
    /// Software caused connection abort.
    pub const ECONNABORTED: i32 = 103;
    /// Connection reset by peer.
    pub const ECONNRESET: i32 = 104;
    /// No buffer space available.
    pub const ENOBUFS: i32 = 105;
    /// Transport endpoint is already connected.
    pub const EISCONN: i32 = 106;
    /// Transport endpoint is not connected.
    pub const ENOTCONN: i32 = 107;
    /// Cannot send after transport endpoint shutdown.
    pub const ESHUTDOWN: i32 = 108;
    /// Connection timed out.
    pub const ETIMEDOUT: i32 = 110;
    /// Connection refused.
    pub const ECONNREFUSED: i32 = 111;
    /// Host is down.
    pub const EHOSTDOWN: i32 = 112;
    /// No route to host.
    pub const EHOSTUNREACH: i32 = 113;
    /// Operation already in progress.
    pub const EALREADY: i32 = 114;
    /// Operation now in progress.
    pub const EINPROGRESS: i32 = 115;
    /// Stale file handle.
    pub const ESTALE: i32 = 116;
    /// Remote I/O error.
    pub const EREMOTEIO: i32 = 121;
    /// Operation canceled.
    pub const ECANCELED: i32 = 125;
    /// Key was rejected by service.
    pub const EKEYREJECTED: i32 = 129;
}

/// The largest number the kernel uses as an error (`MAX_ERRNO`).
const MAX_ERRNO: i32 = 4095;

/// Makes an [`Error`] of an error number of either sign.
///
/// A number outside 1..=4095 is no error number and becomes `EINVAL`; so a number read from the
/// wire can be passed in as it is. Any context.
pub fn error(errno: i32) -> Error {
    match errno.checked_abs() {
        Some(number @ 1..=MAX_ERRNO) => Error::from_errno(-number),
        _ => EINVAL,
    }
}
