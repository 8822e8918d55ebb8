// SPDX-License-Identifier: GPL-2.0

//! The name of a session.
//!
//! Clients choose it and servers make a directory of it, so it is the one text of the
//! protocol that reaches sysfs and the log. It is checked once, here, on both sides.
//! It is no proof of identity.

use core::fmt;

use crate::errno::EINVAL;
use crate::limits::{
    NAME_FIELD_LEN,
    NAME_MAX, //
};

/// A session name: 1 to 254 bytes, none of them a slash, a dot, a space or a control
/// character.
///
/// Slash and dot are what the protocol forbids; spaces and control characters would let
/// a peer forge lines in logs and confuse tools that read names word by word. Bytes from
/// 0x80 on are allowed: names in any language are, and nothing here depends on their
/// encoding.
///
/// # Invariants
///
/// `1 <= len <= NAME_MAX`; the first `len` bytes are allowed ones and the rest is zero.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionName {
    bytes: [u8; NAME_FIELD_LEN],
    len: u8,
}

/// Why bytes are not the name of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// There is no name.
    Empty,
    /// The name has more than 254 bytes, or its field has no terminator.
    TooLong,
    /// The name has a byte that is not allowed, given here.
    Forbidden(u8),
}

impl NameError {
    /// The negative errno for an administrator who asked for this name.
    pub const fn errno(self) -> i32 {
        -EINVAL
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the session name is empty"),
            Self::TooLong => f.write_str("the session name is longer than 254 bytes"),
            Self::Forbidden(byte) => write!(f, "byte {byte:#04x} is not allowed in a session name"),
        }
    }
}

impl SessionName {
    /// Checks a name that an administrator gave, without a terminator.
    pub fn new(name: &[u8]) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(&byte) = name.iter().find(|byte| !allowed(**byte)) {
            return Err(NameError::Forbidden(byte));
        }
        let len = match u8::try_from(name.len()) {
            Ok(len) if name.len() <= NAME_MAX => len,
            _ => return Err(NameError::TooLong),
        };
        let mut bytes = [0; NAME_FIELD_LEN];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        // INVARIANT: Length and bytes were checked above; the rest is still zero.
        Ok(Self { bytes, len })
    }

    /// Takes the name out of its field in a message; it must be terminated there.
    pub fn from_field(field: &[u8; NAME_FIELD_LEN]) -> Result<Self, NameError> {
        // Without a terminator the name is the whole field, and that is too long.
        Self::new(field.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The name without a terminator.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The name as text, unless it is in an encoding that is none.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }

    /// The whole field, as it stands in a message: the name, padded with zeroes.
    pub const fn as_field(&self) -> &[u8; NAME_FIELD_LEN] {
        &self.bytes
    }
}

const fn allowed(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0x80..) && !matches!(byte, b'/' | b'.')
}

/// Writes ASCII as it is and every other byte as `\xNN`, fit for a log.
impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
