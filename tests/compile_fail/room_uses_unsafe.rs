// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_client/rnbd_client
//@ error: usage of an `unsafe` block

//! Outside of `rust/` the compiler accepts no unsafe code.

#![forbid(unsafe_code)]

/// Reads through a pointer.
pub fn wrong(pointer: *const u8) -> u8 {
    unsafe { *pointer }
}
