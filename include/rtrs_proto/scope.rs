// SPDX-License-Identifier: GPL-2.0

//! The zone of a link-local IPv6 address: the part behind its percent sign.
//!
//! It names a network interface, by name or by number. Which interface that is only the
//! kernel knows; this crate keeps the text.

/// Most bytes of the name of a network interface.
const NAME_MAX: usize = 15;

/// The text behind the percent sign of an IPv6 address, 1 to 15 bytes.
///
/// # Invariants
///
/// `1 <= len <= 15`; the bytes behind are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    bytes: [u8; NAME_MAX],
    len: u8,
}

impl Scope {
    /// Takes the text, unless it is empty, too long, or has control characters or spaces.
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > NAME_MAX || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; NAME_MAX];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        // INVARIANT: The length was checked above.
        Some(Self {
            bytes,
            len: u8::try_from(text.len()).ok()?,
        })
    }

    /// The text: the name of an interface, or the digits of its number.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The number of the interface, if the text is a decimal number above 0.
    pub fn index(&self) -> Option<u32> {
        if !self.as_bytes().iter().all(u8::is_ascii_digit) {
            return None;
        }
        let text = core::str::from_utf8(self.as_bytes()).ok()?;
        text.parse().ok().filter(|index| *index != 0)
    }
}
