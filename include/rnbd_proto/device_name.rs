// SPDX-License-Identifier: GPL-2.0

//! The name of a device on the server: a path below the server's search path.
//!
//! The client chooses it. Here it gets its bounds; what it may name is decided where it
//! is looked up, see [`crate::search_path`]. It may hold any byte but zero, so it goes to
//! a log through `Display` only.

use core::fmt;

use crate::limits::{
    NAME_FIELD_LEN,
    NAME_MAX, //
};

/// A device name: 1 to 254 bytes, none of them zero.
///
/// # Invariants
///
/// `1 <= len <= NAME_MAX`; the first `len` bytes are not zero, and the rest is.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceName {
    bytes: [u8; NAME_FIELD_LEN],
    len: u8,
}

/// Why bytes are not the name of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceNameError {
    /// There is no name.
    Empty,
    /// The name has more than 254 bytes, or its field has no terminator.
    TooLong,
    /// There is a zero byte in it.
    Zero,
}

impl DeviceName {
    /// Checks a name without a terminator.
    pub fn new(name: &[u8]) -> Result<Self, DeviceNameError> {
        if name.is_empty() {
            return Err(DeviceNameError::Empty);
        }
        if name.contains(&0) {
            return Err(DeviceNameError::Zero);
        }
        let len = match u8::try_from(name.len()) {
            Ok(len) if name.len() <= NAME_MAX => len,
            _ => return Err(DeviceNameError::TooLong),
        };
        let mut bytes = [0; NAME_FIELD_LEN];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        // INVARIANT: Length and bytes were checked above; the rest is still zero.
        Ok(Self { bytes, len })
    }

    /// Takes the name out of its field in a message; it must be terminated there, and
    /// what follows the terminator is ignored.
    pub fn from_field(field: &[u8; NAME_FIELD_LEN]) -> Result<Self, DeviceNameError> {
        // Without a terminator the name is the whole field, and that is too long.
        Self::new(field.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The name without a terminator.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The whole field, as it stands in a message: the name, padded with zeroes.
    pub const fn as_field(&self) -> &[u8; NAME_FIELD_LEN] {
        &self.bytes
    }
}

/// Writes printable ASCII as it is and every other byte as `\xNN`, fit for a log.
impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
