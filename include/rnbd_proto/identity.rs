// SPDX-License-Identifier: GPL-2.0

//! The name that a device keeps: what tells two volumes apart, however they are found.
//!
//! A server takes it from its backend; a client shows it, so that rules for device names
//! can refer to it. It travels in the extension of an answer ([`crate::OpenExt`]) and
//! must never reach a file or a log with anything in it that is not a plain character, nor
//! with a slash: the rules make it a part of a file's name.

use core::fmt;

use crate::limits::IDENTITY_MAX;

/// Characters that stand for what is too long: a dot and the digits of a hash.
const DIGEST_LEN: usize = 17;

/// The persistent identity of a device: at most 127 graphic ASCII characters other than `/`;
/// none if the device has no identity.
///
/// # Invariants
///
/// `len <= IDENTITY_MAX`; the first `len` bytes are graphic ASCII but no `/`, and the rest is zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    bytes: [u8; IDENTITY_MAX],
    len: u8,
}

impl Identity {
    /// No identity.
    pub const NONE: Self = Self {
        // INVARIANT: There are no bytes, and all of them are zero.
        bytes: [0; IDENTITY_MAX],
        len: 0,
    };

    /// Takes `text` if it is an identity as it stands.
    pub fn new(text: &[u8]) -> Option<Self> {
        if !text.iter().all(is_plain) {
            return None;
        }
        let len = match u8::try_from(text.len()) {
            Ok(len) if text.len() <= IDENTITY_MAX => len,
            _ => return None,
        };
        let mut bytes = [0; IDENTITY_MAX];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        // INVARIANT: Length and characters were checked above; the rest is still zero.
        Some(Self { bytes, len })
    }

    /// Makes an identity of what a backend says of itself, which is padded and not
    /// always text: blanks around it are dropped, and everything else that is no graphic
    /// character, or a slash, becomes an underscore. What is too long may differ at its end only,
    /// such as the names of two namespaces of one NVMe disk; so the end of it gives way to a hash
    /// of the whole.
    pub fn from_backend(text: &[u8]) -> Self {
        let mut identity = Self::NONE;
        let text = text.trim_ascii();
        let kept = if text.len() > IDENTITY_MAX {
            IDENTITY_MAX.saturating_sub(DIGEST_LEN)
        } else {
            text.len()
        };
        for byte in text.iter().take(kept) {
            identity.push(*byte);
        }
        if text.len() > kept {
            identity.push(b'.');
            for byte in fnv1a(text).to_be_bytes() {
                identity.push(hex_digit(byte >> 4));
                identity.push(hex_digit(byte & 0xf));
            }
        }
        identity
    }

    /// Adds a character, made a plain one; nothing once there is no room.
    fn push(&mut self, byte: u8) {
        if let Some(to) = self.bytes.get_mut(usize::from(self.len)) {
            // INVARIANT: There was room for one more, which is plain; what follows is still zero.
            *to = if is_plain(&byte) { byte } else { b'_' };
            self.len = self.len.saturating_add(1);
        }
    }

    /// The characters.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.len == 0
    }

    /// The length, and the field that follows it on the wire.
    pub(crate) const fn as_field(&self) -> (u8, &[u8; IDENTITY_MAX]) {
        (self.len, &self.bytes)
    }

    /// Takes an identity out of its field. It is a mere hint: one that is malformed is
    /// none.
    pub(crate) fn from_field(len: u8, bytes: &[u8; IDENTITY_MAX]) -> Self {
        bytes
            .get(..usize::from(len))
            .and_then(Self::new)
            .unwrap_or(Self::NONE)
    }
}

/// Whether an identity may have this character.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_graphic() && *byte != b'/'
}

/// The hash FNV-1a with 64 bits: names that differ are told apart by it, enemies are not.
fn fnv1a(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The hexadecimal digit of a number below 16.
const fn hex_digit(nibble: u8) -> u8 {
    let first = if nibble < 10 { b'0' } else { b'a' - 10 };
    first.saturating_add(nibble)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(self.as_bytes()).unwrap_or(""))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}
