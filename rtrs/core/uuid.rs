// SPDX-License-Identifier: GPL-2.0

//! Random names for sessions and paths.
//!
//! The names are the only thing that binds the paths of a session together, so they come
//! from the kernel's cryptographic generator and are never derived from anything else.

use kernel_ext::random;
use rtrs_proto::Uuid;

/// A new name, random except for the six bits that mark it as such (RFC 9562, version 4).
pub fn random() -> Uuid {
    let mut bytes = [0; 16];
    random::bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}
