// SPDX-License-Identifier: GPL-2.0

//! How a request ends: the block layer's status codes.
//!
//! The codes are `__force` casts in C, which bindgen cannot evaluate; the few
//! that are named here are asserted in `rust/helpers/block_mq.c`.

use kernel::{
    bindings,
    prelude::*, //
};

const BLK_STS_OK: u8 = 0;
const BLK_STS_TIMEOUT: u8 = 2;
const BLK_STS_TRANSPORT: u8 = 4;
const BLK_STS_RESOURCE: u8 = 9;
const BLK_STS_IOERR: u8 = 10;
const BLK_STS_DEV_RESOURCE: u8 = 13;
const BLK_STS_ZONE_OPEN_RESOURCE: u8 = 14;
const BLK_STS_ZONE_ACTIVE_RESOURCE: u8 = 15;

/// The result of a request (`blk_status_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(u8);

impl Status {
    /// The request succeeded.
    pub const OK: Self = Self(BLK_STS_OK);
    /// The request failed for a reason nobody knows better.
    pub const IOERR: Self = Self(BLK_STS_IOERR);
    /// The device could not be reached: nothing is known about the medium, and the
    /// request is worth another try over another way (`ENOLINK` for user space).
    pub const TRANSPORT: Self = Self(BLK_STS_TRANSPORT);
    /// The request took too long (`ETIMEDOUT` for user space).
    pub const TIMEOUT: Self = Self(BLK_STS_TIMEOUT);
    /// A resource is missing for now; [`crate::IdleRequest::busy`] returns it.
    pub(crate) const RESOURCE: Self = Self(BLK_STS_RESOURCE);

    /// Converts an errno of either sign by the kernel's own table
    /// (`block/blk-core.c`): 0 is [`Status::OK`], an errno that the table does
    /// not know is [`Status::IOERR`]. Any context.
    pub fn from_errno(errno: i32) -> Self {
        if errno == 0 {
            return Self::OK;
        }
        let negative = if errno > 0 {
            errno.wrapping_neg()
        } else {
            errno
        };
        // SAFETY:
        // - The function looks its argument up in a constant table; every
        //   value is allowed and it may be called in any context.
        Self(unsafe { bindings::errno_to_blk_status(negative) })
    }

    /// The errno user space will see: 0 or negative. Any context.
    pub fn to_errno(self) -> i32 {
        // SAFETY:
        // - The function looks its argument up in a constant table.
        // - An index beyond the table cannot occur: every `Status` is one of
        //   the constants above or came from `errno_to_blk_status`.
        unsafe { bindings::blk_status_to_errno(self.0) }
    }

    /// Whether the request succeeded.
    pub fn is_ok(self) -> bool {
        self == Self::OK
    }

    /// The code for C.
    pub(crate) fn raw(self) -> bindings::blk_status_t {
        self.0
    }

    /// The code with which `queue_rq` makes blk-mq *fail* a request. The
    /// values that would succeed or retry instead become an IO error: the
    /// retrying ones but `RESOURCE` are a promise to restart the queue, which
    /// nobody would keep.
    pub(crate) fn failing(self) -> Self {
        match self.0 {
            BLK_STS_OK
            | BLK_STS_RESOURCE
            | BLK_STS_DEV_RESOURCE
            | BLK_STS_ZONE_OPEN_RESOURCE
            | BLK_STS_ZONE_ACTIVE_RESOURCE => Self::IOERR,
            _ => self,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::from_errno(error.to_errno())
    }
}
