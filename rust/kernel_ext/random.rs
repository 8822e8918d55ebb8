// SPDX-License-Identifier: GPL-2.0

//! Random bytes from the kernel's cryptographic generator.
//!
//! Used for identifiers that a peer must not be able to guess or repeat.

use kernel::bindings;

/// Fills `out` with random bytes. Any context; never fails.
pub fn bytes(out: &mut [u8]) {
    // SAFETY:
    // - `out` is valid for writes of `out.len()` bytes.
    // - nobody else accesses them: the borrow is exclusive.
    unsafe { bindings::get_random_bytes(out.as_mut_ptr().cast(), out.len()) }
}
